"""Files to look at without touching them: a directory, an archive of one, or a URL.

Names are relative to the root and have no leading slash. What leads out of the root, by its
name or as a link, is never opened. Whatever could not be looked at is in ``notes``.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import lzma
import os
import stat
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, cast

from hawork.core.errors import ConfigurationError, StoreUnavailableError
from hawork.core.user_files import NOTHING_THERE, why_not_there
from hawork.inspect.remote_storage import FsspecStorage
from hawork.inspect.storage import (
    MOST_FILES,
    Listed,
    SilentStorageError,
    Storage,
    StoredFile,
    inside,
    member_name,
)
from hawork.inspect.tar import TarStorage, is_tar

__all__ = [
    "DirectoryStorage",
    "FileStorage",
    "UnionStorage",
    "ZipStorage",
    "open_storage",
]


_BUFFER: Final = 1 << 16


def open_storage(place: str) -> Storage:
    """What is at ``place``: a directory, a tar (gz, xz, bz2, zstd), a zip, or a URL of fsspec's.

    ``ConfigurationError`` when there is none of these, ``StoreUnavailableError`` when the server of
    a URL cannot be reached.
    """
    if "://" in place and not place.startswith("file://"):
        return FsspecStorage(place)
    path = Path(place.removeprefix("file://").removeprefix("file:"))
    reason = why_not_there(path)
    if reason == NOTHING_THERE:
        raise ConfigurationError(f"{place} does not exist: name a directory, a tar or a zip")
    if reason:
        raise ConfigurationError(f"{place} cannot be opened: {reason}")
    try:
        if path.is_dir():
            return DirectoryStorage(path)
        if not path.is_file():  # it may have no end, or be there for one reader only
            raise ConfigurationError(
                f"{place} is not a regular file: name a directory or an archive"
            )
        if zipfile.is_zipfile(path):
            return ZipStorage(path)
        if is_tar(path):
            return TarStorage(path)
    except OSError as error:
        raise ConfigurationError(f"{place} cannot be opened: {error.strerror or error}") from None
    raise ConfigurationError(
        f"{place} is not a directory, a tar (plain, gz, xz, bz2 or zst) or a zip: unpack it first"
    )


class DirectoryStorage(Listed):
    """A directory of this machine. Links are followed as long as they stay inside it."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = Path(os.path.realpath(root))
        self._below = f"{str(self._root).rstrip('/')}/"
        self._real: set[str] = set()
        """Folders without a link on the way to them, since the last listing."""

    def listing(self) -> Sequence[StoredFile]:
        self._real = set()
        self.begin()
        found: list[StoredFile] = []
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            try:
                entries = list(os.scandir(self._root / folder))
            except OSError as error:
                if not folder:
                    raise StoreUnavailableError(f"{self._root} cannot be listed: {error}") from None
                self.pass_over(folder, f"is a directory that cannot be listed: {error.strerror}")
                continue
            if folder:
                self.folders.add(folder)
            for entry in entries:
                name = f"{folder}/{entry.name}" if folder else entry.name
                try:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(name)
                    elif (file := self._file(name, entry)) is not None:
                        found.append(file)
                except OSError as error:
                    self.pass_over(name, f"cannot be looked at: {error.strerror}")
            if len(found) > MOST_FILES:
                self.miss(f"there are more than {MOST_FILES} files: the rest is not listed")
                break
        return found

    def _file(self, name: str, entry: os.DirEntry[str]) -> StoredFile | None:
        if entry.is_symlink():
            target = Path(os.path.realpath(entry.path))
            if not target.is_relative_to(self._root):
                self.pass_over(name, "is a link that leads out: it is not followed")
                return None
            if target.is_dir():
                self.pass_over(name, "is a link to a directory: it is not followed")
                return None
        status = entry.stat()
        if not stat.S_ISREG(status.st_mode):
            self.pass_over(name, "is not a regular file: it is not opened")
            return None
        return StoredFile(name, status.st_size, status.st_mtime)

    def open(self, name: str) -> BinaryIO:
        if inside(name) is None:
            raise StoreUnavailableError(f"{name} leads out of {self._root}: it is not opened")
        try:
            handle = self._open(name)
        except OSError as error:
            raise StoreUnavailableError(f"{name} cannot be read: {error.strerror}") from None
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise StoreUnavailableError(f"{name} is not a regular file: it is not opened")
        return os.fdopen(handle, "rb")

    def _open(self, name: str) -> int:
        """A file, or what a link leads to that stays inside."""
        folder = f"{self._below}{name}".rpartition("/")[0]
        # Opening a pipe would wait for its writer, who may never come.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        if folder not in self._real and os.path.realpath(folder) == folder:
            self._real.add(folder)
        if folder in self._real:
            with contextlib.suppress(OSError):  # a link, or not there: see below
                return os.open(f"{self._below}{name}", flags | os.O_NOFOLLOW)
        path = os.path.realpath(f"{self._below}{name}")
        if not path.startswith(self._below):
            raise StoreUnavailableError(f"{name} is a link that leads out: it is not followed")
        return os.open(path, flags)


class FileStorage(Listed):
    """One file, under its own name."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def listing(self) -> Sequence[StoredFile]:
        self.begin()
        status = self._path.stat()
        return [StoredFile(self._path.name, status.st_size, status.st_mtime)]

    def open(self, name: str) -> BinaryIO:
        if name != self._path.name:
            raise StoreUnavailableError(f"{name} is not {self._path}")
        return self._path.open("rb")


class ZipStorage(Listed):
    """A zip; its directory at the end is read once."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            self._zip = zipfile.ZipFile(path)
        except IsADirectoryError:
            raise ConfigurationError(
                f"{path} is a folder, not a zip: name a folder of files with --storage"
            ) from None
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
        except (zipfile.BadZipFile, ValueError) as error:
            raise ConfigurationError(f"{path} is not a whole zip: {error}") from None
        self._members: dict[str, zipfile.ZipInfo] = {}

    def listing(self) -> Sequence[StoredFile]:
        self.begin()
        self._members = {}
        members = self._zip.infolist()
        # Windows PowerShell's Compress-Archive separates by backslashes.
        slashes = any("/" in member.filename.rstrip("/") for member in members)
        for member in members:
            written = member.filename if slashes else member.filename.replace("\\", "/")
            name = member_name(written)
            mode = member.external_attr >> 16
            if written.endswith("/"):
                if name is not None:
                    self.folders.add(name)
                continue
            if name is None:
                self.miss(f"{member.filename!r} leads out of the archive: not looked at")
            elif mode and not (stat.S_ISREG(mode) or stat.S_IFMT(mode) == 0):
                self.pass_over(name, "is a link or a device: it is not followed")
            else:
                self._members[name] = member
        return [StoredFile(name, each.file_size, _zip_time(each))
                for name, each in self._members.items()]  # fmt: skip

    def open(self, name: str) -> BinaryIO:
        if not self._members:
            self.listing()
        try:
            member = self._zip.open(self._members[name])
            return cast("BinaryIO", io.BufferedReader(_Member(member), _BUFFER))
        except (KeyError, RuntimeError, zipfile.BadZipFile, OSError, NotImplementedError) as error:
            raise StoreUnavailableError(f"{name} cannot be read: {error}") from None


class _Member(io.RawIOBase):
    """A member of a zip. What is damaged in it is an ``OSError``, as it is of any other file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        try:
            data = self._file.read(len(target))
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
            raise OSError(f"it is damaged: {error}") from None
        target[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _zip_time(member: zipfile.ZipInfo) -> float | None:
    try:
        # Without a time zone in the format: that of the machine that packed it, most often UTC.
        return datetime.datetime(*member.date_time, tzinfo=datetime.UTC).timestamp()
    except ValueError:
        return None


class UnionStorage(Listed):
    """Several storages as one; the names of each begin with its prefix."""

    def __init__(self, parts: Mapping[str, Storage]) -> None:
        super().__init__()
        self._parts = dict(parts)

    def listing(self) -> Sequence[StoredFile]:
        """What can be listed; a part that cannot be is named in ``notes``."""
        self.begin()
        found: list[StoredFile] = []
        silent: set[str] = set()
        for prefix, part in self._parts.items():
            scheme = part.scheme if isinstance(part, FsspecStorage) else ""
            if scheme in silent:  # each of them would be waited for again
                self.pass_over(prefix, f"was not asked for: {scheme} does not answer")
                continue
            try:
                listed = part.listing()
            except StoreUnavailableError as error:
                if isinstance(error, SilentStorageError):
                    silent.add(scheme)
                self.pass_over(prefix, f"cannot be listed: {error}")
                continue
            self.folders.add(prefix)  # it is there, and may be empty
            self.take_in(part, prefix)
            found += [
                StoredFile(f"{prefix}/{file.name}", file.size, file.modified) for file in listed
            ]
        return found

    def open(self, name: str) -> BinaryIO:
        for prefix, part in self._parts.items():
            if name.startswith(f"{prefix}/"):
                return part.open(name[len(prefix) + 1 :])
        raise StoreUnavailableError(f"{name} is in none of {', '.join(self._parts)}")
