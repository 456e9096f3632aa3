"""What the newest events say about each process and step: the small facts on the cards."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from hawork.core.events import Event, EventKind
from hawork.core.jobs import JobStatus
from hawork.core.types import REST_SERVER
from hawork.story.segments import MENDING
from hawork.story.stalls import Stalls
from hawork.story.terms import Terms

_NEWS = 20


@dataclass
class Reached:
    """How often a step was reached, and when and by whom the last time."""

    times: int = 0
    monotonic: float = 0.0
    process: str = ""


@dataclass
class Facts:
    """Fed with events in their order by ``see``."""

    connections: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    terms: Terms = field(default_factory=Terms)
    registered: dict[str, tuple[str, int]] = field(default_factory=dict)
    """TaskManagers: the leader that knows each, and its slots."""

    silent: dict[str, Event] = field(default_factory=dict)
    """Processes that give no answer, with the event that told it."""

    jobs: dict[str, str] = field(default_factory=dict)
    """Names of jobs by their ids."""

    woken: dict[str, float] = field(default_factory=dict)
    partitioned: set[str] = field(default_factory=set)
    outage: str | None = None
    steps: dict[str, Reached] = field(default_factory=dict)
    news: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=_NEWS))
    """Wall-clock time and a sentence, the newest last."""
    _led: set[str] = field(default_factory=set)
    _stalls: Stalls = field(default_factory=Stalls)

    def see(self, event: Event) -> None:
        self.terms.see(event)
        self._connections(event)
        self._processes(event)
        if event.kind is EventKind.STEP_REACHED and event.step:
            reached = self.steps.setdefault(event.step, Reached())
            reached.times += 1
            reached.monotonic, reached.process = event.monotonic, event.process
        if event.kind is EventKind.STEP_CONTINUED:
            self.woken[event.process] = event.monotonic
        if event.job_id and event.job_name:
            self.jobs[event.job_id] = event.job_name
        self._stalls.see(event)
        sentence = None if self._is_again(event) else tell(event, self.jobs)
        if self._stalls.is_of_the_process(event):
            sentence = f"{event.process} stood still for {event.facts.get('seconds')} s"
        elif self._stalls.is_of_the_machine(event):
            sentence = f"this machine stood still for {event.facts.get('seconds')} s"
        if sentence is not None and not self._was_paused(event):
            self.news.append((event.wall, sentence))

    def _is_again(self, event: Event) -> bool:
        """Whether it is the publication of a leader that is known: the store shows it once more."""
        if event.kind is not EventKind.LEADERSHIP_CONFIRMED:
            return False
        known = event.session_id in self._led
        if event.facts.get("component") == REST_SERVER and event.session_id:
            self._led.add(event.session_id)
        return known

    def _was_paused(self, event: Event) -> bool:
        """Whether the machine went on, and only this process had been stopped on purpose."""
        if event.kind is not EventKind.HOST_STALLED:
            return False
        began = event.monotonic - float(event.facts.get("seconds", 0.0))
        return self.woken.get(event.process, float("-inf")) > began

    def _connections(self, event: Event) -> None:
        facts = event.facts
        if event.kind is EventKind.STORE_CONNECTION:
            self.connections[event.process] = str(facts.get("state"))
        elif event.kind is EventKind.FAULT:
            verb = facts.get("verb")
            if verb == "partition":
                self.partitioned.add(str(facts.get("target")))
            elif verb == "store_outage":
                self.outage = f"{facts.get('how')} ({facts.get('server')})"
            elif verb == "resume":
                self.woken[str(facts.get("target"))] = event.monotonic
            elif verb == "heal":
                self.partitioned.clear()
                self.outage = None

    def _processes(self, event: Event) -> None:
        kind, facts, process = event.kind, event.facts, event.process
        if kind is EventKind.LEADERSHIP_CONFIRMED and facts.get("component") == REST_SERVER:
            self.addresses[process] = str(facts.get("address"))
        elif kind is EventKind.PROCESS_STARTED:
            self.connections.pop(process, None)
            self.addresses.pop(process, None)
            self.silent.pop(process, None)
        elif kind is EventKind.REST_SILENT:
            self.silent[process] = event
        elif kind is EventKind.REST_ANSWERED:
            self.silent.pop(process, None)
        elif kind is EventKind.TASKMANAGER_REGISTERED:
            self.registered[str(facts.get("taskmanager"))] = (process, int(facts.get("slots", 0)))
        elif kind is EventKind.TASKMANAGER_LOST:
            # A deposed leader that wakes up loses its TaskManagers, which have long gone over.
            name = str(facts.get("taskmanager"))
            if self.registered.get(name, ("", 0))[0] == process:
                del self.registered[name]
        elif kind is EventKind.PROCESS_EXITED:
            self.registered.pop(str(facts.get("of")), None)


def tell(event: Event, jobs: Mapping[str, str] = MappingProxyType({})) -> str | None:
    """One sentence for what a reader should hear of; ``None`` for everything else.

    ``jobs`` are their names by their ids; one without a name is told by the first digits of its id.
    """
    facts, kind = event.facts, event.kind
    if kind is EventKind.LEADERSHIP_CONFIRMED and facts.get("component") == REST_SERVER:
        return f"{event.process} became leader"
    if kind is EventKind.LEADERSHIP_REVOKED:
        return f"{event.process} lost leadership"
    if kind is EventKind.REST_SILENT:
        return f"{event.process} gives no answer: {facts.get('reason')}"
    if kind is EventKind.REST_ANSWERED:
        return f"{event.process} answers again"
    if kind is EventKind.ELECTION_SEEN and facts.get("missing"):
        return str(facts["missing"])
    if kind is EventKind.JOB_RESTORED and facts.get("checkpoint_id") is not None:
        return f"{_job(event, jobs)} is restored from checkpoint {facts['checkpoint_id']}"
    if kind is EventKind.WATCH_STARTED:
        return f"watched again, after {facts.get('away')} s"
    if kind is EventKind.PROCESS_EXITED:
        return f"{facts.get('of')} ended"
    if kind is EventKind.PROCESS_HUNG:
        return f"watchdog: the {facts.get('silent')} of {facts.get('of')} did not answer"
    if kind is EventKind.FAULT:
        verb = facts.get("verb")
        if verb == "restart":  # a fault of a process that runs, and the end of one of a dead one
            return f"{facts.get('target')} is started again"
        return f"{'mended' if verb in MENDING else 'fault'}: {verb} {facts.get('target')}"
    if kind is EventKind.STEP_ARMED:
        return f"{event.process} reached {event.step}: {facts.get('action')}"
    if kind is EventKind.HOST_STALLED:
        who = f"{event.process}, or this whole machine,"  # one that waits tells nothing meanwhile
        return f"{who} stood still for {facts.get('seconds')} s"
    if kind is EventKind.JOB_STATUS and facts.get("status") in _ENDED:
        return f"{_job(event, jobs)} is {facts.get('status')}"
    return None


def _job(event: Event, jobs: Mapping[str, str]) -> str:
    known = event.job_id or ""
    return f"job {jobs[known] if known in jobs else known[:8] + '…'}"


_ENDED = {status.value for status in JobStatus if status.globally_terminal}
