"""The embedded backend's SQLite file: real SQLite in memory, behind simulated locks and disks.

hawork's ``Database`` runs as it is, with its transactions, time limits and error messages. Its
connections are simulated: ``BEGIN IMMEDIATE`` waits for the write lock on the simulated clock, a
process may stop or die while it holds it, and a commit may land without saying so. All statements
are run by one real SQLite connection. Between the first statement of a transaction and its end no
other thread runs, which no process could tell from SQLite's own isolation: the lock is held before
the first statement, and readers see what was committed.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from hawork.backends.embedded import (
    database,
    election_driver,
    holder_watch,
    layout,
    services,
    shared_memory,
    store,
    store_watcher,
    supervision,
)
from hawork.backends.embedded.database import Database
from hawork.backends.embedded.holder_watch import HolderWatch
from hawork.backends.embedded.lease_table import LeaseRow
from hawork.backends.embedded.services import EmbeddedBackend
from hawork.ha.backend import Fullness
from hawork.simulation.primitives import Event
from hawork.simulation.scheduler import Scheduler, SimulatedProcess
from hawork.simulation.stores.store import Store
from hawork.simulation.world import World

_OPTIONS = {
    "high-availability.type": "embedded",
    "high-availability.embedded.directory": "/simulated/ha",
    "high-availability.embedded.leader-election.lease-duration": "2 s",
    "high-availability.embedded.leader-election.renew-deadline": "1500 ms",
    "high-availability.embedded.leader-election.retry-period": "700 ms",
}
_TABLES = ("meta", "lease", "leader_information", "pointer")
_NOTICED = 0.02
"""Seconds within which a watcher notices a commit."""
_LOOKS = 0.5
"""Seconds after which it looks anyway, where the kernel does not tell of changes."""
_LOCK_LOOKS = 0.25
"""Seconds between looks at a file lock, where no descriptor tells of a process's end."""


class EmbeddedStore(Store):
    """The file and the lock files of one simulated cluster."""

    options = _OPTIONS
    expected_points = 230

    def __init__(self, world: World) -> None:
        self.world = world
        self.file = _IDLE.take()
        self.tells = world.random.random() < 0.75
        """Whether the kernel tells of changes of files and of ends of processes, as Linux does."""
        self.commits = 0
        self.writer: SimulatedConnection | None = None
        self.waiting: list[Any] = []
        self.watchers: list[SimulatedWakeup | SimulatedFileChanges] = []
        self.ends: list[SimulatedEnd] = []
        self.locks: dict[str, SimulatedProcess] = {}

    def substitutes(self) -> dict[tuple[Any, str], Callable[..., Any]]:
        """What stands for hawork's way to files and descriptors while this is simulated."""

        def connected(scheduler: Scheduler, *args: Any, **kwargs: Any) -> Database:
            return SimulatedDatabase(self, *args, **kwargs)

        def crash_lock(scheduler: Scheduler, directory: Path, contender: str) -> SimulatedLock:
            return SimulatedLock(self, contender)

        return {
            (services, "EmbeddedBackend"): lambda _, opened: SimulatedBackend(self, opened),
            (store, "Database"): connected,
            (supervision, "Database"): connected,
            (store, "prepare_directory"): lambda _, path: None,
            (database, "create_database"): self._create,
            (election_driver, "start_time_of"): lambda _, pid: "",
            (election_driver, "CrashLock"): crash_lock,
            (election_driver, "sweep"): self._sweep,
            (supervision, "sweep"): self._sweep,
            (election_driver, "HolderWatch"): lambda _, where: SimulatedHolderWatch(self, where),
            (election_driver, "Wakeup"): SimulatedWakeup,
            (store_watcher, "Wakeup"): self._watcher,
            (store_watcher, "FileChanges"): self._file_changes,
            (shared_memory, "write_lock_holder"): self._write_lock_holder,
            (shared_memory, "is_written"): self._is_written,
            # Counted by real process otherwise, of which there is one.
            (shared_memory, "begun"): lambda _, directory: None,
            (shared_memory, "ended"): lambda _, directory: None,
            (holder_watch, "is_dead"): self._is_dead,
            (supervision, "is_dead"): self._is_dead,
            (holder_watch, "watch_process"): lambda _, pid, start_time: None,
            (holder_watch, "_readable"): lambda _, descriptor: descriptor.readable,
        }

    def leading(self) -> str | None:
        """The session id that the store would let write now."""
        row = self.file.execute("SELECT session_id FROM lease").fetchone()
        return None if row is None else str(row[0])

    def expire(self) -> None:
        """The lease row goes, under its holder's feet."""
        self.file.execute("DELETE FROM lease")
        self.committed()

    def committed(self) -> None:
        self.commits += 1
        scheduler, random = self.world.scheduler, self.world.random.random
        for watcher in self.watchers:
            if watcher.told is None:  # else one look sees all commits until then
                watcher.told = scheduler.at(random() * _NOTICED, watcher.tell)

    def _watcher(self, scheduler: Scheduler) -> SimulatedWakeup:
        if self.tells:
            return SimulatedWakeup(scheduler)
        made = SimulatedWakeup(scheduler, _LOOKS)
        self.watchers.append(made)
        return made

    def _file_changes(self, _: Scheduler, directory: Path) -> SimulatedFileChanges:
        if not self.tells:
            raise OSError("there is no inotify in this simulation")
        made = SimulatedFileChanges(self)
        self.watchers.append(made)
        return made

    def _write_lock_holder(self, _: Scheduler, directory: Path) -> int | None:
        return 1 if self._is_written(_, directory) else None

    def _is_written(self, _: Scheduler, directory: Path) -> bool:
        return self.writer is not None and not self.writer.abandoned()

    def pointers_left(self) -> list[str]:
        return [
            f"{namespace} {name}"
            for namespace, name in self.file.execute("SELECT namespace, name FROM pointer")
        ]

    def take_away(self, random: Random) -> str | None:
        rows = self.file.execute("SELECT namespace, name FROM pointer ORDER BY 1, 2").fetchall()
        if not rows:
            return None
        row = random.choice(rows)
        self.file.execute("DELETE FROM pointer WHERE namespace = ? AND name = ?", row)
        self.committed()
        return " ".join(row)

    def process_died(self, process: SimulatedProcess) -> None:
        """Its locks go with it, see ``abandoned`` and ``_is_dead``; who watches it hears of it."""
        for end in [each for each in self.ends if each.process is process]:
            self.world.scheduler.at(self.world.latency(), end.tell)

    def servers_restart(self) -> None:
        """There are none."""

    def close(self) -> None:
        if self.file.in_transaction:
            self.file.execute("ROLLBACK")
        for table in _TABLES:
            self.file.execute(f"DELETE FROM {table}")
        _IDLE.files.append(self.file)

    def _create(self, _: Scheduler, path: Path, cluster_id: str) -> None:
        if self.file.execute("SELECT 1 FROM meta").fetchone() is None:
            self.file.execute(
                "INSERT INTO meta VALUES (1, ?, ?, ?, 0)",
                (cluster_id, layout.FORMAT, os.geteuid()),
            )

    def _is_dead(self, _: Scheduler, contenders: Path, contender: str) -> bool:
        holder = self.locks.get(contender)
        return holder is not None and holder.dead

    def _sweep(self, _: Scheduler, contenders: Path) -> None:
        for contender in [each for each, holder in self.locks.items() if holder.dead]:
            del self.locks[contender]


class _Idle(threading.local):
    """Empty files of a real thread, whose statements need not be prepared again."""

    def __init__(self) -> None:
        self.files: list[sqlite3.Connection] = []

    def take(self) -> sqlite3.Connection:
        if self.files:
            return self.files.pop()
        file = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        file.executescript(layout._SCHEMA)
        return file


_IDLE = _Idle()


class SimulatedBackend(EmbeddedBackend):
    """hawork's backend; only the size of the file is that of the memory it takes."""

    def __init__(self, file: EmbeddedStore, opened: Any) -> None:
        super().__init__(opened)
        self._file = file

    def fullest(self) -> Fullness:
        pages, free, size = (
            self._file.file.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return Fullness("file in memory", (pages - free) * size, sys.maxsize)


class SimulatedDatabase(Database):
    """hawork's ``Database`` on a simulated connection."""

    def __init__(self, file: EmbeddedStore, *args: Any, **kwargs: Any) -> None:
        self._simulated = file
        super().__init__(*args, **kwargs)

    def _current(self) -> Any:
        if self._connection is None or self._closed:
            if self._closed:
                return super()._current()
            self._connection = SimulatedConnection(self._simulated)  # type: ignore[assignment]
        return self._connection

    def _disconnect(self) -> None:
        self._connection = None

    def _is_another(self) -> bool:
        """The simulated file has no path: it is neither removed nor replaced."""
        return False

    def header_reader(self) -> Callable[[], bytes]:
        file = self._simulated
        return lambda: file.commits.to_bytes(8)


class SimulatedConnection:
    """The part of ``sqlite3.Connection`` that hawork uses."""

    def __init__(self, file: EmbeddedStore) -> None:
        self._file = file
        self._patience = 0.0
        self._own_commits = 0
        self._process: SimulatedProcess | None = None
        current = file.world.scheduler.current
        self._reader = current is not None and current.name == "embedded-store-watcher"

    def execute(self, sql: str, values: Any = ()) -> Any:
        file = self._file
        if file.writer is self:
            if sql == "COMMIT":
                return self._commit()
            if sql == "ROLLBACK":
                return self._roll_back()
            return file.file.execute(sql, values)
        match sql:
            case "BEGIN IMMEDIATE":
                return self._begin()
            case "BEGIN" | "COMMIT" | "ROLLBACK":
                return None
            case "PRAGMA data_version":
                return _Rows((file.commits - self._own_commits,))
        if sql.startswith("PRAGMA busy_timeout"):
            self._patience = int(sql.rpartition(" ")[2]) / 1000
            return None
        if self._reader:
            return file.file.execute(sql, values)
        return file.world.request(
            "sqlite.read",
            lambda: file.file.execute(sql, values),
            refused=lambda text: _error(text, sqlite3.SQLITE_IOERR),
        )

    def close(self) -> None:
        """Nothing is held."""

    def _begin(self) -> None:
        file, scheduler = self._file, self._file.world.scheduler
        # What is decided may be written late: it stands still before it has the lock, too.
        file.world.fault("sqlite.lock")
        until = scheduler.now + self._patience
        while file.writer is not None and not file.writer.abandoned():
            left = until - scheduler.now
            if left <= 0:
                raise _error("database is locked", sqlite3.SQLITE_BUSY)
            file.waiting.append(scheduler.current)
            scheduler.park(min(left, 0.1))
            if scheduler.current in file.waiting:
                file.waiting.remove(scheduler.current)
        file.writer = self
        current = scheduler.current
        self._process = None if current is None else current.process
        try:
            # A process that stops here keeps the lock; one that dies leaves it.
            file.world.request(
                "sqlite.begin",
                lambda: None,
                refused=lambda text: _error(text, sqlite3.SQLITE_IOERR),
            )
        except BaseException:
            self._let_go()
            raise
        file.file.execute("BEGIN")

    def _commit(self) -> None:
        file = self._file
        current = file.world.scheduler.current
        if current is not None:
            file.world.audit(current.process.name, current.writing, file.leading())
        file.file.execute("COMMIT")
        file.committed()
        self._own_commits += 1
        self._let_go()
        file.world.request(
            "sqlite.commit",
            lambda: None,
            lost=lambda text: _error(text, sqlite3.SQLITE_IOERR),
            refused=lambda text: _error(text, sqlite3.SQLITE_IOERR),
        )

    def _roll_back(self) -> None:
        if self._file.file.in_transaction:
            self._file.file.execute("ROLLBACK")
        self._let_go()

    def _let_go(self) -> None:
        file = self._file
        if file.writer is self:
            file.writer = None
            for thread in file.waiting:
                file.world.scheduler.wake(thread)

    def abandoned(self) -> bool:
        """Whether the process that holds the write lock has died, which frees it."""
        return self._process is not None and self._process.dead


class _Rows:
    def __init__(self, row: tuple[Any, ...]) -> None:
        self._row = row

    def fetchone(self) -> tuple[Any, ...]:
        return self._row


def _error(text: str, code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


class SimulatedLock:
    """A contender's file lock, which dies with its process."""

    def __init__(self, file: EmbeddedStore, contender: str) -> None:
        self._file, self._contender = file, contender
        current = file.world.scheduler.current
        assert current is not None
        file.locks[contender] = self._process = current.process

    def release(self) -> None:
        if not self._process.dead:
            self._file.locks.pop(self._contender, None)


class SimulatedDescriptor:
    """What may become readable while a ``SimulatedWakeup`` waits for it."""

    def __init__(self) -> None:
        self.readable = False
        self.waiter: Event | None = None
        self.told: Callable[[], None] | None = None
        """Takes back what is on its way."""

    def tell(self) -> None:
        self.told = None
        self.readable = True
        if self.waiter is not None:
            self.waiter.set()


class SimulatedFileChanges(SimulatedDescriptor):
    """A ``FileChanges``: readable some time after a commit."""

    def __init__(self, file: EmbeddedStore) -> None:
        super().__init__()
        self._file = file
        self.descriptor = self

    def take(self) -> bool:
        """What was committed until now is seen by what is read next."""
        self.readable = False
        if self.told is not None:
            self.told()
            self.told = None
        return True

    def close(self) -> None:
        self.take()
        if self in self._file.watchers:
            self._file.watchers.remove(self)


class SimulatedEnd(SimulatedDescriptor):
    """A descriptor of a process: readable soon after it has died."""

    def __init__(self, process: SimulatedProcess) -> None:
        super().__init__()
        self.process = process
        self.readable = process.dead


class SimulatedHolderWatch(HolderWatch):
    """hawork's, with simulated descriptors; where there are none it looks less often."""

    def __init__(self, file: EmbeddedStore, contenders: Path | None) -> None:
        super().__init__(contenders)
        self._file = file
        self._end: SimulatedEnd | None = None

    def follow(self, row: LeaseRow) -> None:
        before = self._row
        super().follow(row)
        holder = self._file.locks.get(row.contender)
        if self._row is not before and holder is not None and self._file.tells:
            self._end = SimulatedEnd(holder)
            self._descriptor = self._end  # type: ignore[assignment]
            self._file.ends.append(self._end)

    def interval(self) -> float:
        return max(_LOCK_LOOKS, super().interval())

    def _stop_watching(self) -> None:
        end, self._end, self._descriptor = self._end, None, None
        if end is not None:
            self._file.ends.remove(end)


class SimulatedWakeup:
    """A ``Wakeup`` without a pipe. ``least``: seconds that it waits at least."""

    def __init__(self, scheduler: Scheduler, least: float = 0.0) -> None:
        self._event = Event(scheduler)
        self._least = least
        self.told: Callable[[], None] | None = None

    def wake(self) -> None:
        self._event.set()

    def tell(self) -> None:
        self.told = None
        self._event.set()

    def wait(self, seconds: float, descriptor: SimulatedDescriptor | None = None) -> bool:
        event = self._event
        if descriptor is None:
            woken = event.wait(max(self._least, seconds))
        elif descriptor.readable:
            return True
        else:
            descriptor.waiter = event
            woken = event.wait(max(self._least, seconds))
            descriptor.waiter = None
        event.clear()
        return woken

    def close(self) -> None:
        """Nothing is held."""
