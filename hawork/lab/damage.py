"""Harm to files that can be undone: each file of storageDir is kept as it was, beside it."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import threading
from collections.abc import Callable
from pathlib import Path

from hawork.core.errors import LabError
from hawork.core.private_files import private_directory

LARGEST_DISK = 1 << 30
"""Bytes of a file system that may be filled: a larger one is not the lab's alone."""
STORAGE, SCRATCH = "storageDir", "scratch"
"""The disks: that of storageDir, and that of what TaskManagers unpack."""
_FILLER = ".filler"
_BLOCK = b"\0" * (1 << 16)
_AGAIN = 0.01
"""Seconds between two looks for what others have given back."""


class Damage:
    """Deletes and changes files below ``storage``; the originals wait in ``aside``.

    Every path is relative to ``storage``. ``LabError`` when it is not the path of a file there.
    ``scratch`` has a folder of each TaskManager, for what it can have again.
    """

    def __init__(self, storage: Path, aside: Path, scratch: Path) -> None:
        self._disks = {STORAGE: storage, SCRATCH: scratch}
        self._fillers: dict[str, _Filler] = {}
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

    def prepared_filling(self, disk: str) -> Callable[[], object]:
        """``LabError`` unless ``disk`` is a small file system of its own."""
        if not self.has_own_disk(disk):
            raise LabError(
                f"{disk} lies on a disk that other programs use: give the lab a directory "
                f"whose {self._disk(disk).name!r} is a mounted tmpfs of at most 1 GiB"
            )
        return lambda: self._fill(disk)

    def has_own_disk(self, disk: str) -> bool:
        path = self._disk(disk)
        return path.is_mount() and shutil.disk_usage(path).total <= LARGEST_DISK

    def prepared_freeing(self, disk: str) -> Callable[[], object]:
        """What ends the filling of a disk; repeatable."""
        self._disk(disk)
        return lambda: self._free(disk)

    def prepared_clearing(self, process: str) -> Callable[[], object]:
        """What removes all that a TaskManager has unpacked, and its folder."""
        folder = self._disks[SCRATCH] / process
        return lambda: shutil.rmtree(folder, ignore_errors=True)

    def mend(self) -> None:
        """Free the disks, put back what can be; repeatable."""
        for disk in self._disks:
            self.prepared_freeing(disk)()
        for path in list(self._harmed):
            self._put_back(path)
        shutil.rmtree(self._aside, ignore_errors=True)

    def _fill(self, disk: str) -> None:
        self._free(disk)
        self._fillers[disk] = filler = _Filler(self._disk(disk) / _FILLER)
        filler.fill()
        filler.start()

    def _free(self, disk: str) -> None:
        if filler := self._fillers.get(disk):
            filler.end()
            del self._fillers[disk]  # only now: an interrupt must not leave the disk full

    def _disk(self, name: str) -> Path:
        if name not in self._disks:
            raise LabError(f"the lab has no disk {name!r}: choose {' or '.join(self._disks)}")
        return self._disks[name]

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


class _Filler(threading.Thread):
    """Takes all that is free on a disk, and what others give back, as a log that grows would."""

    def __init__(self, file: Path) -> None:
        super().__init__(name="disk-filler", daemon=True)
        self._file = file
        self._done = threading.Event()

    def fill(self) -> None:
        with contextlib.suppress(OSError), self._file.open("ab", buffering=0) as opened:
            while True:
                opened.write(_BLOCK)

    def run(self) -> None:
        while not self._done.wait(_AGAIN):
            self.fill()

    def end(self) -> None:
        self._done.set()
        if self.is_alive():
            self.join()
        self._file.unlink(missing_ok=True)
