"""The lease: who may think that it leads, and who may try to. Decides, never acts.

Shared by the backends whose election is a record that its holder renews. A driver tells a
``LeaseState`` what it observed and what became of its writes, asks ``decide`` what to do,
and does that.

Two rules make it safe, with clocks that need not agree but run at the same speed, even
when lease duration and renew deadline are equal:

* A leader's belief ends one renew deadline after it *sent* its last successful renewal.
* A challenger may try one lease duration after it *saw* the record change last, and its
  write is refused when the record is not the one it saw.

A successful renewal was sent before anybody could see it, so the belief it gives ends
before a challenger that saw it may try. A process that was stopped, or a host that
stalled, wakes up past its own deadline and stops leading before it writes anything.

Source: Flink's ``KubernetesLeaderElector`` and fabric8's ``LeaderElector``, which compare
wall clocks instead.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LeaseTimeouts:
    """Flink's three timeouts in seconds; ``options.checked`` has checked their relations."""

    lease_duration: float
    renew_deadline: float
    retry_period: float


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """What the store says. ``token`` is different after every write of the record.

    ``holder`` is empty when the lease was released. ``lease_duration`` is what the holder
    wrote, in seconds; the longer one of it and the challenger's own counts.
    """

    holder: str
    token: Hashable
    lease_duration: float = 0.0


@dataclass(frozen=True, slots=True)
class Observe:
    """Read the record now, then call ``observe``."""


@dataclass(frozen=True, slots=True)
class Acquire:
    """Write oneself as holder, if the record still is ``expected`` (``None``: there is none)."""

    expected: LeaseRecord | None


@dataclass(frozen=True, slots=True)
class Renew:
    """Renew the record one holds, with an answer by ``deadline``."""

    deadline: float


@dataclass(frozen=True, slots=True)
class StopLeading:
    """Tell everybody that leadership is gone. ``decide`` says so once."""

    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before ``until``, unless the record changes."""

    until: float


Instruction = Observe | Acquire | Renew | StopLeading | Wait

_LONG_AGO = float("-inf")


class LeaseState:
    """One contender's view of the lease. All times are its own monotonic seconds."""

    def __init__(self, identity: str, timeouts: LeaseTimeouts) -> None:
        self._identity = identity
        self._timeouts = timeouts
        self._belief_until: float | None = None
        self._lost: str | None = None
        self._record: LeaseRecord | None = None
        # None: nothing was seen yet. A record seen again unchanged keeps its time.
        self._changed_at: float | None = None
        self._dead_holder: str | None = None
        self._look = True
        # When a leader renews, and when a standby looks whether a change escaped it.
        self._routine_at = _LONG_AGO
        self._pause_until = _LONG_AGO

    @property
    def belief_until(self) -> float:
        """When the belief to lead ends unless it is renewed; long ago for a standby."""
        return _LONG_AGO if self._belief_until is None else self._belief_until

    def believes(self, now: float) -> bool:
        """Whether this contender may act as the leader at ``now``."""
        return now < self.belief_until

    # --- what happened ------------------------------------------------------------------

    def record_changed(self) -> None:
        """The store says that the record may have changed, or answers again."""
        self._look, self._pause_until = True, _LONG_AGO

    def observe(self, record: LeaseRecord | None, now: float) -> None:
        """The store holds ``record``; ``now`` was taken *after* it was read."""
        if self._changed_at is None or record != self._record:
            self._record, self._changed_at = record, now
        if record is None or record.holder != self._dead_holder:
            self._dead_holder = None
        self._look, self._pause_until = False, _LONG_AGO
        if self._belief_until is None:
            self._routine_at = now + self._timeouts.retry_period
        elif record is None or record.holder != self._identity:
            self._lose("the lease is gone" if record is None else "another contender holds it")

    def renewed(self, record: LeaseRecord, sent_at: float, now: float) -> None:
        """Acquiring or renewing succeeded: ``record`` is ours; it was sent at ``sent_at``.

        An answer that comes after the belief ended does not bring it back: everybody may
        have been told already.
        """
        self._record, self._changed_at, self._dead_holder = record, now, None
        self._pause_until = _LONG_AGO
        if self._belief_until is not None and not self.believes(now):
            self._lose("the renewal came after the renew deadline")
        elif now < sent_at + self._timeouts.renew_deadline:
            self._belief_until = sent_at + self._timeouts.renew_deadline
            self._routine_at = sent_at + self._timeouts.retry_period

    def refused(self) -> None:
        """The store refused a write of ours: the record is not what we thought."""
        self._look, self._pause_until = True, _LONG_AGO
        if self._belief_until is not None:
            self._lose("the store refused to renew the lease")

    def failed(self, began: float) -> None:
        """The store could not be reached, or it is unknown what became of a write.

        The next try comes one retry period after this one ``began``.
        """
        self._pause_until = began + self._timeouts.retry_period

    def holder_dead(self, holder: str) -> None:
        """``holder`` is known to be dead: its belief is over, whatever it renewed."""
        if holder != self._identity and self._record is not None and self._record.holder == holder:
            self._dead_holder = holder

    def resign(self) -> None:
        """Stop believing without being told to; comes before releasing the lease."""
        self._belief_until, self._lost, self._look = None, None, True

    # --- what to do ---------------------------------------------------------------------

    def decide(self, now: float) -> Instruction:
        """What to do at ``now``. The end of the belief comes before any write."""
        if self._belief_until is not None and not self.believes(now):
            self._lose("the lease was not renewed within the renew deadline")
        if self._lost is not None:
            reason, self._lost = self._lost, None
            return StopLeading(reason)
        latest = float("inf") if self._belief_until is None else self._belief_until
        if now < self._pause_until:
            return Wait(min(self._pause_until, latest))
        if self._look:
            return Observe()
        if self._belief_until is not None:
            return Renew(latest) if now >= self._routine_at else Wait(min(self._routine_at, latest))
        may_try_at = self._may_try_at()
        if now >= may_try_at:
            return Acquire(self._record)
        return Observe() if now >= self._routine_at else Wait(min(self._routine_at, may_try_at))

    def _may_try_at(self) -> float:
        """From when on the record may be taken."""
        assert self._changed_at is not None
        record = self._record
        if record is None or record.holder in ("", self._identity, self._dead_holder):
            return _LONG_AGO
        return self._changed_at + max(record.lease_duration, self._timeouts.lease_duration)

    def _lose(self, reason: str) -> None:
        self._belief_until, self._lost, self._look = None, reason, True
