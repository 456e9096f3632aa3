"""The simulated storageDir: files in memory, behind a disk that may hang, refuse, lose, go away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hawork.core.errors import NotExistError, StoreUnavailableError
from hawork.ha import storage_root
from hawork.ha.storage_root import StorageRoot
from hawork.simulation.world import World
from hawork.testing.in_memory import InMemoryStorage

_MOUNT = Path("/simulated")
"""Where the file system of every storageDir is mounted."""


class SimulatedStorage:
    """A ``StateStorage`` that all processes of a world share; one object for each of them.

    It looks whether its directory is there as ``LocalStateStorage`` does. While that is unmounted
    the place is empty, and no process may write there.
    """

    def __init__(
        self,
        world: World,
        root: Path,
        files: InMemoryStorage,
        touches: Callable[[str], None],
        expected: Callable[[], bool],
    ) -> None:
        """``touches`` is told of each file that is about to be changed."""
        self._world = world
        self._root = root
        self._files = files
        self._touches = touches
        self._place = StorageRoot(root, expected)

    def write(self, path: str, data: bytes, *, flush: bool = True, fresh: bool = False) -> None:
        self._touches(path)
        self._make_directory()
        self._world.request(
            "storage.write", lambda: self._write(path, data), lost=StoreUnavailableError
        )
        self._place.check_mounted()

    def read(self, path: str, most: int | None = None) -> bytes:
        try:
            return self._world.request("storage.read", lambda: self._there().read(path, most))
        except NotExistError:
            self._place.check()
            raise

    def delete(self, path: str) -> bool:
        self._touches(path)
        self._place.check_mounted()
        deleted = self._world.request(
            "storage.delete", lambda: self._there().delete(path), lost=StoreUnavailableError
        )
        if not deleted:
            self._place.check()
        return deleted

    def list(self, path: str, *, unfinished: bool = False) -> Sequence[str]:
        self._place.check_mounted()
        found = self._world.request(
            "storage.list", lambda: self._there().list(path, unfinished=unfinished)
        )
        if not found:
            self._place.check()
        return found

    def rename(self, source: str, target: str) -> None:
        self._touches(source)
        self._make_directory()
        try:
            self._world.request(
                "storage.rename",
                lambda: self._there().rename(source, target),
                lost=StoreUnavailableError,
            )
        except NotExistError:
            self._place.check()
            raise
        self._place.check_mounted()

    def _make_directory(self) -> None:
        if not self._world.is_there(self._root):
            self._place.check()
            self._world.make_directory(self._root)
        self._place.seen()
        self._place.check_mounted()

    def _write(self, path: str, data: bytes) -> None:
        self._world.make_directory(self._root)
        self._files.write(path, data)

    def _there(self) -> InMemoryStorage:
        """What is found at the place now."""
        return InMemoryStorage() if self._world.is_unmounted else self._files


def substitutes(world: World) -> dict[tuple[Any, str], Callable[..., Any]]:
    """What stands for the kernel's word on mount points."""
    return {
        (storage_root, "_mount_point_of"): lambda _, path: _MOUNT,
        (storage_root, "_is_mounted"): lambda _, path: not world.is_unmounted,
        (storage_root, "_exists"): lambda _, path: world.is_there(path),
    }
