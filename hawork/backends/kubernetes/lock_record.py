"""The lock on the cluster's ConfigMap, as Flink's elector writes and reads it.

In hawork the holder's identity *is* the session id of its leadership: it is made anew for
each, so "this identity holds the lock" means "this leadership is still the present one", and
that is what every write checks. To Flink it is an identity like any other.

Source: fabric8's ``LeaderElectionRecord`` and ``LeaderElector`` (facts 4.3).
"""

from __future__ import annotations

import datetime
import functools
import json
import math
import re
from collections.abc import Set
from dataclasses import dataclass

from hawork.backends.kubernetes.answers import ConfigMap
from hawork.backends.kubernetes.layout import LOCK
from hawork.core.errors import LeadershipLostError
from hawork.core.types import LeaderSessionID
from hawork.ha.lease_state import LeaseRecord, LeaseTimeouts

_ISO_8601 = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?")
UNREADABLE = "?"
"""The holder of a lock that cannot be read: another process may think that it holds it."""


@dataclass(frozen=True, slots=True)
class Lock:
    """The annotation's value, and the text that it was read from."""

    holder: str
    lease_duration: float
    acquire_time: str
    transitions: int
    text: str

    @classmethod
    def of(cls, found: ConfigMap | None) -> Lock | None:
        """``None`` when there is no lock; one of an unreadable holder when it is damaged."""
        text = None if found is None else found.annotations.get(LOCK)
        return None if text is None else cls.read(text)

    @classmethod
    @functools.lru_cache(maxsize=16)
    def read(cls, text: str) -> Lock:
        """Remembered: most changes of the map, and most writes to it, leave the lock as it is."""
        try:
            record = json.loads(text)
            return cls(
                str(record["holderIdentity"] or ""),
                _seconds(record["leaseDuration"]),
                str(record["acquireTime"]),
                int(record.get("leaderTransitions") or 0),
                text,
            )
        except (ValueError, TypeError, KeyError, OverflowError, AttributeError, RecursionError):
            return cls(UNREADABLE, 0.0, "", 0, text)

    def record(self, ours: Set[str], contender: str) -> LeaseRecord:
        """The lock as the lease machine sees it; ``ours`` are all identities of this contender.

        Each renewal has another time, so that the text is the token.
        """
        holder = contender if self.holder in ours else self.holder
        return LeaseRecord(holder, self.text, self.lease_duration)


def _seconds(written: object) -> float:
    """A number in Flink 1.20, and ISO 8601 such as ``PT1M30S`` in Flink 2. ``ValueError``."""
    parts = _ISO_8601.fullmatch(str(written))
    if parts is None:
        seconds = float(str(written))
        if not math.isfinite(seconds):
            raise ValueError(f"{written} is not a time")
        return seconds
    hours, minutes, seconds = (float(part or 0) for part in parts.groups())
    return 3600 * hours + 60 * minutes + seconds


def written(
    holder: str, timeouts: LeaseTimeouts, acquire_time: str, now: str, transitions: int
) -> str:
    """The annotation's value, character for character as Flink writes it."""
    # A challenger must outwait the holder's belief, whatever was configured where.
    seconds = max(timeouts.lease_duration, timeouts.renew_deadline)
    return (
        f'{{"holderIdentity":"{holder}","leaseDuration":{seconds:.9f},'
        f'"acquireTime":"{acquire_time}","renewTime":"{now}","leaderTransitions":{transitions}}}'
    )


def released(lock: Lock, now: str) -> str:
    """What a holder leaves behind that stops on purpose."""
    return (
        '{"holderIdentity":"","leaseDuration":1.000000000,'
        f'"acquireTime":"{now}","renewTime":"{now}","leaderTransitions":{lock.transitions}}}'
    )


def timestamp(seconds: float) -> str:
    """Seconds since 1970 in the lock's format: UTC with microseconds."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def check_leads(found: ConfigMap | None, session_id: LeaderSessionID, what: str) -> ConfigMap:
    """The fence: ``LeadershipLostError`` unless the session id holds the lock in ``found``."""
    lock = Lock.of(found)
    if found is None or lock is None or lock.holder != str(session_id):
        leader = f"{lock.holder} leads" if lock and lock.holder else "there is no leader"
        raise LeadershipLostError(f"{what} was refused: {session_id} does not lead, {leader}")
    return found
