"""Checks of exercises, predictions and incidents, without a cluster where none is needed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hawork.core.errors import LabError
from hawork.lab import LabCluster
from hawork.lessons import (
    Check,
    TinyConfigMap,
    check_exactly_once,
    check_fencing,
    check_incident,
    check_lock,
    check_timeouts,
)
from hawork.lessons.incidents import HINTS
from hawork.story.comparison import compare_values

PREFIX = "high-availability.embedded.leader-election"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[LabCluster]:
    with contextlib.closing(LabCluster(1, 0, directory=tmp_path / "lab")) as made:
        yield made  # not started: what events alone can tell needs no process


def test_a_guess_is_compared_with_what_was_observed(lab: LabCluster) -> None:
    lab.predict("gap", 9.0)
    lab.predict("gap", 5.0)
    lab.predict("is the output right?", "yes", unit="")
    lab.predict("records lost", 1000, unit="records")
    assert lab.observe("gap", 0.08) == 0.08
    frame = lab.compare()
    assert frame.values.tolist() == [
        ["gap", 5.0, 0.08, "s", ""],
        ["is the output right?", "yes", "", "", ""],
        ["records lost", 1000, "", "records", ""],
    ]
    assert "1000.0" not in str(frame)


def test_only_what_was_asked_is_observed(lab: LabCluster) -> None:
    assert lab.compare().empty
    with pytest.raises(LabError, match=r"no question 'gap' was asked \(asked were: none\)"):
        lab.observe("gap", 1)


@pytest.mark.parametrize("empty", [..., None, "", " ", "?"])
def test_an_empty_guess_stays_empty(lab: LabCluster, empty: Any) -> None:
    lab.predict("gap", empty)
    assert lab.compare().values.tolist() == [["gap", "", "", "s", "no guess"]]
    lab.observe("gap", 0.08)
    assert lab.compare().values.tolist() == [["gap", "", 0.08, "s", "no guess"]]


def test_a_guess_after_the_observation_is_told_apart(lab: LabCluster) -> None:
    lab.predict("gap")
    lab.predict("in time", 5.0)
    lab.observe("gap", 0.08)
    lab.observe("in time", 0.08)
    lab.predict("gap", 0.1)
    lab.predict("gap", 0.08)
    lab.predict("in time", 0.08)
    lab.observe("gap", 0.09)
    assert lab.compare().values.tolist() == [
        ["gap", 0.08, 0.09, "s", "guessed after the observation"],
        ["in time", 5.0, 0.08, "s", ""],
    ]


def test_a_guess_can_be_taken_back(lab: LabCluster) -> None:
    lab.predict("gap", 5.0)
    lab.predict("gap", ...)
    assert lab.compare().remark.tolist() == ["no guess"]


def test_a_check_says_what_is_missing() -> None:
    check = Check((("this is there", True), ("that < is there", False)))
    assert not check.passed
    assert str(check) == "✓ this is there\n✗ that < is there\nnot solved yet"
    assert "that &lt; is there" in check._repr_html_()


def never(store: dict[str, Any], session_id: str, name: str, value: Any) -> bool:
    return False


def always(store: dict[str, Any], session_id: str, name: str, value: Any) -> bool:
    store["data"][name] = value
    return True


def fenced(store: dict[str, Any], session_id: str, name: str, value: Any) -> bool:
    return store["leader"] == session_id and always(store, session_id, name, value)


@pytest.mark.parametrize(
    ("write", "right"), [(never, [1, 1, 0, 0]), (always, [0, 0, 1, 1]), (fenced, [1, 1, 1, 1])]
)
def test_fencing_is_checked_from_both_sides(write: Any, right: list[int]) -> None:
    assert [good for _, good in check_fencing(write).points] == [bool(each) for each in right]


def careless(config_map: TinyConfigMap, me: str) -> bool:
    version, _ = config_map.read()
    return config_map.replace(version, me)


def boastful(config_map: TinyConfigMap, me: str) -> bool:
    version, holder = config_map.read()
    if holder is None:
        config_map.replace(version, me)
    return True


def once(config_map: TinyConfigMap, me: str) -> bool:
    version, holder = config_map.read()
    return holder is None and config_map.replace(version, me)


def again(config_map: TinyConfigMap, me: str) -> bool:
    while (seen := config_map.read())[1] is None:
        if config_map.replace(seen[0], me):
            return True
    return False


@pytest.mark.parametrize(
    ("take", "right"),
    [
        (lambda config_map, me: None, [0, 0, 0, 0]),
        (careless, [1, 0, 1, 0]),
        (boastful, [1, 0, 0, 0]),
        (once, [1, 1, 1, 0]),
        (again, [1, 1, 1, 1]),
    ],
)
def test_a_lock_is_taken_only_if_it_is_free(take: Any, right: list[int]) -> None:
    assert [good for _, good in check_lock(take).points] == [bool(each) for each in right]


@pytest.mark.parametrize("method", [lambda each: each.read(), lambda each: each.replace(0, "A")])
def test_taking_a_lock_for_ever_is_noticed(method: Any) -> None:
    def take(config_map: TinyConfigMap, me: str) -> bool:
        while True:
            method(config_map)

    check = check_lock(take)
    assert str(check).count("without an end") == 4


def test_a_learners_error_is_told() -> None:
    check = check_fencing(lambda store, session_id, name, value: store["nothing"])
    assert "it raised KeyError: 'nothing'" in str(check)


def test_timeouts_are_checked() -> None:
    assert check_timeouts({}, survives=1.0, gap=3.0).passed
    assert not check_timeouts({}, survives=5.0, gap=3.0).passed
    longer = {f"{PREFIX}.lease-duration": "9 s", f"{PREFIX}.renew-deadline": "6 s"}
    assert check_timeouts(longer, survives=5.0, gap=10.0).passed
    refused = check_timeouts({f"{PREFIX}.lease-duration": "1 s"}, survives=1.0, gap=3.0)
    assert "the options are refused: " in str(refused)
    assert "renew-deadline" in str(refused)


def test_answers_to_an_incident_are_checked() -> None:
    right = {"process": "jm-1", "what": "paused", "restored": 5, "damaged": None}
    incident: Any = SimpleNamespace(answers=lambda: right, hints=HINTS)
    assert check_incident(incident, right).passed
    nothing = check_incident(incident, {})
    assert str(nothing).count("no answer yet") == 4
    assert "✗ damaged: no answer yet" in str(check_incident(incident, {**right, "damaged": "?"}))
    wrong = check_incident(incident, {**right, "what": "killed", "restored": None})
    assert "✗ what: not 'killed'" in str(wrong)
    assert "✗ restored: no answer yet" in str(wrong)
    assert "✓ damaged: None" in str(wrong)


def test_no_job_is_not_exactly_once() -> None:
    lab: Any = None
    assert not check_exactly_once(lab, None).passed


def test_values_are_compared_in_any_order() -> None:
    assert compare_values([3, 1, 2], [1, 2, 3]).equal
    wrong = compare_values([1, 2, 2, 9], [1, 2, 3])
    assert (wrong.records, wrong.lost, wrong.duplicated) == (4, 1, 2)
    assert str(wrong) == "NOT exact: 4 records, 1 lost, 2 duplicated"
