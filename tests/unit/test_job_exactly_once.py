"""Whatever crashes when, the output is that of a run without crashes."""

from __future__ import annotations

import collections
import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from job_setup import JobRun, files_below, read, write_csv

from hawork.core.errors import JobExecutionError
from hawork.job import CsvSource, FileSink, Pipeline, SequenceSource, read_output

ROWS = [("abc"[n * 7 % 5 % 3], n / 10) for n in range(60)]
NUMBERS = 60


@pytest.fixture(scope="module", autouse=True)
def fast_disk() -> Iterator[None]:
    """No power is lost in these tests, and their many small files would wait for the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


def unkeyed(directory: Path) -> Pipeline:
    return (
        Pipeline("unkeyed")
        .source(SequenceSource(end=NUMBERS))
        .filter(lambda number: number % 7 != 3)
        .flat_map(lambda number: [{"n": number}] * (number % 3))
        .sink(FileSink(directory / "out"))
    )


def summed(directory: Path, emit: str = "final") -> Pipeline:
    return (
        Pipeline("summed")
        .source(CsvSource(write_csv(directory / "in.csv", ROWS)))
        .key_by("key")
        .aggregate(count=1, total=lambda row: float(row["value"]), emit=emit)
        .sink(FileSink(directory / "out", format="csv"))
    )


def running(row: dict[str, str], state: dict[str, Any]) -> Iterator[dict[str, Any]]:
    state["seen"] = [*state.get("seen", [])[-2:], row["value"]]
    yield {"key": row["key"], "seen": state["seen"]}


def processed(directory: Path) -> Pipeline:
    return (
        Pipeline("processed")
        .source(CsvSource(write_csv(directory / "in.csv", ROWS)))
        .key_by(lambda row: row["key"])
        .process(running)
        .sink(FileSink(directory / "out"))
    )


def expected_unkeyed() -> list[dict[str, Any]]:
    return [{"n": n} for n in range(NUMBERS) if n % 7 != 3 for _ in range(n % 3)]


def expected_sums() -> dict[str, tuple[int, float]]:
    sums: dict[str, tuple[int, float]] = {}
    for key, value in ROWS:
        count, total = sums.get(key, (0, 0.0))
        sums[key] = (count + 1, total + value)
    return sums


def expected_processed() -> list[dict[str, Any]]:
    states: dict[str, dict[str, Any]] = {}
    rows = ({"key": key, "value": str(value)} for key, value in ROWS)
    return [out for row in rows for out in running(row, states.setdefault(row["key"], {}))]


operations = st.lists(
    st.one_of(
        st.tuples(st.just("advance"), st.integers(0, 2), st.integers(1, 9)),
        st.tuples(st.just("checkpoint"), st.integers(0, 3), st.booleans()),
        st.tuples(st.just("notify"), st.lists(st.integers(0, 2), max_size=3)),
        st.tuples(st.just("crash")),
        st.tuples(st.just("fall back")),
        st.tuples(st.just("zombie"), st.integers(0, 50), st.booleans()),
    ),
    max_size=40,
)


def go_through(job: JobRun, steps: Iterable[tuple[Any, ...]]) -> None:
    for name, *facts in steps:
        if name == "advance":
            job.subtasks[facts[0] % job.parallelism].advance(facts[1])
        elif name == "checkpoint":
            job.checkpoint(facts[0], complete=facts[1])
        elif name == "notify":
            job.notify(facts[0])
        elif name == "crash":
            job.crash()
        elif name == "fall back" and len(job.completed) > 1:
            job.completed.pop()
            job.crash()
        elif name == "zombie" and job.zombies:
            wake_up(job, facts[0], commit=facts[1])


def wake_up(job: JobRun, which: int, *, commit: bool) -> None:
    """A subtask that was taken for dead goes on, and may be told of a completed checkpoint."""
    zombie = job.zombies[which % len(job.zombies)]
    if commit and job.completed:
        # Its files may be gone, as others went back before them: it fails, alone.
        with contextlib.suppress(JobExecutionError):
            zombie.notify_complete(job.completed[-1][0])
    zombie.advance(3)


def play(pipeline: Any, parallelism: int, steps: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Go through the steps, then to the end; the output, of which nothing else is left."""
    with tempfile.TemporaryDirectory() as directory:
        job = JobRun(pipeline(Path(directory)), parallelism)
        try:
            go_through(job, steps)
            job.finish()
        finally:
            job.close()
        out = Path(directory, "out")
        assert all(name.startswith("part-") for name in files_below(out))
        return read_output(out)


def counted(records: Iterable[dict[str, Any]]) -> collections.Counter[str]:
    return collections.Counter(map(str, records))


@settings(max_examples=60, deadline=None)
@given(parallelism=st.integers(1, 3), steps=operations)
def test_unkeyed_output_is_exact(parallelism: int, steps: list[tuple[Any, ...]]) -> None:
    output = play(unkeyed, parallelism, steps)
    assert counted(output) == counted(expected_unkeyed())
    if parallelism == 1:
        assert output == expected_unkeyed()


@settings(max_examples=60, deadline=None)
@given(parallelism=st.integers(1, 3), steps=operations)
def test_sums_are_exact_to_the_last_bit(parallelism: int, steps: list[tuple[Any, ...]]) -> None:
    output = play(summed, parallelism, steps)
    assert {row["key"]: (int(row["count"]), float(row["total"])) for row in output} == (
        expected_sums()
    )
    assert len(output) == 3


@settings(max_examples=40, deadline=None)
@given(parallelism=st.integers(1, 3), steps=operations)
def test_rows_of_checkpoints_end_with_the_sums(
    parallelism: int, steps: list[tuple[Any, ...]]
) -> None:
    output = play(lambda directory: summed(directory, "checkpoint"), parallelism, steps)
    # In the order of the files; a key's rows are all in those of one subtask.
    last = {row["key"]: (int(row["count"]), float(row["total"])) for row in output}
    assert last == expected_sums()
    counts = collections.defaultdict(list)
    for row in output:
        counts[row["key"]].append(int(row["count"]))
    assert all(each == sorted(set(each)) for each in counts.values())


@settings(max_examples=60, deadline=None)
@given(parallelism=st.integers(1, 3), steps=operations)
def test_keyed_functions_meet_the_state_they_left(
    parallelism: int, steps: list[tuple[Any, ...]]
) -> None:
    output = play(processed, parallelism, steps)
    for key in "abc":
        assert [row for row in output if row["key"] == key] == [
            row for row in expected_processed() if row["key"] == key
        ]
    assert len(output) == len(ROWS)


@pytest.mark.parametrize("parallelism", [1, 2, 3])
def test_records_of_all_subtasks_add_up(tmp_path: Path, parallelism: int) -> None:
    keyed = JobRun(summed(tmp_path), parallelism)
    keyed.finish()
    assert keyed.records == len(ROWS)
    assert all(subtask.read == len(ROWS) for subtask in keyed.subtasks)


def test_a_finished_subtask_that_is_restored_has_nothing_left_to_do(tmp_path: Path) -> None:
    job = JobRun(summed(tmp_path), 1)
    while job.subtasks[0].advance() is not None:
        pass
    job.checkpoint()
    assert read(job.completed[-1][1][0]).position["source"]["record"] == len(ROWS)
    job.crash()
    assert job.subtasks[0].finished
    assert job.subtasks[0].advance() is None
    assert len(read_output(tmp_path / "out")) == 3, "restoring commits what the checkpoint names"
    job.finish()
    assert len(read_output(tmp_path / "out")) == 3
