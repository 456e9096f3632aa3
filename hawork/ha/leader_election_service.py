"""``DefaultLeaderElectionService``: what leader election is on every backend.

Source: Flink's ``DefaultLeaderElectionService``. One driver, hence one latch or lease, for
the whole process: all its components lead or stand by together.

Everything that changes state or calls a contender or the driver runs on one executor
thread, in order and without holding a lock. Backend threads only enqueue. A write of the driver
may hang with its store: it is waited for as long as the leadership lasts, so that the revocation
behind it is never late. Foreign changes of what was published are corrected on a thread of their
own (``LeaderInformationCorrector``).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from hawork.core.errors import LeaderElectionError, LeadershipLostError, StoreUnavailableError
from hawork.core.events import EventKind, EventSink, NullEventSink
from hawork.core.forks import OwningProcess
from hawork.core.types import LeaderInformation, LeaderInformationRegister, LeaderSessionID
from hawork.ha.bounded_calls import BoundedCalls, CallHangsError, NoThreadError
from hawork.ha.leader_election import (
    LeaderContender,
    LeaderElection,
    LeaderElectionDriver,
    LeaderElectionDriverFactory,
)
from hawork.ha.leader_information_corrector import TRANSIENT, LeaderInformationCorrector, Wanted
from hawork.ha.prompt_events import PromptEvents
from hawork.ha.serial_executor import SerialExecutor

T = TypeVar("T")
TicketSink = Callable[[dict[str, str]], None]


@dataclass(eq=False, slots=True)
class _Registration:
    """A contender that takes part, and what it was told and has confirmed."""

    component_id: str
    contender: LeaderContender
    granted: LeaderSessionID | None = None
    information: LeaderInformation | None = None
    published: bool = False


class DefaultLeaderElectionService:
    """Hands out one ``LeaderElection`` per component id, all on one lazily made driver."""

    def __init__(
        self,
        driver_factory: LeaderElectionDriverFactory,
        events: EventSink | None = None,
        ticket_sink: TicketSink | None = None,
    ) -> None:
        self._process = OwningProcess()
        self._driver_factory = driver_factory
        self._events = PromptEvents(events or NullEventSink())
        self._ticket_sink = ticket_sink
        self._executor = SerialExecutor("leader-election")
        self._writes = BoundedCalls("leader-information")
        self._soon: deque[Callable[[], None]] = deque()
        # The lock guards the fields that other threads look at; it is held for look-ups
        # and assignments only.
        self._lock = threading.Lock()
        self._registrations: dict[str, _Registration] = {}
        self._issued: LeaderSessionID | None = None
        self._corrector: LeaderInformationCorrector | None = None
        self._closed = False
        self._ends = False
        """Whether no election may begin any more."""
        # Only the executor's thread touches these two.
        self._driver: LeaderElectionDriver | None = None
        self._listener: _DriverListener | None = None

    def leader_election(self, component_id: str) -> LeaderElection:
        """The election for ``component_id``; nothing happens before its ``start``."""
        if self._closed:
            raise LeaderElectionError("leader election is closed: open the HA services again")
        return _DefaultLeaderElection(self, component_id)

    def close(self) -> None:
        """End the service; may be repeated. ``LeaderElectionError`` with a contender in it."""
        with self._lock:
            if self._registrations:
                names = ", ".join(sorted(self._registrations))
                raise LeaderElectionError(
                    f"leader election still has the contenders {names}: close them first"
                )
            self._closed = True
        self._executor.close()
        self._writes.close()
        self._events.close()
        if self._corrector is not None:
            self._corrector.close()

    # --- called by elections, from any thread -------------------------------------------

    def register(self, registration: _Registration) -> None:
        if not self._process.is_this:
            raise LeaderElectionError(self._process.excludes("leader election"))
        component_id = registration.component_id
        with self._lock:
            if self._ends or self._closed:
                raise LeaderElectionError("leader election is closed: open the HA services again")
            if component_id in self._registrations:
                raise LeaderElectionError(
                    f"component {component_id!r} takes part already: close its election first"
                )
            first = not self._registrations
            self._registrations[component_id] = registration
        if not first:
            # There is a driver, or one in the making: no reason to wait for a slow contender.
            self._executor.run(lambda: self._guarded(lambda: self._join(registration)))
            return
        try:
            self._executor.run(lambda: self._join(registration)).result()
        except BaseException:
            with self._lock:
                self._registrations.pop(component_id, None)
            raise

    def deregister_all(self) -> None:
        """What closing every election does; before the service itself is closed.

        None begins after it: a process that is told to end may be about to take part.
        """
        with self._lock:
            self._ends = True
            registrations = list(self._registrations.values())
        for registration in registrations:
            self.deregister(registration)

    def deregister(self, registration: _Registration) -> None:
        if not self._process.is_this:
            return
        with self._lock:
            if self._closed:
                return
            # From here on nothing that is queued reaches the contender.
            self._registrations.pop(registration.component_id, None)
        self._executor.run(lambda: self._leave(registration)).result()

    def confirm(
        self, registration: _Registration | None, session_id: LeaderSessionID, address: str
    ) -> Future[None]:
        return self._run(
            lambda: self._confirm(registration, LeaderInformation(session_id, address))
        )

    def run_if_leader(
        self,
        registration: _Registration | None,
        session_id: LeaderSessionID,
        action: Callable[[], T],
    ) -> Future[T]:
        def guarded() -> T:
            self._check_leading(registration, session_id)
            return action()

        return self._run(guarded)

    def _run(self, action: Callable[[], T]) -> Future[T]:
        """On the executor's thread, of which a forked child has none."""
        if self._process.is_this:
            return self._executor.run(action)
        failed: Future[T] = Future()
        failed.set_exception(LeadershipLostError(self._process.excludes("the leadership")))
        return failed

    def on_leadership_thread(self, action: Callable[[], None]) -> None:
        """Run ``action`` on the executor's thread; also while it waits for the store."""
        self._soon.append(action)
        self._executor.submit(self._do_soon)

    # --- called by the driver's listener, from any thread -------------------------------

    def enqueue(self, listener: _DriverListener, action: Callable[[], None]) -> None:
        def unless_outdated() -> None:
            if listener is self._listener:
                self._guarded(action)

        self._executor.submit(unless_outdated)

    def information_changed(self, component_id: str, found: LeaderInformation | None) -> None:
        with self._lock:
            registration = self._registrations.get(component_id)
            if registration is None or self._issued is None or registration.information == found:
                return
            no_thread = None
            if self._corrector is None:
                try:
                    self._corrector = LeaderInformationCorrector(
                        self._wanted_information, self.on_error, self._events
                    )
                except RuntimeError as error:
                    no_thread = error
            corrector = self._corrector
        if corrector is not None:
            corrector.correct(component_id)
        else:  # the driver's thread goes on, and the next change is another try
            self._events.emit(
                EventKind.ERROR,
                component=component_id,
                message=f"the leader information of {component_id!r} was changed by another "
                f"process and is not corrected ({no_thread}): raise the limit of processes",
            )

    def register_changed(self, register: LeaderInformationRegister) -> None:
        with self._lock:
            component_ids = list(self._registrations)
        for component_id in component_ids:
            self.information_changed(component_id, register.get(component_id))

    def ticket_changed(self, ticket: dict[str, str]) -> None:
        if self._ticket_sink is not None:
            self._ticket_sink(ticket)

    # --- on the executor's thread -------------------------------------------------------

    def _join(self, registration: _Registration) -> None:
        if self._driver is None:
            listener = self._listener = _DriverListener(self)
            try:
                self._driver = self._driver_factory(listener)
            except BaseException:
                self._listener = None
                raise
            self.ticket_changed(self._driver.ticket())
        elif (session_id := self._issued) is not None:
            self.enqueue(
                self._listener_of_driver(), lambda: self._grant_to(registration, session_id)
            )

    def _leave(self, registration: _Registration) -> None:
        driver, session_id = self._driver, registration.granted
        if session_id is not None:
            self._revoke_from(registration)
        if driver is None:
            return
        if session_id is not None and driver.has_leadership(session_id):
            try:
                self._write(
                    driver,
                    session_id,
                    lambda: driver.delete_leader_information(registration.component_id, session_id),
                )
            except LeadershipLostError:
                pass  # it went with the leadership
            except TRANSIENT as error:
                self._events.emit(EventKind.ERROR, session_id=session_id, message=str(error))
            except Exception as error:  # noqa: BLE001 - leaving must succeed all the same
                self.on_error(error)
        if self._registrations:
            return
        if (issued := self._issued) is not None:
            self._events.emit(EventKind.LEADERSHIP_REVOKED, session_id=issued, reason="closed")
        with self._lock:
            self._issued = None
        self._driver = self._listener = None
        driver.close()

    def grant(self, session_id: LeaderSessionID) -> None:
        with self._lock:
            present = self._issued
            if present is None:
                self._issued = session_id
            registrations = list(self._registrations.values())
        if present is not None:
            raise LeaderElectionError(
                f"leadership was granted under {session_id} while {present} had not been revoked"
            )
        self._events.emit(EventKind.LEADERSHIP_GRANTED, session_id=session_id)
        for registration in registrations:
            self._grant_to(registration, session_id)

    def revoke(self) -> None:
        with self._lock:
            session_id, self._issued = self._issued, None
            registrations = list(self._registrations.values())
        if session_id is None:
            raise LeaderElectionError("leadership was revoked without having been granted")
        self._events.emit(EventKind.LEADERSHIP_REVOKED, session_id=session_id, reason="lost")
        for registration in registrations:
            if registration.granted is not None:
                self._revoke_from(registration)

    def on_error(self, error: Exception) -> None:
        """Tell all contenders; may run on the correction thread, too."""
        if not isinstance(error, LeaderElectionError):
            cause, reason = error, str(error) or repr(error)
            error = LeaderElectionError(f"leader election failed: {reason}")
            error.__cause__ = cause
        self._events.emit(EventKind.ERROR, session_id=self._issued, message=str(error))
        with self._lock:
            registrations = list(self._registrations.values())
        for registration in registrations:
            try:
                registration.contender.handle_error(error)
            except Exception as second:  # noqa: BLE001 - the other contenders must hear, too
                self._events.emit(EventKind.ERROR, message=f"handle_error failed: {second}")

    def _grant_to(self, registration: _Registration, session_id: LeaderSessionID) -> None:
        with self._lock:
            taking_part = self._registrations.get(registration.component_id) is registration
            if not taking_part or self._issued != session_id or registration.granted == session_id:
                return
            registration.granted = session_id
        self._guarded(lambda: registration.contender.grant_leadership(session_id))

    def _revoke_from(self, registration: _Registration) -> None:
        with self._lock:
            registration.granted = registration.information = None
            registration.published = False
        self._guarded(registration.contender.revoke_leadership)

    def _confirm(self, registration: _Registration | None, information: LeaderInformation) -> None:
        driver, registration = self._check_leading(registration, information.session_id)
        if registration.published:
            if registration.information == information:
                return
            raise LeaderElectionError(
                f"component {registration.component_id!r} confirmed its leadership already, with "
                f"the address {registration.information and registration.information.address}"
            )
        with self._lock:
            # Known before it is written: the driver may report the write at once.
            registration.information = information
        try:
            self._write(
                driver,
                information.session_id,
                lambda: driver.publish_leader_information(registration.component_id, information),
            )
        except LeadershipLostError:
            with self._lock:
                registration.information = None
            raise
        registration.published = True
        self._events.emit(
            EventKind.LEADERSHIP_CONFIRMED,
            session_id=information.session_id,
            component=registration.component_id,
            address=information.address,
        )

    def _do_soon(self) -> None:
        while self._soon:
            self._soon.popleft()()

    def _write(
        self,
        driver: LeaderElectionDriver,
        session_id: LeaderSessionID,
        write: Callable[[], None],
    ) -> None:
        """Let the driver write, for as long as it leads. What it writes later is refused."""

        def leads() -> bool:
            self._do_soon()
            return driver.has_leadership(session_id)

        try:
            self._writes.call_while(leads, write)
        except CallHangsError as error:
            if driver.has_leadership(session_id):
                what = "was not begun" if isinstance(error, NoThreadError) else "hangs"
                raise StoreUnavailableError(
                    f"a write of leader information to the HA store {what} ({error})"
                ) from None
            raise LeadershipLostError(
                f"{session_id} does not lead any more, and its write did not come back"
            ) from None

    def _check_leading(
        self, registration: _Registration | None, session_id: LeaderSessionID
    ) -> tuple[LeaderElectionDriver, _Registration]:
        """The conditions of Flink's ``hasLeadership``, asked of the backend now."""
        if registration is None or not self._takes_part(registration) or self._driver is None:
            raise LeadershipLostError("the component does not take part in leader election")
        if session_id != self._issued or not self._driver.has_leadership(session_id):
            raise LeadershipLostError(
                f"component {registration.component_id!r} does not lead under {session_id} any more"
            )
        return self._driver, registration

    def _takes_part(self, registration: _Registration) -> bool:
        with self._lock:
            return self._registrations.get(registration.component_id) is registration

    def _listener_of_driver(self) -> _DriverListener:
        assert self._listener is not None
        return self._listener

    def _guarded(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - contenders and drivers may raise anything
            self.on_error(error)

    def _wanted_information(self, component_id: str) -> Wanted | None:
        """What is to be published about a component now; on the correction thread."""
        with self._lock:
            driver, session_id = self._driver, self._issued
            registration = self._registrations.get(component_id)
            if driver is None or session_id is None:
                return None
            return driver, session_id, registration.information if registration else None


class _DriverListener:
    """What one driver talks to. Outdated as soon as its driver was closed."""

    def __init__(self, service: DefaultLeaderElectionService) -> None:
        self._service = service

    def on_grant_leadership(self, session_id: LeaderSessionID) -> None:
        self._service.enqueue(self, lambda: self._service.grant(session_id))

    def on_revoke_leadership(self) -> None:
        self._service.enqueue(self, self._service.revoke)

    def on_leader_information_change(
        self, component_id: str, information: LeaderInformation | None
    ) -> None:
        self._service.information_changed(component_id, information)

    def on_leader_information_register(self, register: LeaderInformationRegister) -> None:
        self._service.register_changed(register)

    def on_error(self, error: Exception) -> None:
        self._service.enqueue(self, lambda: self._service.on_error(error))

    def on_ticket_change(self, ticket: dict[str, str]) -> None:
        self._service.enqueue(self, lambda: self._service.ticket_changed(ticket))


class _DefaultLeaderElection:
    """One component's part in the election."""

    def __init__(self, service: DefaultLeaderElectionService, component_id: str) -> None:
        self._service = service
        self._component_id = component_id
        self._registration: _Registration | None = None

    def start(self, contender: LeaderContender) -> None:
        if self._registration is not None:
            raise LeaderElectionError(f"component {self._component_id!r} takes part already")
        # Known before it takes part: it may be granted, and confirm, before this returns.
        registration = self._registration = _Registration(self._component_id, contender)
        try:
            self._service.register(registration)
        except BaseException:
            self._registration = None
            raise

    def confirm_leadership(self, session_id: LeaderSessionID, address: str) -> Future[None]:
        return self._service.confirm(self._registration, session_id, address)

    def run_if_leader(self, session_id: LeaderSessionID, action: Callable[[], T]) -> Future[T]:
        return self._service.run_if_leader(self._registration, session_id, action)

    def close(self) -> None:
        registration, self._registration = self._registration, None
        if registration is not None:
            self._service.deregister(registration)
