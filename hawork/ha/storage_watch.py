"""What is under way in storageDir, and for how long: a disk that hangs raises no error."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence

from hawork.core.clock import Clock
from hawork.ha.state_storage import StateStorage


class StorageWatch:
    """The operations that have begun and not ended, of all storages of a process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._under_way: dict[object, tuple[str, float]] = {}

    def during(self, what: str) -> contextlib.AbstractContextManager[None]:
        return _During(self, what)

    def hanging(self, seconds: float) -> str | None:
        """The operation that has taken longest, if that is more than ``seconds``, in words."""
        with self._lock:
            oldest = min(self._under_way.values(), key=lambda each: each[1], default=None)
        if oldest is None or (taken := self._clock.monotonic() - oldest[1]) <= seconds:
            return None
        return f"{oldest[0]} has taken {taken:.0f} s, and goes on"


class _During:
    """A class, not a generator: it is around each access to storageDir."""

    __slots__ = ("_watch", "_what")

    def __init__(self, watch: StorageWatch, what: str) -> None:
        self._watch = watch
        self._what = what

    def __enter__(self) -> None:
        watch = self._watch
        begun = self._what, watch._clock.monotonic()
        with watch._lock:
            watch._under_way[self] = begun

    def __exit__(self, *_: object) -> None:
        with self._watch._lock:
            del self._watch._under_way[self]


class WatchedStorage:
    """A ``StateStorage`` around another one that tells a watch what it does."""

    def __init__(self, inner: StateStorage, watch: StorageWatch) -> None:
        self._inner = inner
        self._watch = watch

    def __repr__(self) -> str:
        return repr(self._inner)

    def write(self, path: str, data: bytes, *, flush: bool = True, fresh: bool = False) -> None:
        with self._watch.during(f"writing {path} in storageDir"):
            self._inner.write(path, data, flush=flush, fresh=fresh)

    def read(self, path: str, most: int | None = None) -> bytes:
        with self._watch.during(f"reading {path} in storageDir"):
            return self._inner.read(path, most)

    def delete(self, path: str) -> bool:
        with self._watch.during(f"deleting {path} in storageDir"):
            return self._inner.delete(path)

    def list(self, path: str, *, unfinished: bool = False) -> Sequence[str]:
        with self._watch.during(f"listing {path or 'the directory'} in storageDir"):
            return self._inner.list(path, unfinished=unfinished)

    def rename(self, source: str, target: str) -> None:
        with self._watch.during(f"renaming {source} in storageDir"):
            self._inner.rename(source, target)
