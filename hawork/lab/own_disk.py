"""Small disks of their own for a lab, to be filled up: tmpfs that other programs do not see."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

from hawork.core.private_files import private_directory

MEGABYTES = 64
_CLONE_NEWNS = 0x00020000
_MNT_DETACH = 2
_MS_REC, _MS_PRIVATE, _MS_NOSUID, _MS_NODEV = 0x4000, 1 << 18, 2, 4


def mount_own_disks(directories: Iterable[Path], megabytes: int = MEGABYTES) -> str | None:
    """Mount a tmpfs at each directory, seen by this thread and the processes it starts.

    Returns why it is not possible here; ``None`` when it is done. The kernel unmounts them when
    the last of these processes ends, however it does. A directory that is not there is made.
    """
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        unshare, mount = libc.unshare, libc.mount
    except (OSError, AttributeError):
        return "this system has no mount namespaces"
    if unshare(_CLONE_NEWNS) != 0:
        return f"a mount namespace was refused ({os.strerror(ctypes.get_errno())}): be root"
    mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None)
    size = f"size={megabytes}m,mode=0700".encode()
    flags = ctypes.c_ulong(_MS_NOSUID | _MS_NODEV)
    for directory in directories:
        private_directory(directory)
        if mount(b"hawork", bytes(directory), b"tmpfs", flags, size) != 0:
            return f"a tmpfs was refused ({os.strerror(ctypes.get_errno())})"
    return None


def unmount(directory: Path) -> None:
    """Take off what was mounted at ``directory``, if anything was; what is open there stays so."""
    if directory.is_mount():
        ctypes.CDLL(None).umount2(bytes(directory), _MNT_DETACH)
