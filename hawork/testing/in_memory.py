"""An HA store and a storageDir in memory, shared by several "processes" of one test."""

from __future__ import annotations

import sys
import threading
import uuid
from collections.abc import Callable, Sequence

from hawork.core.errors import (
    AlreadyExistsError,
    ConfigurationError,
    CorruptStateError,
    HighAvailabilityError,
    LeadershipLostError,
    NotExistError,
    StoreUnavailableError,
    VersionMismatchError,
)
from hawork.core.types import LeaderInformation, LeaderSessionID, Versioned
from hawork.ha.backend import Fullness
from hawork.ha.leader_election import LeaderElectionListener
from hawork.ha.leader_retrieval import LeaderRetrievalObserver
from hawork.ha.pointer_store import Namespace
from hawork.ha.serial_executor import SerialExecutor
from hawork.ha.state_storage import checked_path

_Key = tuple[str, str]


class InMemoryCluster:
    """What the backends of one cluster share. ``backend()`` stands for one process each.

    Contenders lead in the order in which they came. ``expire_leadership`` takes leadership
    away as a session timeout does; while ``available`` is false nothing can be reached.
    """

    def __init__(self) -> None:
        self.available = True
        self._lock = threading.RLock()
        self._contenders: list[_ElectionDriver] = []
        self._leader: tuple[_ElectionDriver, LeaderSessionID] | None = None
        self._information: dict[str, LeaderInformation] = {}
        self._observers: list[_RetrievalDriver] = []
        self._entries: dict[Namespace, dict[str, Versioned[bytes]]] = {}
        self._version = 0
        # One thread tells everybody, so that everybody hears things in the order they happened.
        self._messenger = SerialExecutor("in-memory-cluster")

    def backend(self) -> InMemoryBackend:
        return InMemoryBackend(self)

    @property
    def leader_session_id(self) -> LeaderSessionID | None:
        with self._lock:
            return self._leader[1] if self._leader else None

    def expire_leadership(self) -> None:
        """The leader loses its leadership and goes to the end of the line."""
        with self._lock:
            if self._leader is not None:
                driver, _ = self._leader
                self._contenders.remove(driver)
                self._contenders.append(driver)
                self._take_away()
                self._elect()

    def lead(self) -> LeaderSessionID:
        """A new leadership without any contender, for tests of stores only."""
        with self._lock:
            self._take_away()
            session_id = uuid.uuid4()
            self._leader = (_ElectionDriver(self, None), session_id)
            return session_id

    def close(self) -> None:
        self._messenger.close()

    # --- with the lock held by the caller ------------------------------------------------

    def _take_away(self) -> None:
        if self._leader is not None:
            listener = self._leader[0].listener
            self._leader = None
            if listener is not None:
                self._messenger.submit(listener.on_revoke_leadership)
            self._tell_observers()

    def _elect(self) -> None:
        if self._leader is None and self._contenders:
            driver, session_id = self._contenders[0], uuid.uuid4()
            self._leader = driver, session_id
            if driver.listener is not None:
                listener = driver.listener
                self._messenger.submit(lambda: listener.on_grant_leadership(session_id))
            self._tell_observers()

    def _tell_observers(self) -> None:
        for driver in self._observers:
            self._messenger.submit(driver.tell)

    def _visible(self, component_id: str) -> LeaderInformation | None:
        found = self._information.get(component_id)
        leading = self._leader[1] if self._leader else None
        return found if found is not None and found.session_id == leading else None

    def _reach(self) -> None:
        if not self.available:
            raise StoreUnavailableError("the in-memory store is switched off: switch it on again")

    def _fence(self, session_id: LeaderSessionID) -> None:
        self._reach()
        if session_id != self.leader_session_id:
            raise LeadershipLostError(f"{session_id} does not lead: the write was refused")

    def _next_version(self) -> int:
        self._version += 1
        return self._version


class InMemoryBackend:
    """One process's view of an ``InMemoryCluster``; a ``Backend``."""

    def __init__(self, cluster: InMemoryCluster) -> None:
        self._cluster = cluster

    def election_driver(self, listener: LeaderElectionListener) -> _ElectionDriver:
        cluster = self._cluster
        driver = _ElectionDriver(cluster, listener)
        with cluster._lock:
            cluster._reach()
            cluster._contenders.append(driver)
            cluster._elect()
        return driver

    def retrieval_driver(
        self, component_id: str, observer: LeaderRetrievalObserver
    ) -> _RetrievalDriver:
        cluster = self._cluster
        driver = _RetrievalDriver(cluster, component_id, observer)
        with cluster._lock:
            cluster._observers.append(driver)
            cluster._messenger.submit(driver.tell)
        return driver

    def pointers(self, namespace: Namespace) -> _Pointers:
        return _Pointers(self._cluster, namespace)

    def drop(self, namespace: Namespace | None, session_id: LeaderSessionID | None) -> None:
        cluster = self._cluster
        with cluster._lock:
            if namespace is None:
                cluster._reach()
                cluster._entries.clear()
                cluster._information.clear()
                return
            if session_id is None:
                raise HighAvailabilityError("a namespace is dropped under a leadership only")
            cluster._fence(session_id)
            cluster._entries.pop(namespace, None)

    def fullest(self) -> Fullness:
        with self._cluster._lock:
            self._cluster._reach()
            entries = self._cluster._entries.values()
            size = sum(len(entry.value) for each in entries for entry in each.values())
        return Fullness("memory", size, sys.maxsize)

    def close(self) -> None:
        """Nothing is held."""


class _ElectionDriver:
    def __init__(self, cluster: InMemoryCluster, listener: LeaderElectionListener | None) -> None:
        self.listener = listener
        self._cluster = cluster

    def has_leadership(self, session_id: LeaderSessionID) -> bool:
        with self._cluster._lock:
            return self._cluster._leader == (self, session_id)

    def publish_leader_information(self, component_id: str, information: LeaderInformation) -> None:
        with self._cluster._lock:
            self._cluster._fence(information.session_id)
            self._cluster._information[component_id] = information
            self._cluster._tell_observers()

    def delete_leader_information(self, component_id: str, session_id: LeaderSessionID) -> None:
        with self._cluster._lock:
            self._cluster._fence(session_id)
            found = self._cluster._information.get(component_id)
            if found is not None and found.session_id == session_id:
                del self._cluster._information[component_id]
                self._cluster._tell_observers()

    def ticket(self) -> dict[str, str]:
        return {"type": "in-memory"}

    def close(self) -> None:
        with self._cluster._lock:
            self.listener = None
            if self in self._cluster._contenders:
                self._cluster._contenders.remove(self)
            if self._cluster._leader is not None and self._cluster._leader[0] is self:
                self._cluster._take_away()
                self._cluster._elect()


class _RetrievalDriver:
    def __init__(
        self, cluster: InMemoryCluster, component_id: str, observer: LeaderRetrievalObserver
    ) -> None:
        self._cluster = cluster
        self._component_id = component_id
        self._observer = observer

    def hindrance(self) -> str | None:
        """Nothing is hidden here."""
        return None

    def tell(self) -> None:
        with self._cluster._lock:
            found = self._cluster._visible(self._component_id)
            watching = self in self._cluster._observers
        if watching:
            self._observer.on_leader_information(found)

    def close(self) -> None:
        with self._cluster._lock:
            if self in self._cluster._observers:
                self._cluster._observers.remove(self)


class _Pointers:
    def __init__(self, cluster: InMemoryCluster, namespace: Namespace) -> None:
        self._cluster = cluster
        self._namespace = namespace

    def create(
        self, name: str, value: bytes, session_id: LeaderSessionID, older: Sequence[str] = ()
    ) -> bool:
        def change(entries: dict[str, Versioned[bytes]]) -> None:
            if name in entries:
                raise AlreadyExistsError(f"{self._namespace} has an entry {name} already")
            entries[name] = Versioned(value, self._cluster._next_version())
            for each in older:
                entries.pop(each, None)

        self._change(session_id, change)
        return True

    def replace(self, name: str, version: int, value: bytes, session_id: LeaderSessionID) -> None:
        def change(entries: dict[str, Versioned[bytes]]) -> None:
            if name not in entries:
                raise NotExistError(f"{self._namespace} has no entry {name}")
            if entries[name].version != version:
                raise VersionMismatchError(f"{self._namespace}/{name} was changed meanwhile")
            entries[name] = Versioned(value, self._cluster._next_version())

        self._change(session_id, change)

    def read(self, name: str) -> Versioned[bytes] | None:
        with self._cluster._lock:
            self._cluster._reach()
            return self._cluster._entries.get(self._namespace, {}).get(name)

    def entries(self) -> Sequence[tuple[str, Versioned[bytes]]]:
        with self._cluster._lock:
            self._cluster._reach()
            return sorted(self._cluster._entries.get(self._namespace, {}).items())

    def delete(self, name: str, session_id: LeaderSessionID) -> bool:
        found: list[Versioned[bytes] | None] = []
        self._change(session_id, lambda entries: found.append(entries.pop(name, None)))
        return found != [None]

    def _change(
        self, session_id: LeaderSessionID, change: Callable[[dict[str, Versioned[bytes]]], None]
    ) -> None:
        with self._cluster._lock:
            self._cluster._fence(session_id)
            change(self._cluster._entries.setdefault(self._namespace, {}))


class InMemoryStorage:
    """A ``StateStorage`` in memory; ``files`` may be looked at and damaged by tests."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def write(self, path: str, data: bytes, *, flush: bool = True, fresh: bool = False) -> None:
        self.files[checked_path(path)] = bytes(data)

    def read(self, path: str, most: int | None = None) -> bytes:
        try:
            return self.files[checked_path(path)][:most]
        except KeyError:
            pass
        if self.list(path, unfinished=True):
            raise CorruptStateError(f"file {path} is not a regular file: remove it")
        raise NotExistError(f"file {path} does not exist in storageDir")

    def delete(self, path: str) -> bool:
        if not path:
            raise ConfigurationError("the path is empty: write the name of the file to delete")
        if self.list(path, unfinished=True):
            raise CorruptStateError(f"{path} is a directory: it is kept")
        return self.files.pop(path, None) is not None

    def list(self, path: str, *, unfinished: bool = False) -> Sequence[str]:
        prefix = f"{checked_path(path)}/" if path else ""
        below = [name[len(prefix) :] for name in self.files if name.startswith(prefix)]
        names = {name.partition("/")[0] for name in below}
        return sorted(name for name in names if unfinished or not name.startswith("."))

    def rename(self, source: str, target: str) -> None:
        checked_path(target)
        self.files[target] = self.read(source)
        del self.files[source]
