"""Watching a Flink cluster from outside: leader retrieval, REST, and the logs of its processes.

What is seen becomes events of the same kinds as hawork's own processes write.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hawork
from hawork.backends.registry import release_leadership
from hawork.client.tls import SYSTEM_TRUST, RestTrust
from hawork.core import options
from hawork.core.addresses import host_and_port, in_brackets, rest_address
from hawork.core.configuration import Configuration
from hawork.core.connection import ConnectionState
from hawork.core.errors import (
    ConfigurationError,
    HaworkError,
    NotAllowedError,
    RestError,
    StoreUnavailableError,
)
from hawork.core.events import Event, EventKind, EventSink, NullEventSink
from hawork.core.types import (
    DISPATCHER,
    NO_LEADERSHIP,
    RESOURCE_MANAGER,
    REST_SERVER,
    LeaderInformation,
)
from hawork.inspect.election import Election, election_reader
from hawork.lab.flink import foreign
from hawork.lab.flink.endpoints import Endpoints
from hawork.lab.flink.events import WrittenEvents
from hawork.lab.flink.foreign import ForeignProcesses
from hawork.lab.flink.log import LogReader
from hawork.lab.flink.rest_watch import RestWatch
from hawork.lab.processes import JOB_MANAGER, LabProcesses
from hawork.servers.zookeeper.sessions import session_ticket
from hawork.story.beliefs import CLIENT
from hawork.story.job_manager_log import JobManagerLog, aligned

COMPONENTS = (REST_SERVER, RESOURCE_MANAGER, DISPATCHER)
_STRANGE = (KeyError, TypeError, ValueError, AttributeError)
"""What an answer of another shape than Flink's raises."""
_JOIN_SECONDS = 5.0
_LOG_SECONDS = 0.05
_REST_SECONDS = 0.25
_LONGEST_PAUSE = 5.0
_ELECTION_SECONDS = 2.0
_OPEN_SECONDS = 0.5
"""A connection to a store that answers is open by then; another goes on in the background."""
_RIGHTS_SECONDS = 5.0
"""Between two tries of one whom the store does not let in."""
_FLINKS_PORT = 8081
"""Flink's default of ``rest.port`` (``RestOptions``); hawork's own is any that is free."""
_UNKNOWN_SECONDS = 2.0
"""How long the log may lag behind the published address before the address names the process."""


class FlinkWatch:
    """Watches from ``start`` to ``close`` and writes events; asks for nothing but reads.

    ``logs`` gives the log of each process of a lab. Without it they are not
    ours: a JobManager is called by the host and port of its REST endpoint, and begins when it is
    first seen. ``address`` is a REST endpoint to ask when there is no ``config``. ``own``
    hears of our own connection to the store, and of each leader that is found. ``beside`` are logs
    of a cluster that is not ours, laid on the axis of the events that are ``known`` so far.
    ``patient``: rights and credentials that are missing are waited for, as a store that is away is.
    """

    def __init__(
        self,
        config: Configuration | None,
        events: WrittenEvents,
        logs: Callable[[], Mapping[str, Path]] | None = None,
        address: str | None = None,
        own: EventSink | None = None,
        trust: RestTrust = SYSTEM_TRUST,
        beside: Sequence[JobManagerLog] = (),
        known: Callable[[], Iterable[Event]] = tuple,
        since: float | None = None,
        patient: bool = False,
    ) -> None:
        self._config = config
        self._patient = patient
        self._events = events
        self.endpoints = Endpoints(events if logs is None else None)
        """When each JobManager that was asked has answered last."""
        self._foreign = None
        if logs is None:
            self._foreign = ForeignProcesses(events, self.endpoints, trust)
        self._beside, self._known = beside, known
        self._own = OwnConnection(own or NullEventSink())
        self._turns, self._turns_broken = Turns(), 0
        self._logs = logs or dict
        self._readers: dict[str, LogReader] = {}
        self._processes: dict[str, str] = {}  # by leader session id
        self._tickets: dict[str, dict[str, str]] = {}  # of each process, the newest
        self.leader: LeaderInformation | None = None
        """Who leads the REST endpoint, as leader retrieval sees it now."""
        if address is not None:
            self.leader = LeaderInformation(NO_LEADERSHIP, address)
        self._named = _named_endpoint(config if logs is None else None)
        self._hindrance = self._found_hindrance = ""
        self._retrieval: Any = None
        self.looked = threading.Event()
        """Set once leader retrieval has told something."""
        self.election: Election | None = None
        """Who stands for the leadership, of a cluster that is not ours; ``None``: not told yet."""
        self.published: LeaderInformation | None = None
        """The same, but only after the event that tells of it."""
        self._unnamed: list[_Publication] = []
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._woken = threading.Event()
        self._turn = threading.Event()  # to ask the leader
        self.rest = RestWatch(events, self.endpoints, self._foreign, trust, since)
        self._threads = [
            threading.Thread(target=self._follow, name="flink-logs", daemon=True),
            threading.Thread(target=self._poll, name="flink-rest", daemon=True),
        ]
        if self._foreign is not None:
            for name, target in (("flink-knock", self._knock), ("flink-election", self._elect)):
                self._threads.append(threading.Thread(target=target, name=name, daemon=True))
        self._ha: Any = None
        self.store_trouble = ""
        """Why there is no connection to the store of a cluster that is not ours."""
        self.denied = False
        """Whether that is for want of rights or of credentials: it is tried again, more rarely."""
        self.refused: ConfigurationError | None = None
        """The same, where it will never be any better."""
        self._settled = threading.Event()  # it is open, or will never be
        self.supervised: LabProcesses | None = None
        """Processes whose leadership is given up, in their name, when they died."""
        self._released: set[int] = set()

    def start(self) -> FlinkWatch:
        if self._config is not None and self._foreign is None:
            self._open(self._config)
        elif self._config is not None:
            # Not waited for when the watch ends: it may wait for a store that is away.
            opener = threading.Thread(
                target=self._open_once_it_answers, args=(self._config,), name="flink-store",
                daemon=True,
            )  # fmt: skip
            opener.start()
            self._settled.wait(_OPEN_SECONDS)
            if self.refused is not None:
                raise self.refused
        for thread in self._threads:
            thread.start()
        return self

    def _open(self, config: Configuration) -> None:
        ha = hawork.open_ha_services(config, events=self._own)
        with self._lock:
            if not self._done.is_set():
                self._ha = ha
        if self._ha is None:
            ha.close()
            return
        try:
            for component in COMPONENTS:
                made = ha.leader_retrieval(
                    component, _Listener(component, self._heard, self._hindered)
                )
                if component == REST_SERVER:
                    self._retrieval = made
        except BaseException:
            ha.close()  # to be opened again
            raise

    def _open_once_it_answers(self, config: Configuration) -> None:
        while not self._done.is_set():
            try:
                self._open(config)
            except ConfigurationError as error:
                self.store_trouble = str(error)
                if self._patient and isinstance(error, NotAllowedError):
                    self.denied = True
                    self._turn.set()
                    self._done.wait(_RIGHTS_SECONDS)
                    continue
                self.refused = error
            except HaworkError as error:
                self.store_trouble = str(error)
                self._done.wait(_OPEN_SECONDS)
                continue
            else:
                self.denied = False
                if not self._hindrance:
                    self.store_trouble = ""
            self._settled.set()
            return

    def close(self) -> None:
        """Stop watching, after a last look at the logs."""
        with self._lock:
            self._done.set()
        self._woken.set()
        self._turn.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_JOIN_SECONDS)  # it may wait for an answer
        if self._ha is not None:
            self._ha.close()
            self._look_at_logs()
        self._own.mute()

    @property
    def store_usable(self) -> bool:
        """Whether our own connection to the HA store can be used."""
        return self._own.usable

    @property
    def asked(self) -> LeaderInformation | None:
        """Whom REST is asked of: the leader; where the store does not tell, as it is away or does
        not let us in, the endpoint that the configuration names."""
        return self.leader or (self._named if self.store_trouble else None)

    # --- leaders -------------------------------------------------------------------------
    def _hindered(self, component: str, error: Exception) -> None:
        """Leader retrieval goes on by itself, and tells why it cannot say who leads."""
        if component == REST_SERVER:
            self._hindrance = self.store_trouble = str(error)
            self.denied = isinstance(error, StoreUnavailableError)
            self.looked.set()
            self._turn.set()

    def _heard(self, component: str, information: LeaderInformation | None) -> None:
        if component == REST_SERVER and self._hindrance:
            self._hindrance = self.store_trouble = ""
            self.denied = False
        if component == REST_SERVER:
            self.looked.set()
            self._turn.set()
        with self._lock:
            if component == REST_SERVER:
                if self._foreign is not None:
                    self._foreign.note_leader(information, blind=not self._own.usable)
                self.leader, self.published = information, None
            if information is not None:
                self._unnamed.append(self._publication(component, information))
        self._woken.set()

    def _publication(self, component: str, information: LeaderInformation) -> _Publication:
        if self._turns_broken != self._own.broken:
            self._turns_broken = self._own.broken
            self._turns.forget()
        after = self._turns.take(component, str(information.session_id))
        return _Publication(component, information, time.time(), after)

    def _name_leaders(self) -> None:
        """A session id says whose address it is, once that process has logged its grant."""
        with self._lock:
            waiting, self._unnamed = self._unnamed, []
        for each in waiting:
            information = each.information
            name = self._name(str(information.session_id))
            if name is None and time.time() - each.wall < _UNKNOWN_SECONDS:
                with self._lock:
                    self._unnamed.append(each)
                continue
            if name is None and self._foreign is not None:
                continue  # left over from a leader before the first that was seen
            again = {} if each.again_after is None else {"again_after": each.again_after}
            self._events.write(
                EventKind.LEADERSHIP_CONFIRMED,
                name or host_and_port(information.address),
                wall=each.wall,
                session_id=str(information.session_id),
                component=each.component,
                address=information.address,
                **again,
            )
            with self._lock:
                if each.component == REST_SERVER and self.leader == information:
                    self.published = information

    def _name(self, session_id: str) -> str | None:
        if self._foreign is not None:
            return self._foreign.name_of(session_id)
        return self._processes.get(session_id)

    # --- logs ----------------------------------------------------------------------------
    def _follow(self) -> None:
        while not self._done.is_set():
            self._woken.wait(_LOG_SECONDS)
            self._woken.clear()
            self._look_at_logs()
            self._name_leaders()
            if self.supervised is not None:
                self._release_dead(self.supervised)

    def _release_dead(self, processes: LabProcesses) -> None:
        """What hawork's supervisor does for its own: give up what a dead JobManager holds."""
        for state in processes.states().values():
            ticket = self._tickets.get(state.name)
            led = state.name in processes.names(JOB_MANAGER)  # a TaskManager holds nothing
            dead = led and not state.alive and state.pid not in self._released
            if self._config is None or ticket is None or not dead:
                continue
            self._released.add(state.pid)
            with contextlib.suppress(HaworkError):  # the store is away: it times out by itself
                if release_leadership(self._config, ticket):
                    self._events.write(
                        EventKind.LEADERSHIP_RELEASED, "lab", of=state.name, pid=state.pid
                    )

    def _look_at_logs(self) -> None:
        for name, path in self._logs().items():
            reader = self._readers.setdefault(name, LogReader(path))
            for entry in reader.read_on():
                if entry.kind is EventKind.LEADERSHIP_GRANTED and entry.session_id:
                    self._processes[entry.session_id] = name
                if session := entry.facts.get("session"):
                    self._tickets[name] = session_ticket(int(session, 16))
                if holder := entry.facts.get("holder"):
                    self._tickets[name] = {"type": "kubernetes", "holder": holder}
                self._events.write(
                    entry.kind,
                    name,
                    wall=entry.wall,
                    session_id=entry.session_id,
                    job_id=entry.job_id,
                    step=entry.step,
                    **entry.facts,
                )

    # --- REST ----------------------------------------------------------------------------
    def _poll(self) -> None:
        pause = _REST_SECONDS
        while True:
            self._turn.wait(pause)
            self._turn.clear()
            if self._done.is_set():
                return
            began = time.monotonic()
            leader = self.asked
            if leader is None:
                continue
            session_id = str(leader.session_id) if leader.session_id != NO_LEADERSHIP else None
            name = self._name(session_id or "") or host_and_port(leader.address)
            # It is dead, hung, or not ready yet; or what answers there is no Flink.
            with contextlib.suppress(RestError, *_STRANGE):
                self.rest.look(leader.address, name, session_id)
            # A leader with many jobs has others to serve for three quarters of its time.
            pause = min(max(_REST_SECONDS, 3 * (time.monotonic() - began)), _LONGEST_PAUSE)

    def _elect(self) -> None:
        """Keep ``election``; while the store does not answer it stays as it was."""
        reader = None if self._config is None else election_reader(self._config)
        if reader is None:
            return
        told: tuple[int | None, str] | None = None
        try:
            while True:
                with contextlib.suppress(HaworkError):
                    self.election = found = reader.look()
                    if told != (found.contenders, found.missing):
                        told = (found.contenders, found.missing)
                        self._events.write(
                            EventKind.ELECTION_SEEN, CLIENT, standbys=found.standbys,
                            contenders=found.contenders, missing=found.missing,
                        )  # fmt: skip
                self._look_for_hindrance()
                if self._done.wait(_ELECTION_SECONDS):
                    return
        finally:
            reader.close()

    def _look_for_hindrance(self) -> None:
        """What a closed znode lacks passes for absent: that no leader is told may be for that."""
        if self._retrieval is None or self.leader is not None:
            return
        why = self._retrieval.hindrance() or ""
        if why == self._found_hindrance:
            return
        if why or self._hindrance == self._found_hindrance:
            self._hindrance = self.store_trouble = why
        self._found_hindrance = why

    def _knock(self) -> None:
        assert self._foreign is not None
        while not self._done.wait(foreign.KNOCK_EVERY):
            self._foreign.knock()
            for log in self._beside:
                if new := log.read_on():
                    for entry in aligned(new, self._known()):
                        self._events.append(entry)


@dataclass(frozen=True, slots=True)
class _Publication:
    """An address that was found, and when; whose place it took if it was there before."""

    component: str
    information: LeaderInformation
    wall: float
    again_after: str | None


class _Listener:
    def __init__(
        self,
        component: str,
        heard: Callable[[str, LeaderInformation | None], None],
        hindered: Callable[[str, Exception], None],
    ) -> None:
        self._component = component
        self._heard, self._hindered = heard, hindered

    def notify_leader(self, information: LeaderInformation | None) -> None:
        self._heard(self._component, information)

    def handle_error(self, error: Exception) -> None:
        self._hindered(self._component, error)


def _named_endpoint(config: Configuration | None) -> LeaderInformation | None:
    """The REST endpoint that a configuration names by itself; ``None``: it leaves that out."""
    if config is None or not config.contains(options.REST_ADDRESS):
        return None
    host = in_brackets(config.get_option(options.REST_ADDRESS).strip())
    port = config.get_option(options.REST_PORT) or _FLINKS_PORT
    scheme = "https" if config.get_option(options.SSL_REST_ENABLED) else "http"
    try:
        known = rest_address(f"{scheme}://{host}:{port}")
    except RestError:
        return None
    return LeaderInformation(NO_LEADERSHIP, known.url)


class Turns:
    """Who is published for each component, one after the other, as one connection sees it."""

    def __init__(self) -> None:
        self._now: dict[str, str] = {}
        self._former: dict[str, set[str]] = {}

    def take(self, component: str, session_id: str) -> str | None:
        """Whose place a session took that had been published before; ``None``: it is new."""
        now = self._now.get(component)
        if now == session_id:
            return None
        self._now[component] = session_id
        former = self._former.setdefault(component, set())
        if now is not None:
            former.add(now)
        return now if session_id in former else None

    def forget(self) -> None:
        """Another connection may show what was published earlier: that is not a return."""
        self._now.clear()
        self._former.clear()


class OwnConnection:
    """Passes events on, and remembers whether our own connection to the store can be used."""

    def __init__(self, events: EventSink) -> None:
        self._events = events
        self.usable = True
        self.broken = 0
        """How often it could not be used."""

    def mute(self) -> None:
        """Pass nothing on any more."""
        self._events = NullEventSink()

    def emit(
        self,
        kind: EventKind,
        *,
        session_id: object = None,
        job_id: str | None = None,
        step: str | None = None,
        **facts: Any,
    ) -> None:
        if kind is EventKind.STORE_CONNECTION:
            self.usable = ConnectionState(str(facts["state"])).usable
            self.broken += not self.usable
        self._events.emit(kind, session_id=session_id, job_id=job_id, step=step, **facts)
