"""Notices that the store changed: one thread for all drivers of a process.

SQLite cannot tell another process that something changed, but the kernel can: a commit begins by
appending to the log file. Only then, or when a commit is under way during a look, this looks at
the header that each commit changes at its end, again and again until that is over; and every few
seconds at SQLite's own ``data_version``, in case that the kernel has not told. Where it never
does, this looks at the header every 20 ms.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from hawork.backends.embedded import shared_memory
from hawork.backends.embedded.database import Database
from hawork.backends.embedded.file_changes import FileChanges
from hawork.backends.embedded.lease_table import LeaseRow, as_text, read_lease
from hawork.backends.embedded.wakeup import Wakeup
from hawork.core.errors import HaworkError, LeaderRetrievalError
from hawork.core.types import LeaderInformation, LeaderInformationRegister, LeaderSessionID

_INTERVAL = 0.02
"""Seconds between glances at the header while a commit is under way, or may be."""
_GLANCES = 10
"""Glances for each look at ``data_version``, where the kernel does not tell."""
_FIRST_GLANCES = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016)
"""Pauses before the glances that follow a write to the log; most commits end in microseconds."""
_LONGEST_IDLE = 5.0
"""Seconds between looks at ``data_version`` while nothing happens."""
_REST = 0.002
"""Seconds after a look at the store before the next one: a job's writes come in bursts, and each
look would take the interpreter from the thread that writes."""
_JOIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The lease and what its holder published, at one moment."""

    lease: LeaseRow | None
    information: LeaderInformationRegister


Subscriber = Callable[[Snapshot | HaworkError], None]
"""Told the present state at the start, and each other one; or why it cannot be seen.

Commits that change neither lease nor information, such as those of a job's checkpoints, are told to
nothing. Called on the watcher's thread; returns at once.
"""


class StoreWatcher:
    """Reads the store when it changed, and tells the subscribers. Begins with the first one."""

    def __init__(self, open_database: Callable[[], Database]) -> None:
        self._open_database = open_database
        self._lock = threading.Lock()
        self._subscribers: dict[object, Subscriber] = {}
        self._new: set[object] = set()
        self._wakeup = Wakeup()
        self._closed = False
        self._thread: threading.Thread | None = None

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Watch until the returned function is called."""
        key = object()
        with self._lock:
            if self._thread is None and not self._closed:
                thread = threading.Thread(
                    target=self._run, name="embedded-store-watcher", daemon=True
                )
                thread.start()  # where none can be started, the next subscriber tries again
                self._thread = thread
            self._subscribers[key] = subscriber
            self._new.add(key)
        self._wakeup.wake()

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers.pop(key, None)
                self._new.discard(key)

        return unsubscribe

    def close(self) -> None:
        """End the thread; waits for it. May be repeated."""
        with self._lock:
            self._closed = True
            thread = self._thread
        self._wakeup.wake()
        if thread is not None:
            thread.join(_JOIN_SECONDS)
        else:
            self._wakeup.close()

    def _run(self) -> None:
        database: Database | None = None
        files: FileChanges | None = None
        seen: tuple[int, int] | None = None
        state: Snapshot | HaworkError | None = None
        while not self._closed:
            before, looked = state, False
            changed: Callable[[], bool] = _never
            try:
                database = database or self._open_database()
                # Before all else: what changes from here on is seen by the next glance.
                files = _taken(files) or _watch(database.directory)
                changed = _changes(database.header_reader())
                version = database.data_version()
                looked = version != seen or not isinstance(state, Snapshot)
                if looked:
                    fresh, seen = _read(database), version
                    # Without a lease it may have been another one meanwhile, which is gone again.
                    state = state if fresh == state and fresh.lease is not None else fresh
            except HaworkError as error:
                # Told once, until something else is the matter.
                if not isinstance(before, HaworkError) or str(before) != str(error):
                    state = error
            self._tell(state, state is not before)
            if looked and self._wakeup.wait(_REST):
                continue  # a new subscriber, or the end, waits for no change
            if files is None or database is None:
                self._glance(changed, [_INTERVAL] * _GLANCES)
            elif shared_memory.is_written(database.directory) or changed():
                # What the kernel told of this commit may have been taken above, before its end.
                self._see_commit_through(changed, database.directory)
            elif self._wakeup.wait(_LONGEST_IDLE, files.descriptor) and not self._is_asked():
                self._see_commit_through(changed, database.directory)
        self._wakeup.close()
        if files is not None:
            files.close()
        if database is not None:
            database.close()

    def _is_asked(self) -> bool:
        """Whether a new subscriber, or the end, is what we were woken for."""
        with self._lock:
            return self._closed or bool(self._new)

    def _see_commit_through(self, changed: Callable[[], bool], directory: Path) -> None:
        """The log was written to: the commit changes the header at its end."""
        if changed() or self._glance(changed, _FIRST_GLANCES):
            return
        while shared_memory.is_written(directory):
            if self._glance(changed, [_INTERVAL]):
                return

    def _glance(self, changed: Callable[[], bool], pauses: Iterable[float]) -> bool:
        """Look at the header after each pause; whether it changed, or we were woken."""
        return any(self._wakeup.wait(pause) or changed() for pause in pauses)

    def _tell(self, state: Snapshot | HaworkError | None, changed: bool) -> None:
        with self._lock:
            keys = self._subscribers if changed else self._new
            told = [self._subscribers[key] for key in keys]
            self._new.clear()
        if state is not None:
            for subscriber in told:
                subscriber(state)


def _watch(directory: Path) -> FileChanges | None:
    try:
        return FileChanges(directory)
    except OSError:
        return None


def _taken(files: FileChanges | None) -> FileChanges | None:
    """``files``, without what it has told; ``None`` when its directory is another one now."""
    if files is None or files.take():
        return files
    files.close()
    return None


def _changes(read_header: Callable[[], bytes]) -> Callable[[], bool]:
    """Tells whether the header is another one than now."""
    header = read_header()
    return lambda: read_header() != header


def _never() -> bool:
    return False


def _read(database: Database) -> Snapshot:
    """One read transaction, so that lease and information belong together."""
    with database.reading() as connection:
        connection.execute("BEGIN")
        try:
            lease = read_lease(connection)
            rows = connection.execute(
                "SELECT CAST(component_id AS BLOB), CAST(session_id AS BLOB), "
                "CAST(address AS BLOB) FROM leader_information"
            ).fetchall()
        finally:
            connection.execute("COMMIT")
    leading = None if lease is None else lease.session_id
    return Snapshot(
        lease,
        {
            component_id: LeaderInformation(_session_id(component_id, session_id), address)
            for component_id, session_id, address in (map(as_text, row) for row in rows)
            if session_id == leading
        },
    )


_parsed = functools.lru_cache(maxsize=16)(LeaderSessionID)


def _session_id(component_id: str, text: str) -> LeaderSessionID:
    try:
        return _parsed(text)
    except ValueError:
        raise LeaderRetrievalError(
            f"the leader information of {component_id!r} has {text!r} as session id: remove the "
            "row, the leader writes it again"
        ) from None
