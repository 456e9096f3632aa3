"""Faults between processes and their HA store, as verbs of the lab."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hawork.core.configuration import Configuration
from hawork.core.errors import LabError
from hawork.core.events import Event, EventKind, EventLog

if TYPE_CHECKING:
    from hawork.lab.leadership import Leadership
    from hawork.lab.processes import LabProcesses
    from hawork.lab.stores.store import LabStore
    from hawork.story.event_reader import EventReader


class StoreFaults:
    """What ``LabCluster`` can do to a store that is a server."""

    config: Configuration
    _store: LabStore
    _events: EventLog
    _reader: EventReader
    _leadership: Leadership

    def expire_session(self, target: str = "leader") -> Event:
        """Close a JobManager's session with the store, as a timeout there would.

        >>> lab.expire_session("leader")                                   # doctest: +SKIP
        """
        if self._store.no_sessions:
            raise LabError(self._store.no_sessions)
        name = self._process(target)
        sessions = [session for session, owner in self._sessions().items() if owner == name]
        if not sessions:
            raise LabError(f"{name} has no session with the store: choose a JobManager")
        event = self._fault("expire_session", name)
        self._store.expire_session(self.config, sessions[-1])
        return event

    def partition(self, target: str = "leader", how: str = "cut") -> Event:
        """Cut a JobManager off from the store, and from nothing else, until ``heal``.

        ``how``: ``cut`` breaks its connections, ``blackhole`` swallows everything,
        ``to_store`` and ``from_store`` swallow one direction; ``delay`` passes everything on,
        but late.

        >>> lab.partition("leader", how="blackhole")                       # doctest: +SKIP
        """
        name = self._process(target)
        cut_off = self._store.partition(name, how)
        event = self._fault("partition", name, how=how)
        cut_off()
        return event

    def store_outage(self, server: str | None = None, how: str = "pause") -> Event:
        """Pause or ``kill`` the store's servers until ``heal``: all, or one by its name.

        ZooKeeper's servers are ``zk-1``, ``zk-2``, ... and ``"leader"``, whichever that is;
        Kubernetes' are ``api`` and ``etcd``.

        >>> lab.store_outage("leader", how="kill")                         # doctest: +SKIP
        """
        self._started()
        stop = self._store.outage(server, how)
        event = self._fault("store_outage", "store", how=how, server=server or "all")
        stop()
        return event

    def heal(self) -> Event:
        """End all partitions and outages.

        >>> lab.heal()                                                     # doctest: +SKIP
        """
        self._started()
        heal = self._store.heal()
        event = self._fault("heal", "store")
        heal()
        return event

    def _sessions(self) -> dict[str, str]:
        """Every session with the store so far, in their order, and the process that had it."""
        return {
            str(event.facts["session"]): event.process
            for event in self._reader.events()
            if event.kind == EventKind.STORE_CONNECTION and event.facts.get("session")
        }

    def _owners(self) -> dict[str, str]:
        """Processes by what stands for them in a store: a session, or a leadership's id."""
        leaderships = {
            str(event.session_id): event.process
            for event in self._reader.events()
            if event.kind == EventKind.LEADERSHIP_GRANTED
        }
        holders = {
            str(event.facts["holder"]): event.process
            for event in self._reader.events()
            if event.kind == EventKind.STORE_CONNECTION and event.facts.get("holder")
        }
        return {**leaderships, **holders, **self._sessions()}

    def _process(self, target: str) -> str:
        """The process that is meant; ``LabError`` when there is none, or no lab is running."""
        processes, name = self._started(), self._leadership.resolve(target)
        processes.state(name)
        return name

    def _started(self) -> LabProcesses:
        raise NotImplementedError

    def _fault(self, verb: str, target: str, **facts: str) -> Event:
        self._events.emit(EventKind.FAULT, verb=verb, target=target, **facts)
        return self._events.recent()[-1]
