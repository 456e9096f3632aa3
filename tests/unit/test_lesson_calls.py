"""Calls at night: their data says what real Flink's did, and wrong answers are told why."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import ha_cases
import pandas
import pytest

from hawork.core.errors import LabError
from hawork.inspect.pointers import encode_counter, encode_pointer
from hawork.lessons import (
    Check,
    answers_to,
    check_call,
    check_mended,
    check_resume,
    ha_data,
    retained,
)
from hawork.lessons.calls import CALLS
from hawork.lessons.ha_data import HaData

FOLDER = Path(__file__).resolve().parents[2] / "notebooks" / "cases"
JOB = "/flink/flights-prod/jobs/534f7acb28fd75aab04e364374d3af6f"
NEWEST = f"{JOB}/checkpoints/0000000000000000009"
FILE = "ha/flights-prod/completedCheckpointd8212c0074c4"
SAME = {
    "whole-zookeeper": "zk120-healthy", "call-1": "zk120-newest-ha-file-missing",
    "call-2": "k8s120-pointer-not-base64", "call-3": "zk120-persistent-latch",
    "call-4": "zk120-dirty-result-truncated", "call-5": "zk120-state-file-missing",
    "call-6": "k8s120-wrong-content",
}  # fmt: skip
"""The same damage, done to data on which real Flink was started."""


@pytest.fixture
def opened() -> Iterator[Callable[[str], HaData]]:
    copies: list[HaData] = []

    def opening(name: str) -> HaData:
        copies.append(ha_data(name, FOLDER))
        return copies[-1]

    yield opening
    for each in copies:
        each.close()
        assert not each.directory.exists()


@pytest.fixture
def data(opened: Callable[[str], HaData]) -> HaData:
    return opened("call-1")


@pytest.mark.parametrize(("name", "same"), SAME.items())
def test_a_call_is_what_real_flink_was_started_on(
    name: str, same: str, opened: Callable[[str], HaData]
) -> None:
    right = ha_cases.expected_of(same)
    found = opened(name).inspect()
    assert [each.name for each in found.alarms] == [each["code"] for each in right["findings"]]
    told = {job: each.to_json() for job, each in found.recovery.jobs.items()}
    assert found.recovery.jobmanager == right["recovery"]["jobmanager"]
    for job, each in right["recovery"]["jobs"].items():
        assert told[job]["outcome"] == each["outcome"]
        assert told[job].get("checkpoint") == each.get("checkpoint")


def test_a_whole_one_has_no_finding(opened: Callable[[str], HaData]) -> None:
    assert opened("whole-kubernetes").inspect().alarms == []


@pytest.mark.parametrize("name", [each for each in CALLS if each.startswith("call")])
def test_every_call_can_be_answered_and_mended(name: str, opened: Callable[[str], HaData]) -> None:
    data = opened(name)
    assert CALLS[name].said in repr(data)
    assert check_call(data, answers_to(data)).passed
    assert not check_mended(data).passed
    for change in data.plan.plan.changes:
        thing = change.object
        place = thing.name.removeprefix("file:///srv/flink/").removeprefix("file:/srv/flink/")
        if change.after is None:
            data.remove(place, thing.key)
        else:
            data.write(place, change.after, thing.key)
    assert check_mended(data).passed, str(check_mended(data))


RIGHT = {"jobmanager": "crash-loops", "go on": 0, "change": NEWEST}
WRONG_ANSWERS: list[tuple[object, str]] = [
    (None, "jobmanager: no answer yet"),
    ({**RIGHT, "jobmanager": "starts"}, "jobmanager: not 'starts'"),
    ({**RIGHT, "jobmanager": "never-leads"}, "jobmanager: not 'never-leads'"),
    ({**RIGHT, "go on": 2}, "go on: not 2; how many jobs go on"),
    ({**RIGHT, "go on": None}, "go on: no answer yet"),
    ({**RIGHT, "change": FILE}, "Not the file that is missing"),
    ({**RIGHT, "change": JOB}, "change: not '/flink/flights-prod/jobs/534f"),
    ({**RIGHT, "change": f"{JOB}/checkpoints"}, "change: not"),
    ({**RIGHT, "change": "0000000000000000009"}, "3 entries end in '0000000000000000009'"),
    ({**RIGHT, "change": "0000000000000000008"}, "change: not '0000000000000000008'"),
    ({**RIGHT, "change": 9}, "change: not 9"),
    ({**RIGHT, "change": f"file {FILE}"}, "Not the file that is missing"),
    ({**RIGHT, "change": (JOB, "0000000000000000009")}, "change: not ('/flink/"),
    ({**RIGHT, "go on": "0 of 3"}, "go on: not '0 of 3'"),
    ({**RIGHT, "go on": False}, "go on: not False"),
    ({**RIGHT, "jobmanager": "restarts"}, "jobmanager: not 'restarts'"),
    ({**RIGHT, "change": ""}, "change: no answer yet"),
    ({**RIGHT, "jobmanger": "?"}, "did you mean 'jobmanager'?"),
    (["crash-loops", 0, NEWEST], "the answers are a list"),
]


@pytest.mark.parametrize(("answers", "said"), WRONG_ANSWERS)
def test_wrong_answers_to_a_call(answers: object, said: str, data: HaData) -> None:
    refused(check_call(data, answers), said)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "answers",
    [
        {**RIGHT, "jobmanager": " CrashLoopBackOff", "go on": "0"},
        {**RIGHT, "jobmanager": "Crash-Loops", "go on": "0 ", "change": NEWEST[1:]},
        {**RIGHT, "change": "534f7acb28fd75aab04e364374d3af6f/checkpoints/0000000000000000009"},
        {**RIGHT, "go on": "0 jobs", "change": f"znode         {NEWEST}"},
        {**RIGHT, "go on": "none", "jobmanager": "WILL NOT STAY UP"},
        {**RIGHT, "go on": "no job", "jobmanager": "ends, again and again"},
    ],
)
def test_what_means_the_same_is_accepted(answers: dict[str, object], data: HaData) -> None:
    assert check_call(data, answers).passed


MAP = "flights-prod-b273d150f8e57dfe7887a0e38b09fefe-config-map"
KEY = "checkpointID-0000000000000000011"
HALF = "ha/job-result-store/flights-prod/775e45bbff9a6f49dec0d4d0b8b3aa83_DIRTY.json"


@pytest.mark.parametrize(
    ("call", "change", "right"),
    [
        ("call-2", (MAP, KEY), True),  # as data.remove and data.write take it
        ("call-2", f"configmap-key {MAP}[{KEY}]", True),  # as the inspector prints it
        ("call-2", KEY, False),  # two jobs have one
        ("call-2", MAP, False),
        ("call-4", f"file:///srv/flink/{HALF}", True),
        ("call-4", f"/srv/flink/{HALF}", True),
        ("call-4", f"storage/{HALF}", True),
        ("call-4", Path(HALF), True),
        ("call-4", HALF.replace("_DIRTY", ""), False),
    ],
)
def test_an_entry_is_named_as_it_stands_somewhere(
    call: str, change: object, right: bool, opened: Callable[[str], HaData]
) -> None:
    data = opened(call)
    assert check_call(data, {**answers_to(data), "change": change}).passed == right


def nothing(data: HaData) -> None:
    """Not begun."""


def of_another_job(data: HaData) -> None:
    data.remove(NEWEST)
    data.remove("/flink/flights-prod/jobgraphs/62f6a8b83a1b44313a74d89f6e50b70c")


def another_file(data: HaData) -> None:
    """The pointer leads to the checkpoint before it."""
    url, size = "file:/srv/flink/ha/flights-prod/completedCheckpointe0f7f1dff8fd", 12994
    data.write(NEWEST, encode_pointer(url, size, "zookeeper"))


def counted_back(data: HaData) -> None:
    data.remove(NEWEST)
    data.write(f"{JOB}/checkpoint_id_counter", encode_counter(1, "zookeeper"))


WRONG_REPAIRS: list[tuple[Callable[[HaData], None], str]] = [
    (nothing, "a JobManager starts and stays: it ends, again and again, because the file of"),
    (lambda data: data.remove(f"{JOB}/checkpoints"), "8: it would begin from nothing"),
    (lambda data: data.remove(JOB), "8: it would begin from nothing"),
    (lambda data: data.remove("/flink/flights-prod"), "nothing is left of it"),
    (lambda data: data.remove("/flink/flights-prod/jobgraphs"), "checkpoint 8: it would not run"),
    (lambda data: data.remove(f"{JOB}/checkpoints/0000000000000000008"), "it ends, again and"),
    (lambda data: data.write(FILE, b""), "it ends, again and again"),
    (of_another_job, "visits-per-user goes on from checkpoint 10: it would not run"),
    (another_file, "no finding is left, but for HA105"),
    (counted_back, f"nothing else was changed, but for {JOB}/checkpoint_id_counter"),
    (lambda data: data.remove(f"{NEWEST}/locks"), "no finding is left, but for HA212"),
    (lambda data: data.remove("savepoints"), "but for savepoints/"),
]


@pytest.mark.parametrize(("change", "said"), WRONG_REPAIRS)
def test_what_does_not_mend_it(change: Callable[[HaData], None], said: str, data: HaData) -> None:
    change(data)
    refused(check_mended(data), said)
    data.undo()
    data.remove(NEWEST)
    assert check_mended(data).passed


def test_checks_of_what_is_not_a_copy() -> None:
    refused(check_mended("call-1"), "this cannot be checked")  # type: ignore[arg-type]
    refused(check_call(None, RIGHT), "this cannot be checked")  # type: ignore[arg-type]
    whole = ha_data("whole-zookeeper", FOLDER)
    refused(check_call(whole, RIGHT), "nothing in whole-zookeeper is to be mended")
    whole.close()


def refused(told: Check, said: str) -> None:
    assert not told.passed, str(told)
    assert said in "\n".join(f"{each}" for each, good in told.points if not good), str(told)


# --- what a job is started from when the HA data is lost --------------------------------------
ORDERS = "checkpoints/534f7acb28fd75aab04e364374d3af6f"
VISITS = "checkpoints/62f6a8b83a1b44313a74d89f6e50b70c"
CLICKS = "checkpoints/cde3d305f8da505168c0fe3a4370e925"
NEWEST_WHOLE = {
    "orders-per-region": f"{ORDERS}/chk-9",
    "visits-per-user": f"{VISITS}/chk-9",
    "clicks-per-session": f"{CLICKS}/chk-8",
}
WRONG_FOLDERS: list[tuple[object, str]] = [
    (None, "orders-per-region: no answer yet"),
    ({**NEWEST_WHOLE, "visits-per-user": "?"}, "visits-per-user: no answer yet"),
    ({**NEWEST_WHOLE, "visits-per-user": f"{VISITS}/chk-10"}, "chk-10 has no _metadata"),
    ({**NEWEST_WHOLE, "clicks-per-session": f"{CLICKS}/chk-9"}, "dcf1060c-83bb-44f3-b9ef-3a31"),
    ({**NEWEST_WHOLE, "orders-per-region": f"{ORDERS}/chk-8"}, "a newer one is whole, too"),
    ({**NEWEST_WHOLE, "visits-per-user": "savepoints/savepoint-62f6a8-e08951110b80"}, "a newer"),
    ({**NEWEST_WHOLE, "orders-per-region": f"{VISITS}/chk-9"}, "chk-9 is of visits-per-user"),
    ({**NEWEST_WHOLE, "orders-per-region": FILE}, "read in recovery only"),
    ({**NEWEST_WHOLE, "orders-per-region": ORDERS}, "is not the folder of a checkpoint"),
    ({**NEWEST_WHOLE, "clicks-per-session": f"{CLICKS}/shared"}, "is not the folder of"),
    ({**NEWEST_WHOLE, "orders-per-region": 9}, "9 is not a folder"),
    ({**NEWEST_WHOLE, "clicks-per-session": "chk-9"}, "dcf1060c-83bb-44f3-b9ef-3a31"),
    ({**NEWEST_WHOLE, "visits-per-user": "chk-10"}, "chk-10 has no _metadata"),
    ({**NEWEST_WHOLE, "visits-per-user": "chk-11"}, "chk-11 is not the folder of a checkpoint"),
    ({**NEWEST_WHOLE, "orders-per-regio": "?"}, "did you mean 'orders-per-region'?"),
]


@pytest.mark.parametrize(("folders", "said"), WRONG_FOLDERS)
def test_what_a_job_is_not_started_from(
    folders: object, said: str, opened: Callable[[str], HaData]
) -> None:
    refused(check_resume(opened("checkpoints-left"), folders), said)  # type: ignore[arg-type]


def test_folders_may_be_urls_and_name_the_metadata(opened: Callable[[str], HaData]) -> None:
    data = opened("checkpoints-left")
    assert check_resume(data, NEWEST_WHOLE).passed
    urls = {job: f"file:///srv/flink/{each}/_metadata" for job, each in NEWEST_WHOLE.items()}
    assert check_resume(data, urls).passed
    assert check_resume(
        data, {job: f"./storage/{each}/" for job, each in NEWEST_WHOLE.items()}
    ).passed
    assert check_resume(
        data, {job: data.storage / each for job, each in NEWEST_WHOLE.items()}
    ).passed
    assert check_resume(data, {job: Path(each).name for job, each in NEWEST_WHOLE.items()}).passed
    assert check_resume(data, pandas.Series(NEWEST_WHOLE)).passed  # type: ignore[arg-type]
    left = retained(data).set_index("folder")
    assert list(left.loc[f"{CLICKS}/chk-9", ["files named", "files there"]]) == [4, 3]


# --- the copy itself ------------------------------------------------------------------------
def test_a_cell_that_removes_something_can_be_run_again(data: HaData) -> None:
    data.remove(NEWEST)
    before = data.held()
    data.remove(NEWEST)
    assert data.held() == before


def test_what_cannot_be_changed_says_why(data: HaData, opened: Callable[[str], HaData]) -> None:
    with pytest.raises(LabError, match="there is no /flink/x: copy the name"):
        data.remove("/flink/x")
    with pytest.raises(LabError, match=r"there is no /flink/flights-prod/x: write that first"):
        data.write("/flink/flights-prod/x/y", b"")
    with pytest.raises(LabError, match="leads out of"):
        data.write("../out", b"")
    with pytest.raises(LabError, match="no question 'x' was asked"):
        data.observe("x", 1)
    other = opened("call-2")
    with pytest.raises(LabError, match="lay on Kubernetes"):
        other.serve()
    with pytest.raises(LabError, match="whose entries are keys of ConfigMaps"):
        other.remove("/flink")
    with pytest.raises(LabError, match="a ConfigMap holds text only"):
        other.write(MAP, b"\xff", KEY)
    for all_of_it in ("", ".", "./", "storage/"):
        with pytest.raises(LabError, match="name a file or a folder below it"):
            data.remove(all_of_it)
    with pytest.raises(LabError, match="ha cannot be written: Is a directory"):
        data.write("ha", b"")
    assert data.held() == data.found
    with pytest.raises(LabError, match="there is no ConfigMap x"):
        other.write("x", b"", "key")
    with pytest.raises(LabError, match="choose one of"):
        ha_data("call-7", FOLDER)


def test_undo_brings_back_every_byte_and_time(data: HaData) -> None:
    before = {path: path.stat().st_mtime for path in data.storage.rglob("*") if path.is_file()}
    data.remove("ha")
    data.write("ha/other", b"x")
    data.remove("/flink/flights-prod/jobs")
    data.undo()
    assert data.held() == data.found
    now = {path: path.stat().st_mtime for path in data.storage.rglob("*") if path.is_file()}
    assert now == before


def test_a_name_is_copied_from_a_table(opened: Callable[[str], HaData]) -> None:
    data = opened("call-2")
    name = next(each for each in data.rows().name if each.endswith(f"[{KEY}]"))
    data.remove(name)
    data.remove(f"/srv/flink/{HALF.replace('_DIRTY', '').rpartition('/')[0]}")
    assert name not in data.held().store
    assert not any("job-result-store" in each for each in data.held().files)


def test_a_copy_that_is_closed_says_so_and_stays_away() -> None:
    data = ha_data("call-1", FOLDER)
    data.close()
    for use in (
        data.inspect, data.rows, data.held, data.undo, data.serve, lambda: data.run("repair"),
        lambda: data.remove(NEWEST), lambda: data.write(NEWEST, b""), lambda: retained(data),
    ):  # fmt: skip
        with pytest.raises(LabError, match=r"open it again with ha_data\('call-1'\)"):
            use()
    refused(check_mended(data), "this copy is closed")
    assert repr(data) == "call-1: closed"
    assert not data.directory.exists()
    data.close()


def test_guesses_are_kept_beside_what_came_out(data: HaData) -> None:
    data.predict("jobs", 2, unit="jobs")
    data.predict("left open", ...)
    data.observe("jobs", 0)
    data.observe("left open", 1)
    rows = data.compare()
    assert list(rows.guess) == [2, ""]
    assert list(rows.remark) == ["", "no guess"]


def test_rows_say_what_a_pointer_leads_to(opened: Callable[[str], HaData]) -> None:
    rows = opened("call-1").rows().set_index("name").value
    assert rows[NEWEST] == f"points to {FILE}, which is not there"
    assert rows[f"{JOB}/checkpoint_id_counter"] == "the next checkpoint is 10"
    said = " ".join(opened("call-2").rows().value)
    assert "cannot be read" in said


def test_the_command_is_the_one_that_is_shown(
    data: HaData, capsys: pytest.CaptureFixture[str]
) -> None:
    assert data.run("repair") == 1
    said = capsys.readouterr().out
    assert said.startswith("$ hawork repair --config config.yaml --zookeeper-dump zookeeper.json ")
    assert f"remove znode {NEWEST}\n" in said
    assert data.run("restore nothing.zip") == 2


def test_an_archive_that_is_damaged_or_leads_out_says_so(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="start the notebook in the folder of the notebooks"):
        ha_data("call-1", tmp_path)
    archive = tmp_path / "zookeeper.tar.xz"
    archive.write_bytes((FOLDER / archive.name).read_bytes()[:5000])
    with pytest.raises(LabError, match="cannot be read"):
        ha_data("call-1", tmp_path)
    with tarfile.open(archive, "w:xz") as tar:
        member = tarfile.TarInfo("../outside")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(LabError, match="is not a file below it"):
        ha_data("call-1", tmp_path)
    assert not (tmp_path.parent / "outside").exists()
