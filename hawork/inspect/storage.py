"""Files that an inspector looks at: listed, read, never changed."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol

from hawork.core.errors import StoreUnavailableError

__all__ = [
    "LARGEST_FILE", "MOST_FILES", "Listed", "SilentStorageError", "Storage", "StoredFile",
    "archive_in", "inside", "member_name", "read_file",
]  # fmt: skip

LARGEST_FILE: Final = 256 << 20
"""Bytes of a file that is read whole: files of HA data are far smaller."""
MOST_FILES: Final = 2_000_000
_PACKED: Final = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2", ".tar.zst")
_MOST_NOTES: Final = 50
_MOST_NAMED: Final = 100_000
_AT_ONCE: Final = 1 << 16


class SilentStorageError(StoreUnavailableError):
    """A storage did not answer: no more of it is looked at, which is one sentence for all of it."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A regular file; ``modified`` in seconds since 1970, ``None``: not known."""

    name: str
    size: int
    modified: float | None = None


class Storage(Protocol):
    """Files that can be listed and read, and nothing else."""

    @property
    def notes(self) -> Sequence[str]:
        """What could not be looked at, a sentence each; known once it was listed."""

    @property
    def folders(self) -> Set[str]:
        """Folders that are there, empty ones too, as far as the storage says; once listed."""

    @property
    def unseen(self) -> Set[str]:
        """Files and folders that are there and were not looked at; known once it was listed. Of
        these, and of what lies below them, it cannot be said that it is missing.
        """

    @property
    def whole(self) -> bool:
        """Whether every other file is listed; known once it was listed."""

    def listing(self) -> Sequence[StoredFile]:
        """Every regular file. ``StoreUnavailableError`` when nothing can be listed at all."""

    def open(self, name: str) -> BinaryIO:
        """A file's bytes. ``StoreUnavailableError`` when they cannot be read."""


class Listed:
    """What a storage tells of itself besides its files. Of any number of things that were not
    looked at a few are told and the rest counted.
    """

    def __init__(self) -> None:
        self.folders: set[str] = set()
        self.unseen: set[str] = set()
        self.whole = True
        self._notes: list[str] = []
        self._more = 0

    @property
    def notes(self) -> list[str]:
        more = f"{self._more:,} more things in it were not looked at"
        return [*self._notes, more] if self._more else self._notes[:]

    def begin(self) -> None:
        """Nothing was listed yet."""
        self.folders, self.unseen = set(), set()
        self.whole, self._notes, self._more = True, [], 0

    def pass_over(self, name: str, why: str) -> None:
        """``name`` is there, and was not looked at."""
        if len(self.unseen) < _MOST_NAMED:
            self.unseen.add(name)
        else:
            self.whole = False
        self._note(f"{name} {why}")

    def miss(self, why: str) -> None:
        """There may be more files, of any name."""
        self.whole = False
        self._note(why)

    def take_in(self, other: Storage, prefix: str) -> None:
        """What a storage, of which the names begin with ``prefix`` here, tells of itself."""
        self.folders |= {f"{prefix}/{folder}" for folder in other.folders}
        self.unseen |= {f"{prefix}/{name}" for name in other.unseen}
        self.whole = self.whole and other.whole
        for note in other.notes:
            self._note(note)

    def _note(self, note: str) -> None:
        if len(self._notes) < _MOST_NOTES:
            self._notes.append(note)
        else:
            self._more += 1


def archive_in(names: Iterable[str]) -> str:
    """The rest of a sentence on files that are not there: one of these may hold them, packed."""
    packed = next((name for name in names if name.lower().endswith(_PACKED)), None)
    return "" if packed is None else f" If it is packed in {packed}, name that itself."


def read_file(storage: Storage, name: str, limit: int = LARGEST_FILE) -> bytes:
    """A whole file; ``StoreUnavailableError`` when it cannot be read or has more bytes."""
    try:
        with storage.open(name) as file:
            data = _read(file, limit + 1)
    except (OSError, EOFError, ValueError) as error:
        raise StoreUnavailableError(f"{name} cannot be read: {error}") from None
    if len(data) > limit:
        raise StoreUnavailableError(f"{name} has more than {limit} bytes: it was not read")
    return data


def _read(file: BinaryIO, most: int) -> bytes:
    """At most so many bytes. Python makes room for all that it is asked for before it reads."""
    size = min(most, _AT_ONCE)
    data = file.read(size)
    while len(data) == size and size < most:
        size = min(most, 16 * size)
        data += file.read(size - len(data))
    return data


def member_name(written: str) -> str | None:
    """The name of a member of an archive; a root before it goes, as where it is unpacked.

    Nothing is unpacked: a name stands for bytes in the archive and for no other file.

    >>> member_name("/srv/ha/x"), member_name("/../x")
    ('srv/ha/x', None)
    """
    return inside(written.lstrip("/"))


def inside(name: str) -> str | None:
    """The name of a file, from the root of a storage on; ``None`` when it leads out of it.

    >>> inside("./ha/x"), inside("../x"), inside("/etc/passwd"), inside("a/../../x")
    ('ha/x', None, None, None)
    """
    if name.startswith("/") or "\x00" in name or ".." in name.split("/"):
        return None
    return posixpath.normpath(name)
