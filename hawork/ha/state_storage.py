"""The contract of storageDir: where the bytes that pointers point to are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hawork.core.errors import ConfigurationError


class StateStorage(Protocol):
    """Files below one directory; paths are relative, with ``/``.

    ``StoreUnavailableError`` when the directory cannot be reached, is full or not writable.
    """

    def write(self, path: str, data: bytes) -> None:
        """Store a whole file, durably and atomically: readers see all of it or none.

        An existing file of that path is replaced. Directories are made as needed. After
        an error the file may be there or not; writing it again is fine.
        """

    def read(self, path: str) -> bytes:
        """The whole file; ``NotExistError`` when there is none."""

    def delete(self, path: str) -> bool:
        """Remove a file, or a directory with all below it; whether there was one.

        Directories that have become empty go, too. ``""`` stands for everything.
        """

    def list(self, path: str, *, unfinished: bool = False) -> Sequence[str]:
        """Names directly below a directory, sorted; nothing when it does not exist.

        Names that start with a dot are files in the making and are left out, unless they are
        wanted: such a file may be deleted at any time, whoever still writes it begins again.
        """

    def rename(self, source: str, target: str) -> None:
        """Give a file another name, atomically; ``NotExistError`` when it is absent."""


def checked_path(path: str) -> str:
    """``path`` as it is, when it stays below the directory of its storage.

    ``ConfigurationError`` for an absolute path, ``..``, empty parts and control characters.
    """
    parts = path.split("/")
    if path and (
        any(part in ("", ".", "..") for part in parts)
        or "\\" in path
        or any(ord(character) < 32 for character in path)
    ):
        raise ConfigurationError(
            f"path {path!r} is refused: write names joined by '/', without '..', below storageDir"
        )
    return path
