"""Where a lab keeps everything: options, token, events, armed steps, logs and storageDir.

::

    <run directory>/
      lab.lock       held (flock) by the lab for its life; a second lab is refused
      config.yaml    the cluster's options, in Flink's format
      token          what every REST call must carry
      events/        one file of JSON lines per process, and lab.jsonl for the faults;
                     those of earlier runs in this directory are in events-1, events-2, ...
      control/       armed steps
      logs/          what the processes print; of earlier runs in logs-1, logs-2, ...
      storage/       storageDir; below it, for the embedded backend, the SQLite file
      artifacts/     modules written by %%artifact
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from hawork.core.errors import ConfigurationError, LabError, UntrustedPathError
from hawork.core.private_files import private_directory, write_private
from hawork.core.steps import disarm
from hawork.core.user_files import absolute, expanded, temporary_directory
from hawork.ha.configuration_file import configuration_text

PREFIX = "hawork-lab-"
LOCK = "lab.lock"
_FRESH = 60.0
"""Seconds in which a directory without a lock may belong to a lab that is just starting."""


class RunDirectory:
    """A directory that belongs to one lab.

    A temporary one is made when ``directory`` is ``None``, and removed by ``close`` unless
    ``keep`` is set. A directory that was named is never removed.

    Only its user can look into it: there is the token, and a user who could write into it would
    give orders to the lab's processes.

    Raises ``LabError`` when another lab uses the directory, it cannot be written, or another
    user could have put something into it.
    """

    def __init__(self, directory: Path | str | None = None, *, keep: bool = False) -> None:
        self.temporary = directory is None and not keep
        if directory is None:
            try:
                place = temporary_directory()
            except ConfigurationError as error:
                raise LabError(str(error)) from None
            if not keep:
                remove_abandoned(place)
            prefix = PREFIX if not keep else "hawork-kept-"
            self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
        else:
            self.path = absolute(expanded(directory))
        try:
            private_directory(self.path)
            self._lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            self._take_lock()
            self._put_earlier_run_aside()
            for part in (self.events, self.control, self.logs, self.storage, self.artifacts):
                part.mkdir(exist_ok=True)
        except UntrustedPathError as error:
            raise LabError(f"run directory: {error}") from None
        except OSError as error:
            raise LabError(
                f"run directory {self.path} cannot be written ({error.strerror}): choose another "
                "one with directory=..."
            ) from None

    @property
    def events(self) -> Path:
        return self.path / "events"

    @property
    def control(self) -> Path:
        return self.path / "control"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def storage(self) -> Path:
        return self.path / "storage"

    @property
    def artifacts(self) -> Path:
        return self.path / "artifacts"

    @property
    def config_file(self) -> Path:
        return self.path / "config.yaml"

    @property
    def token_file(self) -> Path:
        return self.path / "token"

    def __repr__(self) -> str:
        return f"RunDirectory({str(self.path)!r})"

    def write_options(self, options: Mapping[str, str]) -> None:
        """Write ``config.yaml``."""
        write_private(self.config_file, configuration_text(options))

    def close(self) -> None:
        """Give the directory free, and remove it when it was temporary; repeatable."""
        if self._lock < 0:
            return
        if self.temporary:
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)
        self._lock = -1

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._lock, 100, 0).decode(errors="replace").strip()
            os.close(self._lock)
            self._lock = -1
            if owner == str(os.getpid()):
                raise LabError(
                    f"run directory {self.path} is used by another lab of this notebook: close "
                    "that lab, or all of them with 'from hawork.lab import reset; reset()'"
                ) from None
            raise LabError(
                f"run directory {self.path} is used by another lab (process {owner}): close that "
                "lab, or choose another directory"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)

    def _put_earlier_run_aside(self) -> None:
        """Each run has its own events, logs and armed steps; storageDir goes on where it was.

        A lab of real Flink reads the logs: an earlier run's would be told as this one's.
        """
        if self.control.exists():
            disarm(self.control)
        parts = [part for part in (self.events, self.logs) if part.exists() and any(part.iterdir())]
        number = 1
        while any((self.path / f"{part.name}-{number}").exists() for part in parts):
            number += 1
        for part in parts:
            part.rename(self.path / f"{part.name}-{number}")


def remove_abandoned(temporary: Path) -> list[Path]:
    """Remove the temporary run directories of labs that were killed; returns them.

    A killed kernel cannot clean up after itself, so the next lab does. A directory goes
    only when it is ours and no process holds its lock.
    """
    removed = []
    for path in temporary.glob(f"{PREFIX}*"):
        try:
            status = path.lstat()
            if status.st_uid != os.getuid() or time.time() - status.st_mtime < _FRESH:
                continue
            descriptor = os.open(path / LOCK, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
            removed.append(path)
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)
    return removed
