"""Looks over the shoulder of a simulated process: who is granted, and under whom it writes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from hawork.core.types import (
    LeaderInformation,
    LeaderInformationRegister,
    LeaderSessionID,
    Versioned,
)
from hawork.ha.backend import Backend, Fullness
from hawork.ha.leader_election import LeaderElectionDriver, LeaderElectionListener
from hawork.ha.leader_retrieval import LeaderRetrievalDriver, LeaderRetrievalObserver
from hawork.ha.pointer_store import Namespace, PointerStore
from hawork.simulation.scheduler import SimulatedProcess
from hawork.simulation.world import World

T = TypeVar("T")

_NOTICES = 0.5
"""Seconds after another one's grant, or after it stood still, in which a leader stops to act."""


@dataclass
class Grants:
    """Every grant of the cluster, and who may believe in one now."""

    world: World
    sessions: dict[LeaderSessionID, str] = field(default_factory=dict)
    believers: list[tuple[SimulatedProcess, LeaderElectionDriver, LeaderSessionID]] = field(
        default_factory=list
    )

    def granted(
        self, process: SimulatedProcess, driver: LeaderElectionDriver, session_id: LeaderSessionID
    ) -> None:
        if session_id in self.sessions:
            self.world.violated(
                f"session {session_id} was granted to {process.name}, and before to "
                f"{self.sessions[session_id]}"
            )
        self.sessions[session_id] = process.name
        self.world.was_granted(str(session_id))
        kept = []
        for other in self.believers:
            holder, its_driver, its_session = other
            # One that stands still may believe: it cannot look at its clock.
            if holder.dead or holder is process:
                continue
            if not holder.frozen and its_driver.has_leadership(its_session):
                self.world.violated(
                    f"{process.name} was granted {session_id} while {holder.name} believed to "
                    f"lead under {its_session}"
                )
            kept.append(other)
            self.world.scheduler.at(_NOTICES, functools.partial(self.look, holder))
        self.believers = [*kept, (process, driver, session_id)]

    def resumed(self, process: SimulatedProcess) -> None:
        """It stood still, and goes on: another one may lead since."""
        self.world.scheduler.at(_NOTICES, functools.partial(self.look, process))

    def look(self, process: SimulatedProcess) -> None:
        """A process that runs acts as the leader only while its grant is the newest one.

        It may write nothing, so that no store tells: it deploys tasks, and answers clients.
        """
        world = self.world
        host = world.hosts.get(process)
        if host is None or process.dead or process.frozen:
            return
        if world.scheduler.now < process.frozen_until + _NOTICES - 1e-9:
            return  # it has just woken up
        dispatcher = host.leading()
        if dispatcher is not None and str(dispatcher.term.session_id) != world.granted[-1]:
            world.violated(
                f"{process.name} acts as the leader {dispatcher.term.session_id} although "
                f"{world.granted[-1]} was granted"
            )


class AuditedBackend:
    """A ``Backend`` around the real one."""

    def __init__(self, inner: Backend, world: World, grants: Grants) -> None:
        self._inner = inner
        self._world = world
        self._grants = grants
        current = world.scheduler.current
        assert current is not None
        self._process = current.process
        if hasattr(inner, "entries_of"):  # it is a ``ReadsTogether``
            self.entries_of = inner.entries_of

    def election_driver(self, listener: LeaderElectionListener) -> LeaderElectionDriver:
        audited = _Listener(listener, self._process, self._grants)
        audited.driver = driver = _Driver(self._inner.election_driver(audited), self._world)
        for session_id in audited.early:
            self._grants.granted(self._process, driver, session_id)
        return driver

    def retrieval_driver(
        self, component_id: str, observer: LeaderRetrievalObserver
    ) -> LeaderRetrievalDriver:
        return self._inner.retrieval_driver(component_id, observer)

    def pointers(self, namespace: Namespace) -> PointerStore:
        return _Pointers(self._inner.pointers(namespace), self._world)

    def drop(self, namespace: Namespace | None, session_id: LeaderSessionID | None) -> None:
        _under(self._world, session_id, lambda: self._inner.drop(namespace, session_id))

    def fullest(self) -> Fullness:
        return self._inner.fullest()

    def close(self) -> None:
        self._inner.close()


def _under(world: World, session_id: LeaderSessionID | None, write: Callable[[], T]) -> T:
    current = world.scheduler.current
    if current is None or session_id is None:
        return write()
    current.writing = current.led = str(session_id)
    current.asked = False
    try:
        result = write()
    finally:
        current.writing = None
    current.asked = True
    return result


class _Listener:
    def __init__(
        self, inner: LeaderElectionListener, process: SimulatedProcess, grants: Grants
    ) -> None:
        self._inner = inner
        self._process = process
        self._grants = grants
        self.driver: LeaderElectionDriver | None = None
        self.early: list[LeaderSessionID] = []

    def on_grant_leadership(self, session_id: LeaderSessionID) -> None:
        if self.driver is None:
            self.early.append(session_id)
        else:
            self._grants.granted(self._process, self.driver, session_id)
        self._inner.on_grant_leadership(session_id)

    def on_revoke_leadership(self) -> None:
        self._inner.on_revoke_leadership()

    def on_leader_information_change(
        self, component_id: str, information: LeaderInformation | None
    ) -> None:
        self._inner.on_leader_information_change(component_id, information)

    def on_leader_information_register(self, register: LeaderInformationRegister) -> None:
        self._inner.on_leader_information_register(register)

    def on_error(self, error: Exception) -> None:
        self._inner.on_error(error)

    def on_ticket_change(self, ticket: dict[str, str]) -> None:
        self._inner.on_ticket_change(ticket)  # type: ignore[attr-defined]


class _Driver:
    def __init__(self, inner: LeaderElectionDriver, world: World) -> None:
        self._inner = inner
        self._world = world
        self.has_leadership = inner.has_leadership
        self.ticket = inner.ticket
        self.close = inner.close

    def publish_leader_information(self, component_id: str, information: LeaderInformation) -> None:
        _under(
            self._world,
            information.session_id,
            lambda: self._inner.publish_leader_information(component_id, information),
        )

    def delete_leader_information(self, component_id: str, session_id: LeaderSessionID) -> None:
        _under(
            self._world,
            session_id,
            lambda: self._inner.delete_leader_information(component_id, session_id),
        )


class _Pointers:
    def __init__(self, inner: PointerStore, world: World) -> None:
        self._inner = inner
        self._world = world
        self.read: Callable[[str], Versioned[bytes] | None] = inner.read
        self.entries: Callable[[], Sequence[tuple[str, Versioned[bytes]]]] = inner.entries

    def create(
        self, name: str, value: bytes, session_id: LeaderSessionID, older: Sequence[str] = ()
    ) -> bool:
        return _under(
            self._world, session_id, lambda: self._inner.create(name, value, session_id, older)
        )

    def replace(self, name: str, version: int, value: bytes, session_id: LeaderSessionID) -> None:
        _under(
            self._world, session_id, lambda: self._inner.replace(name, version, value, session_id)
        )

    def delete(self, name: str, session_id: LeaderSessionID) -> bool:
        return _under(self._world, session_id, lambda: self._inner.delete(name, session_id))
