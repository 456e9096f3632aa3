"""Leader election: one thread that does what the lease machine decides.

A disk may hang, and neither SQLite nor the operating system knows a time limit for it. So this
thread touches no file of the store: it lets another one do that, and waits for a bounded time.
"""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
from collections.abc import Callable
from dataclasses import astuple
from typing import TypeVar

from hawork.backends.embedded.crash_lock import CrashLock, sweep
from hawork.backends.embedded.holder_watch import HolderWatch
from hawork.backends.embedded.lease_table import (
    LeaseRow,
    acquire_lease,
    fence,
    read_lease,
    release_lease,
    renew_lease,
)
from hawork.backends.embedded.process_identity import start_time_of
from hawork.backends.embedded.store import EmbeddedStore
from hawork.backends.embedded.store_watcher import Snapshot
from hawork.backends.embedded.wakeup import Wakeup
from hawork.core.clock import LONGEST_WAIT
from hawork.core.errors import (
    CorruptStateError,
    HaworkError,
    LeaderElectionError,
    StoreUnavailableError,
)
from hawork.core.events import EventKind
from hawork.core.types import LeaderInformation, LeaderInformationRegister, LeaderSessionID
from hawork.ha.bounded_calls import BoundedCalls, CallHangsError, NoThreadError
from hawork.ha.leader_election import LeaderElectionListener
from hawork.ha.lease_state import (
    Acquire,
    LeaseRecord,
    LeaseState,
    Observe,
    Renew,
    StopLeading,
    Wait,
)
from hawork.ha.prompt_events import PromptEvents

_JOIN_SECONDS = 20.0
_GRACE = 0.5
"""Seconds for SQLite to say itself that another process keeps the store locked, and who does."""
_LONGEST_STANDBY = 2.0
"""Seconds after which a standby looks at its clock: by so much it may be late after a suspend."""
T = TypeVar("T")


class EmbeddedElectionDriver:
    """One contender for the lease row; a ``LeaderElectionDriver``.

    The lease is written without forcing the disk, so that a renewal waits for no other process's
    disk: who leads need not survive the machine.
    """

    def __init__(self, store: EmbeddedStore, listener: LeaderElectionListener) -> None:
        self._store = store
        self._listener = listener
        self._clock = store.clock
        self._contender = uuid.uuid4().hex
        self._pid, self._start_time = os.getpid(), start_time_of(os.getpid())
        with contextlib.ExitStack() as opened:  # what is left of a try that fails is closed
            self._database = store.open_database(durable=False)
            opened.callback(self._database.close)
            self._lock = CrashLock(store.contenders, self._contender)
            opened.callback(self._lock.release)
            self._wakeup = Wakeup()
            opened.callback(self._wakeup.close)
            self._prepare(store)
            self._thread = threading.Thread(target=self._run, name="embedded-election", daemon=True)
            self._thread.start()
            opened.pop_all()
        self._unsubscribe: Callable[[], None] = lambda: None
        try:
            self._unsubscribe = store.watcher.subscribe(self._changed)
        except BaseException:
            self.close()  # else it stands in the election, and leads, in no contender's name
            raise

    def _prepare(self, store: EmbeddedStore) -> None:
        self._holder = HolderWatch(store.contenders if store.crash_detection else None)
        self._lease = LeaseState(self._contender, store.timeouts)
        self._calls = BoundedCalls("embedded-lease")
        self._events = PromptEvents(store.events)
        self._row: LeaseRow | None = None
        # What other threads look at: replaced as a whole, never changed.
        self._leadership: tuple[LeaderSessionID, float] | None = None
        self._granted: LeaderSessionID | None = None
        self._register: LeaderInformationRegister | None = None
        self._problem: str | None = None
        self._closing = False
        self._store_changed = threading.Event()

    # --- the driver's contract, on any thread ---------------------------------------------

    def has_leadership(self, session_id: LeaderSessionID) -> bool:
        leadership = self._leadership
        return (
            not self._closing
            and leadership is not None
            and leadership[0] == session_id
            and self._clock.monotonic() < leadership[1]
        )

    def publish_leader_information(self, component_id: str, information: LeaderInformation) -> None:
        row = component_id, str(information.session_id), information.address
        with self._store.writer.writing() as connection:
            fence(connection, information.session_id, f"publishing the leader of {component_id!r}")
            # Only what differs is written: a write wakes every process of the cluster.
            connection.execute(
                "INSERT INTO leader_information (component_id, session_id, address) "
                "VALUES (?, ?, ?) ON CONFLICT (component_id) DO UPDATE SET "
                "session_id = excluded.session_id, address = excluded.address "
                "WHERE (session_id, address) <> (excluded.session_id, excluded.address)",
                row,
            )

    def delete_leader_information(self, component_id: str, session_id: LeaderSessionID) -> None:
        with self._store.writer.writing() as connection:
            fence(connection, session_id, f"removing the leader of {component_id!r}")
            connection.execute(
                "DELETE FROM leader_information WHERE component_id = ?", (component_id,)
            )

    def ticket(self) -> dict[str, str]:
        return {"type": "embedded", "contender": self._contender}

    def close(self) -> None:
        self._unsubscribe()
        self._closing = True
        self._wakeup.wake()
        if threading.current_thread() is not self._thread:
            # Bounded: a disk that hangs must not keep a process from shutting down.
            self._thread.join(_JOIN_SECONDS)

    # --- on the watcher's thread ------------------------------------------------------------

    def _changed(self, state: Snapshot | HaworkError) -> None:
        if self._closing or not isinstance(state, Snapshot):
            return
        leadership = self._leadership
        leads = leadership is not None and state.lease is not None and (
            str(leadership[0]) == state.lease.session_id
        )  # fmt: skip
        if leads:
            if state.information != self._register:
                self._register = state.information
                self._listener.on_leader_information_register(state.information)
        else:
            # Only a hint: the election thread reads for itself, after its own last write.
            self._store_changed.set()
            self._wakeup.wake()

    # --- on the election's own thread -------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._closing:
                try:
                    self._step()
                except HaworkError as error:
                    self._lease.failed(self._clock.monotonic())
                    self._report(error)
                except Exception as error:  # noqa: BLE001 - an election must not end silently
                    self._lease.failed(self._clock.monotonic())
                    self._report(LeaderElectionError(f"leader election failed: {error!r}"))
        finally:
            self._resign()

    def _step(self) -> None:
        if self._store_changed.is_set():
            self._store_changed.clear()
            self._lease.record_changed()
        if self._holder.is_dead():
            self._lease.holder_dead(self._holder.contender)
        now = self._clock.monotonic()
        match self._lease.decide(now):
            case Observe():
                self._observe()
            case Acquire(expected):
                self._acquire(expected)
            case Renew(deadline):
                self._renew(deadline)
            case StopLeading():
                self._stop_leading()
            case Wait(until):
                longest = LONGEST_WAIT if self._granted else _LONGEST_STANDBY
                seconds = min(until - now, self._holder.interval(), longest)
                self._wakeup.wait(seconds, self._holder.descriptor())
                return
        self._problem = None

    def _observe(self) -> None:
        row = self._bounded(self._read, self._store.timeouts.retry_period)
        self._lease.observe(None if row is None else row.record(), self._clock.monotonic())
        if row is None or row.contender == self._contender:
            self._holder.forget()
        else:
            self._holder.follow(row)

    def _acquire(self, expected: LeaseRecord | None) -> None:
        session_id = uuid.uuid4()
        timeouts = astuple(self._store.timeouts)
        row = LeaseRow(self._contender, str(session_id), 0, self._pid, self._start_time, *timeouts)
        # No longer than this: the row may change meanwhile, and is worth another look.
        patience = self._store.timeouts.retry_period

        def acquire() -> bool:
            with self._database.writing(patience) as connection:
                return acquire_lease(connection, expected, row)

        sent_at = self._clock.monotonic()
        if not self._bounded(acquire, patience + _GRACE):
            self._lease.refused()
            return
        self._holder.forget()
        self._row = row
        self._lease.renewed(row.record(), sent_at, self._clock.monotonic())
        if self._lease.believes(self._clock.monotonic()):
            self._leadership = session_id, self._lease.belief_until
            self._granted = session_id
            if not self._closing:
                self._listener.on_grant_leadership(session_id)
        self._bounded(lambda: sweep(self._store.contenders), patience)

    def _renew(self, deadline: float) -> None:
        assert self._row is not None and self._granted is not None
        present, sent_at = self._row, self._clock.monotonic()
        # The belief ends while another process keeps the store locked: do not outwait it.
        left = deadline - sent_at
        patience = min(self._store.timeouts.retry_period, left)

        def renew() -> LeaseRow | None:
            with self._database.writing(patience) as connection:
                return renew_lease(connection, present)

        row = self._bounded(renew, min(patience + _GRACE, left))
        if row is None:
            self._lease.refused()
            return
        self._row = row
        self._lease.renewed(row.record(), sent_at, self._clock.monotonic())
        if self._lease.believes(self._clock.monotonic()):
            self._leadership = self._granted, self._lease.belief_until

    def _read(self) -> LeaseRow | None:
        with self._database.reading() as connection:
            return read_lease(connection)

    def _bounded(self, action: Callable[[], T], seconds: float) -> T:
        """Use the store's files. ``StoreUnavailableError`` when they do not answer in time."""
        try:
            return self._calls.call(action, seconds)
        except NoThreadError as error:
            raise StoreUnavailableError(
                f"the HA store {self._store.file} was not asked: {error}"
            ) from None
        except CallHangsError as error:
            raise StoreUnavailableError(
                f"the HA store {self._store.file} does not answer ({error}): check its disk"
            ) from None

    def _stop_leading(self) -> None:
        granted, self._granted = self._granted, None
        self._leadership = self._row = None
        if granted is not None and not self._closing:
            self._listener.on_revoke_leadership()

    def _resign(self) -> None:
        self._lease.resign()
        self._at_the_end(self._release, _JOIN_SECONDS / 2)
        self._at_the_end(self._database.close, _JOIN_SECONDS / 4)
        self._calls.close()
        self._events.close()
        self._holder.forget()
        self._wakeup.close()
        self._lock.release()

    def _at_the_end(self, action: Callable[[], None], seconds: float) -> None:
        """Bounded as well; where no thread is left, this one, which ends, may hang."""
        with contextlib.suppress(HaworkError, CallHangsError):
            try:
                self._calls.call(action, seconds)
            except NoThreadError:
                action()

    def _release(self) -> None:
        with self._database.writing() as connection:
            release_lease(connection, self._contender)

    def _report(self, error: HaworkError) -> None:
        """A store that cannot be reached is an event; one that is damaged is fatal. Told once."""
        problem, self._problem = self._problem, str(error)
        if problem == str(error) or self._closing:
            return
        if isinstance(error, (CorruptStateError, LeaderElectionError)):
            self._listener.on_error(error)
        else:
            self._events.emit(EventKind.ERROR, session_id=self._granted, message=str(error))
