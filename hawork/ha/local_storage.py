"""storageDir on a local (or mounted) file system."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from hawork.core.errors import NotExistError, StoreUnavailableError
from hawork.ha.state_storage import checked_path

_TRIES = 20


class LocalStateStorage:
    """A ``StateStorage`` below ``root``.

    A file is written under a temporary name in its own directory, flushed to the disk and
    renamed, and its directory is flushed: after ``write`` returned it survives a power cut.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def __repr__(self) -> str:
        return f"LocalStateStorage({str(self._root)!r})"

    def write(self, path: str, data: bytes) -> None:
        target = self._resolve(path)
        with _translated("written", target):
            for attempt in range(_TRIES):
                try:
                    self._make_directory(target.parent)
                    _write_file(target, data)
                    return
                except FileNotFoundError:
                    # Somebody removed the directory because it was empty: make it again.
                    if attempt == _TRIES - 1:
                        raise

    def read(self, path: str) -> bytes:
        target = self._resolve(path)
        with _translated("read", target):
            return target.read_bytes()

    def delete(self, path: str) -> bool:
        target = self._resolve(path)
        with _translated("deleted", target):
            try:
                target.unlink()
            except (FileNotFoundError, NotADirectoryError):
                return False
            except (IsADirectoryError, PermissionError):
                if not target.is_dir():
                    raise
                _remove_tree(target)
            self._remove_empty_parents(target)
        return True

    def list(self, path: str, *, unfinished: bool = False) -> Sequence[str]:
        target = self._resolve(path)
        with _translated("listed", target):
            try:
                names = os.listdir(target)
            except (FileNotFoundError, NotADirectoryError):
                return []
        return sorted(name for name in names if unfinished or not name.startswith("."))

    def rename(self, source: str, target: str) -> None:
        old, new = self._resolve(source), self._resolve(target)
        with _translated("renamed", old):
            self._make_directory(new.parent)
            old.rename(new)
            _flush_directory(new.parent)

    def _resolve(self, path: str) -> Path:
        return self._root / checked_path(path) if path else self._root

    def _make_directory(self, directory: Path) -> None:
        if directory.is_dir():
            return
        missing = [directory]
        while not missing[-1].parent.is_dir():
            missing.append(missing[-1].parent)
        for folder in reversed(missing):
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
            _flush_directory(folder.parent)

    def _remove_empty_parents(self, path: Path) -> None:
        """Directories are there for their files only, as on an object store."""
        for parent in path.parents:
            if parent == self._root or self._root not in parent.parents:
                return
            try:
                parent.rmdir()
            except OSError:
                return


def _write_file(target: Path, data: bytes) -> None:
    temporary = target.parent / f".{target.name}.{secrets.token_hex(6)}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.rename(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _flush_directory(target.parent)


def _flush_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_tree(directory: Path) -> None:
    """``rmtree`` that tolerates others removing, or finishing a file, at the same time."""
    for attempt in range(_TRIES):
        try:
            shutil.rmtree(directory)
            return
        except FileNotFoundError:
            if not directory.exists():
                return
        except OSError as error:
            if error.errno != errno.ENOTEMPTY or attempt == _TRIES - 1:
                raise


@contextlib.contextmanager
def _translated(done: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        absent = isinstance(error, (FileNotFoundError, NotADirectoryError, IsADirectoryError))
        if absent and done in ("read", "renamed"):
            raise NotExistError(f"file {path} does not exist in storageDir") from error
        reason = error.strerror or str(error)
        raise StoreUnavailableError(
            f"file {path} could not be {done}: {reason}{_advice(error, path)}"
        ) from error


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
