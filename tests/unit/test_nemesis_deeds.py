"""Faults are done and undone, and ends of processes accounted for; on a cluster of paper."""

from __future__ import annotations

import os
import random
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from hawork.core.errors import LabError, StoreUnavailableError
from hawork.core.types import ProcessState
from hawork.lab.nemesis import deeds as nemesis_deeds
from hawork.lab.nemesis.cluster import Sight
from hawork.lab.nemesis.deeds import Deeds
from hawork.lab.nemesis.judge import _files
from hawork.lab.nemesis.plan import KINDS, Wish
from hawork.lab.nemesis.pointers import Pointers
from tests.unit.paper_cluster import BEYOND, PaperCluster

JOB = "a" * 32
FILE = f"default/jobs/{JOB}/submittedJobGraph0123456789ab"


class NoLeader(Sight):
    def leader(self) -> str | None:
        return None


@pytest.fixture
def cluster(tmp_path: Path) -> PaperCluster:
    (tmp_path / FILE).parent.mkdir(parents=True)
    (tmp_path / FILE).write_text("a job graph")
    return PaperCluster(tmp_path)


@pytest.fixture
def deeds(cluster: PaperCluster) -> Deeds:
    found: Any = cluster
    deeds = Deeds(
        found, NoLeader(found), Pointers(cluster.config), 1.0, {"limits"}, random.Random(1)
    )
    deeds.victims = lambda: {JOB}
    return deeds


def wish(kind: str, number: int = 1, choice: float = 0.0) -> Wish:
    return Wish(number, KINDS[kind], 0.0, 60.0, choice, 1.0)


def test_what_was_killed_is_started_again_and_not_blamed(
    cluster: PaperCluster, deeds: Deeds
) -> None:
    assert deeds.do(wish("kill")).target == "jm-1"
    deeds.heal()
    assert cluster.done == [("kill", "jm-1"), ("restart", "jm-1")]
    assert deeds.ended_by_itself == []


def test_a_process_that_ends_by_itself_is_told_once(cluster: PaperCluster, deeds: Deeds) -> None:
    cluster.set("jm-2", "exited")
    deeds.undo_what_is_due(0.0)
    deeds.heal()
    (told,) = deeds.ended_by_itself
    assert told == f"jm-2 (process {BEYOND + 1}) ended with status 1: the last words of jm-2"
    assert cluster.done == [("restart", "jm-2")]


def test_a_process_that_ends_again_is_told_again(cluster: PaperCluster, deeds: Deeds) -> None:
    for _ in range(2):
        cluster.set("tm-1", "exited")
        deeds.heal()
    assert len(deeds.ended_by_itself) == 2


def test_files_that_go_while_they_are_listed_are_not_harmed(
    cluster: PaperCluster, deeds: Deeds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job ends, and its folder with it; Python's ``glob`` raises for it."""
    scandir = os.scandir

    def late(path: Any) -> Any:
        if not isinstance(path, int) and Path(path).name == JOB:
            shutil.rmtree(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", late)
    assert deeds.do(wish("deleted file")).why == "nothing to do it to"
    assert not list(_files(cast(Any, cluster), {JOB}, set()))


def test_a_fault_that_needs_the_store_is_not_done_while_that_is_away(
    cluster: PaperCluster, deeds: Deeds
) -> None:
    def expire_session(name: str) -> None:
        raise StoreUnavailableError("no ZooKeeper server answered")

    cluster.expire_session = expire_session  # type: ignore[attr-defined]
    deed = deeds.do(wish("expired session"))
    assert (deed.target, deed.why) == ("", "no ZooKeeper server answered")


def test_what_is_blocked_is_left_to_the_watchdog(
    cluster: PaperCluster, deeds: Deeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not deeds.do(wish("block")).target  # none has begun
    monkeypatch.setattr(nemesis_deeds, "has_begun", lambda _: True)
    assert deeds.do(wish("block", 2)).target == "jm-1"
    assert deeds.do(wish("block", 3)).target == "jm-2"  # the other one hangs already
    deeds.heal()
    assert deeds.hanging() == ["jm-1", "jm-2"]
    cluster.set("jm-1", "exited", status=-signal.SIGKILL)
    deeds.heal()
    assert deeds.hanging() == ["jm-2"]
    deeds.end_what_hangs()
    assert deeds.hanging() == deeds.ended_by_itself == []
    assert cluster.done[2:] == [("restart", "jm-1"), ("restart", "jm-2")]


def test_what_is_blocked_and_ends_by_itself_is_blamed(
    cluster: PaperCluster, deeds: Deeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nemesis_deeds, "has_begun", lambda _: True)
    assert deeds.do(wish("block")).target == "jm-1"
    cluster.set("jm-1", "exited", status=1)
    assert [each.partition(" ")[0] for each in deeds.ended_by_itself] == ["jm-1"]


def test_what_ended_and_was_started_again_between_two_looks_is_blamed(
    cluster: PaperCluster, deeds: Deeds
) -> None:
    cluster.set("jm-1", "exited")
    cluster.set("jm-1", "running", BEYOND + 100)
    assert deeds.do(wish("restart")).target == "jm-1"
    assert [each[:26] for each in deeds.ended_by_itself] == [f"jm-1 (process {BEYOND}) ended"[:26]]


def test_a_process_whose_clock_is_moved_may_be_killed_for_it_and_not_end_later(
    cluster: PaperCluster, deeds: Deeds
) -> None:
    def move_clock(name: str, *_: float) -> None:
        if cluster.processes[name].starts == 1:
            cluster.kill(name)
            cluster.processes[name] = ProcessState(name, BEYOND + 100, "running", starts=2)

    cluster.move_clock = move_clock  # type: ignore[attr-defined]
    assert deeds.do(wish("jumping clock")).target == "jm-1"
    assert deeds.ended_by_itself == []
    assert deeds.do(wish("jumping clock", 2)).target == "jm-1"
    cluster.kill("jm-1")
    assert len(deeds.ended_by_itself) == 1


@pytest.mark.parametrize(("status", "blamed"), [(0, 0), (-signal.SIGTERM, 0), (1, 1)])
def test_what_is_terminated_ends_in_order(
    cluster: PaperCluster, deeds: Deeds, status: int, blamed: int
) -> None:
    cluster.terminate = lambda name: cluster.set(  # type: ignore[attr-defined]
        name, "exited", status=status
    )
    assert deeds.do(wish("terminate")).target == "jm-1"
    deeds.heal()
    assert len(deeds.ended_by_itself) == blamed


def test_a_revoked_right_and_refused_files_are_accounted_for(
    cluster: PaperCluster, deeds: Deeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deeds._ends, "_has_begun", lambda _: False)
    cluster.last_words = lambda process: "we may not get configmaps"  # type: ignore[method-assign]
    deeds._cannot = ()
    assert deeds.do(wish("revoked right", choice=0.3)).target == "jm-1"
    cluster.set("jm-1", "exited")
    assert deeds.do(wish("opens fail", 2)).target == "jm-2"
    cluster.set("jm-2", "exited")
    assert deeds.ended_by_itself == []
    assert deeds.do(wish("writes fail", 3)).target == "tm-1"
    cluster.set("tm-1", "exited")
    assert len(deeds.ended_by_itself) == 1


def test_healing_resumes_what_is_paused(cluster: PaperCluster, deeds: Deeds) -> None:
    deeds.do(wish("long pause", choice=0.99))
    assert cluster.processes["tm-1"].state == "paused"
    deeds.heal()
    assert {state.state for state in cluster.processes.values()} == {"running"}


def test_harm_to_data_outlasts_the_healing_of_the_rest(cluster: PaperCluster, deeds: Deeds) -> None:
    deeds.do(wish("deleted file"))
    deeds.do(wish("full disk", 2))
    assert deeds.harmed == {JOB}
    deeds.heal(harmed=False)
    assert cluster.done == [
        ("delete_file", FILE),
        ("fill_disk", "storageDir"),
        ("free_disk", "storageDir"),
    ]
    deeds.heal()
    assert cluster.done[3:] == [("put_back", FILE)]


def test_faults_last_as_long_as_they_were_meant_to(cluster: PaperCluster, deeds: Deeds) -> None:
    """A drill of few faults undid them at once, and found nothing."""
    deeds.do(wish("deleted file"))  # for a minute
    deeds.do(replace(wish("full scratch", 2), lasts=0.05))
    deeds.live_out(harmed=False)
    assert cluster.done[2:] == [("free_disk", "scratch")]
    (deed,) = [each for each in deeds.done if each.kind == "full scratch"]
    assert deed.undone is not None and deed.undone - deed.at >= 0.05


def test_one_fault_in_the_way_of_another_s_end_is_undone_first(
    cluster: PaperCluster, deeds: Deeds
) -> None:
    cluster.free_disk = lambda _: cluster.refusing.clear()  # type: ignore[attr-defined]
    cluster.refusing = {"put_back"}
    deeds.do(wish("deleted file"))
    deeds.do(wish("full disk", 2))
    deeds.heal()
    assert cluster.done[-1] == ("put_back", FILE)


def test_what_cannot_be_undone_is_told_when_all_else_is(
    cluster: PaperCluster, deeds: Deeds
) -> None:
    deeds.do(wish("full disk"))
    deeds.do(wish("deleted file", 2))
    deeds.do(wish("long pause", 3))
    cluster.refusing = {"free_disk"}
    with pytest.raises(LabError, match="free_disk is refused"):
        deeds.heal()
    assert ("put_back", FILE) in cluster.done
    assert cluster.processes["jm-1"].state == "running"


def test_the_scratch_of_task_managers_is_filled_and_freed_and_cleared(
    cluster: PaperCluster, deeds: Deeds
) -> None:
    deeds.do(wish("full scratch"))
    assert deeds.do(wish("cleared scratch", 2)).target == "tm-1"
    deeds.heal()
    assert cluster.done == [
        ("fill_disk", "scratch"), ("clear_scratch", "tm-1"), ("free_disk", "scratch"),
    ]  # fmt: skip


def test_only_victims_are_harmed(cluster: PaperCluster, deeds: Deeds) -> None:
    deeds.victims = lambda: {"b" * 32}
    assert not deeds.do(wish("damaged file")).target
    assert cluster.done == []


def test_what_is_left_out_or_refused_was_not_done(cluster: PaperCluster, deeds: Deeds) -> None:
    assert deeds.do(wish("writes fail")).why == "left out"
    cluster.refusing = {"fill_disk"}
    assert deeds.do(wish("full disk", 2)).why == "fill_disk is refused"
    assert [each.target for each in deeds.done] == ["", ""]
    deeds.heal()
    assert cluster.done == []
