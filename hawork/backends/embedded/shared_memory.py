"""SQLite's -shm file, looked at from outside: who writes, and whether anything changed.

The file starts with a header that every commit changes; after it come the bytes on which
SQLite takes its locks. Source: SQLite's ``walformat.html``.

A process that closes *any* descriptor of a file gives up all POSIX locks it has on that
file, also those of its SQLite connections: that is how these locks work. So descriptors
stay open here until this process has no connection left.
"""

from __future__ import annotations

import fcntl
import functools
import os
import struct
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hawork.backends.embedded.layout import DATABASE

_HEADER_LENGTH = 48
_WRITE_LOCK = 120
"""Offset of the byte that a writer locks."""

# struct flock, as the C library declares it.
_FLOCK = "@qqihh" if sys.platform == "darwin" else "@hhqqi4x"


@dataclass
class _Use:
    """What this process has of one file. Descriptors by device and inode."""

    connections: int = 0
    writers: int = 0
    """Of its connections, those in a write transaction."""
    descriptors: dict[tuple[int, int], int] = field(default_factory=dict)


_uses: dict[Path, _Use] = {}
_lock = threading.Lock()
_left_behind: set[Path] = set()


def connecting(directory: Path) -> None:
    """This process is about to open a connection to the database in ``directory``."""
    with _lock:
        _uses.setdefault(directory, _Use()).connections += 1


def disconnected(directory: Path) -> None:
    """It closed one."""
    with _lock:
        _uses[directory].connections -= 1
        _close_unused(directory)


def left_behind(directory: Path) -> None:
    """In a forked child: the parent had a connection, whose locks are the parent's alone."""
    global _lock
    _lock = threading.Lock()  # a thread of the parent may have had it
    _uses.pop(directory, None)
    _left_behind.add(directory)


def is_left_behind(directory: Path) -> bool:
    """Whether SQLite takes locks of the parent for ours, and would go on without any."""
    return directory in _left_behind


def header_reader(directory: Path) -> Callable[[], bytes]:
    """A quick function whose result is different after every commit to the present file.

    Good while this process has a connection. ``FileNotFoundError`` when there is no file.
    """
    with _lock:
        descriptor = _open(directory)
    return functools.partial(os.pread, descriptor, _HEADER_LENGTH, 0)


def begun(directory: Path) -> None:
    """This process has begun a write transaction. The kernel tells no process of its own locks."""
    with _lock:
        _uses.setdefault(directory, _Use()).writers += 1


def ended(directory: Path) -> None:
    """It has committed or rolled back."""
    with _lock:
        _uses.setdefault(directory, _Use()).writers -= 1


def is_written(directory: Path) -> bool:
    """Whether any process is in a write transaction right now, this one included."""
    with _lock:
        use = _uses.get(directory)
        if use is not None and use.writers > 0:
            return True
    return write_lock_holder(directory) is not None


def write_lock_holder(directory: Path) -> int | None:
    """The other process that is in a write transaction right now, if any. Never waits.

    A process that is stopped there keeps every process of the cluster from writing. Of a file
    that cannot be looked at (it is gone, no right, no descriptor left) no holder is known.
    """
    with _lock:
        try:
            descriptor = _open(directory)
        except OSError:
            return None
        if sys.platform == "darwin":
            query = struct.pack(_FLOCK, _WRITE_LOCK, 1, 0, fcntl.F_WRLCK, os.SEEK_SET)
            answer = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, query))
            pid, kind = answer[2], answer[3]
        else:
            query = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, _WRITE_LOCK, 1, 0)
            answer = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, query))
            pid, kind = answer[4], answer[0]
        _close_unused(directory)
    return None if kind == fcntl.F_UNLCK or pid <= 0 else int(pid)


def _open(directory: Path) -> int:
    path = directory / f"{DATABASE}-shm"
    status = path.stat()
    use = _uses.setdefault(directory, _Use())
    inode = status.st_dev, status.st_ino
    if inode not in use.descriptors:
        use.descriptors[inode] = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    return use.descriptors[inode]


def _close_unused(directory: Path) -> None:
    if not _uses[directory].connections:
        for descriptor in _uses.pop(directory).descriptors.values():
            os.close(descriptor)
