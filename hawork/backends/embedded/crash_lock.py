"""The file lock of a contender: the kernel lets go of it when the process dies, however."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from hawork.backends.embedded.directory import lacking
from hawork.core.errors import ConfigurationError, StoreUnavailableError
from hawork.core.forks import when_forked


class CrashLock:
    """Held by a contender from its start to its end. Names are random, hence never shared."""

    def __init__(self, directory: Path, contender: str) -> None:
        """``StoreUnavailableError`` when the file cannot be made."""
        self._path = _lock_path(directory, contender)
        try:
            directory.mkdir(mode=0o700, exist_ok=True)
            self._descriptor: int | None = _open_locked(self._path)
        except OSError as error:
            if isinstance(lacks := lacking(error, directory, "file locks"), ConfigurationError):
                raise lacks from None
            raise StoreUnavailableError(
                f"lock file {self._path} cannot be made ({error.strerror}): check its directory"
            ) from error
        # The lock is that of the open file: a child that kept it would outlive our death with it.
        when_forked(self, CrashLock._let_go)

    def _let_go(self) -> None:
        """Close the descriptor, which takes the lock from no other process that has it open."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def release(self) -> None:
        """Let go, and remove the file. May be repeated."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()
            os.close(descriptor)


def is_dead(directory: Path, contender: str) -> bool:
    """Whether the contender's lock is there and free.

    A lock file that is missing proves nothing: it may have been removed by hand.
    """
    # Shared, so that several who ask at once do not take each other for the contender.
    descriptor = _try_lock(_lock_path(directory, contender), fcntl.LOCK_SH)
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


def sweep(directory: Path) -> None:
    """Remove the lock files that dead contenders left."""
    for path in directory.glob("*.lock"):
        descriptor = _try_lock(path, fcntl.LOCK_EX)
        if descriptor is not None:
            # Removed while it is locked: a contender that just made it looks again.
            path.unlink(missing_ok=True)
            os.close(descriptor)


def _try_lock(path: Path, kind: int) -> int | None:
    """A descriptor that has the lock, or ``None`` when it is taken or not there."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _open_locked(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # Waits for a sweeper at most, which holds it for microseconds.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        try:
            if os.fstat(descriptor).st_ino == os.stat(path).st_ino:
                return descriptor
        except FileNotFoundError:
            pass  # a sweeper took the new file for a dead contender's, before it was locked
        os.close(descriptor)


def _lock_path(directory: Path, contender: str) -> Path:
    return directory / f"{contender}.lock"
