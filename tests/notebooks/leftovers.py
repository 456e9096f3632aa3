"""What a lab left behind: processes, listening ports, locks.

Everything that a test starts inherits a mark in its environment and a directory for
temporary files; both are looked for afterwards.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

MARK = "HAWORK_TEST_MARK"


@contextmanager
def own_sockets() -> Iterator[dict[str, str]]:
    """How to speak to a kernel: Jupyter's settings of one ``KernelManager``.

    Not by TCP: Jupyter chooses ports that anybody may take before the kernel binds them. The
    path of a socket is short, and pytest's own directories are too deep for one.
    """
    with tempfile.TemporaryDirectory(prefix="hw-") as directory:
        yield {"transport": "ipc", "ip": f"{directory}/kernel"}


@dataclass(frozen=True)
class Footprint:
    """Where a test lets its labs run, and how to find what is left of them."""

    directory: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def environment(self) -> dict[str, str]:
        return {**os.environ, MARK: self.mark, "TMPDIR": str(self.directory)}

    def processes(self) -> list[psutil.Process]:
        """The living processes that inherited the mark or name the directory."""
        found = []
        for process in psutil.process_iter():
            if process.pid == os.getpid():
                continue
            try:
                marked = process.environ().get(MARK) == self.mark
                named = str(self.directory) in " ".join(process.cmdline())
                if (marked or named) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def ports(self) -> set[int]:
        """The ports on which any of the processes listens."""
        found = set()
        for process in self.processes():
            try:
                connections = process.net_connections(kind="tcp")
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            found |= {
                connection.laddr.port
                for connection in connections
                if connection.status == psutil.CONN_LISTEN
            }
        return found

    def locks(self) -> list[Path]:
        """The lock files that somebody still holds."""
        return [path for path in self.directory.rglob("*.lock") if _held(path)]

    def nothing_left(self) -> bool:
        """For ``eventually``: an assertion that says what is left."""
        left = [*map(describe, self.processes()), *map(str, self.locks())]
        assert not left, "\n".join(left)
        return True

    def kill(self) -> None:
        """End what is left, so that a failing test does not disturb the next one."""
        for process in self.processes():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue


@contextmanager
def footprint_in(directory: Path) -> Iterator[Footprint]:
    """Make a directory for the labs of a test; what is left of them is ended after it."""
    directory.mkdir()
    found = Footprint(directory)
    try:
        yield found
    finally:
        found.kill()


def describe(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {process.status()} {' '.join(process.cmdline())}"
    except psutil.NoSuchProcess:
        return f"{process.pid}, gone by now"


def _held(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
