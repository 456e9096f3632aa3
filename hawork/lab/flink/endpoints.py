"""When each REST endpoint of a Flink cluster answered last; its silence is an event.

The HA store goes on naming a leader that is dead until a session or a lease ends. Whether it is
there is known by asking it alone.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from hawork.client.tls import UNTRUSTED
from hawork.core.clock import SYSTEM_CLOCK, Clock
from hawork.core.errors import RestError
from hawork.core.events import EventKind
from hawork.lab.flink.events import WrittenEvents
from hawork.story.display import age, clock_time


@dataclass(frozen=True, slots=True)
class Heard:
    """What a REST endpoint was heard of last; ``wall`` in seconds since 1970."""

    process: str
    address: str
    wall: float | None
    """Of its last answer; ``None``: it has never given one."""
    silence: str = ""
    """Why there is no answer now; empty while there is."""
    listens: bool = True
    """``False``: the system of its machine says that nothing listens there."""

    def __str__(self) -> str:
        if not self.silence:
            return f"{self.process} answers"
        what = f"{self.process} {'gives no answer' if self.listens else 'is down'} ({self.silence})"
        return f"{what}; {self.age()}"

    def age(self, now: float | None = None) -> str:
        """When it was heard last, by the clock and in words."""
        if self.wall is None:
            return "it was not heard since we look"
        return f"last heard at {clock_time(self.wall)}, {age(self.wall, now)}"


class Endpoints:
    """Keeps the last answer of each process, and writes events when one falls silent or answers.

    Without ``events`` it only keeps them: of a lab's own processes the lab knows whether they live.
    Thread-safe: the leader and the others are asked by different threads.
    """

    def __init__(self, events: WrittenEvents | None, clock: Clock = SYSTEM_CLOCK) -> None:
        self._events = events
        self._clock = clock
        self._heard: dict[str, Heard] = {}
        self._answers: dict[str, float] = {}  # monotonic
        self._newest: str | None = None
        self._lock = threading.Lock()

    def answered(self, process: str, address: str, session_id: str | None) -> None:
        with self._lock:
            before = self._heard.get(process)
            self._heard[process] = Heard(process, address, self._clock.time())
            self._answers[process] = self._clock.monotonic()
            self._newest = process
        if self._events is not None and before is not None and before.silence:
            self._events.write(
                EventKind.REST_ANSWERED, process, session_id=session_id, address=address
            )

    def silent(self, process: str, address: str, session_id: str | None, error: RestError) -> None:
        """It was asked, and ``error`` says why there is no answer."""
        # ask() raises it in place of what the system said.
        listens = not isinstance(error.__context__, ConnectionRefusedError)
        reason = "nothing listens there" if not listens else _reason(error)
        with self._lock:
            before = self._heard.get(process)
            wall = before.wall if before is not None else None
            self._heard[process] = Heard(process, address, wall, reason, listens)
            self._newest = self._newest or process
        news = before is None or not before.silence or before.listens != listens
        if self._events is not None and news:
            self._events.write(
                EventKind.REST_SILENT, process, session_id=session_id, address=address,
                reason=reason, listens=listens, heard=self.seconds(process),
            )  # fmt: skip

    def seconds(self, process: str) -> float | None:
        """Since its last answer; ``None``: it has never given one."""
        with self._lock:
            answered = self._answers.get(process)
        return None if answered is None else round(self._clock.monotonic() - answered, 3)

    def of(self, process: str) -> Heard | None:
        """``None``: it was not asked yet."""
        with self._lock:
            return self._heard.get(process)

    def newest(self) -> Heard | None:
        """The process that answered last, of all of them."""
        with self._lock:
            return None if self._newest is None else self._heard[self._newest]


def _reason(error: RestError) -> str:
    """What the system said, else the sentence itself."""
    cause = error.__context__
    if isinstance(cause, TimeoutError):
        return "it takes no request"
    return str(getattr(cause, "strerror", None) or cause or error)


def gives_no_answer(error: RestError) -> bool:
    """Whether a JobManager did not answer: nothing came, or its sender is not trusted."""
    return error.status in (0, UNTRUSTED)
