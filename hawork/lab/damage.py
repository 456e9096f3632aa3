"""Harm to the files of storageDir that can be undone: each file is kept as it was, beside it."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from hawork.core.errors import LabError
from hawork.core.private_files import private_directory

LARGEST_DISK = 1 << 30
"""Bytes of a file system that may be filled: a larger one is not the lab's alone."""
_FILLER = ".filler"
_BLOCK = b"\0" * (1 << 16)


class Damage:
    """Deletes and changes files below ``storage``; the originals wait in ``aside``.

    Every path is relative to ``storage``. ``LabError`` when it is not the path of a file there.
    """

    def __init__(self, storage: Path, aside: Path) -> None:
        self._storage = storage
        self._aside = aside
        self._harmed: dict[str, tuple[Path, os.stat_result]] = {}

    def prepared_deletion(self, path: str) -> Callable[[], object]:
        file = self._file(path)

        def delete() -> None:
            self._keep(path, file)
            file.unlink(missing_ok=True)

        return delete

    def prepared_damage(self, path: str) -> Callable[[], object]:
        file = self._file(path)

        def change() -> None:
            content = bytearray(self._keep(path, file))
            if content:
                content[len(content) // 2] ^= 0xFF
            else:
                content = bytearray(b"\0")
            # In place: a hidden name beside it would be another file of the job.
            with file.open("r+b") as opened:
                opened.write(content)

        return change

    def prepared_lock(self, path: str) -> Callable[[], object]:
        file = self._file(path)

        def lock() -> None:
            self._keep(path, file)
            unfinished = self._storage / ".link"
            unfinished.symlink_to(file.name)
            unfinished.replace(file)  # at once: it is never absent

        return lock

    def prepared_return(self, path: str) -> Callable[[], object]:
        if path not in self._harmed:
            raise LabError(f"{path} was neither deleted nor damaged: nothing can be put back")
        return lambda: self._put_back(path)

    def prepared_filling(self) -> Callable[[], object]:
        """``LabError`` unless storageDir is a small file system of its own."""
        if not self.has_own_disk():
            raise LabError(
                "storageDir lies on a disk that other programs use: give the lab a directory "
                "whose 'storage' is a mounted tmpfs of at most 1 GiB"
            )
        return self._fill

    def has_own_disk(self) -> bool:
        size = shutil.disk_usage(self._storage).total
        return self._storage.is_mount() and size <= LARGEST_DISK

    def free(self) -> None:
        """Remove what fills the disk; repeatable."""
        with contextlib.suppress(FileNotFoundError):
            (self._storage / _FILLER).unlink()

    def mend(self) -> None:
        """Free the disk, put back what can be; repeatable."""
        self.free()
        for path in list(self._harmed):
            self._put_back(path)
        shutil.rmtree(self._aside, ignore_errors=True)

    def _file(self, path: str) -> Path:
        file = self._storage / path
        try:
            inside = file.parent.resolve(strict=True).is_relative_to(self._storage.resolve())
            regular = stat.S_ISREG(file.lstat().st_mode)
        except OSError as error:
            raise LabError(f"{path} is not a file of storageDir: {error.strerror}") from None
        if not (inside and regular):
            raise LabError(f"{path} is not a file of storageDir: name one that is")
        if path in self._harmed:
            raise LabError(f"{path} is deleted or damaged already: put it back first")
        return file

    def _keep(self, path: str, file: Path) -> bytes:
        private_directory(self._aside)
        content, status = file.read_bytes(), file.stat()
        kept = self._aside / str(len(self._harmed) + 1)
        while kept.exists():
            kept = kept.with_name(f"{kept.name}-")
        kept.write_bytes(content)
        self._harmed[path] = (kept, status)
        return content

    def _put_back(self, path: str) -> None:
        """The file as it was, unless its folder went with the job. ``LabError`` on a full disk."""
        kept, status = self._harmed[path]
        file = self._storage / path
        unfinished = self._storage / f".{kept.name}-put-back"
        try:
            unfinished.write_bytes(kept.read_bytes())
            unfinished.chmod(stat.S_IMODE(status.st_mode))
            unfinished.replace(file)
        except FileNotFoundError:
            pass  # the job has ended
        except OSError as error:
            raise LabError(f"{path} cannot be put back now: {error.strerror}") from None
        finally:
            unfinished.unlink(missing_ok=True)
        kept.unlink(missing_ok=True)
        del self._harmed[path]

    def _fill(self) -> None:
        filler = self._storage / _FILLER
        with filler.open("ab", buffering=0) as opened, contextlib.suppress(OSError):
            while True:
                opened.write(_BLOCK)
