"""Making what was done in a directory last."""

from __future__ import annotations

import errno
import os
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
