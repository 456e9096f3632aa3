"""The main job, told from start to end: real data, a killed leader, an exact result.

Used by ``hawork demo``, and from Python.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hawork.client.job_details import JobDetails
from hawork.core import options
from hawork.core.errors import LabError
from hawork.core.events import Event, EventKind
from hawork.core.jobs import JobStatus
from hawork.lab import flights
from hawork.lab.cluster import LabCluster
from hawork.story.timeline import Timeline

STREAMING_SECONDS = 6.5
KILL_AT = (0.35, 0.45)
"""The leader is killed at a share of the records drawn from this range."""


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo measured: exactly the keys of ``hawork demo --json``, and some more.

    ``failover_seconds`` is from the SIGKILL to the new leader's published address.
    """

    ha: str
    failovers: int
    failover_seconds: float
    records: int
    lost: int
    duplicated: int
    checkpoints: int
    restored_from: int | None
    leader_session_ids: tuple[str, ...]
    seconds: float
    equal: bool
    groups: int
    killed: str
    killed_at_records: int
    new_leader: str
    seed: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


LONG_TIMEOUTS = {
    options.ZK_SESSION_TIMEOUT.key: "30 s",
    options.K8S_LEASE_DURATION.key: "15 s",
    options.K8S_RENEW_DEADLINE.key: "15 s",
    options.K8S_RETRY_PERIOD.key: "5 s",
}
"""Failover after a crash does not wait for them: the supervisor knows at once."""


@dataclass(frozen=True, slots=True)
class Teller:
    """How the demo tells its story: sentences, and the job's progress."""

    say: Callable[[str], None]
    progress: Callable[[JobDetails], None]


def run_demo(
    teller: Teller,
    *,
    ha: str = "embedded",
    seed: int | None = None,
    directory: Path | None = None,
    bundle: Path | None = None,
) -> tuple[DemoResult, Timeline]:
    """Stream the flights, kill the leader midway, recover, compare with pandas.

    ``bundle`` is a file for the whole run: see ``LabCluster.export_bundle``.
    """
    started = time.monotonic()
    seed = random.SystemRandom().randrange(1 << 31) if seed is None else seed
    kill_at = int(flights.DEPARTED * random.Random(seed).uniform(*KILL_AT))
    flights.check_pandas()  # now, and not when everything else is done
    data = flights.flights_csv()
    teller.say(f"{flights.RECORDS:,} flights from New York City in 2013 are in {data}.")
    with LabCluster(3, 2, ha=ha, directory=directory, options=LONG_TIMEOUTS) as lab:
        first = lab.leader()
        teller.say(
            f"3 JobManagers and 2 TaskManagers run; {first} leads, the others stand by ({ha})."
        )
        output = Path(tempfile.mkdtemp(prefix="output-", dir=lab.directory))
        job = lab.submit(
            f"{flights.JOB}:delays",
            config={
                "flights": data,
                "output": output,
                "rate": flights.RECORDS / STREAMING_SECONDS,
            },
            parallelism=2,
            checkpoint_interval="300 ms",
            name="departure-delays",
            expected_records=flights.DEPARTED,
        )
        teller.say(f"Job {job.name} is accepted: from now on it is never lost.")
        reached = _until(lab, job.job_id, teller, lambda now: now.records >= kill_at, kill_at)
        fault = lab.kill("leader")
        teller.say(f"{first} is killed (SIGKILL) after {reached.records:,} flights.")
        second = lab.wait_for_leader(other_than=fault).wait()
        takeover = failover_seconds(lab.event_list(), fault)
        teller.say(f"{second} leads after {takeover:.3f} s and restores the job.")
        last = _until(lab, job.job_id, teller, lambda now: now.status.globally_terminal)
        if last.status is not JobStatus.FINISHED:
            raise LabError(f"the job did not finish but is {last.status}: {last.failure}")
        compared = flights.compare(job.output(), flights.batch_result(data))
        lab.verdict(compared)
        if bundle is not None:
            teller.say(f"The whole run is in {lab.export_bundle(bundle)}: hawork report {bundle}")
    events, timeline = lab.event_list(), lab.timeline()
    restored = restored_checkpoints(events)
    result = DemoResult(
        ha=ha,
        failovers=len(timeline.takeovers),
        failover_seconds=round(takeover, 4),
        records=compared.records,
        lost=compared.lost,
        duplicated=compared.duplicated,
        checkpoints=sum(event.kind is EventKind.CHECKPOINT_COMPLETED for event in events),
        restored_from=restored[-1] if restored else None,
        leader_session_ids=tuple(leader_session_ids(events)),
        seconds=round(time.monotonic() - started, 3),
        equal=compared.equal,
        groups=compared.groups,
        killed=first,
        killed_at_records=reached.records,
        new_leader=second,
        seed=seed,
    )
    return result, timeline


def failover_seconds(events: list[Event], fault: Event) -> float:
    """From a fault to the address that the next leader published; ``LabError`` if none did."""
    for event in events:
        if (
            event.monotonic > fault.monotonic
            and event.kind is EventKind.LEADERSHIP_CONFIRMED
            and event.process != fault.facts["target"]
            and event.facts.get("component") == "rest_server"
        ):
            return event.monotonic - fault.monotonic
    raise LabError(
        f"no JobManager took over after {fault.facts['verb']} of {fault.facts['target']}"
    )


def leader_session_ids(events: list[Event]) -> list[str]:
    """The session ids of all leaders that published an address, in their order."""
    confirmed = (
        event.session_id
        for event in events
        if event.kind is EventKind.LEADERSHIP_CONFIRMED and event.session_id is not None
    )
    return list(dict.fromkeys(confirmed))


def restored_checkpoints(events: list[Event]) -> list[int]:
    """The checkpoints that jobs were restored from, in their order."""
    numbers = (
        event.facts.get("checkpoint_id") for event in events if event.kind is EventKind.JOB_RESTORED
    )
    return [number for number in numbers if isinstance(number, int)]


def _until(
    lab: LabCluster,
    job_id: str,
    teller: Teller,
    there: Callable[[JobDetails], bool],
    records: int | None = None,
) -> JobDetails:
    """Look at the job until ``there``; ``LabError`` when it ends before."""
    while True:
        details = lab.client.job(job_id)
        teller.progress(details)
        if there(details):
            return details
        if details.status.globally_terminal:
            what = f"before {records:,} records" if records else ""
            raise LabError(f"the job ended {what} as {details.status}: {details.failure}")
        time.sleep(0.1)  # each look is a REST call to the leader; ten a second are enough
