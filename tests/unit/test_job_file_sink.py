"""Files of a sink: pending, committed, restored, removed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from job_setup import JOB, context, files_below

from hawork.core.errors import ConfigurationError, JobExecutionError
from hawork.core.failures import Blame, blame
from hawork.job import FileSink, file_sink, read_output
from hawork.job.file_sink import FileSinkWriter, PendingFile, remove_pending
from hawork.job.sinks import SinkWriter


def writer(directory: Path, attempt: str = "a1", index: int = 0, format: str = "jsonl") -> Any:
    return FileSink(directory, format=format).open(context(index, attempt=attempt))


def started(directory: Path, attempt: str = "a1", index: int = 0) -> SinkWriter:
    sink: SinkWriter = writer(directory, attempt, index)
    sink.restore(None, ())
    return sink


def part(checkpoint_id: int, number: int = 1, index: int = 0) -> str:
    return f"part-{index:05}-{checkpoint_id:010}-{number}.jsonl"


def test_output_appears_when_its_checkpoint_is_completed(tmp_path: Path) -> None:
    sink = started(tmp_path)
    sink.write([1, 2])
    assert sink.snapshot(1) == (f"0-a1-1.jsonl -> {part(1)}",)
    sink.write([3])
    assert read_output(tmp_path) == []
    sink.commit(1)
    sink.commit(1)
    assert read_output(tmp_path) == [1, 2]
    assert sink.snapshot(2) == (f"0-a1-2.jsonl -> {part(2, 2)}",)
    sink.close(discard=False)
    assert files_below(tmp_path) == [
        ".pending",
        f".pending/{JOB}",
        f".pending/{JOB}/0-a1-2.jsonl",
        part(1),
    ]


def test_a_snapshot_names_all_that_is_not_committed(tmp_path: Path) -> None:
    sink = started(tmp_path)
    for checkpoint_id in (1, 2, 3):
        sink.write([checkpoint_id])
        names = sink.snapshot(checkpoint_id)
    assert len(names) == 3
    assert sink.snapshot(4) == names, "nothing new was written"
    sink.commit(2)
    assert read_output(tmp_path) == [1, 2]
    sink.commit(4)
    assert read_output(tmp_path) == [1, 2, 3]


def test_restoring_commits_what_the_checkpoint_names_and_removes_the_rest(tmp_path: Path) -> None:
    old = started(tmp_path)
    old.write(["kept"])
    names = old.snapshot(5)
    old.write(["lost with the crash"])
    old.snapshot(6)
    old.write(["not even in a snapshot"])
    old.close(discard=False)
    new = writer(tmp_path, "a2")
    for _ in range(2):
        new.restore(5, names)
        assert read_output(tmp_path) == ["kept"]
        assert files_below(tmp_path) == [part(5)]


def test_going_back_to_an_older_checkpoint_removes_later_output_of_this_subtask(
    tmp_path: Path,
) -> None:
    one, other = started(tmp_path), started(tmp_path, index=1)
    for sink in (one, other):
        sink.write(["first"])
    names = one.snapshot(1)
    other.snapshot(1)
    for sink in (one, other):
        sink.commit(1)
        sink.write(["second"])
        sink.snapshot(2)
        sink.commit(2)
    writer(tmp_path, "a2").restore(1, names)
    assert files_below(tmp_path) == [part(1), part(1, index=1), part(2, 2, index=1)]


def test_an_attempt_that_wakes_up_late_cannot_bring_back_removed_output(tmp_path: Path) -> None:
    zombie = started(tmp_path)
    zombie.write(["first"])
    names = zombie.snapshot(1)
    zombie.write(["second"])
    zombie.snapshot(2)
    writer(tmp_path, "a2").restore(1, names)
    with pytest.raises(JobExecutionError, match="is gone"):
        zombie.commit(2)
    assert read_output(tmp_path) == ["first"]


def test_a_fresh_start_refuses_another_runs_output(tmp_path: Path) -> None:
    (tmp_path / part(3)).write_text("1\n")
    with pytest.raises(ConfigurationError, match=f"holds {part(3)} of another"):
        started(tmp_path)
    assert read_output(tmp_path) == [1]


def test_a_fresh_start_removes_only_its_own_pending_files(tmp_path: Path) -> None:
    for attempt, index in (("a1", 0), ("a1", 1)):
        sink = started(tmp_path, attempt, index)
        sink.write([attempt])
        sink.close(discard=False)
    started(tmp_path, "a2").close(discard=False)
    assert files_below(tmp_path / ".pending" / JOB) == ["1-a1-1.jsonl"]


def test_two_jobs_in_one_directory_do_not_overwrite_each_other(tmp_path: Path) -> None:
    sink = started(tmp_path)
    sink.write([1])
    sink.snapshot(1)
    (tmp_path / part(1)).write_text('"the other job"\n')
    with pytest.raises(JobExecutionError, match="let each job write to a directory of its own"):
        sink.commit(1)
    assert read_output(tmp_path) == ["the other job"]


def test_output_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobExecutionError, match="is gone, and so is"):
        writer(tmp_path).restore(1, [f"0-a1-1.jsonl -> {part(1)}"])


def test_an_output_directory_that_is_unmounted_is_not_made_anew_below_its_mount_point(
    tmp_path: Path,
) -> None:
    """What was committed there was hidden as soon as it was mounted again."""
    mount, away = tmp_path / "mnt", tmp_path / "away"
    sink = started(mount / "out")
    sink.write([1])
    sink.snapshot(1)
    sink.commit(1)
    mount.rename(away)
    mount.mkdir()
    for use in (lambda: sink.write([2]), lambda: writer(mount / "out", "a2").restore(1, ())):
        with pytest.raises(JobExecutionError, match=r"is gone, .*mount its file system") as caught:
            use()
        assert blame(caught.value) is Blame.ENVIRONMENT
    assert not list(mount.iterdir())
    mount.rmdir()
    away.rename(mount)
    sink.write([2])
    sink.snapshot(2)
    sink.commit(2)
    assert read_output(mount / "out") == [1, 2]


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd -> part-00000-0000000001-1.jsonl",
        "0-a1-1.jsonl -> ../part-00000-0000000001-1.jsonl",
        "0-a1-1.jsonl",
        "",
        "0-a/b-1.jsonl -> part-00000-0000000001-1.jsonl",
    ],
)
def test_a_name_in_a_checkpoint_cannot_lead_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(JobExecutionError, match="not a file of a FileSink"):
        writer(tmp_path).restore(1, [name])


def test_nothing_but_output_is_left_when_all_subtasks_are_done(tmp_path: Path) -> None:
    one, other = started(tmp_path), started(tmp_path, index=1)
    one.write([1])
    other.write([2])
    for sink in (one, other):
        sink.snapshot(1)
        sink.commit(1)
        sink.close(discard=True)
    assert files_below(tmp_path) == [part(1), part(1, index=1)]
    remove_pending(tmp_path, JOB)


def test_a_directory_that_another_subtask_removes_is_made_again(tmp_path: Path) -> None:
    one = started(tmp_path)
    started(tmp_path, index=1).close(discard=True)
    one.write([1])
    one.snapshot(1)
    one.commit(1)
    assert read_output(tmp_path) == [1]


def test_an_unusable_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JobExecutionError, match=r"output directory .*file.* cannot be used"):
        started(tmp_path / "file" / "out")


def test_csv_has_a_header_in_every_file_and_cells_of_any_kind(tmp_path: Path) -> None:
    sink = writer(tmp_path, format="csv")
    sink.restore(None, ())
    for checkpoint_id in (1, 2):
        sink.write([{"a": 'x,"y"\n', "b": [1, None]}, {"b": 0.1, "a": None}])
        sink.snapshot(checkpoint_id)
    sink.commit(2)
    assert read_output(tmp_path) == 2 * [
        {"a": 'x,"y"\n', "b": "[1, null]"},
        {"a": "", "b": "0.1"},
    ]


@pytest.mark.parametrize(
    ("format", "records", "reason"),
    [
        ("csv", [{"a": 1}, {"b": 1}], "the columns are a"),
        ("csv", [3], "a CSV file takes dicts"),
        ("csv", [{"a": [{1, 2}]}], "is not JSON serializable"),
        ("jsonl", [1, {"a": object()}], "record {'a': <object"),
        ("jsonl", [float("nan")], "not JSON compliant"),
        ("jsonl", ["\ud800"], "surrogates not allowed"),
    ],
)
def test_a_record_that_cannot_be_written_is_named(
    tmp_path: Path, format: str, records: list[Any], reason: str
) -> None:
    sink = writer(tmp_path, format=format)
    sink.restore(None, ())
    with pytest.raises(JobExecutionError) as caught:
        sink.write(records)
    sink.close(discard=True)
    assert reason in str(caught.value)


def test_pending_files_read_what_they_write() -> None:
    file = PendingFile("0-a_b-c-17.csv", "part-00000-0000000012-17.csv")
    assert PendingFile.parse(str(file)) == file
    assert file.checkpoint_id == 12


def test_the_writer_is_what_the_contract_says(tmp_path: Path) -> None:
    sink: SinkWriter = FileSinkWriter(tmp_path, "csv", context())
    sink.close(discard=False)


def test_every_directory_that_a_snapshot_needs_is_on_the_disk_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut right after a checkpoint took the folder of the file that it names along."""
    synced: list[Path] = []
    real = file_sink.flush_directory
    monkeypatch.setattr(
        file_sink, "flush_directory", lambda path: (synced.append(path), real(path))
    )
    output = tmp_path / "runs" / "out"
    sink = started(output)
    sink.write([1])
    sink.snapshot(1)
    needed = {tmp_path, tmp_path / "runs", output, output / ".pending", output / ".pending" / JOB}
    assert needed <= set(synced)


@pytest.mark.parametrize("number", ["9" * 5000, "1²"])
def test_numbers_in_the_names_of_files_are_small(number: str) -> None:
    for name in (f"0-a-{number}.csv -> part-0-1-1.csv", f"0-a-1.csv -> part-0-{number}-1.csv"):
        with pytest.raises(JobExecutionError, match="not a file of a FileSink"):
            PendingFile.parse(name)
