"""Clusters of real Flink for the recordings, and what is asked of them."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hawork.core import options
from hawork.core.events import EventKind
from hawork.lab import flights
from hawork.lab.flink.cluster import FlinkCluster
from hawork.lab.flink.job import FlinkJob
from hawork.servers.zookeeper.ensemble import ZooKeeperServers
from hawork.testing import eventually

__all__ = [
    "DEFAULTS", "FLIGHTS", "LONG", "cluster_of", "defaults_on_zookeeper", "finish", "log_of",
    "note", "published", "rest_answer", "running_job",
]  # fmt: skip

DEFAULTS: Mapping[str, str] = {
    options.ZK_SESSION_TIMEOUT.key: "60 s",
    options.K8S_LEASE_DURATION.key: "15 s",
    options.K8S_RENEW_DEADLINE.key: "15 s",
    options.K8S_RETRY_PERIOD.key: "5 s",
    options.HEARTBEAT_INTERVAL.key: "10 s",
    options.HEARTBEAT_TIMEOUT.key: "50 s",
    options.RESTART_INITIAL_BACKOFF.key: "1 s",
    options.RESTART_MAX_BACKOFF.key: "1 min",
    options.RETAINED_CHECKPOINTS.key: "1",
    options.JOB_RESULT_DELETE_ON_COMMIT.key: "true",
}
"""Flink's, in place of the short ones of a lab."""
_TICK = 2.0
_LONGEST_SESSION = {"maxSessionTimeout": "40000"}
"""ZooKeeper's default: 20 ticks of 2 s. The servers of a lab allow more."""
LONG = 180.0
FLIGHTS = 20_000


@contextmanager
def cluster_of(
    place: Path, ha: str, more: Mapping[str, str] | None = None, task_managers: int = 1,
    job_managers: int = 2, store_servers: int = 1,
) -> Iterator[FlinkCluster]:  # fmt: skip
    with FlinkCluster(
        job_managers, task_managers, ha, place / "run", more, store_servers=store_servers
    ) as lab:
        eventually(lambda: lab.leader_information(), timeout=60)
        yield lab


@contextmanager
def defaults_on_zookeeper(place: Path) -> Iterator[FlinkCluster]:
    with ZooKeeperServers(place / "zk", tick=_TICK, settings=_LONGEST_SESSION) as servers:
        more = {**DEFAULTS, options.ZK_QUORUM.key: servers.quorum}
        with cluster_of(place, "zookeeper", more) as lab:
            yield lab


def running_job(
    lab: FlinkCluster, checkpoint_interval: str = "1 s"
) -> tuple[FlinkJob, flights.Arrivals]:
    """The departures per airline, running, with a checkpoint of it completed."""
    arrivals = flights.Arrivals(lab.directory / "arrivals")
    arrivals.bring(FLIGHTS)
    config = {"flights": arrivals.directory, "output": lab.directory / "output"}
    job = lab.submit(str(flights.FLINK_JOB), config, checkpoint_interval=checkpoint_interval)
    lab.wait_for_event("checkpoint.completed", timeout=60).wait()
    job.output_until(lambda rows: len(rows) > 0).wait()
    return job, arrivals


def finish(lab: FlinkCluster, job: FlinkJob, arrivals: flights.Arrivals) -> None:
    """All other flights arrive, and the output is compared with pandas'."""
    arrivals.bring_all()
    enough = job.output_until(lambda rows: rows["count"].sum() >= flights.DEPARTED, timeout=LONG)
    enough.wait()
    lab.verdict(flights.compare(job.output()))


def published(lab: FlinkCluster) -> None:
    """The dispatcher is published last: with it the leader can be asked."""
    eventually(
        lambda: rest_answer(lab, lab.leader(LONG), "/v1/jobs/overview")[0] == 200, timeout=60
    )


def note(lab: FlinkCluster, what: str, **facts: Any) -> None:
    lab._note(EventKind.NOTED, what=what, **facts)


def _address(lab: FlinkCluster, name: str) -> str:
    """Where a JobManager's own REST endpoint is, leader or not."""
    found = re.findall(r"Rest endpoint listening at (\S+)", log_of(lab, name))
    return f"http://{found[-1]}"


def rest_answer(lab: FlinkCluster, name: str, path: str) -> tuple[int, str]:
    """Status and body of one JobManager's own answer; redirects are not followed."""
    opener = urllib.request.build_opener(_NoRedirect())
    try:
        with opener.open(f"{_address(lab, name)}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def log_of(lab: FlinkCluster, name: str) -> str:
    return (lab.directory / "logs" / f"{name}.log").read_text(errors="replace")
