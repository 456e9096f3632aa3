"""What the contract suite needs to know of a backend, and what it hears from drivers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from hawork.core.types import LeaderInformation, LeaderInformationRegister, LeaderSessionID
from hawork.ha.backend import Backend
from hawork.ha.leader_election import LeaderElectionDriver
from hawork.ha.leader_retrieval import LeaderRetrievalDriver
from hawork.ha.pointer_store import Namespace, PointerStore

TIMEOUT = 60.0
"""Seconds after which something that should have happened counts as not happening."""


class BackendHarness(Protocol):
    """One cluster on one backend. Each ``backend()`` stands for another process.

    A leadership does not end here by itself, however busy the machine is.
    """

    def backend(self) -> Backend: ...

    def expire_leadership(self) -> None:
        """Take leadership away from a living leader, as a timeout in the store does."""

    def close(self) -> None: ...


class Heard:
    """Collects what was heard, in order, from any thread."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self._changed = threading.Condition()

    def add(self, kind: str, value: Any = None) -> None:
        with self._changed:
            self.calls.append((kind, value))
            self._changed.notify_all()

    def wait_until(self, predicate: Callable[[], bool], what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(predicate, TIMEOUT):
                raise AssertionError(f"{what} did not happen; heard {self.calls}")

    def of(self, *kinds: str) -> list[tuple[str, Any]]:
        with self._changed:
            return [call for call in self.calls if call[0] in kinds]


class ElectionListener(Heard):
    """A ``LeaderElectionListener`` that remembers."""

    granted_at = 0.0
    """When it was granted last, by the monotonic clock."""

    @property
    def session_id(self) -> LeaderSessionID | None:
        """Of the last grant, unless it was revoked."""
        told = self.of("grant", "revoke")
        return told[-1][1] if told else None

    def wait_for_grant(self, different_from: LeaderSessionID | None = None) -> LeaderSessionID:
        granted: list[LeaderSessionID] = []

        def leads() -> bool:
            session_id = self.session_id
            if session_id is None or session_id == different_from:
                return False
            granted.append(session_id)
            return True

        self.wait_until(leads, "a grant")
        return granted[-1]

    def wait_for_revoke(self) -> None:
        self.wait_until(lambda: bool(self.of("revoke")), "a revocation")

    def on_grant_leadership(self, session_id: LeaderSessionID) -> None:
        self.granted_at = time.monotonic()
        self.add("grant", session_id)

    def on_revoke_leadership(self) -> None:
        self.add("revoke")

    def on_leader_information_change(
        self, component_id: str, information: LeaderInformation | None
    ) -> None:
        self.add("information", (component_id, information))

    def on_leader_information_register(self, register: LeaderInformationRegister) -> None:
        self.add("register", dict(register))

    def on_error(self, error: Exception) -> None:
        self.add("error", error)


class Observer(Heard):
    """A ``LeaderRetrievalObserver`` that remembers."""

    def wait_for(self, information: LeaderInformation | None) -> None:
        self.wait_until(
            lambda: bool(self.calls) and self.calls[-1] == ("leader", information),
            f"being told {information}",
        )

    def on_leader_information(self, information: LeaderInformation | None) -> None:
        self.add("leader", information)

    def on_error(self, error: Exception) -> None:
        self.add("error", error)


@dataclass
class Contender:
    """A process that takes part in the election."""

    backend: Backend
    driver: LeaderElectionDriver
    listener: ElectionListener

    @classmethod
    def of(cls, harness: BackendHarness) -> Contender:
        backend, listener = harness.backend(), ElectionListener()
        return cls(backend, backend.election_driver(listener), listener)

    def leads(self) -> bool:
        session_id = self.listener.session_id
        return session_id is not None and self.driver.has_leadership(session_id)

    def publish(self, component_id: str, address: str) -> LeaderInformation:
        """Publish an address under the leadership it has."""
        information = LeaderInformation(self.listener.wait_for_grant(), address)
        self.driver.publish_leader_information(component_id, information)
        return information


@dataclass
class Retrieval:
    """A process that looks for the leader of a component."""

    driver: LeaderRetrievalDriver
    observer: Observer

    @classmethod
    def of(cls, harness: BackendHarness, component_id: str) -> Retrieval:
        observer = Observer()
        return cls(harness.backend().retrieval_driver(component_id, observer), observer)


@dataclass
class Leader:
    """A contender that leads, and its pointers in one namespace."""

    contender: Contender
    session_id: LeaderSessionID
    pointers: PointerStore

    @classmethod
    def of(cls, harness: BackendHarness, namespace: Namespace) -> Leader:
        contender = Contender.of(harness)
        session_id = contender.listener.wait_for_grant()
        return cls(contender, session_id, contender.backend.pointers(namespace))
