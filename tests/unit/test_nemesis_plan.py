"""A seed stands for the same faults everywhere, and the fewest of them are found."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import pytest

from hawork.core.errors import LabError
from hawork.lab.nemesis.deeds import Deed
from hawork.lab.nemesis.drill import DrillReport
from hawork.lab.nemesis.judge import LOST, Breach
from hawork.lab.nemesis.minimal import fewest
from hawork.lab.nemesis.plan import KINDS, OLDEST, VERSION, Seed, seed_of, wishes

OLD = [
    "long pause", "kill task", "damaged pointer", "kill", "damaged pointer", "kill",
    "unreadable file", "opens fail",
]  # fmt: skip


def report(numbers: Sequence[int], broken: bool) -> DrillReport:
    faults = tuple(Deed(number, "kill", "jm-1", 0.0) for number in numbers)
    breaches = (Breach(LOST, "job 1"),) if broken else ()
    return DrillReport("n1-1", "embedded", faults, breaches, {}, 1, 1, 1, 1.0)


def test_a_seed_gives_the_same_faults_again() -> None:
    assert list(islice(wishes(Seed(7), "zookeeper", 0.4), 200)) == list(
        islice(wishes(Seed(7), "zookeeper", 0.4), 200)
    )
    assert list(islice(wishes(Seed(7), "zookeeper", 0.4), 50)) != list(
        islice(wishes(Seed(8), "zookeeper", 0.4), 50)
    )


@pytest.mark.parametrize("store", ["embedded", "zookeeper", "kubernetes"])
def test_every_kind_of_a_store_comes_and_no_other(store: str) -> None:
    came = {wish.kind.name for wish in islice(wishes(Seed(1), store, 0.4), 2000)}
    assert came == {kind.name for kind in KINDS.values() if store in kind.stores}


def test_a_pause_is_well_below_the_lease_or_above_it() -> None:
    lengths = {"short pause": [0.0], "long pause": [9.0]}
    for wish in islice(wishes(Seed(3), "embedded", 0.4), 2000):
        lengths.setdefault(wish.kind.name, []).append(wish.lasts)
    assert max(lengths["short pause"]) < 0.8
    assert min(lengths["long pause"]) > 1.1


def test_a_printed_seed_is_read_again() -> None:
    assert seed_of(str(Seed(4711))) == seed_of("4711") == seed_of(4711) == Seed(4711)
    assert seed_of("n2-4711") == seed_of(Seed(4711, 2)) == Seed(4711, 2) != Seed(4711)
    assert 0 <= seed_of(None).number < 1_000_000


def test_a_seed_of_version_2_stands_for_the_faults_that_it_stood_for() -> None:
    """Those of n2-34628, which broke the main before issue F, as they were printed then."""
    old = [wish.kind.name for wish in islice(wishes(Seed(34628, 2), "embedded", 0.4), 8)]
    assert old == OLD
    late = {kind.name for kind in KINDS.values() if kind.since > 2}
    assert late == {"full scratch", "cleared scratch"}
    for store in ("embedded", "zookeeper", "kubernetes"):
        assert late.isdisjoint(
            wish.kind.name for wish in islice(wishes(Seed(1, 2), store, 0.4), 2000)
        )


@pytest.mark.parametrize("given", ["", "x", "n1", "n1-", "n1-x", "-3", "n1-" + "9" * 19, "1 2"])
def test_what_is_not_a_seed_is_named(given: str) -> None:
    with pytest.raises(LabError, match="is not a seed"):
        seed_of(given)


@pytest.mark.parametrize("given", [f"n{OLDEST - 1}-4711", f"n{VERSION + 1}-4711", "n999-1"])
def test_a_seed_of_another_version_says_so(given: str) -> None:
    with pytest.raises(LabError, match=r"is of version .* other faults"):
        seed_of(given)


@pytest.mark.parametrize("needed", [{5}, {1, 40}, {3, 17, 18}, set(range(1, 5))])
def test_the_fewest_faults_that_break_a_promise_are_found(needed: set[int]) -> None:
    def run(numbers: Sequence[int]) -> DrillReport:
        return report(numbers, needed <= set(numbers))

    found = fewest(run(range(1, 41)), run, runs=200)
    assert {deed.number for deed in found.done} == needed


def test_the_search_ends_after_so_many_drills() -> None:
    tried = []

    def run(numbers: Sequence[int]) -> DrillReport:
        tried.append(numbers)
        return report(numbers, {1, 40} <= set(numbers))

    assert not fewest(report(range(1, 41), True), run, runs=5).valid
    assert len(tried) == 5


def test_a_drill_that_kept_its_promises_is_not_searched() -> None:
    def run(numbers: Sequence[int]) -> DrillReport:
        raise AssertionError(numbers)

    assert fewest(report(range(1, 41), False), run).valid


def test_a_report_of_a_broken_promise_tells_what_was_done() -> None:
    text = str(report([3], True))
    assert "PROMISES WERE BROKEN" in text
    assert "n1-1" in text
    assert "fault 3 at 0.00 s: kill (jm-1)" in text
