"""What a nemesis must be able to do to a cluster, and what it sees of it from outside."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import psutil

from hawork.core.configuration import Configuration
from hawork.core.errors import HaworkError
from hawork.core.types import ProcessEnd, ProcessState
from hawork.servers.kubernetes.control_plane import ControlPlane


class LoadJob(Protocol):
    """A job of the load."""

    @property
    def job_id(self) -> str: ...

    @property
    def accepted(self) -> bool | None: ...

    @property
    def details(self) -> Any: ...


class Breakable(Protocol):
    """A cluster of this machine: the verbs of ``lab/faults.py``, and a client's view."""

    config: Configuration

    @property
    def absent(self) -> Mapping[str, str]:
        """The verbs that this kind of cluster does not have, and why."""

    @property
    def processes(self) -> dict[str, ProcessState]: ...

    @property
    def ends(self) -> list[ProcessEnd]: ...

    @property
    def client(self) -> Any: ...

    @property
    def directory(self) -> Path: ...

    def storage_directory(self) -> Path: ...

    def last_words(self, process: str) -> str: ...

    def kill(self, target: str = ...) -> Any: ...

    def terminate(self, target: str = ...) -> Any: ...

    def restart(self, target: str) -> Any: ...

    def pause(self, target: str = ...) -> Any: ...

    def resume(self, target: str) -> Any: ...

    def refuse(self, target: str = ..., what: str = ...) -> Any: ...

    def allow(self, target: str) -> Any: ...

    def delete_file(self, path: str) -> Any: ...

    def damage_file(self, path: str) -> Any: ...

    def lock_file(self, path: str) -> Any: ...

    def put_back(self, path: str) -> Any: ...

    def has_own_disk(self, disk: str = ...) -> bool:
        """Whether a disk is a small file system of its own, which may be filled."""

    def fill_disk(self, disk: str = ...) -> Any: ...

    def free_disk(self, disk: str = ...) -> Any: ...

    def expire_session(self, target: str = ...) -> Any: ...

    def partition(self, target: str = ..., how: str = ...) -> Any: ...

    def store_outage(self, server: str | None = ..., how: str = ...) -> Any: ...

    def heal(self) -> Any: ...

    def revoke_right(self, target: str = ..., verb: str = ...) -> Any: ...

    def grant_right(self, target: str, verb: str = ...) -> Any: ...

    def outdate_watches(self) -> Any: ...


@runtime_checkable
class OwnProcesses(Protocol):
    """The verbs upon hawork's own processes, which those of real Flink do not have."""

    def block(self, target: str = ...) -> Any: ...

    def kill_task(self, target: str) -> Any: ...

    def clear_scratch(self, target: str) -> Any: ...

    def move_clock(self, target: str = ..., wall: float = ..., slept: float = ...) -> Any: ...


class Store(Protocol):
    """The HA store of such a cluster, as far as its history and its faults need it."""

    no_sessions: str
    own: bool

    @property
    def control_plane(self) -> ControlPlane: ...

    def server_data(self) -> Sequence[Path]:
        """Where ZooKeeper servers of the cluster's own keep their transactions."""


class Sight:
    """Who leads, by the port that a process listens on: not by what the process says of itself."""

    def __init__(self, cluster: Breakable) -> None:
        self._cluster = cluster
        self._listeners: dict[int, tuple[int, str]] = {}
        self.addresses: set[tuple[str, int]] = set()
        """Every address that was published as a leader's."""

    def leader(self) -> str | None:
        """The process whose address is published now."""
        information = self._cluster.client.current_leader()
        if information is None:
            return None
        parsed = urllib.parse.urlsplit(information.address)
        if parsed.port is None:
            return None
        self.addresses.add((parsed.hostname or "", parsed.port))
        states = self._cluster.processes
        known = self._listeners.get(parsed.port)
        if known is not None and known[1] in states and states[known[1]].pid == known[0]:
            return known[1]
        for name, state in states.items():
            if name.startswith("jm") and state.alive and parsed.port in _ports(state.pid):
                self._listeners[parsed.port] = (state.pid, name)
                return name
        return None

    def answers(self) -> str | None:
        """The leader, if it answers as one at the address that is published."""
        before = self._cluster.client.current_leader()
        if before is None:
            return None
        try:
            self._cluster.client.overview()
        except HaworkError:
            return None
        return self.leader() if self._cluster.client.current_leader() == before else None


def has_begun(pid: int) -> bool:
    """Whether a process has come as far as to listen, or to connect: it is not just starting."""
    return bool(_connections(pid))


def _ports(pid: int) -> set[int]:
    return {each.laddr.port for each in _connections(pid) if each.status == psutil.CONN_LISTEN}


def _connections(pid: int) -> list[Any]:
    try:
        return list(psutil.Process(pid).net_connections(kind="tcp"))
    except (psutil.Error, AttributeError):
        return []
