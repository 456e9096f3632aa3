"""Versions of pointers: numbers that are used once, taken from the file a block at a time."""

from __future__ import annotations

import sqlite3
from typing import Final

BLOCK: Final = 100
"""Versions that a process takes at once: most writes then change one page of the file, not two."""


class Versions:
    """The versions that one process may give. Use it within a write transaction only.

    What a transaction took is lost when it is rolled back: ``forget`` then.
    """

    def __init__(self) -> None:
        self._next = self._end = 0
        self._file = -1

    def next(self, connection: sqlite3.Connection, file: int) -> int:
        """A number that no pointer in the file had before; ``file`` counts files of this name."""
        if self._next == self._end or file != self._file:
            (last,) = connection.execute(
                "UPDATE meta SET last_version = last_version + ? RETURNING last_version", (BLOCK,)
            ).fetchone()
            self._next, self._end, self._file = last - BLOCK + 1, last + 1, file
        version = self._next
        self._next += 1
        return version

    def forget(self) -> None:
        self._next = self._end = 0
