"""A whole drill on a cluster of paper: what is kept is not blamed, and every breach is noticed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hawork.backends.embedded.directory import directory_of
from hawork.backends.embedded.layout import create_database
from hawork.core.errors import JobNotFoundError
from hawork.core.jobs import JobStatus
from hawork.core.types import LeaderInformation
from hawork.inspect.entries import Entry
from hawork.lab.nemesis import ensemble, judge
from hawork.lab.nemesis.drill import Drill, DrillReport
from hawork.lab.nemesis.jobs import KEYS
from hawork.lab.nemesis.load import LoadKinds, LoadSpec
from hawork.lab.nemesis.plan import Seed, wishes
from hawork.testing import eventually
from tests.unit.paper_cluster import PaperCluster

STORE: Any = SimpleNamespace(no_sessions="none", own=False, server_data=tuple, control_plane=None)
SHORT = LoadKinds(leads_within=-2.7, ends_within=0.2)


def records(spec: LoadSpec) -> list[dict[str, int]]:
    if spec.function == "numbers":
        return [{"number": number} for number in range(spec.end)]
    return [
        {"key": k, "count": len(range(k, spec.end, KEYS)), "total": sum(range(k, spec.end, KEYS))}
        for k in range(min(KEYS, spec.end))
    ]


@dataclass
class Paper:
    """The cluster, and what its jobs do wrong."""

    cluster: PaperCluster
    address: str
    known: dict[str, SimpleNamespace] = field(default_factory=dict)
    spoil: Callable[[Paper, str, list[dict[str, int]]], None] = lambda *_: None
    results: tuple[str, ...] = (".json",)
    session: Callable[[], uuid.UUID] = lambda: uuid.UUID(int=1)

    def submit(self, spec: LoadSpec) -> Any:
        job_id = uuid.uuid4().hex
        found = records(spec)
        self.known[job_id] = SimpleNamespace(job_id=job_id, status=JobStatus.FINISHED, failure=None)
        self.spoil(self, job_id, found)
        spec.output.mkdir()
        lines = "".join(json.dumps(record) + "\n" for record in found)
        (spec.output / "part-0-1-1.jsonl").write_text(lines)
        folder = self.cluster.storage / "job-result-store" / "default"
        folder.mkdir(parents=True, exist_ok=True)
        for suffix in self.results:
            (folder / f"{job_id}{suffix}").touch()
        return _PaperJob(self, job_id)

    # --- the client ----------------------------------------------------------------------
    def current_leader(self) -> LeaderInformation:
        return LeaderInformation(self.session(), self.address)

    def overview(self) -> dict[str, Any]:
        return {}

    def jobs(self) -> list[SimpleNamespace]:
        return list(self.known.values())


class _PaperJob:
    accepted = True

    def __init__(self, paper: Paper, job_id: str) -> None:
        self.job_id = job_id
        self._paper = paper

    @property
    def details(self) -> Any:
        if self.job_id not in self._paper.known:
            raise JobNotFoundError("not known")
        return self._paper.known[self.job_id]


@pytest.fixture
def paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Paper]:
    monkeypatch.setattr(judge, "_CLEAN_WITHIN", 0.2)
    cluster = PaperCluster(tmp_path / "storage")
    cluster.step = 0
    directory_of(cluster.config).mkdir(parents=True)
    create_database(directory_of(cluster.config) / "ha.db", "/default")
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        cluster.set("jm-1", "running", os.getpid())
        paper = Paper(cluster, f"http://127.0.0.1:{listener.getsockname()[1]}")
        cluster.client = paper
        yield paper


def run(paper: Paper, *, only: tuple[int, ...] = (1,)) -> DrillReport:
    cluster: Any = paper.cluster
    return Drill(cluster, STORE, paper.submit, SHORT, seed=3).run(only=only)


def promises(report: DrillReport) -> set[str]:
    return {breach.promise for breach in report.breaches}


def test_a_cluster_that_keeps_its_promises_is_not_blamed(paper: Paper) -> None:
    report = run(paper, only=tuple(range(1, 9)))
    assert report.valid, str(report)
    assert report.jobs > 0
    assert report.leaders == 1
    assert report.done
    assert {state.state for state in paper.cluster.processes.values()} == {"running"}
    assert "Every promise was kept" in str(report)


def test_a_job_that_is_not_known_any_more_is_lost(paper: Paper) -> None:
    paper.spoil = lambda paper, job_id, _: paper.known.pop(job_id) and None
    assert judge.LOST in promises(run(paper))


def test_a_job_that_fails_without_harm_is_lost(paper: Paper) -> None:
    def fail(paper: Paper, job_id: str, found: list[dict[str, int]]) -> None:
        paper.known[job_id].status = JobStatus.FAILED

    paper.spoil = fail
    assert promises(run(paper)) == {judge.LOST}


def test_output_that_came_twice_is_noticed(paper: Paper) -> None:
    paper.spoil = lambda _, __, found: found.extend(found[:1])
    assert promises(run(paper)) == {judge.TWICE}


@pytest.mark.parametrize("results", [(), ("_DIRTY.json",), (".json", "_DIRTY.json")])
def test_a_job_has_one_clean_result(paper: Paper, results: tuple[str, ...]) -> None:
    paper.results = results
    assert promises(run(paper)) == {judge.RESULTS}


def test_what_is_left_of_a_job_is_noticed(paper: Paper) -> None:
    def leave(paper: Paper, job_id: str, found: list[dict[str, int]]) -> None:
        (paper.cluster.storage / "default" / "jobs" / job_id / "blob").mkdir(parents=True)

    paper.spoil = leave
    report = run(paper)
    assert promises(report) == {judge.LEFT}
    assert any(each.what.endswith("/blob") for each in report.breaches)


def test_an_entry_that_is_left_of_a_job_is_noticed(paper: Paper) -> None:
    def leave(paper: Paper, job_id: str, found: list[dict[str, int]]) -> None:
        file = directory_of(paper.cluster.config) / "ha.db"
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            connection.execute("INSERT INTO pointer VALUES ('jobgraphs', ?, 1, x'00')", (job_id,))

    paper.spoil = leave
    assert promises(run(paper)) == {judge.LEFT, judge.STALE}  # no process held the lease, either


def test_a_leader_that_is_published_again_is_noticed(paper: Paper) -> None:
    sessions = deque([*[uuid.uuid4()] * 3, *[uuid.uuid4()] * 9])
    first, seen = sessions[0], threading.Event()

    def session() -> uuid.UUID:
        if not sessions:
            seen.set()
        return sessions.popleft() if sessions else first

    paper.session = session
    paper.spoil = lambda *_: seen.wait(10) and None  # the drill lasts until then
    assert judge.STALE in promises(run(paper))


@pytest.mark.parametrize(
    ("held", "broken"),
    [
        ({"a:1": {"x", "y"}, "b:1": {"x", "y"}}, []),
        ({"a:1": {"x", "y"}, "b:1": {"x"}}, ["b:1 lacks znode y in version 7"]),
    ],
)
def test_servers_of_a_store_that_differ_are_noticed(
    paper: Paper, monkeypatch: pytest.MonkeyPatch, held: dict[str, set[str]], broken: list[str]
) -> None:
    entries = {
        server: frozenset(Entry("zookeeper", name, b"", version=7) for name in names)
        for server, names in held.items()
    }
    monkeypatch.setattr(ensemble, "entries_of_each", lambda _: entries)
    store = SimpleNamespace(**{**vars(STORE), "server_data": lambda: ("a", "b")})
    found = list(judge.StoreWatch(cast(Any, paper.cluster), store).stop())
    assert [each.promise for each in found] == [judge.STORE] * len(broken)
    assert all(each.what.startswith(what) for each, what in zip(found, broken, strict=True))


def test_no_leader_after_healing_is_noticed(paper: Paper) -> None:
    paper.address = "http://127.0.0.1:1"
    assert judge.LEADERLESS in promises(run(paper))


@pytest.mark.parametrize("patience", [0.0, 10.0])
def test_what_a_watchdog_ends_while_a_leader_is_waited_for_is_started_again(
    paper: Paper, patience: float
) -> None:
    """All three JobManagers hung at once (n2-31001 on ZooKeeper), and none was started again.

    Nor while a client had the patience to wait for a leader (n3-40005, embedded).
    """
    cluster: Any = paper.cluster
    kinds = LoadKinds(leads_within=5.0, ends_within=0.2)
    drill = Drill(cluster, STORE, paper.submit, kinds, seed=3)
    for name in ("jm-1", "jm-2"):
        cluster.set(name, "exited", status=-signal.SIGKILL)

    def alive() -> str | None:
        with contextlib.suppress(AssertionError):
            eventually(lambda: cluster.processes["jm-1"].alive, timeout=patience)
        return "jm-1" if cluster.processes["jm-1"].alive else None

    drill.sight.answers = alive  # type: ignore[method-assign]
    drill._expect_leader()
    assert drill._breaches == []
    assert ("restart", "jm-1") in cluster.done


def test_the_leader_is_changed_after_all_harm_also_when_none_leads_just_then(
    paper: Paper,
) -> None:
    """Else a job whose pointer came back late would be told as lost (n3-40206, ZooKeeper)."""
    cluster: Any = paper.cluster
    drill = Drill(cluster, STORE, paper.submit, LoadKinds(leads_within=5.0), seed=3)
    told = iter([None, None, "jm-1"])
    drill.sight.leader = lambda: next(told)  # type: ignore[method-assign]
    drill._change_leader()
    assert ("restart", "jm-1") in cluster.done and drill._breaches == []


def test_a_process_that_ended_by_itself_is_noticed(paper: Paper) -> None:
    def end(paper: Paper, job_id: str, found: list[dict[str, int]]) -> None:
        paper.cluster.set("jm-2", "exited")

    paper.spoil = end
    assert promises(run(paper, only=(2,))) == {judge.DIED}


def test_what_had_ended_before_is_not_the_drill_s_to_judge(paper: Paper) -> None:
    paper.cluster.set("jm-2", "exited")
    assert promises(run(paper, only=(2,))) == set()
    assert ("restart", "jm-2") in paper.cluster.done


def test_what_hangs_and_is_not_ended_is_noticed(paper: Paper) -> None:
    blocks = [
        each.number
        for each in islice(wishes(Seed(3), "embedded", 0.4), 500)
        if each.kind.name == "block"
    ]
    report = run(paper, only=tuple(blocks[:1]))
    assert promises(report) == {judge.HANGS}
    assert ("restart", "jm-1") in paper.cluster.done


def test_a_job_that_was_there_before_must_be_there_afterwards(paper: Paper) -> None:
    paper.known["b" * 32] = SimpleNamespace(job_id="b" * 32, status=JobStatus.RUNNING)

    def forget(paper: Paper, job_id: str, found: list[dict[str, int]]) -> None:
        paper.known.pop("b" * 32, None)

    paper.spoil = forget
    report = run(paper)
    assert [each.promise for each in report.breaches] == [judge.LOST]
    assert "before the drill" in report.breaches[0].what


def test_an_interrupted_drill_heals_and_leaves_nothing_in_the_store(paper: Paper) -> None:
    cluster: Any = paper.cluster

    def tell(sentence: str) -> None:
        if sentence.startswith("fault 9 "):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Drill(cluster, STORE, paper.submit, SHORT, seed=3, tell=tell).run(faults=50)
    assert {state.state for state in cluster.processes.values()} == {"running"}
    with closing(sqlite3.connect(directory_of(cluster.config) / "ha.db")) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master")]
    assert not [name for name in names if name.startswith("nemesis")]
