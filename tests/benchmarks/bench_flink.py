"""hawork and real Apache Flink 1.20.5 side by side: same HA service, same timeouts, one run.

Everything is seen from outside: leaders through leader retrieval, jobs over the leader's REST,
requests by the server's own count. Flink has nobody who tells the HA service of a death, so it
always waits for the timeout; hawork's supervisor is measured both switched on and off.

With ``HAWORK_BENCH_WRITE=1`` table and picture go into ``docs``.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from hawork.backends.registry import open_backend
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.configuration import Configuration
from hawork.core.errors import HaworkError
from hawork.core.events import NullEventSink
from hawork.core.types import REST_SERVER, JobID, LeaderInformation, LeaderSessionID
from hawork.lab import FlinkCluster, LabCluster
from hawork.lab.flink_script import SqlScript
from hawork.testing import eventually
from tests.benchmarks.bench_recovery import store_jobs
from tests.benchmarks.bench_zookeeper import SESSION, options
from tests.benchmarks.leading import leadership
from tests.benchmarks.side_by_side import Comparison
from tests.contract.zookeeper_harness import shared_servers

TIMES = 5
JOBS = 100
IDLE_SECONDS = 12.0  # three sessions: as many heartbeats as that makes
SETTLED_SECONDS = 2.0
JOB = """
CREATE TABLE numbers (number BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1');
CREATE TABLE nothing (number BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO nothing SELECT number FROM numbers;
"""
FAULTS = {
    "kill": "SIGKILL of the leader",
    "pause": "SIGSTOP of the leader",
    "terminate": "SIGTERM of the leader",
}


class Watching:
    """Who is found as the leader of the REST endpoint, and when."""

    def __init__(self, config: Configuration) -> None:
        self._found: list[tuple[float, LeaderInformation | None]] = []
        self._told = threading.Condition()
        self._backend = open_backend(config, SYSTEM_CLOCK, NullEventSink())
        self._backend.retrieval_driver(REST_SERVER, self)

    def on_leader_information(self, information: LeaderInformation | None) -> None:
        with self._told:
            self._found.append((time.monotonic(), information))
            self._told.notify_all()

    def on_error(self, error: Exception) -> None:
        """Looked for again by the driver."""

    @property
    def leader(self) -> LeaderSessionID | None:
        with self._told:
            information = self._found[-1][1] if self._found else None
        return information.session_id if information else None

    def found(self, since: float, other_than: LeaderSessionID | None) -> float:
        """Seconds from ``since`` until another leader is found; waits for it."""

        def look() -> float | None:
            for at, information in self._found:
                new = information is not None and information.session_id != other_than
                if new and at >= since:
                    return at - since
            return None

        with self._told:
            assert self._told.wait_for(lambda: look() is not None, timeout=120)
            return look() or 0.0

    def close(self) -> None:
        self._backend.close()


@dataclass
class Contestant:
    """One column: a cluster of two JobManagers and no TaskManagers."""

    name: str
    make: Callable[..., LabCluster]
    supervisor: bool = False
    faults: tuple[str, ...] = tuple(FAULTS)
    more: Mapping[str, str] = field(default_factory=dict)

    @contextlib.contextmanager
    def cluster(self, ha: str, directory: Path, job_managers: int = 2) -> Iterator[Race]:
        lab = self.make(
            job_managers, 0, ha=ha, directory=directory, supervisor=self.supervisor,
            options={**options(SESSION), **self.more},
        )  # fmt: skip
        watching = Watching(lab.config)
        try:
            yield Race(lab, watching)
        finally:
            watching.close()
            lab.close()


HAWORK = Contestant("hawork, supervisor", LabCluster, supervisor=True)
UNSUPERVISED = Contestant("hawork, no supervisor", LabCluster, faults=("kill",))
FLINK = Contestant(
    "Flink 1.20.5", FlinkCluster,
    # Jobs wait for a TaskManager that never comes.
    more={"slot.request.timeout": "1 h"},
)  # fmt: skip


@dataclass
class Race:
    lab: LabCluster
    watching: Watching

    def latch(self) -> dict[str, int]:
        """The sessions that stand in the election, by process; from the znodes' owners."""
        rows = self.lab.store_rows()
        latch = rows[rows.table.str.endswith("/latch")]
        found = re.findall(r"\((\S+), session (0x[0-9a-f]+)", " ".join(latch.value))
        return {name: int(session, 16) for name, session in found}

    def stand_by(self, count: int = 2) -> dict[str, int]:
        """Wait until so many stand in the election, and the leader is known by name."""
        self.lab.leader(90)
        return eventually(
            lambda: found if len(found := self.latch()) == count else None,
            timeout=90, interval=0.1,
        )  # fmt: skip

    def fail_over(self, fault: str) -> tuple[float, int]:
        """Seconds from a fault until the next leader is found, and what that one asked for."""
        sessions = self.stand_by()
        before, leader = self.watching.leader, self.lab.leader()
        (standby,) = sessions.keys() - {leader}
        asked = requests()[sessions[standby]]
        begin = time.monotonic()
        getattr(self.lab, fault)(leader)
        seconds = self.watching.found(begin, before)
        time.sleep(SETTLED_SECONDS)
        asked = requests()[sessions[standby]] - asked
        self.lab.restart(leader)
        return seconds, asked

    def memory(self, name: str) -> float:
        return float(psutil.Process(self.lab.processes[name].pid).memory_info().rss / 1e6)


def requests() -> dict[int, int]:
    """How many packets the server got in each session so far, heartbeats included."""
    servers = shared_servers()
    text = servers.four_letters(servers.names[0], "cons")
    return {
        int(session, 16): int(count)
        for count, session in re.findall(r"recved=(\d+),.*?sid=(0x[0-9a-f]+)", text)
    }


@pytest.mark.parametrize("ha", ["zookeeper"])
def test_side_by_side(tmp_path: Path, ha: str) -> None:
    comparison = Comparison([HAWORK.name, UNSUPERVISED.name, FLINK.name])
    for number, contestant in enumerate((HAWORK, UNSUPERVISED, FLINK)):
        directory = tmp_path / str(number)
        directory.mkdir()
        faults_and_idleness(contestant, ha, directory / "faults", comparison)
        if contestant is not UNSUPERVISED:
            starts(contestant, ha, directory / "starts", comparison)
            recovery(contestant, ha, directory / "recovery", comparison)
    comparison.print()
    if os.environ.get("HAWORK_BENCH_WRITE"):
        comparison.write(ha)


def faults_and_idleness(
    contestant: Contestant, ha: str, directory: Path, comparison: Comparison
) -> None:
    leading, standing = [], []
    with contestant.cluster(ha, directory) as race:
        race.lab.start()
        for fault in contestant.faults:
            found = [race.fail_over(fault) for _ in range(TIMES)]
            comparison.add(FAULTS[fault], "s", contestant.name, [each[0] for each in found])
            if fault == "kill":
                asked = [float(each[1]) for each in found]
                comparison.add("requests of the one that takes over", "", contestant.name, asked)
            if contestant is not UNSUPERVISED:
                sessions = race.stand_by()
                leader = race.lab.leader()
                (standby,) = sessions.keys() - {leader}
                leading += [race.memory(leader)]
                standing += [race.memory(standby)]
        if contestant is UNSUPERVISED:
            return
        sessions = race.stand_by()
        leader = race.lab.leader()
        rates: dict[str, list[float]] = {name: [] for name in sessions}
        for _ in range(TIMES):
            before = requests()
            time.sleep(IDLE_SECONDS / TIMES * 2)
            after = requests()
            for name, session in sessions.items():
                rates[name].append((after[session] - before[session]) / (IDLE_SECONDS / TIMES * 2))
    for name, samples in rates.items():
        role = "the leader" if name == leader else "a standby"
        comparison.add(f"requests per second of {role}, idle", "1/s", contestant.name, samples)
    comparison.add("memory of a leader (RSS)", "MB", contestant.name, leading)
    comparison.add("memory of a standby (RSS)", "MB", contestant.name, standing)


def starts(contestant: Contestant, ha: str, directory: Path, comparison: Comparison) -> None:
    """A process alone in its cluster, from exec until it is found."""
    seconds = []
    with contestant.cluster(ha, directory, job_managers=1) as race:
        race.lab.start()
        for _ in range(TIMES):
            race.stand_by(1)
            before = race.watching.leader
            race.lab.terminate("jm-1")
            eventually(lambda: not race.latch(), timeout=60)
            eventually(lambda: not race.lab.processes["jm-1"].alive, timeout=60)
            begin = time.monotonic()
            race.lab.restart("jm-1")
            seconds.append(race.watching.found(begin, before))
    comparison.add("start of a JobManager until it is found", "s", contestant.name, seconds)


def recovery(contestant: Contestant, ha: str, directory: Path, comparison: Comparison) -> None:
    """From the new leader's address until it lists all jobs and initializes none."""
    seconds = []
    with contestant.cluster(ha, directory) as race:
        lab = race.lab
        if isinstance(lab, FlinkCluster):
            lab.start()
            script = SqlScript.of(JOB, {})
            for _ in range(JOBS):
                lab._sql.submit(script, {}, JobID.random())
        else:
            with leadership(lab.config) as (_, stores):
                store_jobs(stores, JOBS)
            lab.start()
        for _ in range(TIMES):
            leader = lab.leader()
            race.stand_by()
            eventually(lambda: recovered(lab), timeout=180, interval=0.05)
            before, begin = race.watching.leader, time.monotonic()
            lab.kill(leader)
            found = begin + race.watching.found(begin, before)
            eventually(lambda: recovered(lab), timeout=180, interval=0.02)
            seconds.append(time.monotonic() - found)
            lab.restart(leader)
    comparison.add(f"recovery of {JOBS} jobs, after that", "s", contestant.name, seconds)


def recovered(lab: LabCluster) -> bool:
    with contextlib.suppress(HaworkError):
        jobs = lab.client.request("GET", "/v1/jobs/overview").get("jobs", [])
        return len(jobs) == JOBS and all(job["state"] != "INITIALIZING" for job in jobs)
    return False
