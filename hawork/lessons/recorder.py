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
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path

from hawork.backends.zookeeper.client import ZooKeeperClient
from hawork.core import options
from hawork.core.errors import HaworkError, LabError
from hawork.core.events import Event, EventKind
from hawork.lab import flights
from hawork.lab.flink.cluster import FlinkCluster
from hawork.lessons.operations_recorder import failover_signals, upgrade_kubernetes, upgrade_refused
from hawork.lessons.recorded_clusters import (
    DEFAULTS,
    FLIGHTS,
    LONG,
    cluster_of,
    defaults_on_zookeeper,
    finish,
    log_of,
    note,
    published,
    rest_answer,
    running_job,
)  # fmt: skip
from hawork.testing import eventually

__all__ = ["MOST_BYTES", "SCENARIOS", "perform", "record"]

MOST_BYTES = 100_000
_SETTLED = 5.0
_TRIES = 5
_CLOSINGS = 40
_CUTS = 12
_RESTORING = " Restoring job "
"""What a leader logs when it goes on with a job; the job's own address is published after that."""
_UNAWARE = 8.0
"""Seconds after which a leader that was not revoked has not heard of it: others do within one."""
_AT_ONCE = 0.0005
"""Seconds between looks for a file whose pointer follows within milliseconds."""


def record(name: str, target: Path) -> Path:
    """Make one recording anew at ``target``; ``LabError`` when it would be too large."""
    target.parent.mkdir(parents=True, exist_ok=True)
    perform(name, target).chmod(0o644)
    if target.stat().st_size > MOST_BYTES:
        raise LabError(f"{target} has {target.stat().st_size:,} bytes, and {MOST_BYTES:,} is most")
    return target


def perform(name: str, target: Path) -> Path:
    """Have Flink do on this machine what the recording of that name shows; ``target`` is the run.

    ``LabError`` where a program is missing or a process ended, ``AssertionError`` where what is
    shown did not come about in time.
    """
    with tempfile.TemporaryDirectory(prefix="recording-") as place:
        SCENARIOS[name](Path(place), target)
    return target


# --- what a failover costs ----------------------------------------------------------------
def crash_zookeeper(place: Path, target: Path) -> None:
    with defaults_on_zookeeper(place) as lab:
        _crash(lab, target)


def crash_kubernetes(place: Path, target: Path) -> None:
    with cluster_of(place, "kubernetes", DEFAULTS) as lab:
        _crash(lab, target)


def _crash(lab: FlinkCluster, target: Path) -> None:
    job, arrivals = running_job(lab)
    fault = lab.kill("leader")
    arrivals.bring(FLIGHTS)
    lab.wait_for_leader(other_than=fault, timeout=LONG).wait()
    restored = lab.wait_for_event("job.restored", after=fault, timeout=LONG).wait()
    lab.wait_for_event("checkpoint.completed", after=restored, timeout=LONG).wait()
    finish(lab, job, arrivals)
    lab.export_bundle(target)


def cut_off_zookeeper(place: Path, target: Path) -> None:
    with defaults_on_zookeeper(place) as lab:
        fault = lab.partition("leader", how="blackhole")
        name = fault.facts["target"]
        lab.wait_for_event("leadership.revoked", name, after=fault, timeout=LONG).wait()
        lab.wait_for_leader(other_than=fault, timeout=LONG).wait()
        lab.heal()
        published(lab)
        lab.export_bundle(target)


def cut_off_kubernetes(place: Path, target: Path) -> None:
    with cluster_of(place, "kubernetes", DEFAULTS, task_managers=0) as lab:
        fault = lab.partition("leader", how="blackhole")
        name = fault.facts["target"]
        granted = lab.wait_for_event("leadership.granted", after=fault, timeout=LONG).wait()
        try:
            lab.wait_for_event("leadership.revoked", name, after=granted, timeout=20).wait()
        except LabError:
            note(lab, "belief", process=name, still_leads=True,
                  seconds_after_the_next_was_granted=20)  # fmt: skip
        lab.heal()
        lab.wait_for_event("leadership.revoked", name, after=granted, timeout=LONG).wait()
        lab.export_bundle(target)


# --- what is written ----------------------------------------------------------------------
def deposed_writes(place: Path, target: Path) -> None:
    """The leader's znode in the latch is removed: the next one is granted, and it goes on."""
    with cluster_of(place, "zookeeper") as lab:
        running_job(lab, checkpoint_interval="100 ms")
        old = lab.leader(LONG)
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
            note(lab, "checkpoint", process=old, checkpoint_id=number,
                  seconds_after_the_next_was_granted=seconds)  # fmt: skip
        lab.export_bundle(target)


def closed_session(place: Path, target: Path) -> None:
    """The leader's session is closed while it is connected, until it does not hear of its end."""
    with cluster_of(place, "zookeeper", task_managers=0, store_servers=3) as lab:
        old, granted, closings = _unaware(lab)
        new = str(granted.process)
        note(lab, "unaware", process=old, closings=closings, next_leader=new,
              seconds_after_the_next_was_granted=_UNAWARE)  # fmt: skip
        for name in (old, new):
            status, body = rest_answer(lab, name, "/v1/jobs/overview")
            note(lab, "rest", process=name, status=status, body=body)
        said = log_of(lab, old)
        expired = [line for line in said.splitlines() if "Unable to reconnect" in line]
        note(lab, "log", process=old, line=expired[-1].partition(" ")[2].strip())
        os.kill(lab.processes[old].pid, signal.SIGQUIT)  # Java prints its threads
        note(lab, "thread", process=old, frames=eventually(lambda: _frames(log_of(lab, old))))
        _wait_for_end(lab, old)
        seconds = round(_ended_at(lab, old) - granted.monotonic, 1)
        note(lab, "end", process=old, words=lab.last_words(old), status=lab.processes[old].status,
              seconds_after_the_next_was_granted=seconds)  # fmt: skip
        lab.export_bundle(target)


def _unaware(lab: FlinkCluster) -> tuple[str, Event, int]:
    """A leader that does not hear of it, the grant of the next one, and how many were closed."""
    for closings in range(1, _CLOSINGS + 1):
        old = lab.leader(LONG)
        published(lab)
        fault = lab.expire_session(old, connected=True)
        granted = lab.wait_for_event("leadership.granted", after=fault, timeout=60).wait()
        try:
            lab.wait_for_event("leadership.revoked", old, after=fault, timeout=_UNAWARE).wait()
        except LabError:
            return old, granted, closings
        _settle()  # it has to stand in the latch again
    raise LabError(f"in {_CLOSINGS} tries each leader heard of the end: make it again")


def _frames(log: str) -> list[str]:
    """What ZooKeeper's event thread is at, the innermost call first: of Flink, and its wait."""
    _, _, dumped = log.rpartition('"main-EventThread"')
    stack = re.findall(r"^\tat (\S+)\(", dumped.partition("\n\n")[0], re.MULTILINE)
    told = [each for each in stack if re.search(r"flink\.runtime|Thread\.sleep|RetryLoop\.", each)]
    return [".".join(each.split(".")[-2:]) for each in told]


def _wait_for_end(lab: FlinkCluster, name: str) -> None:
    eventually(lambda: not lab.processes[name].alive, timeout=LONG)


def _ended_at(lab: FlinkCluster, name: str) -> float:
    return eventually(
        lambda: [
            event.monotonic
            for event in lab.event_list()
            if event.kind is EventKind.PROCESS_EXITED and event.facts["of"] == name
        ]
    )[-1]


def cut_off_publishing(place: Path, target: Path) -> None:
    """A new leader is cut off before the job's address is published, and is not revoked."""
    with cluster_of(place, "zookeeper") as lab:
        running_job(lab)
        old, cut, granted, cuts = _held(lab)
        new = str(granted.process)
        note(lab, "unaware", process=old, cuts=cuts, next_leader=new,
              seconds_after_the_next_was_granted=_UNAWARE)  # fmt: skip
        os.kill(lab.processes[old].pid, signal.SIGQUIT)  # Java prints its threads
        for what, call in (("holds the lock", "confirmLeadershipAsync"),
                           ("waits for the lock", "onRevokeLeadership")):  # fmt: skip
            frames = eventually(partial(_frames_of, lab, old, call))
            note(lab, "thread", process=old, does=what, frames=frames)
        status, body = rest_answer(lab, old, "/v1/jobs/overview")
        note(lab, "rest", process=old, status=status, body=body)
        _wait_for_end(lab, old)
        ended = _ended_at(lab, old)
        note(lab, "end", process=old, words=lab.last_words(old), status=lab.processes[old].status,
              seconds_after_the_cut=round(ended - cut.monotonic, 1),
              seconds_after_the_next_was_granted=round(ended - granted.monotonic, 1))  # fmt: skip
        lab.heal()
        lab.export_bundle(target)


def _held(lab: FlinkCluster) -> tuple[str, Event, Event, int]:
    """A leader that is not revoked, the cut, the grant of the next one, and how many were cut."""
    for cuts in range(1, _CUTS + 1):
        killed = lab.kill("leader")
        (name,) = {"jm-1", "jm-2"} - {killed.facts["target"]}
        known = log_of(lab, name).count(_RESTORING)
        restores = partial(_says_more, lab, name, known)
        eventually(restores, timeout=LONG, interval=_AT_ONCE)
        cut = lab.partition(name, how="blackhole")
        lab.restart(killed.facts["target"])
        granted = lab.wait_for_event(
            "leadership.granted", killed.facts["target"], after=cut, timeout=LONG
        ).wait()
        try:
            lab.wait_for_event("leadership.revoked", name, after=cut, timeout=_UNAWARE).wait()
        except LabError:
            return name, cut, granted, cuts
        lab.heal()
        completed = lab.wait_for_event("checkpoint.completed", after=granted, timeout=LONG)
        completed.wait()
    raise LabError(f"in {_CUTS} tries each leader was revoked: make it again")


def _says_more(lab: FlinkCluster, name: str, known: int) -> bool:
    return log_of(lab, name).count(_RESTORING) > known


def _frames_of(lab: FlinkCluster, name: str, call: str) -> list[str]:
    """The calls of Flink's in the thread that is in ``call``, the innermost first."""
    dumps = log_of(lab, name).rpartition("Full thread dump")[2].split("\n\n")
    stacks = (re.findall(r"^\tat (\S+)\(", dump, re.MULTILINE) for dump in dumps)
    for stack in stacks:
        if any(call in each for each in stack):
            return [
                ".".join(each.split(".")[-2:]) for each in stack if "flink.runtime.leader" in each
            ]
    return []


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
    with cluster_of(place, "zookeeper") as lab:
        first, arrivals = running_job(lab)
        folder = lab.directory / "storage" / "lab"
        first.cancel()
        first.wait(LONG, progress=False)
        eventually(lambda: not _names(folder), timeout=60)
        leader = lab.leader(LONG)
        pid = lab.processes[leader].pid
        config = {"flights": arrivals.directory, "output": lab.directory / "second"}
        lab.submit(str(flights.FLINK_JOB), config, wait=False)
        eventually(lambda: _names(folder), timeout=60, interval=_AT_ONCE)
        os.kill(pid, signal.SIGSTOP)
        fault = lab.kill(leader)
        (orphan,) = _names(folder)
        note(lab, "files", when="the leader is dead", names=[orphan])
        lab.wait_for_leader(other_than=fault, timeout=LONG).wait()
        published(lab)
        _settle()
        note(lab, "files", when="the next one leads", names=_names(folder))
        note(lab, "jobs", jobs=rest_answer(lab, lab.leader(LONG), "/v1/jobs/overview")[1])
        lab.export_bundle(target)
        return not lab.store_rows().value.str.contains(orphan).any()


def damaged_checkpoint(place: Path, target: Path) -> None:
    with cluster_of(place, "zookeeper", {options.RETAINED_CHECKPOINTS.key: "2"}) as lab:
        running_job(lab, checkpoint_interval="5 s")
        # A file is not enough: its pointer comes after it, and then the event.
        second = lab.wait_for_event("checkpoint.completed", after=_first(lab), timeout=60)
        second.wait()
        newest = max(_completed(lab), key=lambda file: file.stat().st_mtime_ns)
        note(lab, "damage", file=newest.name, files=len(_completed(lab)))
        fault = lab.kill("leader")
        newest.write_bytes(newest.read_bytes()[:100])
        _all_end(lab, fault)
        lab.export_bundle(target)


def stale_result(place: Path, target: Path) -> None:
    """A dirty result, whole and readable, of a job that runs: Flink believes the file."""
    with cluster_of(place, "zookeeper", {options.JOB_RESULT_DELETE_ON_COMMIT.key: "true"}) as lab:
        job, _ = running_job(lab)
        folder = lab.directory / "storage" / "job-result-store" / "lab"
        folder.mkdir(parents=True, exist_ok=True)
        result = {"id": job.job_id, "application-status": "SUCCEEDED", "accumulator-results": {},
                  "net-runtime": 42}  # fmt: skip
        dirty = folder / f"{job.job_id}_DIRTY.json"
        dirty.write_text(json.dumps({"result": result, "version": 1}, separators=(",", ":")))
        fault = lab.kill("leader")
        lab.wait_for_leader(other_than=fault, timeout=LONG).wait()
        published(lab)
        leader = lab.leader(LONG)
        eventually(lambda: "Skipping recovery" in log_of(lab, leader), timeout=60)
        eventually(lambda: not dirty.exists(), timeout=60)
        said = [line for line in log_of(lab, leader).splitlines() if "Skipping recovery" in line]
        note(lab, "log", process=leader, line=said[0].partition(" - ")[2] or said[0])
        note(lab, "jobs", jobs=rest_answer(lab, leader, "/v1/jobs/overview")[1])
        lab.export_bundle(target)


# --- what is asked ------------------------------------------------------------------------
def standby_rest(place: Path, target: Path) -> None:
    with cluster_of(place, "zookeeper") as lab:
        running_job(lab)
        leader = lab.leader(LONG)
        (standby,) = {"jm-1", "jm-2"} - {leader}
        for name in (leader, standby):
            for path in ("/v1/jobs/overview", "/v1/config"):
                status, body = rest_answer(lab, name, path)
                role = "leader" if name == leader else "standby"
                note(lab, "rest", process=name, role=role, path=path, status=status, body=body)
        fault = lab.kill("leader")
        eventually(lambda: rest_answer(lab, standby, "/v1/jobs/overview")[0] == 503, timeout=60)
        status, body = rest_answer(lab, standby, "/v1/jobs/overview")
        note(lab, "rest", process=standby, role="standby, and no leader", path="/v1/jobs/overview",
              status=status, body=body)  # fmt: skip
        lab.wait_for_leader(other_than=fault, timeout=LONG).wait()
        lab.export_bundle(target)


def standby_requests(place: Path, target: Path) -> None:
    with cluster_of(place, "kubernetes", DEFAULTS, task_managers=0) as lab:
        leader, seconds = lab.leader(LONG), 30.0
        api = lab._store.control_plane
        began = time.time()
        time.sleep(seconds)  # what is counted is what is asked in this time
        asked = [each for each in api.requests() if began <= each.received < began + seconds]
        for name in sorted(each for each in lab.processes if each.startswith("jm")):
            verbs = Counter(each.verb for each in asked if each.user == name)
            note(lab, "requests", process=name, role="leader" if name == leader else "standby",
                  seconds=seconds, **dict(sorted(verbs.items())))  # fmt: skip
        lab.export_bundle(target)


SCENARIOS: Mapping[str, Callable[[Path, Path], None]] = {
    each.__name__.replace("_", "-"): each
    for each in (
        crash_zookeeper, crash_kubernetes, deposed_writes, closed_session, cut_off_publishing,
        standby_rest, half_submission,
        damaged_checkpoint, stale_result, cut_off_zookeeper, cut_off_kubernetes, standby_requests,
        failover_signals, upgrade_kubernetes, upgrade_refused,
    )
}  # fmt: skip


# --- helpers ------------------------------------------------------------------------------


def _settle() -> None:
    """Leave a leader the time to sweep, if it were to: that it does not cannot be waited for."""
    time.sleep(_SETTLED)


def _checkpoints_of(lab: FlinkCluster, name: str, since: float) -> list[tuple[int, float]]:
    """Checkpoints that a JobManager says it completed after a moment (seconds since 1970)."""
    lines = re.findall(
        r"^(\S+) .*Completed checkpoint (\d+) for job", log_of(lab, name), re.MULTILINE
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
    of_both = [name for name in lab.processes if name.startswith("jm")]
    eventually(lambda: not any(lab.processes[name].alive for name in of_both), timeout=LONG)

    def ends() -> list[str]:
        return [
            str(event.facts["of"])
            for event in lab.event_list()
            if event.kind is EventKind.PROCESS_EXITED and event.facts["of"] in of_both
        ]

    # The event of an end comes a moment after the end.
    name = eventually(lambda: ends()[-1:] if len(ends()) >= len(of_both) else [], timeout=LONG)[0]
    if name == fault.facts["target"]:
        raise LabError(f"the standby ended before {name} was killed: make it again")
    try:
        note(lab, "last words", process=name, words=lab.last_words(name))
    except HaworkError:
        return
