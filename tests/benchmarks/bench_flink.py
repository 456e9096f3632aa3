"""hawork and real Apache Flink 1.20.5 side by side: same HA service, same timeouts, one run.

Everything is seen from outside: leaders through leader retrieval, jobs over the leader's REST,
requests by the server's own count. Flink has nobody who tells the HA service of a death, so it
always waits for the timeout; hawork's supervisor is measured both switched on and off.

With ``HAWORK_BENCH_WRITE=1`` the table goes into ``docs``.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from hawork.core.errors import HaworkError
from hawork.core.types import JobID
from hawork.lab import FlinkCluster, LabCluster
from hawork.lab.flights import JOB
from hawork.lab.flink.script import SqlScript
from hawork.testing import eventually
from tests.benchmarks.side_by_side import Comparison
from tests.benchmarks.watching import METERS, Meter, Watching

TIMES = 5
JOBS = (20, 100)
STANDBYS = 20
PATIENCE = 300.0  # seconds, after which a recovery is measured no further
IDLE_SECONDS = 4.8  # more than a session timeout, or a lease
SETTLED_SECONDS = 2.0
WATCHDOG = 2.0  # seconds; half of a session timeout, or a lease
SQL = """
CREATE TABLE numbers (number BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1');
CREATE TABLE nothing (number BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO nothing SELECT number FROM numbers;
"""
LEADER, STANDBY = "a leader", "a standby"
FAULTS = {
    "kill": "SIGKILL of the leader",
    "pause": "SIGSTOP of the leader",
    "terminate": "SIGTERM of the leader",
}


@dataclass
class Contestant:
    """One column: a cluster of two JobManagers and no TaskManagers."""

    name: str
    make: Callable[..., LabCluster | FlinkCluster]
    supervisor: bool = False
    faults: tuple[str, ...] = tuple(FAULTS)
    watchdog: str = "0"
    for_many_jobs: Mapping[str, str] = field(default_factory=dict)
    """Options of a cluster that has a lot to do."""

    @contextlib.contextmanager
    def cluster(
        self, ha: str, directory: Path, job_managers: int = 2, *, many_jobs: bool = False
    ) -> Iterator[Race]:
        lab = self.make(
            job_managers, 0, ha=ha, directory=directory, supervisor=self.supervisor,
            options={
                **METERS[ha].options(),
                "slot.request.timeout": "1 h",  # jobs wait for a TaskManager that never comes
                "hawork.supervisor.watchdog": self.watchdog,
                **(self.for_many_jobs if many_jobs else {}),
            },
        )  # fmt: skip
        with lab:
            watching = Watching(lab.config)
            try:
                yield Race(lab, watching, METERS[ha])
            finally:
                watching.close()


HAWORK = Contestant("hawork, supervisor", LabCluster, supervisor=True)
WATCHED = Contestant(
    HAWORK.name, LabCluster, supervisor=True, faults=("pause",), watchdog=f"{WATCHDOG:g} s"
)
UNSUPERVISED = Contestant("hawork, no supervisor", LabCluster, faults=("kill",))
FLINK = Contestant(
    "Flink 1.20.5", FlinkCluster,
    # What Flink's own default of 1600 MB for the process leaves for the heap.
    for_many_jobs={"jobmanager.memory.heap.size": "1 gb"},
)  # fmt: skip


@dataclass
class Race:
    lab: LabCluster | FlinkCluster
    watching: Watching
    meter: Meter

    def stand_by(self, count: int = 2) -> tuple[str, list[str]]:
        """Wait until so many take part in the election: the leader, and the standbys."""

        def found() -> tuple[str, list[str]] | None:
            leader, standing = self.lab.leader(90), self.meter.standing(self.lab)
            if len(standing) != count or leader not in standing:
                return None
            information = self.lab.leader_information()
            # Else its own election would be taken for the one after it.
            if information is None or information.session_id != self.watching.leader:
                return None
            return leader, sorted(standing - {leader})

        return eventually(found, timeout=90, interval=0.1)

    def fail_over(self, fault: str, count: int = 2) -> tuple[float, int]:
        """Seconds from a fault until the next leader is found, and what the standbys asked for."""
        leader, standbys = self.stand_by(count)
        before = self.watching.leader
        asked = self._asked(standbys)
        begin = time.monotonic()
        getattr(self.lab, fault)(leader)
        seconds = self.watching.found(begin, before)
        time.sleep(SETTLED_SECONDS)
        asked = self._asked(standbys) - asked
        self.lab.restart(leader)
        return seconds, asked

    def _asked(self, names: list[str]) -> int:
        counted = self.meter.asked(self.lab)
        return sum(counted[name] for name in names)

    def memory(self, name: str) -> float:
        return float(psutil.Process(self.lab.processes[name].pid).memory_info().rss / 1e6)


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("ha", list(METERS))
def test_side_by_side(tmp_path: Path, ha: str) -> None:
    comparison = Comparison([HAWORK.name, UNSUPERVISED.name, FLINK.name])
    for number, contestant in enumerate((HAWORK, UNSUPERVISED, FLINK)):
        directory = tmp_path / str(number)
        directory.mkdir()
        faults_and_idleness(contestant, ha, directory / "faults", comparison)
        if contestant is HAWORK:
            faults_and_idleness(WATCHED, ha, directory / "watched", comparison)
        if contestant is not UNSUPERVISED:
            starts(contestant, ha, directory / "starts", comparison)
            crowd(contestant, ha, directory / "crowd", comparison)
            for jobs in JOBS:
                recovery(contestant, ha, directory / f"recovery-{jobs}", comparison, jobs)
    comparison.print()
    comparison.keep(ha)


def faults_and_idleness(
    contestant: Contestant, ha: str, directory: Path, comparison: Comparison
) -> None:
    def add(what: str, unit: str, samples: list[float]) -> None:
        comparison.add(what, unit, contestant.name, samples)

    with contestant.cluster(ha, directory) as race:
        for fault in contestant.faults:
            found = [race.fail_over(fault) for _ in range(TIMES)]
            seconds = [each for each, _ in found]
            if contestant is not WATCHED:
                add(FAULTS[fault], "s", seconds)
            if fault == "pause" and contestant is not HAWORK:
                add(f"{FAULTS[fault]}, with a watchdog of {WATCHDOG:g} s", "s", seconds)
            if fault == "kill":
                add("requests of the one that takes over", "", [float(asked) for _, asked in found])
        if contestant in (UNSUPERVISED, WATCHED):
            return
        asked: dict[str, list[float]] = {LEADER: [], STANDBY: []}
        memory: dict[str, list[float]] = {LEADER: [], STANDBY: []}
        for _ in range(TIMES):
            leader, (standby,) = race.stand_by()
            before = race.meter.asked(race.lab)
            time.sleep(IDLE_SECONDS)
            after = race.meter.asked(race.lab)
            for role, name in ((LEADER, leader), (STANDBY, standby)):
                asked[role].append((after[name] - before[name]) / IDLE_SECONDS)
                memory[role].append(race.memory(name))
            # Each sample is of other processes: who stood by leads, and a new one stands by.
            race.fail_over("terminate")
    for role in (LEADER, STANDBY):
        add(f"requests per second of {role}, idle", "1/s", asked[role])
    for role in (LEADER, STANDBY):
        add(f"memory of {role} (RSS)", "MB", memory[role])


def starts(contestant: Contestant, ha: str, directory: Path, comparison: Comparison) -> None:
    """A process alone in its cluster, from exec until it is found."""
    seconds = []
    with contestant.cluster(ha, directory, job_managers=1) as race:
        for _ in range(TIMES):
            race.stand_by(1)
            before = race.watching.leader
            race.lab.terminate("jm-1")
            eventually(lambda: not race.lab.processes["jm-1"].alive, timeout=60)
            eventually(lambda: not race.meter.standing(race.lab), timeout=60)
            begin = time.monotonic()
            race.lab.restart("jm-1")
            seconds.append(race.watching.found(begin, before))
    comparison.add("start of a JobManager until it is found", "s", contestant.name, seconds)


def recovery(
    contestant: Contestant, ha: str, directory: Path, comparison: Comparison, jobs: int
) -> None:
    """From the new leader's address until it lists all jobs and initializes none."""
    what, seconds = f"recovery of {jobs} jobs, after that", []
    with contestant.cluster(ha, directory, many_jobs=True) as race:
        race.stand_by()
        submit_jobs(race.lab, jobs)
        for _ in range(TIMES):
            leader, _ = race.stand_by()
            eventually(lambda: recovered(race.lab, jobs), timeout=PATIENCE, interval=0.05)
            before, begin = race.watching.leader, time.monotonic()
            race.lab.kill(leader)
            found = begin + race.watching.found(begin, before)
            try:
                eventually(lambda: recovered(race.lab, jobs), timeout=PATIENCE, interval=0.02)
            except AssertionError:
                comparison.give_up(what, contestant.name, f"not within {PATIENCE:g} s")
                return
            seconds.append(time.monotonic() - found)
            race.lab.restart(leader)
    comparison.add(what, "s", contestant.name, seconds)


def crowd(contestant: Contestant, ha: str, directory: Path, comparison: Comparison) -> None:
    """A handover that many wait for; started one by one, so that they do not starve each other."""
    count = STANDBYS + 1
    with contestant.cluster(ha, directory, job_managers=1) as race:
        for number in range(2, count + 1):
            race.lab.add_job_manager()
            race.stand_by(number)
        found = [race.fail_over("terminate", count) for _ in range(TIMES)]
    what = f"SIGTERM of the leader, {STANDBYS} standbys"
    comparison.add(what, "s", contestant.name, [seconds for seconds, _ in found])
    asked = [float(asked) for _, asked in found]
    comparison.add(f"requests of all {STANDBYS} standbys", "", contestant.name, asked)


def submit_jobs(lab: LabCluster | FlinkCluster, jobs: int) -> None:
    script = SqlScript.of(SQL, {})
    for number in range(jobs):
        if isinstance(lab, FlinkCluster):
            lab._sql.submit(script, {}, JobID.random())
        else:
            config = {"flights": "/data/flights.csv", "output": f"/data/output-{number}"}
            lab.submit(f"{JOB}:delays", config)


def recovered(lab: LabCluster | FlinkCluster, count: int) -> bool:
    with contextlib.suppress(HaworkError):
        jobs = lab.client.request("GET", "/v1/jobs/overview").get("jobs", [])
        return len(jobs) == count and all(job["state"] != "INITIALIZING" for job in jobs)
    return False
