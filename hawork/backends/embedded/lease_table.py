"""The lease row: read, acquired, renewed and released by guarded statements.

SQLite keeps values of any type, and text that is not UTF-8: a row that another hand wrote is read
as the lease of an unknown holder, which is outwaited as any other.
"""

from __future__ import annotations

import math
import re
import sqlite3
from typing import NamedTuple

from hawork.core.errors import LeadershipLostError
from hawork.core.types import LeaderSessionID
from hawork.ha.lease_state import LeaseRecord


class LeaseRow(NamedTuple):
    """Who holds the lease. Every write of it changes ``session_id`` or ``renewals``."""

    contender: str
    session_id: str
    renewals: int
    pid: int
    start_time: str
    lease_duration: float
    renew_deadline: float
    retry_period: float

    def record(self) -> LeaseRecord:
        """The row as the lease machine sees it."""
        # A challenger must outwait the holder's belief, whatever was configured where.
        longest = max(self.lease_duration, self.renew_deadline)
        if not math.isfinite(longest):
            longest = 0.0  # hawork writes no such lease: the challenger's own counts
        return LeaseRecord(self.contender, (self.session_id, self.renewals), longest)


_COLUMNS = ", ".join(LeaseRow._fields)


_READ = (
    "SELECT CAST(contender AS BLOB), CAST(session_id AS BLOB), CAST(renewals AS INTEGER), "
    "CAST(pid AS INTEGER), CAST(start_time AS BLOB), CAST(lease_duration AS REAL), "
    "CAST(renew_deadline AS REAL), CAST(retry_period AS REAL) FROM lease"
)
_CONTENDER = re.compile(r"[0-9A-Za-z]{1,64}")
UNREADABLE = "?"
"""The contender of a row that names none: it becomes a file name, and stands for a process."""


def read_lease(connection: sqlite3.Connection) -> LeaseRow | None:
    row = connection.execute(_READ).fetchone()
    if row is None:
        return None
    contender, session_id, renewals, pid, start_time, *timeouts = row
    named = as_text(contender)
    return LeaseRow(
        named if _CONTENDER.fullmatch(named) else UNREADABLE,
        as_text(session_id), renewals, pid, as_text(start_time), *timeouts,
    )  # fmt: skip


def as_text(value: bytes | None) -> str:
    """What ``CAST(... AS BLOB)`` reads of a column of text, whatever is in it."""
    return (value or b"").decode(errors="replace")


def acquire_lease(
    connection: sqlite3.Connection, expected: LeaseRecord | None, row: LeaseRow
) -> bool:
    """Make ``row`` the lease if the present one is ``expected``; whether it was.

    What earlier leaders had published goes with their lease.
    """
    present = read_lease(connection)
    if (None if present is None else present.record()) != expected:
        return False
    connection.execute("DELETE FROM leader_information")
    connection.execute("DELETE FROM lease")
    connection.execute(
        f"INSERT INTO lease (one, {_COLUMNS}) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)", row
    )
    return True


def renew_lease(connection: sqlite3.Connection, row: LeaseRow) -> LeaseRow | None:
    """Renew the lease that ``row`` is a state of; ``None`` when it is not there any more."""
    present = read_lease(connection)
    if present is None or present.session_id != row.session_id:
        return None
    connection.execute("UPDATE lease SET renewals = renewals + 1")
    return present._replace(renewals=present.renewals + 1)


def release_lease(connection: sqlite3.Connection, contender: str) -> bool:
    """Remove the contender's lease and what it published; whether it held the lease."""
    present = read_lease(connection)
    if present is None or present.contender != contender:
        return False
    connection.execute("DELETE FROM leader_information")
    connection.execute("DELETE FROM lease")
    return True


def fence(connection: sqlite3.Connection, session_id: LeaderSessionID, what: str) -> None:
    """``LeadershipLostError`` unless ``session_id`` leads, as seen by this transaction."""
    row = connection.execute("SELECT CAST(session_id AS BLOB) FROM lease").fetchone()
    present = None if row is None else as_text(row[0])
    if present != str(session_id):
        leader = "there is no leader" if present is None else f"{present} leads"
        raise LeadershipLostError(f"{what} was refused: {session_id} does not lead, {leader}")
