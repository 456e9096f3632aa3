"""Two or three JobManagers, a TaskManager and a client, in one simulated world."""

from __future__ import annotations

import functools
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import hawork
from hawork.backends import registry
from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.core.errors import HaworkError
from hawork.core.events import EventKind, NullEventSink
from hawork.core.options import checked
from hawork.core.types import REST_SERVER, JobID, LeaderInformation
from hawork.ha import services
from hawork.simulation import job_manager, storage
from hawork.simulation.audit import AuditedBackend, Grants
from hawork.simulation.faults import WRITES, Faults
from hawork.simulation.job_manager import JobManager
from hawork.simulation.scheduler import Scheduler, SimulatedProcess
from hawork.simulation.storage import SimulatedStorage
from hawork.simulation.stores.store import Store
from hawork.simulation.task_manager import TaskManager
from hawork.simulation.world import World
from hawork.testing.in_memory import InMemoryStorage

_OPTIONS: Mapping[str, object] = {
    "high-availability.storageDir": "file:/simulated/storage",
    "heartbeat.interval": "10 s",
    "execution.checkpointing.interval": "300 ms",
    "cleanup-strategy.exponential-delay.initial-backoff": "200 ms",
    "hawork.storage.shared": "true",
    "hawork.storage.timeout": "4 s",
}
_RESTARTS = 0.3
"""In how many schedules the servers of the HA store start again, which no process is spared."""
_PROBE = ".probe-"
"""How the files begin by which hawork tries storageDir."""
_AWAKE = 0.5
"""Seconds in which a process that was stopped does what it had begun."""
_RESTART = 0.7, 5.0
"""Seconds until a dead JobManager is started again, at least: in half of the clusters soon."""
_LATER = 0.0, 3.5
"""Seconds by which the second job comes later than the first: with it, or after a takeover."""
_JOB = re.compile(r"[0-9a-f]{32}")
_ROBBED = 6.0
"""Seconds for which it is looked what becomes of the others when a pointer was taken."""
_PATIENCE = 2.5
"""Seconds for which the client waits for an answer before it sends the submission again."""


@dataclass(frozen=True, slots=True)
class Size:
    """How many JobManagers a schedule has, and how many jobs."""

    job_managers: int
    jobs: int

    @classmethod
    def of(cls, number: int) -> Size:
        """That of the schedule of this number: of six in a row one has two jobs, and three have
        two JobManagers.

        Small schedules find more in the same time: the second job costs half of a schedule, and a
        third JobManager a tenth of one.
        """
        return _SIZES[number % len(_SIZES)]


_SIZES = (Size(3, 2), Size(2, 1), Size(3, 1), Size(2, 1), Size(3, 1), Size(2, 1))
TWO_JOBS = next(number for number, size in enumerate(_SIZES) if size.jobs > 1)
SIZES = len(_SIZES)
"""Numbers of schedules are of the same size when they are the same modulo this."""


@dataclass
class Submission:
    """A job that the client submits until it is acknowledged."""

    job_id: JobID
    records: int
    rate: float
    parallelism: int
    at: float
    acknowledged: bool = False
    tries: int = 0
    refusals: list[str] = field(default_factory=list)


class Cluster:
    """The processes, their HA store and storageDir, and the client's jobs."""

    def __init__(
        self,
        open_store: Callable[[World], Store],
        random: Random,
        faults: Faults,
        size: Size,
    ) -> None:
        self.world = world = World(random, faults)
        self.store = open_store(world)
        world.leading = self.store.leading
        world.take_pointer = self._take_pointer_soon
        self.files = InMemoryStorage()
        self.result_files = InMemoryStorage()
        self.grants = Grants(world)
        world.resumed = self.grants.resumed
        self.keeps_results = random.random() < 0.5
        self.config: Configuration = checked(
            {
                **_OPTIONS,
                **self.store.options,
                "job-result-store.delete-on-commit": not self.keeps_results,
            }
        )
        self.supervised = random.random() < 0.5
        """Whether a supervisor gives up the leadership of the dead."""
        self._restart_after = random.choice(_RESTART)
        self._is_eager = random.random() < 0.5
        """Whether the client submits again at once to a leader that it finds, or waits longer."""
        self.managers: dict[str, JobManager] = {}
        self.jobs = [self._submission(random, number) for number in range(size.jobs)]
        self._job_ids = {job.job_id for job in self.jobs}
        self._incarnations = 0
        self._names = [f"jm-{number}" for number in range(1, size.job_managers + 1)]
        self._is_restarted = True
        """Whether a JobManager that died is started again."""
        self._look_again = 0.0
        self._robbed_until = 0.0
        self.given_away: set[str] = set()
        """Jobs of which a pointer was taken while the mark of their submission was there."""
        self._takeover_after = 0
        self._open = len(self.jobs)
        """Jobs that are not acknowledged."""
        self._leader: LeaderInformation | None = None
        # Messages to TaskManagers and from them take longer in some clusters.
        slowness = random.choice((1, 10))
        self.task_manager = TaskManager(world, self._at_address, slowness)
        world.lose_tasks = self.task_manager.die
        self._client = world.scheduler.process("client")
        self._supervisor = world.scheduler.process("supervisor")
        world.crashed = self._crashed

    def start(self) -> None:
        scheduler = self.world.scheduler
        scheduler.spawn(self._client, self._retrieve, "client")
        for name in self._names:
            scheduler.at(self.world.random.random() * 0.3, functools.partial(self._start, name))
        for job in self.jobs:
            scheduler.at(job.at, functools.partial(self._submit, job))
        random = self.world.random.random
        if random() < _RESTARTS:
            scheduler.at(0.5 + random() * 3, self.store.servers_restart)

    def substitutes(self) -> dict[tuple[Any, str], Callable[..., Any]]:
        """What of hawork's surroundings is simulated, by module and name."""
        real = registry.open_backend

        def open_backend(_: Scheduler, *args: Any) -> AuditedBackend:
            return AuditedBackend(real(*args), self.world, self.grants)

        def open_storage(
            _: Scheduler, url: str, expected: Callable[[], bool] = bool
        ) -> SimulatedStorage:
            files, touches = self.files, (lambda path: None)
            if "job-result-store" in url:
                files, touches = self.result_files, self._touches_result
            return SimulatedStorage(self.world, Path(url), files, touches, expected)

        return {
            (options, "checked"): lambda _, config: config,  # it was, for all processes
            (registry, "open_backend"): open_backend,
            (services, "open_storage"): open_storage,
            **job_manager.substitutes(self.world),
            **storage.substitutes(self.world),
            **self.store.substitutes(),
        }

    def _touches_result(self, path: str) -> None:
        # That a job has ended is true, whichever process writes it down.
        if not path.startswith(("ended/", ".")):
            self.world.audit_file(path)

    def settled(self) -> bool:
        """Whether every job is over and cleaned up, and nothing is about to happen.

        A JobManager that is about to be started again is not waited for, as long as one runs.
        """
        scheduler = self.world.scheduler
        if self._open or scheduler.now < max(scheduler.thawed_at + _AWAKE, self._robbed_until):
            return False
        return (
            self._all_take_part()
            and not self.world.is_unmounted
            and (self._job_ids <= self.world.cleaned | self.world.robbed or self._looks_clean())
        )

    def _all_take_part(self) -> bool:
        """Whether no JobManager stands still or is about to begin, and one runs."""
        runs = False
        for manager in self.managers.values():
            if manager.process.frozen or not manager.serving:
                return False  # what it does when it goes on is what matters most
            runs = runs or manager.running
        return runs

    def has_late_files(self) -> bool:
        """Whether there is what a deposed leader leaves for the next takeover.

        Files are not fenced: it may be paused between asking the fence and writing; nor is making a
        ConfigMap. It is one that is not claimed, a mark of a submission, or a dirty result, for all
        of which a takeover looks; or any file, of one that could not take that back: it was killed
        before, or its disk did not do it. A process that died while it tried storageDir leaves a
        file to the next one that begins.
        """
        return (
            self._has_late_marks()
            or self.store.has_late_marks()
            or any(
                name.startswith(_PROBE) for name in (*self.files.files, *self.result_files.files)
            )
            or (bool(self.not_robbed(self.files.files)) and self._wrote_late())
        )

    def _has_late_marks(self) -> bool:
        return any("/_SUBMITTING-" in name for name in self.files.files) or any(
            name.endswith("_DIRTY.json") for name in self.result_files.files
        )

    def _wrote_late(self) -> bool:
        """Whether a process that had stood still could not take back what it had just written.

        One that heard no answer to a write keeps the file: it is in doubt.
        One that was told to end goes on with what it had begun, and its stores are closed.
        """
        stood: set[str] = set()
        ending: set[str] = set()
        for each in self.world.faults.struck:
            dies = each.kind in ("crash", "crash-after")
            in_doubt = each.kind == "lost" and each.label.endswith(WRITES)
            kept = dies or in_doubt or each.label == "storage.delete"
            if kept and each.process in stood:
                return True
            if not dies:
                (ending if each.kind == "stop" else stood).add(each.process)
            if each.process in stood & ending:
                return True
        return False

    def take_over(self) -> None:
        """Kill the leader, for what only a takeover does."""
        leader = self.store.leading()
        for manager in list(self.managers.values()):
            dispatcher = manager.leading()
            if dispatcher is not None and str(dispatcher.term.session_id) == leader:
                self.world.kill(manager.process)
        self._takeover_after = len(self.world.steps)

    def has_swept(self) -> bool:
        published = [
            step
            for _, step, _ in self.world.steps[self._takeover_after :]
            if step == "takeover.published"
        ]
        return bool(published) and self._all_take_part() and not self.has_late_files()

    def leave_alone(self) -> JobManager | None:
        """Kill all JobManagers but a standby, for good, and let no fault strike it."""
        standbys = [
            each
            for each in self.managers.values()
            if each.running and each.serving and not each.stopping and each.leading() is None
        ]
        if not standbys:
            return None
        struck = {each.process for each in self.world.faults.struck}
        last = self.world.random.choice(
            [each for each in standbys if each.name in struck] or standbys
        )
        self.world.faults.end()
        self.world.spared = last.process  # by what was drawn already, too
        self._is_restarted = False
        for other in list(self.managers.values()):
            if other is not last and other.running:
                self.world.kill(other.process)
        return last

    def is_led(self) -> bool:
        return self.store.leading() is not None

    def leads(self, manager: JobManager) -> bool:
        dispatcher = manager.leading()
        return dispatcher is not None and str(dispatcher.term.session_id) == self.store.leading()

    def _looks_clean(self) -> bool:
        """The same without the step that says so: its process may not have come that far."""
        now = self.world.scheduler.now
        if now < self._look_again:
            return False
        self._look_again = now + 1.0
        return (
            self.store.leading() is not None
            and not self.not_robbed(self.store.pointers_left())
            and (not self.not_robbed(self.files.files) or self._has_late_marks())
        )

    # --- another hand -----------------------------------------------------------------------

    def _take_pointer_soon(self) -> None:
        self.world.scheduler.at(0.0, self._take_pointer)

    def _take_pointer(self) -> None:
        words = self.store.take_away(self.world.random)
        if words is not None:
            jobs = set(_JOB.findall(words))
            self.world.robbed |= jobs
            self.given_away |= {
                job_id
                for job_id in jobs
                if any(f"{job_id}/_SUBMITTING-" in name for name in self.files.files)
            }
            self._robbed_until = self.world.scheduler.now + _ROBBED
            self.world.record("simulation", EventKind.ERROR, message=f"{words} was taken")

    def not_robbed(self, names: Iterable[str]) -> list[str]:
        """Of what is left over: that of jobs of which no pointer was taken."""
        return [each for each in names if not self.world.robbed.intersection(_JOB.findall(each))]

    # --- JobManagers ------------------------------------------------------------------------

    def _start(self, name: str) -> None:
        self._incarnations += 1
        address = f"http://{name}:{8000 + self._incarnations}"
        self.managers[name] = JobManager(self.world, name, self.config, address)

    def _at_address(self, address: str) -> JobManager | None:
        return next((each for each in self.managers.values() if each.address == address), None)

    def _crashed(self, process: SimulatedProcess) -> None:
        manager = self.managers.get(process.name)
        if manager is None or manager.process is not process or process.dead:
            return
        scheduler = self.world.scheduler
        self.world.record("simulation", EventKind.PROCESS_EXITED, of=process.name, status=-9)
        self.store.process_died(process)
        if self.supervised and manager.ticket:
            ticket = dict(manager.ticket)
            scheduler.at(0.05, lambda: self._release(ticket))
        scheduler.at(self.world.latency(), lambda: self.task_manager.leader_died(manager))
        if self._is_restarted:
            pause = self._restart_after + self.world.random.random() * 2
            scheduler.at(pause, lambda: self._restart(process.name))

    def _restart(self, name: str) -> None:
        if self._is_restarted:
            self._start(name)

    def _release(self, ticket: dict[str, str]) -> None:
        def release() -> None:
            try:
                registry.release_leadership(self.config, ticket)
            except HaworkError as error:
                self.world.record("supervisor", EventKind.ERROR, message=str(error))

        self.world.scheduler.spawn(self._supervisor, release, "release")

    # --- the client -----------------------------------------------------------------------------

    def _retrieve(self) -> None:
        # It must find the store; nothing strikes this process.
        ha = hawork.open_ha_services(self.config, events=NullEventSink())
        ha.leader_retrieval(REST_SERVER, self)

    def notify_leader(self, information: LeaderInformation | None) -> None:
        self._leader = information
        self.task_manager.leader_changed(information)
        for job in self.jobs if information is not None and self._is_eager else ():
            if job.tries and not job.acknowledged:  # it has waited for a leader
                self.world.scheduler.at(self.world.latency(), functools.partial(self._submit, job))

    def handle_error(self, error: Exception) -> None:
        self.world.record("client", EventKind.ERROR, message=str(error))

    def _submission(self, random: Random, number: int) -> Submission:
        return Submission(
            job_id=JobID(f"{number + 1:032x}"),
            records=random.choice((20, 20, 50, 90)),
            rate=100.0,
            parallelism=random.choice((1, 1, 2)),
            at=0.3 + random.random() + (random.choice(_LATER) if number else 0.0),
        )

    def _submit(self, job: Submission) -> None:
        if job.acknowledged:
            return
        scheduler = self.world.scheduler
        leader = self._leader
        manager = None if leader is None else self._at_address(leader.address)
        if manager is None or not manager.running:
            scheduler.at(0.2, lambda: self._submit(job))
            return
        job.tries += 1
        number = job.tries

        def answered(found: Any) -> None:
            if isinstance(found, HaworkError):
                job.refusals.append(str(found))
                if number == job.tries:
                    scheduler.at(0.2, lambda: self._submit(job))
            else:
                self._open -= not job.acknowledged
                job.acknowledged = True

        def unanswered() -> None:
            if number == job.tries:
                self._submit(job)

        manager.submit(self._request(job), _artifact(), answered)
        scheduler.at(_PATIENCE, unanswered)

    def _request(self, job: Submission) -> dict[str, Any]:
        return {
            "job_id": job.job_id,
            "name": "simulated",
            "entry_point": "job:build",
            "parallelism": job.parallelism,
            "config": {"records": job.records, "rate": job.rate},
        }


@functools.cache
def _artifact() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("job.py", "def build(config): ...\n")
    return packed.getvalue()
