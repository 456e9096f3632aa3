"""A witness inside the embedded store: which leadership held the lease at every write."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from itertools import groupby
from pathlib import Path

from hawork.core.events import Event, EventKind

_TRIGGERS = """
CREATE TABLE witness (
    number INTEGER PRIMARY KEY, namespace TEXT, name TEXT, operation TEXT, session_id TEXT);
CREATE TRIGGER witness_add AFTER INSERT ON pointer BEGIN
    INSERT INTO witness (namespace, name, operation, session_id)
    VALUES (NEW.namespace, NEW.name, 'add', (SELECT session_id FROM lease)); END;
CREATE TRIGGER witness_replace AFTER UPDATE ON pointer BEGIN
    INSERT INTO witness (namespace, name, operation, session_id)
    VALUES (NEW.namespace, NEW.name, 'replace', (SELECT session_id FROM lease)); END;
CREATE TRIGGER witness_remove AFTER DELETE ON pointer BEGIN
    INSERT INTO witness (namespace, name, operation, session_id)
    VALUES (OLD.namespace, OLD.name, 'remove', (SELECT session_id FROM lease)); END;
"""


class StoreWitness:
    """Writes down, in the very transaction of each pointer write, whose lease it was.

    Event files cannot show that: a process may be stopped between its write and its event.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        with contextlib.closing(sqlite3.connect(database)) as connection:
            connection.executescript(f"BEGIN IMMEDIATE; {_TRIGGERS} COMMIT;")

    def check(self, events: list[Event]) -> int:
        """Every write landed under the lease of the leadership it was made under, and no two
        leaderships' writes are interleaved; returns the number of writes.
        """
        with contextlib.closing(sqlite3.connect(self._database)) as connection:
            rows: list[tuple[str, str, str, str]] = connection.execute(
                "SELECT namespace, name, operation, session_id FROM witness ORDER BY number"
            ).fetchall()
        terms = [session_id for session_id, _ in groupby(rows, key=lambda row: row[3])]
        assert len(terms) == len(set(terms)), f"interleaved writes: {terms}"
        told = Counter(
            (
                str(event.facts["namespace"]),
                str(event.facts["name"]),
                str(event.facts["operation"]),
                str(event.session_id),
            )
            for event in events
            if event.kind is EventKind.POINTER_WRITTEN
        )
        # A process may die between its write and its event, so there may be more rows.
        unseen = told - Counter(rows)
        assert not unseen, f"written under a leadership that did not hold the lease: {unseen}"
        return len(rows)
