"""The contract of storageDir: where the bytes that pointers point to are kept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from hawork.core.errors import ConfigurationError


class StateStorage(Protocol):
    """Files below one directory; paths are relative, with ``/``.

    ``StoreUnavailableError`` when the directory cannot be reached, is full or not writable.
    """

    def write(self, path: str, data: bytes, *, flush: bool = True, fresh: bool = False) -> None:
        """Store a whole file, durably and atomically: readers see all of it or none.

        An existing file of that path is replaced. Directories are made as needed. After
        an error the file may be there or not; writing it again is fine. Without ``flush`` the
        file survives the end of this process at once, and a power cut when a later ``write``
        by the same storage into the same directory, or one above or below it, has returned.
        ``fresh``: nothing ever had this name, and who reads the file knows its hash. A power cut
        before the return may then leave it there unfinished.
        """

    def read(self, path: str, most: int | None = None) -> bytes:
        """The whole file, or its first ``most`` bytes; ``NotExistError`` when there is none.

        ``CorruptStateError`` when what has this name is not a regular file, or cannot be opened
        although the directory can. Never waits for a writer, as a pipe would make it.
        """

    def delete(self, path: str) -> bool:
        """Remove one file; whether there was one. Directories on its path that hold nothing go,
        too, also where the file itself is gone.

        ``CorruptStateError`` when it is a directory, which is kept. Symbolic links are not
        followed: a link goes itself, and nothing is removed through one.
        """

    def list(self, path: str, *, unfinished: bool = False) -> Sequence[str]:
        """Names directly below a directory, sorted; nothing when it does not exist.

        Names that start with a dot are files in the making and are left out, unless they are
        wanted: such a file may be deleted at any time, its writer begins again.
        """

    def rename(self, source: str, target: str) -> None:
        """Give a file another name, atomically; ``NotExistError`` when it is absent."""


_REFUSED = re.compile("[\x00-\x1f\\\\\ud800-\udfff]|(?:^|/)[.]{0,2}(?:/|$)")
LONGEST_PATH = 1024
"""Characters; what object stores and file systems take."""


def checked_path(path: str) -> str:
    """``path`` as it is, when it stays below the directory of its storage.

    ``ConfigurationError`` for an absolute path, ``..``, empty parts, control characters, and
    for text that is too long or has no UTF-8 form.
    """
    if path and (_REFUSED.search(path) or len(path) > LONGEST_PATH):
        raise ConfigurationError(
            f"path {path[:200]!r} is refused: write names joined by '/', without '..', below "
            "storageDir"
        )
    return path
