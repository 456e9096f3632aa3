"""Whether the files of a directory change: something to wait for, where the kernel tells (Linux).

Source: inotify(7). It tells of every write through the file system, by whichever process of this
kernel, in other containers, too; not of writes into mapped memory, such as SQLite's -shm file.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from hawork.core.forks import when_forked

_MODIFY, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x2, 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF, _IGNORED, _ONLY_DIRECTORY = 0x400, 0x800, 0x8000, 0x1000000
_WATCHED = (
    _MODIFY | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
)  # fmt: skip
_GONE = _DELETE_SELF | _MOVE_SELF | _IGNORED
_EVENT = struct.Struct("iIII")


class FileChanges:
    """Watches one directory from its construction on. ``OSError`` where that is not possible.

    A user has few of these on some hosts (``fs.inotify.max_user_instances``).
    """

    def __init__(self, directory: Path) -> None:
        if sys.platform != "linux":
            raise OSError("there is no inotify")
        libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        mask = _WATCHED | _ONLY_DIRECTORY
        if libc.inotify_add_watch(self.descriptor, os.fsencode(directory), mask) < 0:
            error = OSError(ctypes.get_errno(), f"inotify_add_watch of {directory}")
            self.close()
            raise error
        # A child would take the words that are meant for us.
        when_forked(self, FileChanges.close)

    def take(self) -> bool:
        """Forget what has changed so far; whether the directory is still the one that was."""
        return not any(mask & _GONE for mask in self._masks())

    def _masks(self) -> Iterator[int]:
        while True:
            try:
                data = os.read(self.descriptor, 65536)
            except BlockingIOError:
                return
            position = 0
            while position < len(data):
                _, mask, _, length = _EVENT.unpack_from(data, position)
                position += _EVENT.size + length
                yield mask

    def close(self) -> None:
        os.close(self.descriptor)
