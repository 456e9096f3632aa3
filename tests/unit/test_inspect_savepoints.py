"""What a job begins with that has no checkpoint pointer and was started from a savepoint.

Source of what is right: ``CheckpointCoordinator.restoreSavepoint``, and ``Dispatcher``: whatever
fails before a recovered job runs ends the JobManager. Real Flink: ``tests/interop`` of that name.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from ha_cases.made import ROOT, Made, clusters
from test_inspect_faults import JOBS, alarms, checkpoint_pointers_gone, file

from hawork.inspect.inspection import Inspection
from hawork.inspect.job_graph_json import read_job_graph
from hawork.inspect.job_graphs import JobGraphFacts, RestoreSettings
from hawork.inspect.savepoints import DUMMY

CLUSTERS = clusters()
SAVEPOINT = "savepoints/savepoint-b273d1-0123456789ab"
URL = f"file:{ROOT}/{SAVEPOINT}"
NUMBER = 3


class Begun:
    """The job ``exclusive`` was started from a savepoint: its newest checkpoint, copied."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cluster: str) -> None:
        self.made = copy.deepcopy(CLUSTERS[cluster])
        self._patch = monkeypatch
        self.start_from(URL)
        newest = self.made.ids("exclusive")[-1]
        chk = f"checkpoints/{self.made.jobs['exclusive']}/chk-{newest}/"
        for name in [each for each in self.made.files if each.startswith(chk)]:
            content, modified = self.made.files[name]
            if name.endswith("_metadata"):
                content = content[:8] + NUMBER.to_bytes(8, "big") + content[16:]
            self.made.files[name.replace(chk, f"{SAVEPOINT}/")] = (content, modified)

    def start_from(self, path: str, *, allow: bool = False) -> None:
        job = self.made.jobs["exclusive"]

        def read(data: bytes) -> JobGraphFacts:
            found = read_job_graph(data)
            settings = RestoreSettings(path, allow, "NO_CLAIM")
            return replace(found, restore_settings=settings) if found.job_id == job else found

        self._patch.setattr("hawork.inspect.follow.read_job_graph", read)

    def lost(self) -> list[object]:
        """Its checkpoint pointers go; the finding that says so."""
        return list(checkpoint_pointers_gone(self.made, "exclusive").findings)

    def look(self) -> tuple[Inspection, tuple[str, int | None]]:
        found = self.made.look()
        job = found.recovery.jobs[self.made.jobs["exclusive"]]
        return found, (job.outcome, job.checkpoint)


@pytest.fixture(params=list(CLUSTERS))
def begun(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Begun:
    return Begun(monkeypatch, request.param)


def of(made: Made, *names: str) -> set[tuple[str, str, str | None]]:
    return {made.graph("exclusive"), made.job("exclusive"), *(file(name) for name in names)}


def test_with_a_checkpoint_the_savepoint_does_not_matter(begun: Begun) -> None:
    for name in [each for each in begun.made.files if each.startswith(SAVEPOINT)]:
        del begun.made.files[name]
    found, outcome = begun.look()
    assert found.alarms == []
    assert outcome == ("restored", begun.made.ids("exclusive")[-1])


def test_without_one_the_job_begins_with_the_savepoint_again(begun: Begun) -> None:
    lost = begun.lost()
    found, outcome = begun.look()
    assert alarms(found) == lost
    assert outcome == ("restored", NUMBER)
    assert found.recovery.jobs[begun.made.jobs["exclusive"]].savepoint == URL
    assert URL in found.alarms[0].title


def test_a_savepoint_that_is_gone_ends_every_jobmanager(begun: Begun) -> None:
    lost = begun.lost()
    for name in [each for each in begun.made.files if each.startswith(SAVEPOINT)]:
        del begun.made.files[name]
    begun.made.files["savepoints/another/_metadata"] = (
        b"",
        1795970000.0,
    )  # the folder is looked at
    found, _ = begun.look()
    told = ("savepoint-missing", "fatal", of(begun.made, f"{SAVEPOINT}/_metadata"))
    assert alarms(found) == [told, *lost]
    assert found.recovery.jobmanager == "crash-loops"


def test_what_was_not_copied_is_not_gone(begun: Begun) -> None:
    lost = begun.lost()
    for name in [each for each in begun.made.files if each.startswith("savepoints/")]:
        del begun.made.files[name]
    found, outcome = begun.look()
    assert alarms(found) == lost and outcome == ("restored", None)
    assert any("savepoints" in each.what for each in found.cluster.not_looked_at)


def test_a_savepoint_that_cannot_be_read_ends_every_jobmanager(begun: Begun) -> None:
    lost = begun.lost()
    name = f"{SAVEPOINT}/_metadata"
    begun.made.change(name, begun.made.files[name][0][:200])
    found, _ = begun.look()
    assert alarms(found) == [("savepoint-unreadable", "fatal", of(begun.made, name)), *lost]
    assert found.recovery.jobmanager == "crash-loops"


def test_a_savepoint_that_lacks_a_file_lets_the_job_restart_for_ever(begun: Begun) -> None:
    lost = begun.lost()
    gone = next(each for each in begun.made.files
                if each.startswith(SAVEPOINT) and not each.endswith("_metadata"))  # fmt: skip
    del begun.made.files[gone]
    found, outcome = begun.look()
    told = ("state-file-missing", "stuck", of(begun.made, gone, f"{SAVEPOINT}/_metadata"))
    assert alarms(found) == [*lost, told]
    assert outcome == ("restart-loop", NUMBER)


@pytest.mark.parametrize("allowed", [False, True])
def test_a_savepoint_of_a_changed_job(begun: Begun, allowed: bool) -> None:
    """``allowNonRestoredState`` counts here: it belongs to the savepoint."""
    begun.start_from(URL, allow=allowed)
    lost = begun.lost()
    number = begun.made.ids("inlined")[-1]
    other = f"checkpoints/{begun.made.jobs['inlined']}/chk-{number}/_metadata"
    name = f"{SAVEPOINT}/_metadata"
    content = begun.made.files[other][0]
    begun.made.change(name, content[:8] + NUMBER.to_bytes(8, "big") + content[16:])
    found, outcome = begun.look()
    if allowed:
        assert alarms(found) == lost and outcome == ("restored", NUMBER)
    else:
        assert alarms(found) == [("operators-do-not-match", "fatal", of(begun.made, name)), *lost]
        assert found.recovery.jobmanager == "crash-loops"


def test_the_path_that_the_operator_writes_ends_every_jobmanager(begun: Begun) -> None:
    begun.start_from(DUMMY)
    lost = begun.lost()
    found, _ = begun.look()
    assert alarms(found) == [("savepoint-missing", "fatal", of(begun.made)), *lost]
    assert "Operator" in found.alarms[0].evidence[0]
    for job in JOBS:
        assert found.recovery.jobs[begun.made.jobs[job]].outcome == "not-recovered"


def test_a_savepoint_may_be_named_by_its_metadata(begun: Begun) -> None:
    begun.start_from(f"{URL}/_metadata")
    begun.lost()
    assert begun.look()[1] == ("restored", NUMBER)
