"""Whether the directory of a ``StateStorage`` is there, or the file system that it is on is away.

What is looked for below a mount point while nothing is mounted there is not absent, and what is
made there is hidden as soon as it is mounted again. Another process, that saw nothing of what was
there before, may have made the directory anew by then.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from hawork.core.errors import StoreUnavailableError


class StorageRoot:
    """The directory ``path``, as one process has seen it.

    ``expected``: whether it has to be there although this process has not seen it yet.
    """

    def __init__(self, path: Path, expected: Callable[[], bool]) -> None:
        self._path = path
        self._expected = expected
        self._seen = False
        self._mount: Path | None = None
        """The mount point that it is below, where that is not the root of all."""

    def seen(self) -> None:
        """It is there."""
        if not self._seen:
            self._mount = _mount_point_of(self._path)
            self._seen = True

    def check_mounted(self) -> None:
        """``StoreUnavailableError`` when the file system that it was on is not mounted."""
        mount = self._mount
        if mount is None or _is_mounted(mount):
            return
        _exists(self._path)  # on the way to it an automounter mounts what it had unmounted
        if not _is_mounted(mount):
            raise StoreUnavailableError(
                f"{mount} is not mounted any more: mount it again, or start this process again if "
                "that was meant"
            )

    def check(self) -> None:
        """``StoreUnavailableError`` when it is not there, and has to be."""
        self.check_mounted()
        if _exists(self._path):
            return
        if self._seen:
            raise StoreUnavailableError(
                f"{self._path} is not there any more: mount its file system again, or make it if "
                "it was removed on purpose"
            )
        if self._expected():
            raise StoreUnavailableError(
                f"{self._path} is not there, and jobs are stored whose files are in it: mount its "
                "file system, or make it if it was removed on purpose"
            )


def _mount_point_of(path: Path) -> Path | None:
    """``None`` where that is the root of all."""
    real = Path(os.path.realpath(path))
    mount = next(each for each in (real, *real.parents) if _is_mounted(each))
    return None if mount == mount.parent else mount


def _is_mounted(path: Path) -> bool:
    return os.path.ismount(path)


def _exists(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - raises nothing
