"""Making what was done in a directory last."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

_NO_SUCH_THING = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


def flush_directory(directory: Path) -> None:
    """Make names that were made, changed or removed in ``directory`` durable. ``OSError``.

    Some file systems cannot be asked for it: CIFS, shared folders of VirtualBox, some of FUSE. They
    keep names as they please, and nothing else that is done there depends on it. Source: fsync(2),
    and the reports of RocksDB (2929), Syncthing (4432) and Borg (1287).
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SUCH_THING:
            raise
    finally:
        os.close(descriptor)


def holders(path: Path) -> Iterator[Path]:
    """The directories on which it depends that ``path`` is found after a power cut, from below.

    Whichever process made them may have died before it flushed them. They end at a mount point,
    and at what this user cannot have made.
    """
    for each in (path, *path.parents):
        if os.path.ismount(each) or not os.access(each.parent, os.R_OK | os.W_OK | os.X_OK):
            return
        yield each.parent
