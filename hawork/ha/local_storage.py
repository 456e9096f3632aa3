"""storageDir on a local (or mounted) file system."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hawork.core.errors import (
    ConfigurationError,
    CorruptStateError,
    NotExistError,
    StoreUnavailableError,
)  # fmt: skip
from hawork.core.flushing import holders
from hawork.ha.state_storage import checked_path
from hawork.ha.storage_root import StorageRoot
from hawork.ha.unflushed import UnflushedDirectories

_TRIES = 20
_MOST_FOUND = 10_000

_OF_THE_FILE = frozenset(
    {errno.EACCES, errno.EPERM, errno.EIO, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO,
     errno.ENODEV, errno.EISDIR, errno.EINVAL, errno.EFBIG, errno.EOVERFLOW, errno.EBADMSG,
     errno.EILSEQ, *(getattr(errno, name) for name in ("EUCLEAN", "ENODATA", "ENOKEY", "EREMOTEIO")
                     if hasattr(errno, name))}
)  # fmt: skip
"""Errors of reading that may be those of one file, while all others are well.

ext4 and XFS say EUCLEAN or EBADMSG of a file whose own metadata is damaged, ENOKEY of one that is
encrypted with a key that is not there.
"""


class LocalStateStorage:
    """A ``StateStorage`` below ``root``.

    A file is written under a temporary name in its own directory, flushed to the disk and
    renamed, and the directories on its way are flushed: after ``write`` returned it survives a
    power cut. A fresh one is renamed before it is flushed, where an open file can be: a file
    system with a journal then has the file and its name in one commit, and flushing the directory
    costs next to nothing.
    """

    def __init__(self, root: Path, expected: Callable[[], bool] = bool) -> None:
        """``expected``: whether ``root`` has to be there although nothing was done in it yet."""
        self._root = root
        self._place = StorageRoot(root, expected)
        self._found: set[Path] = set()
        """Directories whose own names are on the disk, or are remembered as unflushed."""
        self._unflushed = UnflushedDirectories()

    def __repr__(self) -> str:
        return f"LocalStateStorage({str(self._root)!r})"

    def write(self, path: str, data: bytes, *, flush: bool = True, fresh: bool = False) -> None:
        target = self._resolve(path)
        with self._translated("written", target):
            for attempt in range(_TRIES):
                try:
                    self._make_directory(target.parent)
                    with self._unflushed.changing(target.parent):
                        _write_file(target, data, fresh)
                    if flush:
                        self._unflushed.flush(target.parent)
                    self._place.check_mounted()
                    return
                except FileNotFoundError:
                    # Another process removed the directory because it was empty: make it again.
                    if attempt == _TRIES - 1:
                        raise
                except OSError:
                    self._remove_empty_parents(target)
                    raise

    def read(self, path: str, most: int | None = None) -> bytes:
        target = self._resolve(path)
        with self._translated("read", target):
            # Unlike ``open`` this does not wait at a pipe that nothing writes to.
            descriptor = os.open(target, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
            try:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise CorruptStateError(f"file {target} is not a regular file: remove it")
                # Not more than there is: a number out of a store must not decide what is allocated.
                size = status.st_size if most is None else min(most, status.st_size)
                return _read(descriptor, size)
            finally:
                os.close(descriptor)

    def delete(self, path: str) -> bool:
        target = self._resolve(path)
        if target == self._root:
            raise ConfigurationError("the path is empty: write the name of the file to delete")
        with self._translated("deleted", target):
            there = True
            try:
                with self._directory(path.split("/")[:-1]) as directory:
                    os.unlink(target.name, dir_fd=directory)
            except (FileNotFoundError, NotADirectoryError):
                self._place.check()
                there = False
            except (IsADirectoryError, PermissionError):
                if not target.is_dir() or target.is_symlink():
                    raise
                raise CorruptStateError(
                    f"{target} is a directory where hawork has files only: it is kept"
                ) from None
        self._remove_empty_parents(target)
        return there

    def list(self, path: str, *, unfinished: bool = False) -> Sequence[str]:
        target = self._resolve(path)
        with self._translated("listed", target):
            try:
                with self._directory(path.split("/") if path else []) as directory:
                    names = os.listdir(directory)
            except (FileNotFoundError, NotADirectoryError):
                self._place.check()
                return []
        return sorted(name for name in names if unfinished or not name.startswith("."))

    def rename(self, source: str, target: str) -> None:
        old, new = self._resolve(source), self._resolve(target)
        with self._translated("renamed", old):
            self._make_directory(new.parent)
            with self._unflushed.changing(new.parent):
                old.rename(new)
            self._unflushed.flush(new.parent)
            self._place.check_mounted()

    def _resolve(self, path: str) -> Path:
        return self._root / checked_path(path)

    @contextlib.contextmanager
    def _directory(self, parts: Sequence[str]) -> Iterator[int]:
        """A descriptor of a directory below the root, reached without a symbolic link."""
        self._place.check_mounted()
        descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for part in parts:
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                try:
                    inner = os.open(part, flags, dir_fd=descriptor)
                except OSError as error:
                    if error.errno != errno.ELOOP:  # what some systems call a link here
                        raise
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _translated(self, done: str, target: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if done in ("read", "renamed") and isinstance(
                error, (FileNotFoundError, NotADirectoryError)
            ):
                self._place.check()
                raise NotExistError(f"file {target} does not exist in storageDir") from error
            reason = f"file {target} could not be {done}: {error.strerror or error}"
            if done == "read" and error.errno in _OF_THE_FILE and self._others_are_there(target):
                raise CorruptStateError(
                    f"{reason}: make it a file that user id {os.getuid()} can read, or remove it"
                ) from error
            raise StoreUnavailableError(f"{reason}{_advice(error, target)}") from error

    def _others_are_there(self, target: Path) -> bool:
        """Whether the directories can be read that this file shares with those of other jobs."""
        below = target.relative_to(self._root).parts
        shared = [self._root, *([self._root / below[0]] if len(below) > 1 else ())]
        try:
            for directory in shared:
                os.listdir(directory)
        except OSError:
            return False
        return True

    def _make_directory(self, directory: Path) -> None:
        if directory.is_dir():
            self._place.seen()
            self._place.check_mounted()
            self._trust_no_name_of(directory)
            return
        self._place.check()
        missing = [directory]
        while not missing[-1].parent.is_dir():
            missing.append(missing[-1].parent)
        for folder in reversed(missing):
            with self._unflushed.changing(folder.parent), contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
        self._place.seen()
        self._trust_no_name_of(directory)

    def _trust_no_name_of(self, directory: Path) -> None:
        """Another process may have made it, and died before it flushed the directory above it."""
        if directory in self._found:
            return
        if len(self._found) > _MOST_FOUND:
            self._found.clear()
        names: list[Path] = []
        above: list[Path] = []
        for each in (directory, *directory.parents):
            if each in self._found:
                break
            names.append(each)
            if each == self._root:
                above += holders(each)
                break
            above.append(each.parent)
        for holder in above:
            self._unflushed.add(holder)
        self._found.update(names)  # now that no other thread can flush without them

    def _remove_empty_parents(self, path: Path) -> None:
        """Directories are there for their files only, as on an object store."""
        for parent in path.parents:
            if parent == self._root or self._root not in parent.parents:
                return
            try:
                parent.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                return
            self._found.discard(parent)  # another process may make it anew


def _write_file(target: Path, data: bytes, fresh: bool) -> None:
    temporary = target.parent / f".{target.name}.{secrets.token_hex(6)}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            named = fresh and _renamed_open(temporary, target)
            if data:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if not named:
            temporary.rename(target)
    except BaseException:
        for name in (temporary, target) if fresh else (temporary,):
            with contextlib.suppress(OSError):
                name.unlink()
        raise


def _renamed_open(temporary: Path, target: Path) -> bool:
    """Rename a file that is open; whether its file system did, as Cloud Storage FUSE does not.

    Others that store a file as it is closed know none of that name before.
    """
    try:
        temporary.rename(target)
    except OSError:
        return False
    return True


def _read(descriptor: int, size: int) -> bytes:
    data = os.read(descriptor, size)
    while len(data) < size and (more := os.read(descriptor, size - len(data))):
        data += more
    return data


def _advice(error: OSError, path: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f" ({_free_bytes(path)} bytes free): make room on that disk"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f": make it writable for user id {os.getuid()} or choose another storageDir"
    return ""


def _free_bytes(path: Path) -> int:
    for folder in path.parents:
        with contextlib.suppress(OSError):
            return shutil.disk_usage(folder).free
    return 0
