"""When a process that does not prove that it is alive is taken for one that hangs.

The supervisor asks each JobManager again and again, four times in a watchdog's time, and each of
its two parts answers for itself: the event loop from the loop, the leadership thread from that
thread. One that leaves ``UNANSWERED`` questions open in a row hangs. What is counted are
questions and not seconds, and only those that were given their time while the supervisor
itself ran: while the host sleeps, or while the supervisor is stopped or starved, nothing is asked
and nothing is counted.

Alike: systemd's ``WatchdogSec`` and Patroni's watchdog, which a process feeds unasked.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

EVENT_LOOP = "event loop"
LEADERSHIP_THREAD = "leadership thread"
PARTS = (EVENT_LOOP, LEADERSHIP_THREAD)

UNANSWERED = 3
"""Questions in a row that a part which hangs has left open. The first of them is asked up to a
pace after its last answer, so that it is noticed after three to four paces."""
_PACES = 4


@dataclass(frozen=True, slots=True)
class Silent:
    """What hangs: ``part`` in words, and for how many seconds it has not answered."""

    part: str
    seconds: float


class Watchdog:
    """The questions to one process, and its answers. Without clock, threads and I/O."""

    def __init__(self, timeout: float, now: float) -> None:
        """``timeout``: seconds after which a process that hangs is noticed, at the latest."""
        self._pace = timeout / _PACES
        self._asked = 0
        self._lapsed: deque[int] = deque(maxlen=UNANSWERED)
        self._answered = dict.fromkeys(PARTS, 0)
        self._heard = dict.fromkeys(PARTS, now)
        self.next_look = now
        """When ``look`` has something to do next."""

    def answered(self, part: str, question: int, now: float) -> None:
        """``part`` has answered. Also a late answer proves that it was alive after the question."""
        if part in self._answered and self._answered[part] < question <= self._asked:
            self._answered[part] = question
            self._heard[part] = now

    def look(self, now: float) -> int | Silent | None:
        """The question to ask now, what hangs, or ``None`` before ``next_look``.

        All answers that are there must have been told before.
        """
        if now < self.next_look:
            return None
        # A look that is late by a pace: we stood still ourselves, and the process maybe with us.
        if self._asked and now < self.next_look + self._pace:
            self._lapsed.append(self._asked)
        self.next_look = now + self._pace
        if self._silent(UNANSWERED):
            # A process that stops may have answered once more with one part than with the other.
            silent = self._silent(UNANSWERED - 1)
            return Silent(" and ".join(silent), now - max(self._heard[each] for each in silent))
        self._asked += 1
        return self._asked

    @property
    def doubtful(self) -> bool:
        """Whether the next open question is the last one."""
        return bool(self._silent(UNANSWERED - 1))

    def _silent(self, questions: int) -> list[str]:
        """The parts that have left so many questions open, or more."""
        if len(self._lapsed) < questions:
            return []
        return [part for part in PARTS if self._answered[part] < self._lapsed[-questions]]

    def forgive(self) -> None:
        """Begin to count anew."""
        self._lapsed.clear()
