"""A clock that stands still, and components that remember what they were told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from hawork.core.types import LeaderInformation, LeaderSessionID


class ManualClock:
    """Time that moves when it is told to.

    >>> clock = ManualClock()
    >>> clock.advance(1.5)
    >>> clock.monotonic()
    1.5
    """

    def __init__(self, monotonic: float = 0.0, wall: float = 1_700_000_000.0) -> None:
        self._monotonic = monotonic
        self._wall = wall

    def monotonic(self) -> float:
        return self._monotonic

    def time(self) -> float:
        return self._wall

    def advance(self, seconds: float) -> None:
        self._monotonic += seconds
        self._wall += seconds


class RecordingContender:
    """A contender that keeps its calls: ``("grant", id)``, ``("revoke", id)``, ``("error", e)``.

    ``on_grant`` and ``on_revoke`` may be set to do more; they run on the calling thread.
    """

    def __init__(
        self,
        on_grant: Callable[[LeaderSessionID], object] | None = None,
        on_revoke: Callable[[], object] | None = None,
    ) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.session_id: LeaderSessionID | None = None
        self.on_grant = on_grant
        self.on_revoke = on_revoke
        self._changed = threading.Condition()

    def grant_leadership(self, session_id: LeaderSessionID) -> None:
        self._record("grant", session_id, session_id)
        if self.on_grant is not None:
            self.on_grant(session_id)

    def revoke_leadership(self) -> None:
        self._record("revoke", self.session_id, None)
        if self.on_revoke is not None:
            self.on_revoke()

    def handle_error(self, error: Exception) -> None:
        self._record("error", error, self.session_id)

    @property
    def errors(self) -> list[Exception]:
        return [value for kind, value in self.calls if kind == "error"]

    def wait_for_grant(
        self, timeout: float = 60.0, different_from: LeaderSessionID | None = None
    ) -> LeaderSessionID:
        """The present session id, once there is one that is not ``different_from``."""
        granted = lambda: self.session_id not in (None, different_from)  # noqa: E731
        with self._changed:
            if not self._changed.wait_for(granted, timeout) or self.session_id is None:
                raise AssertionError(f"leadership was not granted within {timeout:g} s")
            return self.session_id

    def wait_for_revoke(self, timeout: float = 60.0) -> None:
        """Return once the contender does not lead."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.session_id is None, timeout):
                raise AssertionError(f"leadership was not revoked within {timeout:g} s")

    def _record(self, kind: str, value: Any, session_id: LeaderSessionID | None) -> None:
        with self._changed:
            self.calls.append((kind, value))
            self.session_id = session_id
            self._changed.notify_all()


class RecordingListener:
    """A retrieval listener that keeps what it was told."""

    def __init__(self) -> None:
        self.notifications: list[LeaderInformation | None] = []
        self.errors: list[Exception] = []

    @property
    def latest(self) -> LeaderInformation | None:
        return self.notifications[-1] if self.notifications else None

    def notify_leader(self, information: LeaderInformation | None) -> None:
        self.notifications.append(information)

    def handle_error(self, error: Exception) -> None:
        self.errors.append(error)


class RecordingSteps:
    """Steps that are remembered in order, and may call a hook: to crash, wait or interfere."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.hooks: dict[str, Callable[[], object]] = {}

    def reached(self, name: str, **_: Any) -> None:
        self.names.append(name)
        if name in self.hooks:
            self.hooks[name]()
