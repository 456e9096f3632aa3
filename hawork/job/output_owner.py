"""One output directory, one job: the file in it that names the job it belongs to.

::

    <directory>/.hawork-owner    {"job_id": "...", "cluster": "..."}

Two jobs that write to one directory would both finish, with all output there twice, and a
restore of one would remove output of the other. The file lies in the directory itself, so that
every way to it, by links, mounts or another case of its name, leads to the same owner. It
appears at once and with its content, and is made by exactly one job.

The owner gives the directory back when it ends. One that could not, because it failed or its
TaskManager was lost, is known to be over by its cluster, which has no HA data of it any more.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from hawork.core.errors import ConfigurationError
from hawork.core.flushing import flush_directory
from hawork.core.types import JobID
from hawork.job.sinks import SubtaskContext

OWNER = ".hawork-owner"
_TRIES = 20
_LARGEST = 4096  # bytes
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


@dataclass(frozen=True, slots=True)
class Owner:
    """A job, and the URL of its cluster's directory in storageDir."""

    job_id: str
    cluster: str


def claim(directory: Path, context: SubtaskContext) -> bool:
    """Make a directory this job's; whether it was not before. May be repeated.

    ``ConfigurationError`` when it belongs to another job, ``OSError`` when it cannot be used.
    """
    own = Owner(context.job_id, context.cluster)
    for _ in range(_TRIES):
        found = _read(directory)
        if found is None:
            if _create(directory, own):
                return True
        elif found.job_id == own.job_id:
            return False
        elif found.cluster == own.cluster and not context.is_stored(found.job_id):
            _remove(directory, found)
        else:
            raise ConfigurationError(
                f"output directory {directory} belongs to job {found.job_id}: let each job write "
                f"to a directory of its own, or, if that job is over, remove {directory / OWNER}"
            )
    raise OSError(errno.EAGAIN, "its owner changes again and again")


def release(directory: Path, job_id: JobID) -> None:
    """Give a directory back, if it is this job's."""
    with contextlib.suppress(ConfigurationError):
        found = _read(directory)
        if found is not None and found.job_id == job_id:
            _remove(directory, found)


def _read(directory: Path) -> Owner | None:
    """``ConfigurationError`` for a file that names no owner: it may be another's all the same."""
    path = directory / OWNER
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise _unusable(path, "it is a link") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _unusable(path, "it is not a regular file")
        content = os.read(descriptor, _LARGEST)
    finally:
        os.close(descriptor)
    try:
        data = json.loads(content)
        return Owner(JobID(data["job_id"]), str(data["cluster"]))
    except (
        ValueError, KeyError, TypeError, AttributeError, RecursionError, ConfigurationError
    ) as error:  # fmt: skip
        raise _unusable(path, f"{type(error).__name__}") from None


def _unusable(path: Path, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"file {path} does not say which job the output directory belongs to ({reason}): remove "
        "it if no job writes there"
    )


def _create(directory: Path, owner: Owner) -> bool:
    """Whether it was made: another job may have been faster."""
    path = directory / OWNER
    content = json.dumps({"job_id": owner.job_id, "cluster": owner.cluster}).encode()
    temporary = directory / f"{OWNER}-{secrets.token_hex(6)}"
    try:
        _write(temporary, content)
        try:
            os.link(temporary, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _write(path, content)  # some file systems have no links
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    flush_directory(directory)
    return True


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(directory: Path, owner: Owner) -> None:
    """Remove the file of this owner, and of no other that came since."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems have no such locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _read(directory) == owner:
            (directory / OWNER).unlink(missing_ok=True)
    finally:
        os.close(descriptor)
