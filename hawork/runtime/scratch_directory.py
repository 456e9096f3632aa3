"""Where a TaskManager keeps artifacts and what its tasks unpack: made again whenever it is gone."""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path

from hawork.runtime.process import ProcessContext


class ScratchDirectory:
    """A directory of one process, in its run directory or else among the temporary files.

    A cleaner of temporary files may take it at any time. Nothing in it is worth more than
    the time to fetch it again.
    """

    def __init__(self, context: ProcessContext) -> None:
        run = context.run_directory
        self._fixed = run / "taskmanagers" / context.name if run is not None else None
        self._lock = threading.Lock()
        if self._fixed is not None:
            shutil.rmtree(self._fixed, ignore_errors=True)  # of a process that was killed
        self._path: Path | None = None

    def path(self) -> Path:
        """The directory, which exists now; ``OSError`` when it cannot be made."""
        with self._lock:
            if self._path is None or not self._path.is_dir():
                self._path = self._make()
            return self._path

    def remove(self, name: str | None = None) -> None:
        """Remove what is left of a task, or all of it; absent is fine."""
        with self._lock:
            if self._path is not None:
                shutil.rmtree(self._path if name is None else self._path / name, ignore_errors=True)

    def _make(self) -> Path:
        if self._fixed is not None:
            self._fixed.mkdir(parents=True, exist_ok=True)
            return self._fixed
        try:
            return Path(tempfile.mkdtemp(prefix="hawork-taskmanager-"))
        except FileNotFoundError:
            tempfile.tempdir = None  # the place of temporary files is gone: find another one
            return Path(tempfile.mkdtemp(prefix="hawork-taskmanager-"))
