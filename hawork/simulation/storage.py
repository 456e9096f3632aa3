"""The simulated storageDir: files in memory, behind a disk that may hang, refuse or lose."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hawork.core.errors import StoreUnavailableError
from hawork.simulation.world import World
from hawork.testing.in_memory import InMemoryStorage


class SimulatedStorage:
    """A ``StateStorage`` that all processes of a world share."""

    def __init__(
        self, world: World, files: InMemoryStorage, touches: Callable[[str], None]
    ) -> None:
        """``touches`` is told of each file that is about to be changed."""
        self._world = world
        self._files = files
        self._touches = touches

    def write(self, path: str, data: bytes, *, flush: bool = True, fresh: bool = False) -> None:
        self._touches(path)
        self._world.request(
            "storage.write", lambda: self._files.write(path, data), lost=StoreUnavailableError
        )

    def read(self, path: str, most: int | None = None) -> bytes:
        return self._world.request("storage.read", lambda: self._files.read(path, most))

    def delete(self, path: str) -> bool:
        self._touches(path)
        return self._world.request(
            "storage.delete", lambda: self._files.delete(path), lost=StoreUnavailableError
        )

    def list(self, path: str, *, unfinished: bool = False) -> Sequence[str]:
        return self._world.request(
            "storage.list", lambda: self._files.list(path, unfinished=unfinished)
        )

    def rename(self, source: str, target: str) -> None:
        self._touches(source)
        self._world.request(
            "storage.rename",
            lambda: self._files.rename(source, target),
            lost=StoreUnavailableError,
        )
