"""The fold of a run's events into the segments, marks and takeovers of its timeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hawork.core.events import Event, EventKind
from hawork.core.types import REST_SERVER
from hawork.story.job_lanes import JobLanes, is_progress
from hawork.story.job_manager_log import is_alarming
from hawork.story.segments import (
    DOWN,
    LEADER_LANE,
    LEADING,
    MENDING,
    NOT_KNOWN,
    PAUSED,
    SILENT,
    STANDBY,
    STORE_LANE,
    TAKING_OVER,
    UP,
    Mark,
    Segment,
    Takeover,
)
from hawork.story.stalls import Stalls
from hawork.story.terms import Terms

_COST_LEADERSHIP = ("kill", "terminate", "pause", "block", "restart", "expire_session", "partition")
_SAID = 240
"""Characters of a log's line on a mark."""
_UNDONE_BY = {"resume": "pause", "heal": "partition"}


@dataclass
class _Lane:
    """What is known of a process while its events are read."""

    name: str
    role: str
    alive: bool = False
    paused: bool = False
    woken: float = float("-inf")
    silent: str | None = None
    """``SILENT`` or ``DOWN`` while it is asked and gives no answer."""
    told_by: str | None = None
    """The leader that told of a process which cannot be looked at itself."""
    known: bool = True
    leadership: str = STANDBY
    session_id: str | None = None
    since: float = 0.0
    shown: str | None = None
    shown_session: str | None = None

    @property
    def state(self) -> str:
        if not self.alive:
            return DOWN
        if self.paused:
            return PAUSED
        if self.silent is not None:
            return self.silent
        if not self.known:
            return NOT_KNOWN
        return self.leadership if self.role == "jobmanager" else UP


@dataclass(frozen=True)
class _Lost:
    """When, and by what, the leader was lost that the next one takes over from."""

    process: str
    at: float
    cause: str
    unheard: bool = False
    """Known from outside: then the same process may lead again, and take over from itself."""


class TimelineBuilder:
    """Reads events one by one; what is over is in ``segments``, what goes on is asked for.

    Events have to come in their order.
    """

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.marks: list[Mark] = []
        self.takeovers: list[Takeover] = []
        self.started: float | None = None
        self.wall = 0.0
        """The clock at ``started``, in seconds since 1970."""
        self._lanes: dict[str, _Lane] = {}
        self._logs: dict[str, None] = {}
        self._leader: tuple[str, str, float] | None = None
        self._leader_state = LEADING
        self._lost: _Lost | None = None
        self._led: set[str] = set()
        self._terms = Terms()
        self._stalls = Stalls()
        self._jobs = JobLanes(self.segments, self.marks, self._terms)
        self.renamed = self._jobs.renamed
        self._handlers: dict[EventKind, Callable[[Event, float], None]] = {
            EventKind.PROCESS_STARTED: self._on_process_started,
            EventKind.PROCESS_STOPPED: self._on_process_stopped,
            EventKind.PROCESS_EXITED: self._on_process_exited,
            EventKind.PROCESS_HUNG: self._on_process_hung,
            EventKind.FAULT: self._on_fault,
            EventKind.LEADERSHIP_GRANTED: self._on_leadership_granted,
            EventKind.LEADERSHIP_CONFIRMED: self._on_leadership_confirmed,
            EventKind.LEADERSHIP_REVOKED: self._on_leadership_revoked,
            EventKind.LEADERSHIP_RELEASED: self._on_leadership_released,
            EventKind.REST_SILENT: self._on_rest_silent,
            EventKind.REST_ANSWERED: self._on_rest_answered,
            EventKind.TASKMANAGER_REGISTERED: self._on_taskmanager_registered,
            EventKind.HOST_STALLED: self._on_host_stalled,
            EventKind.STEP_ARMED: self._on_step_armed,
            EventKind.STEP_CONTINUED: self._on_step_continued,
            EventKind.LOG_LINE: self._on_log_line,
            EventKind.WATCH_STARTED: self._on_watch_started,
            **self._jobs.handlers,
        }

    def see(self, event: Event) -> None:
        if self.started is None:
            self.started, self.wall = event.monotonic, event.wall
        self._terms.see(event)
        self._stalls.see(event)
        handler = self._handlers.get(event.kind)
        if handler is not None:
            handler(event, event.monotonic - self.started)

    def going_on(self, now: float) -> Iterator[Segment]:
        """Every state that has not ended, as if it did now."""
        for lane in self._lanes.values():
            if lane.shown is not None and now > lane.since:
                yield Segment(lane.name, lane.shown, lane.since, now, lane.shown_session)
        yield from self._jobs.going_on(now)
        if self._leader is not None:
            name, session, since = self._leader
            yield Segment(LEADER_LANE, self._leader_state, since, now, session, name)

    def lanes(self) -> tuple[str, ...]:
        """In the order of a reader: who is found, the processes, the jobs."""
        known = sorted(self._lanes.values(), key=lambda lane: (lane.role, _natural(lane.name)))
        managers = [lane.name for lane in known if lane.role == "jobmanager"]
        others = [lane.name for lane in known if lane.role != "jobmanager"]
        return (LEADER_LANE, *managers, *others, *self._jobs.lanes(), *self._logs)

    def role(self, lane: str) -> str:
        """Of what a lane is: ``jobmanager``, ``taskmanager``, ``store``, ``job``, ``leader``...

        ``progress`` is that of a job, ``log`` a JobManager's own log.
        """
        if lane in self._lanes:
            return self._lanes[lane].role
        if lane == LEADER_LANE:
            return "leader"
        if lane in self._logs:
            return "log"
        return "progress" if is_progress(lane) else "job"

    def state(self, process: str) -> tuple[str, str | None] | None:
        """What a process is, and under which session id; ``None``: never heard of it."""
        lane = self._lanes.get(process)
        return None if lane is None else (lane.state, lane.session_id)

    # --- processes ---------------------------------------------------------------------
    def _on_process_started(self, event: Event, now: float) -> None:
        role = str(event.facts.get("role", "jobmanager"))
        lane = self._lanes.setdefault(event.process, _Lane(event.process, role, since=now))
        lane.alive, lane.paused = True, False
        lane.silent, lane.known, lane.told_by = None, True, event.facts.get("told_by")
        lane.leadership, lane.session_id = STANDBY, None
        self._show(lane, now)

    def _on_process_stopped(self, event: Event, now: float) -> None:
        self._ended(event.process, now, "stopped")

    def _on_process_exited(self, event: Event, now: float) -> None:
        self._ended(str(event.facts.get("of")), now, "died")

    def _on_process_hung(self, event: Event, now: float) -> None:
        of, seconds = str(event.facts.get("of")), float(event.facts.get("seconds", 0.0))
        label = f"watchdog: its {event.facts.get('silent')} did not answer for {seconds:.1f} s"
        self.marks.append(Mark(of, "hung", now, label))
        lane = self._lanes.get(of)
        if lane is not None and lane.leadership != STANDBY and self._lost is None:
            self._lost = _Lost(of, now - seconds, "watchdog")

    def _ended(self, process: str, now: float, cause: str) -> None:
        lane = self._lanes.get(process)
        if lane is None or not lane.alive:
            return
        self._lose(lane, now, cause)
        lane.alive = lane.paused = False
        lane.silent = None
        self._show(lane, now)
        self._forget_told(process, now)

    def _on_fault(self, event: Event, now: float) -> None:
        verb, target = str(event.facts.get("verb")), str(event.facts.get("target"))
        how = " ".join(str(event.facts[fact]) for fact in ("how", "server") if fact in event.facts)
        lane = self._store_lane(event, now) if target == "store" else self._lanes.get(target)
        name = target if lane is None else lane.name
        down = lane is not None and not lane.alive
        kind = "mended" if verb in MENDING or (verb == "restart" and down) else "fault"
        self.marks.append(Mark(name, kind, now, f"{verb} ({how})" if how else verb))
        if self._is_undone_by(verb, target):
            self._lost = None  # it was not away for long enough to lose anything
        if lane is None:
            return
        if verb in ("pause", "resume"):
            lane.paused = verb == "pause"
            lane.woken = now if verb == "resume" else lane.woken
            self._show(lane, now)
        if verb in _COST_LEADERSHIP and lane.leadership != STANDBY:
            self._lost = _Lost(target, now, verb)

    def _is_undone_by(self, verb: str, target: str) -> bool:
        if self._lost is None or self._lost.cause != _UNDONE_BY.get(verb):
            return False
        process = self._lost.process
        return target == process or self._lanes[process].leadership != STANDBY

    def _store_lane(self, event: Event, now: float) -> _Lane:
        """The HA store has a lane from the first fault of its own on."""
        lane = self._lanes.setdefault(STORE_LANE, _Lane(STORE_LANE, "store", alive=True, shown=UP))
        if event.facts.get("server") == "all" or event.facts.get("verb") == "heal":
            lane.alive = event.facts.get("verb") == "heal"
            self._show(lane, now)
        return lane

    # --- leadership --------------------------------------------------------------------
    def _on_leadership_granted(self, event: Event, now: float) -> None:
        lane = self._lanes.get(event.process)
        if lane is not None:
            lane.leadership, lane.session_id = TAKING_OVER, event.session_id
            self._show(lane, now)

    def _on_leadership_confirmed(self, event: Event, now: float) -> None:
        lane = self._lanes.get(event.process)
        if lane is None or event.facts.get("component") != REST_SERVER:
            return
        lane.leadership, lane.session_id, lane.known = LEADING, event.session_id, True
        self._show(lane, now)
        session = event.session_id or ""
        if self._leader is not None and self._leader[1] == session:
            return
        lost, again = self._lost, session in self._led
        if lost is not None and not again and (lost.process != lane.name or lost.unheard):
            self.takeovers.append(Takeover(lane.name, session, lost.at, now, lost.cause))
        self._no_leader(now)
        self._led.add(session)
        if not (again and lane.silent):  # else it is published again, and as dead as before
            self._lost = None
        self._leader = (lane.name, session, now)
        self._leader_state = SILENT if lane.silent else LEADING

    def _on_leadership_revoked(self, event: Event, now: float) -> None:
        lane = self._lanes.get(event.process)
        if lane is None:
            return
        heard = event.facts.get("heard")
        if heard is not None:
            self._note_unheard(lane, now - float(heard))
        self._lose(lane, now, "revoked")
        self._show(lane, now)
        self._forget_told(lane.name, now)

    def _on_leadership_released(self, event: Event, now: float) -> None:
        of = str(event.facts.get("of"))
        self.marks.append(Mark(of, "released", now, "its leadership is given up in its name"))
        if self._leader is not None and self._leader[0] == of:
            self._no_leader(now)

    def _lose(self, lane: _Lane, now: float, cause: str) -> None:
        if self._may_lose(lane):
            self._lost = _Lost(lane.name, now, cause)
        if self._is_leader(lane) and cause != "died":
            self._no_leader(now)  # what a dead process published stays until it is released
        lane.leadership, lane.session_id = STANDBY, None

    def _note_unheard(self, lane: _Lane, moment: float) -> None:
        """A gap begins with the last answer: of what the leader did after it, nothing is known."""
        if self._may_lose(lane):
            cause = f"{lane.name} was heard last"
            self._lost = _Lost(lane.name, moment, cause, unheard=True)

    def _may_lose(self, lane: _Lane) -> bool:
        return lane.leadership != STANDBY and self._lost is None and self._is_leader(lane)

    def _is_leader(self, lane: _Lane) -> bool:
        return self._leader is not None and self._leader[0] == lane.name

    def _no_leader(self, now: float) -> None:
        if self._leader is not None:
            name, session, since = self._leader
            state = self._leader_state
            self.segments.append(Segment(LEADER_LANE, state, since, now, session, name))
            self._leader = None
        self._leader_state = LEADING

    # --- seen from outside -------------------------------------------------------------
    def _on_rest_silent(self, event: Event, now: float) -> None:
        """It gave its last answer ``heard`` seconds ago; what it told is not known since then."""
        lane = self._lanes.get(event.process)
        moment = now - float(event.facts.get("heard") or 0.0)
        if lane is not None:
            moment = max(moment, lane.since)
            lane.silent = SILENT if event.facts.get("listens", True) else DOWN
            self._note_unheard(lane, moment)
            self._show(lane, moment)
            self._publish_as(lane, SILENT, moment)
        self._forget_told(event.process, moment)

    def _on_rest_answered(self, event: Event, now: float) -> None:
        lane = self._lanes.get(event.process)
        if lane is None:
            return
        lane.silent = None
        if self._lost is not None and self._lost.unheard and self._is_leader(lane):
            self._lost = None  # the same leader goes on: there was an outage, and no takeover
        self._show(lane, now)
        self._publish_as(lane, LEADING, now)

    def _publish_as(self, lane: _Lane, state: str, moment: float) -> None:
        """The address stays published, and its leader is or is not heard of."""
        if self._leader is None or self._leader[0] != lane.name or self._leader_state == state:
            return
        name, session, since = self._leader
        moment = max(moment, since)
        state_before = self._leader_state
        self.segments.append(Segment(LEADER_LANE, state_before, since, moment, session, name))
        self._leader, self._leader_state = (name, session, moment), state

    def _on_taskmanager_registered(self, event: Event, now: float) -> None:
        lane = self._lanes.get(str(event.facts.get("taskmanager")))
        if lane is not None and lane.told_by is not None:
            lane.told_by, lane.known = event.process, True
            self._show(lane, now)

    def _forget_told(self, process: str, moment: float) -> None:
        """Jobs, and TaskManagers that are known by their leader only, of one that is not heard."""
        self._jobs.forget_told_by(process, moment)
        for lane in self._lanes.values():
            if lane.told_by == process and lane.known:
                lane.known = False
                self._show(lane, max(moment, lane.since))

    def _on_host_stalled(self, event: Event, now: float) -> None:
        seconds = float(event.facts.get("seconds", 0.0))
        lane = self._lanes.get(event.process)
        if lane is not None and (lane.paused or lane.woken > now - seconds):
            return  # it was paused on purpose: the machine went on
        if self._stalls.is_of_the_process(event):
            return
        self.marks.append(Mark(event.process, "stalled", now, f"host stalled for {seconds:g} s"))

    def _on_log_line(self, event: Event, now: float) -> None:
        lane, facts = f"log {event.process}", event.facts
        self._logs[lane] = None
        said = f"{facts.get('what')}: {facts.get('cause') or facts.get('message')}"
        if facts.get("times"):
            said = f"{facts['times']} times {said}"
        self.marks.append(Mark(lane, "alarm" if is_alarming(event) else "log", now, said[:_SAID]))

    def _on_watch_started(self, event: Event, now: float) -> None:
        """Nothing is known of the time between two watches."""
        moment = now - float(event.facts.get("away") or 0.0)
        for lane in self._lanes.values():
            if lane.alive and lane.known:
                lane.known, lane.silent = False, None
                self._show(lane, max(moment, lane.since))
        if self._leader is not None:
            self._no_leader(max(moment, self._leader[2]))
        self._jobs.forget_all(moment)
        self._lost = None

    # --- steps -------------------------------------------------------------------------
    def _on_step_armed(self, event: Event, now: float) -> None:
        action = event.facts.get("action")
        self.marks.append(Mark(event.process, "step", now, f"{action} at {event.step}"))
        lane = self._lanes.get(event.process)
        if lane is not None and action == "pause":
            lane.paused = True
            self._show(lane, now)
        if lane is not None and action in ("pause", "crash") and lane.leadership != STANDBY:
            self._lost = _Lost(event.process, now, f"{action} at {event.step}")

    def _on_step_continued(self, event: Event, now: float) -> None:
        lane = self._lanes.get(event.process)
        if lane is not None and lane.paused:
            lane.paused, lane.woken = False, now
            self._show(lane, now)

    # --- lanes -------------------------------------------------------------------------
    def _show(self, lane: _Lane, now: float) -> None:
        if (lane.state, lane.session_id) != (lane.shown, lane.shown_session):
            self._close(lane, now)
            lane.shown, lane.shown_session, lane.since = lane.state, lane.session_id, now

    def _close(self, lane: _Lane, now: float) -> None:
        if lane.shown is not None and now > lane.since:
            segment = Segment(lane.name, lane.shown, lane.since, now, lane.shown_session)
            self.segments.append(segment)


def _natural(name: str) -> tuple[str, int]:
    stem, _, number = name.rpartition("-")
    return (stem, int(number)) if number.isdigit() else (name, 0)
