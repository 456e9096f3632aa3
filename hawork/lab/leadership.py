"""Who leads, by the name of the process: retrieval knows the session, the events whose it is."""

from __future__ import annotations

from collections.abc import Callable

from hawork.client.waiting import Waiting
from hawork.core.errors import LabError
from hawork.core.events import Event, EventKind
from hawork.core.types import REST_SERVER, LeaderInformation
from hawork.story.terms import Terms


class Leadership:
    """The leader's name; ``retrieve`` gives what leader retrieval says now, never waiting.

    ``check`` raises when no process can become one, ``hindrance`` is the end of a sentence about a
    leader that did not come.
    """

    def __init__(
        self,
        retrieve: Callable[[], LeaderInformation | None],
        events: Callable[[], list[Event]],
        check: Callable[[], None],
        hindrance: Callable[[], str] = lambda: "",
    ) -> None:
        self._retrieve = retrieve
        self._events = events
        self._check = check
        self._hindrance = hindrance
        self._names: dict[str, str] = {}

    def information(self) -> LeaderInformation | None:
        return self._retrieve()

    def name(self) -> str | None:
        """The process whose address is published now."""
        information = self._retrieve()
        if information is None:
            return None
        session_id = str(information.session_id)
        if session_id not in self._names:
            self._names = Terms(self._events()).owners
        return self._names.get(session_id)

    def wait(self, other_than: str | Event | None, timeout: float) -> Waiting[str]:
        """Wait for a leader, or for another one than before (a name or a fault's event)."""
        before = _target(other_than)

        def look() -> str | None:
            name = self.name()
            if name is not None and name != before and self._is_told():
                return name
            self._check()
            return None

        what = "a leader" if before is None else f"another leader than {before}"
        return Waiting(what, look, timeout=timeout, state=self._hindrance)

    def _is_told(self) -> bool:
        """Whether the events tell of the published leader: who waits for it looks at them next.

        An address is published a moment before its process writes that down.
        """
        information = self._retrieve()
        return information is not None and any(
            event.kind is EventKind.LEADERSHIP_CONFIRMED
            and event.facts.get("component") == REST_SERVER
            and event.session_id == str(information.session_id)
            for event in reversed(self._events())
        )

    def resolve(self, target: str) -> str:
        """``"leader"`` as a name; every other name as it is."""
        if target != "leader":
            return target
        name = self.name()
        if name is None:
            raise LabError(
                "there is no leader now: wait for a leader, or name a process such as 'jm-1'"
            )
        return name


def _target(other_than: str | Event | None) -> str | None:
    if isinstance(other_than, Event):
        return str(other_than.facts.get("target", other_than.process))
    return other_than
