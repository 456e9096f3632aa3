"""Directories whose entries a power cut could still take back."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hawork.core.flushing import flush_directory

_MOST: Final = 1000
"""Directories that are remembered; then all of them are flushed."""


class UnflushedDirectories:
    """What one process changed below a root and has not flushed yet.

    A file is where its name says once each directory on the way to it has been flushed. Several
    files of a job that count only together, because the last one names the others, are flushed
    together: each directory once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changes: dict[Path, int] = {}
        self._changing = Counter[Path]()

    @contextlib.contextmanager
    def changing(self, directory: Path) -> Iterator[None]:
        """While an entry is made in ``directory``, which another thread may flush just before it is
        there, or use as soon as it is.
        """
        with self._lock:
            self._changing[directory] += 1
        try:
            self.add(directory)
            yield
        finally:
            with self._lock:
                self._changing[directory] -= 1
                self._changes[directory] = self._changes.get(directory, 0) + 1

    def add(self, directory: Path) -> None:
        """Remember a directory in which an entry is, or is about to be made."""
        with self._lock:
            self._changes[directory] = self._changes.get(directory, 0) + 1
            crowded = len(self._changes) > _MOST
        if crowded:
            self._flush(self._snapshot())

    def flush(self, directory: Path) -> None:
        """Flush ``directory``, and of those that are remembered what lies above and below it."""
        related = {
            each: changes
            for each, changes in self._snapshot().items()
            if each.is_relative_to(directory) or directory.is_relative_to(each)
        }
        self._flush({directory: 0} | related)

    def _snapshot(self) -> dict[Path, int]:
        with self._lock:
            return dict(self._changes)

    def _flush(self, directories: dict[Path, int]) -> None:
        for directory, changes in directories.items():
            try:
                flush_directory(directory)
            except FileNotFoundError:
                if directory.exists():
                    raise
            with self._lock:
                # Not what was changed again while the disk was busy, or is about to be.
                if self._changes.get(directory) == changes and not self._changing[directory]:
                    del self._changes[directory]
                    del self._changing[directory]
