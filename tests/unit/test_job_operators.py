"""Operators: which subtask a record belongs to, state per key, and users' mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_setup import context, run

from hawork.core.errors import JobExecutionError
from hawork.job import FileSink, Pipeline, SequenceSource, read_output
from hawork.job.keys import KeySelector, key_fields, key_text, subtask_of
from hawork.job.operator_chain import OperatorChain
from hawork.job.subtask import Subtask

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def chain(pipeline: Pipeline, index: int = 0, parallelism: int = 1) -> OperatorChain:
    return OperatorChain(pipeline.operators, index, parallelism)


def numbers() -> Pipeline:
    return Pipeline("p").source(SequenceSource(end=10))


@given(st.integers(1, 5), st.lists(st.integers(1, 9), max_size=8))
def test_every_record_belongs_to_one_subtask(parallelism: int, batches: list[int]) -> None:
    chains = [chain(numbers(), index, parallelism) for index in range(parallelism)]
    first = 0
    for size in batches:
        records = list(range(first, first + size))
        for index, each in enumerate(chains):
            own = each.push(records, first)
            assert own == [n for n in records if n % parallelism == index]
        first += size
    assert sum(each.records for each in chains) == first


def test_the_text_and_subtask_of_a_key_never_change() -> None:
    assert key_text(("AA", "JFK")) == '["AA","JFK"]'
    assert key_text({"b": 1, "a": "ü"}) == '{"a":"ü","b":1}'
    keys = ("AA", "UA", "DL", "B6", "EV")
    assert [subtask_of(key_text(key), 4) for key in keys] == [2, 2, 0, 2, 0]


@given(st.lists(json_values, max_size=20), st.integers(1, 3))
def test_each_key_is_selected_by_one_subtask_under_its_own_text(
    keys: list[Any], parallelism: int
) -> None:
    selected = []
    for index in range(parallelism):
        selector = KeySelector(lambda key: key, index, parallelism)
        selected += selector.select(keys * 2)
    assert sorted(text for text, _ in selected) == sorted(key_text(key) for key in keys * 2)
    for text, key in selected:
        assert text == key_text(key), "1, 1.0 and True are three keys"


@pytest.mark.parametrize(
    ("key", "names", "fields"),
    [
        ("AA", (), {"key": "AA"}),
        ("AA", ("carrier",), {"carrier": "AA"}),
        (("AA", 3), (), {"key_0": "AA", "key_1": 3}),
        (("AA", 3), ("carrier", "n"), {"carrier": "AA", "n": 3}),
        ({"carrier": "AA"}, (), {"carrier": "AA"}),
    ],
)
def test_a_key_becomes_columns(key: Any, names: tuple[str, ...], fields: dict[str, Any]) -> None:
    assert key_fields(key_text(key), names) == fields


def test_whole_sums_stay_whole_and_exact(tmp_path: Path) -> None:
    run(
        numbers()
        .key_by(lambda n: n % 2)
        .aggregate(count=1, big=lambda n: 10**30 + n, half=0.5)
        .sink(FileSink(tmp_path))
    )
    assert read_output(tmp_path) == [
        {"key": 0, "count": 5, "big": 5 * 10**30 + 20, "half": 2.5},
        {"key": 1, "count": 5, "big": 5 * 10**30 + 25, "half": 2.5},
    ]


def test_operators_behind_an_aggregate_see_its_rows(tmp_path: Path) -> None:
    run(
        numbers()
        .key_by(lambda n: n % 3)
        .aggregate(count=1)
        .filter(lambda row: row["count"] > 3)
        .map(lambda row: row["key"])
        .sink(FileSink(tmp_path))
    )
    assert read_output(tmp_path) == [0]


def test_a_key_without_function_partitions_only(tmp_path: Path) -> None:
    job = run(numbers().key_by(lambda n: n).sink(FileSink(tmp_path)), parallelism=3)
    assert sorted(read_output(tmp_path)) == list(range(10))
    assert job.records == 10


def test_state_that_is_emptied_is_forgotten() -> None:
    def toggle(record: int, state: dict[str, Any]) -> None:
        if state:
            state.clear()
        else:
            state["open"] = record

    each = chain(numbers().key_by(lambda n: n % 5).process(toggle))
    each.push([0, 1, 5], 0)
    assert each.state == {"1": {"open": 1}}


def test_a_stop_iteration_of_user_code_loses_nothing() -> None:
    def stop(record: int) -> int:
        return next(iter(())) if record == 2 else record

    for pipeline in (numbers().map(stop), numbers().filter(stop), numbers().key_by(stop)):
        with pytest.raises(JobExecutionError, match="raised StopIteration"):
            chain(pipeline).push([0, 1, 2, 3], 0)


def fail(*_: Any) -> Any:
    raise ValueError("this record\nis odd")


MISTAKES: list[tuple[Callable[[Pipeline], Pipeline], str]] = [
    (lambda p: p.map(fail), "map fail (test_job_operators.py line"),
    (lambda p: p.filter(fail), "raised ValueError: this record is odd"),
    (lambda p: p.flat_map(fail), "flat_map fail"),
    (lambda p: p.key_by(fail), "key_by fail"),
    (lambda p: p.key_by(str).aggregate(count=1, sum=fail), "aggregate sum = fail"),
    (lambda p: p.key_by(str).process(fail), "process fail"),
    (lambda p: p.flat_map(lambda n: n), "return a list of records"),
    (lambda p: p.flat_map(lambda n: {"n": n}), "return a list of records"),
    (lambda p: p.key_by(str).process(lambda n, state: "text"), "return a list of records"),
    (lambda p: p.key_by("n"), "key_by itemgetter raised TypeError"),
    (lambda p: p.key_by(lambda n: {n}), "is not JSON"),
    (lambda p: p.key_by(lambda n: float("nan")), "is not JSON"),
    (lambda p: p.key_by(str).aggregate(sum=lambda n: "1"), "aggregate sum = lambda"),
]


@pytest.mark.parametrize(("build", "reason"), MISTAKES)
def test_a_mistake_of_user_code_is_one_sentence(
    build: Callable[[Pipeline], Pipeline], reason: str
) -> None:
    with pytest.raises(JobExecutionError) as caught:
        chain(build(numbers())).push([1, 2, 3], 0)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_user_code_cannot_leave_by_the_back_door(error: type[BaseException]) -> None:
    def leave(record: int) -> None:
        raise error

    with pytest.raises(JobExecutionError, match=f"raised {error.__name__}"):
        chain(numbers().map(leave)).push([1], 0)


def state_of(value: Any) -> Callable[[Any, dict[str, Any]], None]:
    def keep(record: Any, state: dict[Any, Any]) -> None:
        state.update(value)

    return keep


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"tags": {1, 2}}, "is of type set"),
        ({"pair": (1, 2)}, "is of type tuple"),
        ({1: "one"}, "1 names a value and is not text"),
        ({"deep": [{"deeper": {2.5: 1}}]}, "2.5 names a value and is not text"),
        ({"nan": float("nan")}, "cannot be kept in a checkpoint"),
        ({"object": object()}, "is of type object"),
    ],
)
def test_state_that_would_not_come_back_is_refused(tmp_path: Path, value: Any, reason: str) -> None:
    pipeline = numbers().key_by(str).process(state_of(value)).sink(FileSink(tmp_path))
    subtask = Subtask(pipeline, context())
    subtask.advance(2)
    with pytest.raises(JobExecutionError) as caught:
        subtask.snapshot(1)
    assert reason in str(caught.value)
    assert 'of key "0"' in str(caught.value) or 'of key "1"' in str(caught.value)
    subtask.close()


def test_sums_that_are_not_numbers_any_more_are_refused(tmp_path: Path) -> None:
    pipeline = numbers().key_by(str).aggregate(n=lambda n: n * 1j).sink(FileSink(tmp_path))
    subtask = Subtask(pipeline, context())
    subtask.advance(2)
    with pytest.raises(JobExecutionError, match="cannot be kept in a checkpoint"):
        subtask.snapshot(1)
    subtask.close()


def test_a_sum_must_not_be_called_as_a_part_of_the_key(tmp_path: Path) -> None:
    pipeline = numbers().map(lambda n: {"n": n}).key_by("n").aggregate(n=1)
    with pytest.raises(JobExecutionError, match="n is both a part of the key and a sum"):
        run(pipeline.sink(FileSink(tmp_path)))


def test_a_position_that_is_not_json_is_refused(tmp_path: Path) -> None:
    class Odd:
        bounded, records_per_second = True, None

        def open(self, position: Any) -> Odd:
            return self

        def read(self, limit: int) -> list[int]:
            return []

        def position(self) -> Any:
            return {1, 2}

        def close(self) -> None: ...

    subtask = Subtask(Pipeline("p").source(Odd()).sink(FileSink(tmp_path)), context())
    assert subtask.advance() == pytest.approx(0.01), "asked again soon, as nothing came"
    with pytest.raises(JobExecutionError, match=r"position .* is not JSON"):
        subtask.snapshot(1)


def test_state_in_a_snapshot_is_plain_json(tmp_path: Path) -> None:
    pipeline = numbers().key_by(lambda n: n % 2).aggregate(count=1).sink(FileSink(tmp_path))
    subtask = Subtask(pipeline, context())
    subtask.advance(3)
    state, encoded = subtask.snapshot(1)
    subtask.close()
    assert json.loads(encoded) == {"0": {"count": 2}, "1": {"count": 1}}
    assert state.records == 3
    assert state.position == {"checkpoint_id": 1, "record": 3, "source": 3}
