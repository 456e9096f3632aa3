"""What the embedded store really accepted, written down by SQLite itself in each transaction."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from itertools import groupby
from pathlib import Path

from hawork.core.errors import LabError

_NAME = "nemesis_history"
_INSERT = "INSERT INTO {table} (namespace, name, operation, session_id) VALUES ({row}.namespace, "
_VALUES = "{row}.name, '{operation}', (SELECT session_id FROM lease))"
_TRIGGERS = (("INSERT", "NEW", "add"), ("UPDATE", "NEW", "replace"), ("DELETE", "OLD", "remove"))
_DIGITS = re.compile(r"[0-9]{1,19}")


class RowHistory:
    """Keeps a table of its own beside the store's, from its making until ``close``.

    Each write of a pointer is noted with the session that held the lease *in that transaction*.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        triggers = "".join(
            f"CREATE TRIGGER {_NAME}_{operation} AFTER {event} ON pointer BEGIN "
            + (_INSERT + _VALUES).format(table=_NAME, row=row, operation=operation)
            + "; END;"
            for event, row, operation in _TRIGGERS
        )
        self._run(
            f"BEGIN IMMEDIATE; CREATE TABLE {_NAME} (number INTEGER PRIMARY KEY, namespace TEXT, "
            f"name TEXT, operation TEXT, session_id TEXT); {triggers} COMMIT;"
        )

    def judge(self, harmed: set[str]) -> tuple[int, list[str]]:
        """How many pointer writes there were, and what no order of leaders explains.

        Rows of the jobs in ``harmed`` were written by the drill, too.
        """
        try:
            rows = self._rows()
        except sqlite3.Error as error:
            return 0, [f"the store is not the one that the drill began with: {error}"]
        own = [row for row in rows if not any(job_id in f"{row[0]} {row[1]}" for job_id in harmed)]
        broken = [f"{row} was written while no process held the lease" for row in own if not row[3]]
        terms = [session for session, _ in groupby(own, key=lambda row: row[3])]
        again = sorted({str(each) for each in terms if terms.count(each) > 1})
        if again:
            broken.append(f"sessions {again} wrote again after another leader had written")
        return len(own), broken + _unordered(own)

    def _rows(self) -> list[tuple[str, str, str, str]]:
        with closing(sqlite3.connect(self._database, timeout=10)) as connection:
            return connection.execute(
                f"SELECT namespace, name, operation, session_id FROM {_NAME} ORDER BY number"
            ).fetchall()

    def close(self) -> None:
        """The store as it was."""
        drops = "".join(f"DROP TRIGGER IF EXISTS {_NAME}_{each};" for _, _, each in _TRIGGERS)
        self._run(f"BEGIN IMMEDIATE; {drops} DROP TABLE IF EXISTS {_NAME}; COMMIT;")

    def _run(self, script: str) -> None:
        try:
            with closing(sqlite3.connect(self._database, timeout=10)) as connection:
                connection.executescript(script)
        except sqlite3.Error as error:
            raise LabError(f"the history in {self._database} failed: {error}") from None


def _unordered(rows: list[tuple[str, str, str, str]]) -> list[str]:
    """Writes that a leader which knew of those before would not make."""
    broken = []
    newest: dict[str, int] = {}
    gone: set[tuple[str, str]] = set()
    for namespace, name, operation, _ in rows:
        if namespace.startswith("checkpoints/") and operation == "add" and _DIGITS.fullmatch(name):
            number = int(name)
            if number <= newest.get(namespace, 0):
                broken.append(f"{namespace} got {number} after {newest[namespace]}")
            newest[namespace] = number
        elif namespace == "jobgraphs" and operation == "remove":
            gone.add((namespace, name))
        elif (namespace, name) in gone:
            broken.append(f"job graph {name} came back after it was removed")
    return broken
