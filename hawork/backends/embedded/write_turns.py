"""Whose turn it is to write, between the threads of one process."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class WriteTurns:
    """Lets a lease be renewed although the same process writes pointers without a pause.

    Who waits for SQLite's write lock only asks for it now and then, and a thread that
    writes one transaction after the other leaves hardly a moment in between.
    """

    def __init__(self) -> None:
        self._urgent = 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def urgent(self) -> Iterator[None]:
        """Write now: no other thread of this process begins to."""
        with self._changed:
            self._urgent += 1
        try:
            yield
        finally:
            with self._changed:
                self._urgent -= 1
                self._changed.notify_all()

    def give_way(self, patience: float) -> None:
        """Return once nothing urgent is being written, at the latest after ``patience`` seconds."""
        if self._urgent:
            with self._changed:
                self._changed.wait_for(lambda: not self._urgent, patience)
