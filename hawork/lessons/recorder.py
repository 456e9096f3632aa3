"""Making the recordings: real Apache Flink, on real servers, hit on purpose, kept as bundles.

Each function here is one recording of ``hawork.lessons.recordings``; ``record`` runs it. Those that
tell what a failover costs use Flink's own default timeouts and a ZooKeeper server with its default
tick, so that the figures are those of a cluster that is not tuned.
"""

from __future__ import annotations

import json
import os
import re
import signal
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from hawork.backends.zookeeper.client import ZooKeeperClient
from hawork.core import options
from hawork.core.errors import HaworkError, LabError
from hawork.core.events import Event, EventKind
from hawork.lab import flights
from hawork.lab.flink.cluster import FlinkCluster
from hawork.lab.flink.job import FlinkJob
from hawork.servers.zookeeper.ensemble import ZooKeeperServers
from hawork.testing import eventually

__all__ = ["MOST_BYTES", "SCENARIOS", "record"]

MOST_BYTES = 100_000
_DEFAULTS: Mapping[str, str] = {
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
_SETTLED = 5.0
_TRIES = 5
_AT_ONCE = 0.0005
"""Seconds between looks for a file whose pointer follows within milliseconds."""
_LONG = 180.0
_FLIGHTS = 20_000


def record(name: str, target: Path) -> Path:
    """Make one recording anew at ``target``; ``LabError`` when it would be too large."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="recording-") as place:
        SCENARIOS[name](Path(place), target)
    target.chmod(0o644)
    if target.stat().st_size > MOST_BYTES:
        raise LabError(f"{target} has {target.stat().st_size:,} bytes, and {MOST_BYTES:,} is most")
    return target


# --- what a failover costs ----------------------------------------------------------------
def crash_zookeeper(place: Path, target: Path) -> None:
    with _defaults_on_zookeeper(place) as lab:
        _crash(lab, target)


def crash_kubernetes(place: Path, target: Path) -> None:
    with _cluster(place, "kubernetes", _DEFAULTS) as lab:
        _crash(lab, target)


def _crash(lab: FlinkCluster, target: Path) -> None:
    job, arrivals = _job(lab)
    fault = lab.kill("leader")
    arrivals.bring(_FLIGHTS)
    lab.wait_for_leader(other_than=fault, timeout=_LONG).wait()
    restored = lab.wait_for_event("job.restored", after=fault, timeout=_LONG).wait()
    lab.wait_for_event("checkpoint.completed", after=restored, timeout=_LONG).wait()
    _finish(lab, job, arrivals)
    lab.export_bundle(target)


def cut_off_zookeeper(place: Path, target: Path) -> None:
    with _defaults_on_zookeeper(place) as lab:
        fault = lab.partition("leader", how="blackhole")
        name = fault.facts["target"]
        lab.wait_for_event("leadership.revoked", name, after=fault, timeout=_LONG).wait()
        lab.wait_for_leader(other_than=fault, timeout=_LONG).wait()
        lab.heal()
        _published(lab)
        lab.export_bundle(target)


def cut_off_kubernetes(place: Path, target: Path) -> None:
    with _cluster(place, "kubernetes", _DEFAULTS, task_managers=0) as lab:
        fault = lab.partition("leader", how="blackhole")
        name = fault.facts["target"]
        granted = lab.wait_for_event("leadership.granted", after=fault, timeout=_LONG).wait()
        try:
            lab.wait_for_event("leadership.revoked", name, after=granted, timeout=20).wait()
        except LabError:
            _note(lab, "belief", process=name, still_leads=True,
                  seconds_after_the_next_was_granted=20)  # fmt: skip
        lab.heal()
        lab.wait_for_event("leadership.revoked", name, after=granted, timeout=_LONG).wait()
        lab.export_bundle(target)


# --- what is written ----------------------------------------------------------------------
def deposed_writes(place: Path, target: Path) -> None:
    """The leader's znode in the latch is removed: the next one is granted, and it goes on."""
    with _cluster(place, "zookeeper") as lab:
        _job(lab, checkpoint_interval="100 ms")
        old = lab.leader()
        client = ZooKeeperClient.of(lab.config)
        client.start()
        latch = "/flink/lab/leader/latch"
        since = lab.event_list()[-1]
        children = sorted(client.get_children(latch), key=lambda name: name[-10:])
        client.delete(f"{latch}/{children[0]}")
        granted = lab.wait_for_event("leadership.granted", after=since, timeout=60).wait()
        eventually(lambda: _checkpoints_of(lab, old, granted.wall), timeout=30)
        eventually(lambda: not lab.verdict().valid, timeout=60)
        client.stop()
        for number, wall in _checkpoints_of(lab, old, granted.wall):
            seconds = round(wall - granted.wall, 3)
            _note(lab, "checkpoint", process=old, checkpoint_id=number,
                  seconds_after_the_next_was_granted=seconds)  # fmt: skip
        lab.export_bundle(target)


def half_submission(place: Path, target: Path) -> None:
    """The leader dies between the file of a job graph and the pointer to it."""
    for number in range(_TRIES):
        if _half_submission(place / str(number), target):
            return
    raise LabError(f"in {_TRIES} tries the leader was quicker than the kill: make it again")


def _half_submission(place: Path, target: Path) -> bool:
    """Whether the leader was stopped in time: a pointer follows its file within milliseconds.

    The first job warms the client up, so that nothing else happens while the second one comes.
    """
    with _cluster(place, "zookeeper") as lab:
        first, arrivals = _job(lab)
        folder = lab.directory / "storage" / "lab"
        first.cancel()
        first.wait(_LONG, progress=False)
        eventually(lambda: not _names(folder), timeout=60)
        leader = lab.leader()
        pid = lab.processes[leader].pid
        config = {"flights": arrivals.directory, "output": lab.directory / "second"}
        lab.submit(str(flights.FLINK_JOB), config, wait=False)
        eventually(lambda: _names(folder), timeout=60, interval=_AT_ONCE)
        os.kill(pid, signal.SIGSTOP)
        fault = lab.kill(leader)
        (orphan,) = _names(folder)
        _note(lab, "files", when="the leader is dead", names=[orphan])
        lab.wait_for_leader(other_than=fault, timeout=_LONG).wait()
        _published(lab)
        _settle()
        _note(lab, "files", when="the next one leads", names=_names(folder))
        _note(lab, "jobs", jobs=_rest(lab, lab.leader(), "/v1/jobs/overview")[1])
        lab.export_bundle(target)
        return not lab.store_rows().value.str.contains(orphan).any()


def damaged_checkpoint(place: Path, target: Path) -> None:
    with _cluster(place, "zookeeper", {options.RETAINED_CHECKPOINTS.key: "2"}) as lab:
        _job(lab, checkpoint_interval="5 s")
        # A file is not enough: its pointer comes after it, and then the event.
        second = lab.wait_for_event("checkpoint.completed", after=_first(lab), timeout=60)
        second.wait()
        newest = max(_completed(lab), key=lambda file: file.stat().st_mtime_ns)
        _note(lab, "damage", file=newest.name, files=len(_completed(lab)))
        fault = lab.kill("leader")
        newest.write_bytes(newest.read_bytes()[:100])
        _all_end(lab, fault)
        lab.export_bundle(target)


def stale_result(place: Path, target: Path) -> None:
    """A dirty result, whole and readable, of a job that runs: Flink believes the file."""
    with _cluster(place, "zookeeper", {options.JOB_RESULT_DELETE_ON_COMMIT.key: "true"}) as lab:
        job, _ = _job(lab)
        folder = lab.directory / "storage" / "job-result-store" / "lab"
        folder.mkdir(parents=True, exist_ok=True)
        result = {"id": job.job_id, "application-status": "SUCCEEDED", "accumulator-results": {},
                  "net-runtime": 42}  # fmt: skip
        dirty = folder / f"{job.job_id}_DIRTY.json"
        dirty.write_text(json.dumps({"result": result, "version": 1}, separators=(",", ":")))
        fault = lab.kill("leader")
        lab.wait_for_leader(other_than=fault, timeout=_LONG).wait()
        _published(lab)
        leader = lab.leader()
        eventually(lambda: "Skipping recovery" in _log(lab, leader), timeout=60)
        eventually(lambda: not dirty.exists(), timeout=60)
        said = [line for line in _log(lab, leader).splitlines() if "Skipping recovery" in line]
        _note(lab, "log", process=leader, line=said[0].partition(" - ")[2] or said[0])
        _note(lab, "jobs", jobs=_rest(lab, leader, "/v1/jobs/overview")[1])
        lab.export_bundle(target)


# --- what is asked ------------------------------------------------------------------------
def standby_rest(place: Path, target: Path) -> None:
    with _cluster(place, "zookeeper") as lab:
        _job(lab)
        leader = lab.leader()
        (standby,) = {"jm-1", "jm-2"} - {leader}
        for name in (leader, standby):
            for path in ("/v1/jobs/overview", "/v1/config"):
                status, body = _rest(lab, name, path)
                role = "leader" if name == leader else "standby"
                _note(lab, "rest", process=name, role=role, path=path, status=status, body=body)
        fault = lab.kill("leader")
        eventually(lambda: _rest(lab, standby, "/v1/jobs/overview")[0] == 503, timeout=60)
        status, body = _rest(lab, standby, "/v1/jobs/overview")
        _note(lab, "rest", process=standby, role="standby, and no leader", path="/v1/jobs/overview",
              status=status, body=body)  # fmt: skip
        lab.wait_for_leader(other_than=fault, timeout=_LONG).wait()
        lab.export_bundle(target)


def standby_requests(place: Path, target: Path) -> None:
    with _cluster(place, "kubernetes", _DEFAULTS, task_managers=0) as lab:
        leader, seconds = lab.leader(), 30.0
        api = lab._store.control_plane
        began = time.time()
        time.sleep(seconds)  # what is counted is what is asked in this time
        asked = [each for each in api.requests() if began <= each.received < began + seconds]
        for name in sorted(each for each in lab.processes if each.startswith("jm")):
            verbs = Counter(each.verb for each in asked if each.user == name)
            _note(lab, "requests", process=name, role="leader" if name == leader else "standby",
                  seconds=seconds, **dict(sorted(verbs.items())))  # fmt: skip
        lab.export_bundle(target)


SCENARIOS: Mapping[str, Callable[[Path, Path], None]] = {
    each.__name__.replace("_", "-"): each
    for each in (
        crash_zookeeper, crash_kubernetes, deposed_writes, standby_rest, half_submission,
        damaged_checkpoint, stale_result, cut_off_zookeeper, cut_off_kubernetes, standby_requests,
    )
}  # fmt: skip


# --- helpers ------------------------------------------------------------------------------
@contextmanager
def _cluster(
    place: Path, ha: str, more: Mapping[str, str] | None = None, task_managers: int = 1
) -> Iterator[FlinkCluster]:
    with FlinkCluster(2, task_managers, ha, place / "run", more) as lab:
        eventually(lambda: lab.leader_information(), timeout=60)
        yield lab


@contextmanager
def _defaults_on_zookeeper(place: Path) -> Iterator[FlinkCluster]:
    with ZooKeeperServers(place / "zk", tick=_TICK, settings=_LONGEST_SESSION) as servers:
        more = {**_DEFAULTS, options.ZK_QUORUM.key: servers.quorum}
        with _cluster(place, "zookeeper", more) as lab:
            yield lab


def _job(lab: FlinkCluster, checkpoint_interval: str = "1 s") -> tuple[FlinkJob, flights.Arrivals]:
    """The departures per airline, running, with a checkpoint of it completed."""
    arrivals = flights.Arrivals(lab.directory / "arrivals")
    arrivals.bring(_FLIGHTS)
    config = {"flights": arrivals.directory, "output": lab.directory / "output"}
    job = lab.submit(str(flights.FLINK_JOB), config, checkpoint_interval=checkpoint_interval)
    lab.wait_for_event("checkpoint.completed", timeout=60).wait()
    job.output_until(lambda rows: len(rows) > 0).wait()
    return job, arrivals


def _finish(lab: FlinkCluster, job: FlinkJob, arrivals: flights.Arrivals) -> None:
    """All other flights arrive, and the output is compared with pandas'."""
    arrivals.bring_all()
    enough = job.output_until(lambda rows: rows["count"].sum() >= flights.DEPARTED, timeout=_LONG)
    enough.wait()
    lab.verdict(flights.compare(job.output()))


def _published(lab: FlinkCluster) -> None:
    """The dispatcher is published last: with it the leader can be asked."""
    eventually(lambda: _rest(lab, lab.leader(), "/v1/jobs/overview")[0] == 200, timeout=60)


def _settle() -> None:
    """Leave a leader the time to sweep, if it were to: that it does not cannot be waited for."""
    time.sleep(_SETTLED)


def _note(lab: FlinkCluster, what: str, **facts: Any) -> None:
    lab._note(EventKind.NOTED, what=what, **facts)


def _address(lab: FlinkCluster, name: str) -> str:
    """Where a JobManager's own REST endpoint is, leader or not."""
    found = re.findall(r"Rest endpoint listening at (\S+)", _log(lab, name))
    return f"http://{found[-1]}"


def _rest(lab: FlinkCluster, name: str, path: str) -> tuple[int, str]:
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


def _log(lab: FlinkCluster, name: str) -> str:
    return (lab.directory / "logs" / f"{name}.log").read_text(errors="replace")


def _checkpoints_of(lab: FlinkCluster, name: str, since: float) -> list[tuple[int, float]]:
    """Checkpoints that a JobManager says it completed after a moment (seconds since 1970)."""
    lines = re.findall(
        r"^(\S+) .*Completed checkpoint (\d+) for job", _log(lab, name), re.MULTILINE
    )
    told = [(int(number), datetime.fromisoformat(moment).timestamp()) for moment, number in lines]
    return [(number, wall) for number, wall in told if wall > since]


def _completed(lab: FlinkCluster) -> list[Path]:
    return list((lab.directory / "storage" / "lab").glob("completedCheckpoint*"))


def _first(lab: FlinkCluster) -> Event:
    return next(e for e in lab.event_list() if e.kind is EventKind.CHECKPOINT_COMPLETED)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("submittedJobGraph*"))


def _all_end(lab: FlinkCluster, fault: Event) -> None:
    """Both JobManagers are dead: the one that was killed, and the one that took over."""
    ended = fault
    while any(s.alive for n, s in lab.processes.items() if n.startswith("jm")):
        ended = lab.wait_for_event("process.exited", after=ended, timeout=_LONG).wait()
    name = str(ended.facts["of"])
    try:
        _note(lab, "last words", process=name, words=lab.last_words(name))
    except HaworkError:
        return
