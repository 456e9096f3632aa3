"""Where the embedded backend keeps its files, and which directories it refuses."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.core.errors import ConfigurationError, StoreUnavailableError, UntrustedPathError
from hawork.core.private_files import private_directory
from hawork.ha.layout import cluster_url, storage_dir
from hawork.ha.storage import local_path

_LACKING = (errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)
_NETWORK_PREFIXES = ("nfs", "smb")
_NETWORK_TYPES = frozenset({
    "9p", "acfs", "afp", "afpfs", "afs", "beegfs", "ceph", "cifs", "cvfs", "davfs",
    "fuse.blobfuse2", "fuse.ceph", "fuse.ceph-fuse", "fuse.daos", "fuse.davfs2", "fuse.gcsfuse",
    "fuse.geesefs", "fuse.glusterfs", "fuse.goofys", "fuse.juicefs", "fuse.mfs", "fuse.moosefs",
    "fuse.quobyte", "fuse.rclone", "fuse.s3fs", "fuse.seaweedfs", "fuse.sshfs", "gfs2",
    "glusterfs", "gpfs", "kafs", "lustre", "ncpfs", "ocfs2", "orangefs", "panfs", "pvfs2",
    "quobyte", "webdav", "wekafs",
})  # fmt: skip
"""File systems shared between machines: SQLite's locks do not hold across those."""


def lacking(error: OSError, directory: Path, what: str) -> OSError | ConfigurationError:
    """What to raise for an error of a file system: it may lack what the store needs for good."""
    if error.errno not in _LACKING:
        return error
    return ConfigurationError(
        f"the file system of {directory} has no {what}, without which the embedded store cannot be "
        f"shared by processes ({error.strerror}): set {options.EMBEDDED_DIRECTORY.key} to a "
        "directory on a disk of this machine"
    )


def directory_of(config: Configuration) -> Path:
    """The directory that ``config`` asks for; ``ConfigurationError`` when there is none."""
    key = options.EMBEDDED_DIRECTORY.key
    configured = config.get_option(options.EMBEDDED_DIRECTORY)
    if configured is not None:
        if not Path(configured).is_absolute():
            raise ConfigurationError(f"option {key} is {configured!r}: write an absolute path")
        return Path(configured)
    if not config.contains(options.STORAGE_DIR):
        raise ConfigurationError(
            f"neither {key} nor {options.STORAGE_DIR.key} is set: write a directory of this machine"
        )
    path = local_path(cluster_url(config))
    if path is None:
        raise ConfigurationError(
            f"option {key} is not set and {options.STORAGE_DIR.key} is {storage_dir(config)}, "
            "which is not a directory of this machine: set the former to one"
        )
    return path / "ha"


def prepare_directory(path: Path) -> None:
    """Make the directory if need be, for this user alone, and refuse an unsuitable one.

    ``ConfigurationError`` for a network file system or another owner's directory,
    ``StoreUnavailableError`` when it cannot be made or used.
    """
    key = options.EMBEDDED_DIRECTORY.key
    kind = file_system_of(_nearest(path))
    if is_network_file_system(kind):
        raise ConfigurationError(
            f"directory {path} is on a network file system ({kind}), where SQLite's locks do not "
            f"hold: set {key} to a directory of this machine's own disk"
        )
    try:
        private_directory(path)
    except UntrustedPathError as error:
        raise ConfigurationError(f"directory of the HA store: {error}; or set {key}") from None
    except OSError as error:
        raise StoreUnavailableError(
            f"directory {path} of the HA store cannot be made ({error.strerror}): make it "
            f"writable, or set {key} to another one"
        ) from error
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise StoreUnavailableError(
            f"directory {path} of the HA store is not writable: allow it with chmod u+rwx, or "
            f"set {key} to another one"
        )


def is_network_file_system(kind: str) -> bool:
    return kind.lower() in _NETWORK_TYPES or kind.lower().startswith(_NETWORK_PREFIXES)


def file_system_of(path: Path) -> str:
    """The type of the file system that holds ``path``; empty when it cannot be told."""
    # Imported here: only opening a store needs it.
    import psutil

    resolved = os.path.realpath(path)
    kind, longest = "", -1
    try:
        partitions = psutil.disk_partitions(all=True)
    except (OSError, psutil.Error):  # a sandbox without /proc
        return ""
    for partition in partitions:
        point = partition.mountpoint
        inside = point == "/" or resolved == point or resolved.startswith(f"{point}/")
        # A later mount hides an earlier one at the same place.
        if inside and len(point) >= longest:
            kind, longest = partition.fstype, len(point)
    return kind


def _nearest(path: Path) -> Path:
    """The directory, or the nearest one above it that exists."""
    return next(candidate for candidate in (path, *path.parents) if os.access(candidate, os.F_OK))
