"""Which data version a znode had when it was read: saves a request in every ``replace``.

An entry's version is its ``mzxid``, but a transaction can only check the data version, which
starts at 0 again when a znode is deleted and created anew. While a process leads, no other process
deletes or creates; so what it read since it was granted leadership stays true until it deletes
or creates itself.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from hawork.core.types import LeaderSessionID

_MOST = 10_000


class KnownVersions:
    """By path: ``mzxid`` and data version, as read under one leadership. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[int, int]] = {}
        self._leadership: LeaderSessionID | None = None

    def begin(self, session_id: LeaderSessionID) -> None:
        """What was read before this leadership is forgotten."""
        with self._lock:
            self._leadership = session_id
            self._known.clear()

    def note(self, path: str, stat: Any) -> None:
        with self._lock:
            if self._leadership is not None:
                if len(self._known) >= _MOST:
                    self._known.clear()
                self._known[path] = stat.mzxid, stat.version

    @contextlib.contextmanager
    def changing(self, path: str) -> Iterator[None]:
        """While the znode is created or deleted; all below it when ``path`` ends in ``/``."""
        self._forget(path)
        try:
            yield
        finally:
            self._forget(path)  # what was read meanwhile

    def _forget(self, path: str) -> None:
        with self._lock:
            if not path.endswith("/"):
                self._known.pop(path, None)
                return
            for known in [each for each in self._known if each.startswith(path)]:
                del self._known[known]

    def data_version(self, path: str, mzxid: int, session_id: LeaderSessionID) -> int | None:
        """The data version that the znode had when its ``mzxid`` was this, if known."""
        with self._lock:
            if session_id != self._leadership:
                return None
            known = self._known.get(path)
        return known[1] if known is not None and known[0] == mzxid else None
