"""The Kubernetes backend's API server, and the way to it: slow, cut, or silent after the write.

hawork's own ``KubernetesClient`` speaks to it. What is simulated is its ``Transport``: a request
that lands, and of which the client hears in time, or not. Objects go over it as they are, instead
of as JSON: both sides would make the same of the text, and no object is changed.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from random import Random
from typing import Any

import urllib3

from hawork.backends.kubernetes import claims, client, settings
from hawork.backends.kubernetes.answers import OutcomeUnknownError
from hawork.backends.kubernetes.layout import CLAIMED_BY, LOCK, MADE_BY, OURS, Names
from hawork.backends.kubernetes.settings import KubernetesSettings
from hawork.core.errors import StoreUnavailableError
from hawork.simulation.event_loop import SimulatedExecutor
from hawork.simulation.primitives import Condition
from hawork.simulation.scheduler import Scheduler, SimulatedProcess
from hawork.simulation.stores.api_server import ApiServer, Event
from hawork.simulation.stores.store import Store
from hawork.simulation.world import World

_CLUSTER = "simulated"
_OPTIONS = {
    "high-availability.type": "kubernetes",
    "high-availability.kubernetes.leader-election.lease-duration": "3 s",
    "high-availability.kubernetes.leader-election.renew-deadline": "2400 ms",
    "high-availability.kubernetes.leader-election.retry-period": "800 ms",
    "kubernetes.cluster-id": _CLUSTER,
}
_SLOWNESS = (1, 1, 30, 200)
"""How many times longer than a request the changes take that a watch tells of."""
_SLOWEST = 1.5  # seconds
_WHOLE = 0.3
"""How often another hand that takes a pointer of a job takes the job's whole ConfigMap."""
_BREAKS = 0.3
"""Seconds after which a connection that breaks says so, where it does not just stay silent."""


class KubernetesStore(Store):
    """The API server of one simulated cluster."""

    options = _OPTIONS
    expected_points = 170

    def __init__(self, world: World) -> None:
        self.world = world
        self.server = ApiServer()
        self.names = Names(_CLUSTER)
        self.streams: list[Stream] = []
        self._lock_text = ""
        self._lock_record: dict[str, Any] = {}
        self._lines: list[Event] = []
        """What watches were told; a line is a number of it."""
        world.cut_off = self._cut_off

    def substitutes(self) -> dict[tuple[Any, str], Callable[..., Any]]:
        def transport(_: Scheduler, configured: KubernetesSettings) -> SimulatedTransport:
            return SimulatedTransport(self)

        return {
            (settings, "_kubeconfig"): lambda _, config: None,
            (client, "Transport"): transport,
            (client, "dumps"): lambda _, value: Written(value),
            (client, "loads"): self._read,
            (claims, "ThreadPoolExecutor"): lambda scheduler, *_, **__: SimulatedExecutor(
                scheduler
            ),
        }

    def leading(self) -> str | None:
        lock = self._lock()
        return None if lock is None else lock.get("holderIdentity") or None

    def expire(self) -> None:
        """The lock is cleared under its holder's feet."""
        lock = self._lock()
        if lock is not None:
            text = json.dumps({**lock, "holderIdentity": ""})
            body = {"metadata": {"annotations": {LOCK: text}}}
            self.server.handle("PATCH", f"/configmaps/{self.names.cluster_map}", body, "")

    def pointers_left(self) -> list[str]:
        return [
            f"{name} {key}"
            for name, found in self.server.maps.items()
            for key in found["data"] or ({"itself"} if name != self.names.cluster_map else ())
            if name != self.names.cluster_map or key.startswith(OURS)
        ]

    def take_away(self, random: Random) -> str | None:
        keys = [
            (name, key)
            for name, found in sorted(self.server.maps.items())
            for key in sorted(found["data"])
            if key.startswith(OURS)
        ]
        if not keys:
            return None
        name, key = random.choice(keys)
        path = f"/configmaps/{name}"
        if name != self.names.cluster_map and random.random() < _WHOLE:
            self.server.handle("DELETE", path, {"preconditions": {}}, "")
        else:
            self.server.handle("PATCH", path, {"data": {key: None}}, "")
        return f"{name} {key}"

    def has_late_marks(self) -> bool:
        return any(
            not found["data"] and found["metadata"]["annotations"].keys() == {MADE_BY}
            for found in self.server.maps.values()
        )

    def process_died(self, process: SimulatedProcess) -> None:
        """The server sees that the connections of its watches are closed."""
        for stream in [each for each in self.streams if each.process is process]:
            stream.close()

    def servers_restart(self) -> None:
        for stream in list(self.streams):
            stream.fail()

    def close(self) -> None:
        """Nothing is held."""

    def line_of(self, event: Event) -> bytes:
        """What a watch reads of a change. All watches are told of it one after the other."""
        lines = self._lines
        if not lines or lines[-1] is not event:
            lines.append(event)
        return b"%d\n" % (len(lines) - 1)

    def _read(self, _: Scheduler, text: Written | bytes) -> Any:
        return text.value if isinstance(text, Written) else self._lines[int(text)]

    def _lock(self) -> dict[str, Any] | None:
        found = self.server.maps.get(self.names.cluster_map)
        text = None if found is None else found["metadata"]["annotations"].get(LOCK)
        if text is None:
            return None
        if text != self._lock_text:
            self._lock_text, self._lock_record = text, json.loads(text)
        return self._lock_record

    def _cut_off(self, name: str) -> None:
        """What is on its way to the process is lost with its connections."""
        for stream in [each for each in self.streams if each.process.name == name]:
            stream.close(silently=True)


class Written:
    """What would be JSON; text and bytes in one."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def encode(self) -> Written:
        return self


class SimulatedTransport:
    """The ``Transport`` of one process."""

    server = "https://simulated"

    def __init__(self, store: KubernetesStore) -> None:
        self._store = store
        self._world = store.world

    def close(self) -> None:
        """Nothing is held."""

    def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: Written | None,
        seconds: float,
        silence: float | None = None,
    ) -> Any:
        if seconds <= 0:
            raise StoreUnavailableError(f"no time was left to ask {self.server}")
        world, scheduler = self._world, self._world.scheduler
        current = scheduler.current
        assert current is not None
        name, writer = current.process.name, current.writing
        label = f"kubernetes.{'watch' if silence is not None else _VERBS[method]}"
        fault = world.fault(label)
        parsed = None if body is None else body.value
        if world.is_cut(name):
            scheduler.park(min(seconds, _BREAKS))
            if world.random.random() < 0.5:
                raise StoreUnavailableError(f"{self.server} cannot be reached")
            raise OutcomeUnknownError(f"{self.server} did not answer")
        if fault == "refused":
            raise StoreUnavailableError(f"{self.server} cannot be reached")
        if silence is not None:
            scheduler.park(world.latency())
            return _Response(200, None, Stream(self._store, current.process, path, silence))
        arrives = world.latency() + world.delay_of(fault)
        if arrives >= seconds:
            # It lands all the same, when its sender has given up.
            scheduler.at(arrives, partial(self._late, name, writer, method, path, parsed))
            scheduler.park(seconds)
            raise OutcomeUnknownError(f"{self.server} did not answer in {seconds:g} s")
        scheduler.park(arrives)
        answer = self._land(name, writer, method, path, parsed, headers.get("Accept", ""))
        if fault == "lost":
            scheduler.park(min(seconds - arrives, _BREAKS))
            raise OutcomeUnknownError(f"{self.server} did not answer")
        if fault is not None:
            world.strike_now(fault)
        scheduler.park(min(seconds - arrives, world.latency()))
        if world.is_cut(name):
            raise OutcomeUnknownError(f"{self.server} did not answer")
        return answer

    def _late(self, name: str, writer: str | None, method: str, path: str, body: Any) -> None:
        self._land(name, writer, method, path, body, "")

    def _land(
        self, name: str, writer: str | None, method: str, path: str, body: Any, accept: str
    ) -> _Response:
        server = self._store.server
        target = path.partition("/configmaps")[2].strip("/").partition("?")[0]
        before = server.maps.get(target)
        status, found = server.handle(method, path, body, accept)
        if (
            writer is not None
            and status < 300
            and _is_fenced(method, path, body, before)
            and server.maps.get(target) is not before
        ):
            self._world.audit_granted(name, writer)
        if status < 300 and server.maps.get(target) is not before:
            self._audit_claim(name, body)
        return _Response(status, found, None)

    def _audit_claim(self, name: str, body: Any) -> None:
        """A map is claimed: never for one leadership while another one is granted and leads."""
        claimed = ((body or {}).get("metadata") or {}).get("annotations", {}).get(CLAIMED_BY)
        leader = self._store.leading()
        if claimed and leader not in (None, claimed) and leader in self._world.granted:
            self._world.violated(f"{name} claimed a map for {claimed} while {leader} led")


def _is_fenced(method: str, path: str, body: Any, before: Any) -> bool:
    """Whether it is a write that no deposed leader may make.

    Creating a job's map cannot be guarded: it is made empty and unclaimed, which gives no right to
    write (see ``claims``), and who made it in vain removes it.
    """
    if method == "GET" or "/configmaps" not in path:
        return False
    if method == "POST":
        return bool(body["data"]) or CLAIMED_BY in body["metadata"]["annotations"]
    if method == "DELETE" and before is not None:
        return bool(before["data"]) or CLAIMED_BY in before["metadata"]["annotations"]
    return True


_VERBS = {"GET": "read", "POST": "create", "PATCH": "patch", "DELETE": "delete"}


class _Response:
    """The part of urllib3's response that ``KubernetesClient`` and ``Watch`` use."""

    def __init__(self, status: int, found: Any, stream: Stream | None) -> None:
        self.status = status
        self.data = Written(found)
        self._stream = stream
        self.connection = self
        self.sock = self

    def stream(self, size: int, decode_content: bool) -> Iterator[bytes]:
        assert self._stream is not None
        return self._stream.read()

    def shutdown(self, _: int) -> None:
        """A socket's: wakes the reader."""
        if self._stream is not None:
            self._stream.close()

    def release_conn(self) -> None:
        if self._stream is not None:
            self._stream.close()


class Stream:
    """An open watch, between the server and one process."""

    def __init__(
        self, store: KubernetesStore, process: SimulatedProcess, path: str, silence: float
    ) -> None:
        self._world = store.world
        self._store = store
        self.process = process
        self._silence = silence
        self._slowness = store.world.random.choice(_SLOWNESS)
        self._changed = Condition(store.world.scheduler)
        self._arrived: deque[bytes] = deque()
        self._arrives = 0.0
        self._closed = False
        self._failed = False
        self._broken = False
        store.streams.append(self)
        self._end = store.server.watch(path, self._sent)

    def _sent(self, event: Event) -> None:
        """In order, each after the time that it takes."""
        scheduler = self._world.scheduler
        takes = min(_SLOWEST, self._world.latency() * self._slowness)
        self._arrives = max(self._arrives + 1e-6, scheduler.now + takes)
        line = self._store.line_of(event)
        scheduler.at(self._arrives - scheduler.now, lambda: self._arrive(line))

    def _arrive(self, line: bytes) -> None:
        if not self._broken and not self._world.is_cut(self.process.name):
            self._arrived.append(line)
            self._changed.notify_all()

    def read(self) -> Iterator[bytes]:
        while True:
            with self._changed:
                came = self._changed.wait_for(lambda: self._arrived or self._closed, self._silence)
            if self._arrived:
                yield self._arrived.popleft()
            elif self._failed:
                raise urllib3.exceptions.ProtocolError("the connection was reset")
            elif self._closed:
                return
            elif not came:
                raise urllib3.exceptions.ReadTimeoutError(None, "", "nothing came")  # type: ignore[arg-type]

    def fail(self) -> None:
        """End it by an error, at once."""
        self._failed = True
        self._arrived.clear()
        self.close()

    def close(self, *, silently: bool = False) -> None:
        """End it. ``silently``: the reader hears nothing of it, and nothing more."""
        self._end()
        if self in self._store.streams:
            self._store.streams.remove(self)
        if silently:
            self._broken = True
        else:
            self._closed = True
            self._changed.notify_all()
