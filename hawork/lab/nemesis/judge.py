"""What must be true after a drill, looked at from outside: processes, REST, stores and output.

The event log is the cluster's own word, and is not asked.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from hawork.client.waiting import Waiting
from hawork.core.errors import HaworkError, LabError
from hawork.core.jobs import JobStatus
from hawork.ha.layout import CHECKPOINT, JOB_GRAPH, JOBS, cluster_directory, job_result_url
from hawork.ha.storage import local_path
from hawork.inspect.store import read_entries
from hawork.lab.nemesis.cluster import Breakable, Store
from hawork.lab.nemesis.load import LoadedJob

if TYPE_CHECKING:
    from hawork.lab.nemesis.canary import Canary

LOST = "an acknowledged job is lost"
TWICE = "output is not exact"
RESULTS = "a job has not one result"
STALE = "a stale write"
LEADERLESS = "no leader after healing"
LEFT = "something is left over"
DIED = "a process ended by itself"
HANGS = "a process that hangs was not ended"
REFUSED = "a submission that was refused has run"
STORE = "the store broke its own promise"

_CLEAN_WITHIN = 20.0


@dataclass(frozen=True, slots=True)
class Breach:
    """A promise that was broken, and how."""

    promise: str
    what: str

    def __str__(self) -> str:
        return f"{self.promise}: {self.what}"


class LeaderWatch(threading.Thread):
    """Whose session is published, from moment to moment, as any client sees it."""

    def __init__(self, cluster: Breakable) -> None:
        super().__init__(name="nemesis-leader-watch", daemon=True)
        self.sessions: list[str] = []
        self._cluster = cluster
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(0.02):
            try:
                information = self._cluster.client.current_leader()
            except HaworkError:
                return  # the cluster is closed
            session = "" if information is None else str(information.session_id)
            if session and self.sessions[-1:] != [session]:
                self.sessions.append(session)

    def end(self) -> None:
        self._done.set()
        if self.is_alive():
            self.join()

    def stop(self) -> Iterator[Breach]:
        self.end()
        again = {each for each in self.sessions if self.sessions.count(each) > 1}
        for session in sorted(again):
            yield Breach(STALE, f"leader {session} was published again after another one")


def wait_for_leader(answers: Callable[[], str | None], within: float) -> Breach | None:
    """A leader that is published and answers, some seconds after everything is healed."""
    began = time.monotonic()
    try:
        Waiting("a leader that answers", answers, timeout=within).wait()
    except LabError:
        return Breach(LEADERLESS, f"{time.monotonic() - began:.1f} s after everything was healed")
    return None


def judge_jobs(
    cluster: Breakable, jobs: list[LoadedJob], harmed: set[str], within: float
) -> Iterator[Breach]:
    """Each acknowledged job has ended once and exact; what was refused has not half run.

    ``within`` so many seconds.
    """
    end = time.monotonic() + within
    acknowledged = list[LoadedJob]()
    for each in jobs:
        within = max(min(1.0, within), end - time.monotonic())
        if not _is_acknowledged(each, within):
            if wrong := each.never_twice():
                yield Breach(REFUSED, f"{each}: {wrong}")
            continue
        acknowledged.append(each)
        yield from _judge_job(each, each.job_id in harmed, within)
    yield from _judge_results(cluster, acknowledged)


def _is_acknowledged(each: LoadedJob, within: float) -> bool:
    """Whether the client had its answer; one that still asks gets some time."""

    def answered() -> bool | None:
        return None if each.job.accepted is None else True

    with contextlib.suppress(LabError):
        Waiting("an answer", answered, timeout=within).wait()
    return each.job.accepted is True


def _judge_job(each: LoadedJob, harmed: bool, within: float) -> Iterator[Breach]:
    def has_ended() -> JobStatus | None:
        try:
            status = each.look()
        except HaworkError:
            return None
        return status if status is not None and status.globally_terminal else None

    try:
        status = Waiting(f"{each}", has_ended, timeout=within, poll=0.1).wait()
    except LabError:
        yield Breach(LOST, f"{each} is {each.status or 'lost'} ({each.failure})")
        return
    if status is not JobStatus.FINISHED:
        if not harmed:
            yield Breach(LOST, f"{each} is {status}: {each.failure}")
        wrong = each.never_twice()
    else:
        wrong = each.exact()
    if wrong:
        yield Breach(TWICE, f"{each}: {wrong}")


def _judge_results(cluster: Breakable, jobs: list[LoadedJob]) -> Iterator[Breach]:
    folder = local_path(job_result_url(cluster.config))
    if folder is None:
        return

    def wrong() -> list[Breach]:
        return [
            Breach(RESULTS, f"{each} has {names}")
            for each in jobs
            if (names := _results(Path(folder), each.job_id)) != [f"{each.job_id}.json"]
        ]

    with contextlib.suppress(LabError):
        Waiting("results", lambda: not wrong() or None, timeout=_CLEAN_WITHIN).wait()
        return
    yield from wrong()


def _results(folder: Path, job_id: str) -> list[str]:
    return sorted(file.name for file in folder.glob(f"{job_id}*.json"))


def judge_others(cluster: Breakable, others: Collection[str]) -> Iterator[Breach]:
    """The jobs that ran before are known; what they do is not the drill's to judge."""
    try:
        known = {str(each.job_id) for each in cluster.client.jobs()}
    except HaworkError as error:
        yield Breach(LEADERLESS, f"the leader does not tell its jobs: {error}")
        return
    for job_id in sorted(set(others) - known):
        yield Breach(LOST, f"job {job_id}, which was there before the drill, is not known")


class StoreWatch:
    """Whether the store keeps its own promises, without which none upon it can be kept.

    Begins with ``start``, where the store is ZooKeeper servers of the cluster's own.
    """

    def __init__(self, cluster: Breakable, store: Store) -> None:
        self._config = cluster.config
        self._servers = len(store.server_data())
        self._canary: Canary | None = None

    def start(self) -> None:
        if self._servers:
            from hawork.lab.nemesis.canary import Canary

            self._canary = Canary(self._config)
            self._canary.start()

    def end(self) -> None:
        if self._canary is not None:
            self._canary.end()

    def stop(self) -> Iterator[Breach]:
        self.end()
        if self._canary is not None:
            yield from (Breach(STORE, each) for each in self._canary.lost)
        if self._servers > 1:
            from hawork.lab.nemesis.ensemble import lasting_differences

            try:
                found = lasting_differences(self._config, _CLEAN_WITHIN)
            except HaworkError as error:
                found = [str(error)]
            yield from (Breach(STORE, each) for each in found)


def judge_leftovers(
    cluster: Breakable, jobs: list[LoadedJob], put_back: set[str], *, alone: bool
) -> list[Breach]:
    """Nothing of an ended job is left: files, entries, output in the making, task processes.

    Task processes are looked at when the cluster was ``alone`` with the drill.
    """
    ours = {each.job_id for each in jobs}

    def left() -> list[str]:
        tasks = _tasks(cluster) if alone else ()
        return [
            *_entries(cluster, ours), *_files(cluster, ours, put_back), *_outputs(jobs), *tasks,
        ]  # fmt: skip

    try:
        Waiting("a clean cluster", lambda: not left() or None, timeout=_CLEAN_WITHIN).wait()
    except LabError:
        return [Breach(LEFT, each) for each in left()]
    return []


def _entries(cluster: Breakable, ours: set[str]) -> Iterator[str]:
    """Pointers, claims and ConfigMaps of jobs; latch nodes of processes that are gone."""
    try:
        entries = read_entries(cluster.config)
    except HaworkError as error:
        yield f"the store cannot be read: {error}"
        return
    alive = sum(state.alive for name, state in cluster.processes.items() if name.startswith("jm"))
    nodes = [entry.name for entry in entries if "/leader/latch/" in entry.name]
    if len(nodes) > alive:
        yield f"{len(nodes)} latch nodes of {alive} JobManagers: {nodes}"
    for entry in entries:
        name = entry.name if entry.key is None else f"{entry.name} {entry.key}"
        if (
            "/leader/" not in name
            and entry.name != "nemesis_history"
            and any(job in name for job in ours)
        ):
            yield f"entry {name}"


def _files(cluster: Breakable, ours: set[str], put_back: set[str]) -> Iterator[str]:
    storage = cluster.storage_directory()
    folder = storage / cluster_directory(cluster.config)
    paths = [path for job_id in ours for path in _below(folder / JOBS / job_id)]
    for prefix in (JOB_GRAPH, CHECKPOINT):  # where Flink has them
        paths += folder.glob(f"{prefix}*")
    for path in paths:
        name = str(path.relative_to(storage))
        if name not in put_back and not any(each.startswith(f"{name}/") for each in put_back):
            yield f"file {name}"


def _below(folder: Path) -> Iterator[Path]:
    """Files and folders; those that go meanwhile are left out, for which ``rglob`` raises."""
    for place, folders, files in os.walk(folder):
        yield from (Path(place) / name for name in [*folders, *files])


def _outputs(jobs: list[LoadedJob]) -> Iterator[str]:
    for each in jobs:
        if each.status is JobStatus.FINISHED:
            for path in _below(each.output / ".pending"):
                yield f"output {path.relative_to(each.output.parent)}"


def _tasks(cluster: Breakable) -> Iterator[str]:
    for name, state in cluster.processes.items():
        if name.startswith("tm") and state.alive:
            for task in _children(state.pid):
                yield f"process {task} below {name}"


def _children(pid: int) -> list[int]:
    try:
        return [each.pid for each in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []


class Remains:
    """What a cluster that is closed must leave behind: no process and no port."""

    def __init__(self) -> None:
        self._before = _below_us()

    def judge(self, addresses: Iterable[tuple[str, int]]) -> list[Breach]:
        def left() -> list[str]:
            ours = _below_us() - self._before
            processes = [f"process {each.pid}" for each in ours]
            return processes + [f"port {each[1]}" for each in addresses if _listens(*each)]

        try:
            Waiting("all processes to end", lambda: not left() or None, timeout=10.0).wait()
        except LabError:
            return [Breach(LEFT, each) for each in left()]
        return []


def _below_us() -> set[Any]:
    return set(psutil.Process().children(recursive=True))


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=0.5):
            return True
    except OSError:
        return False
