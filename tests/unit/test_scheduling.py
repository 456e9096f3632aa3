"""Which worker takes which tests: the filler computes, the others wait first."""

from __future__ import annotations

import re

from tests.scheduling import (
    COMPUTING,
    FIRST,
    LONGEST,
    ONE_BY_ONE,
    ROOT,
    TOGETHER,
    WAITING,
    choose,
    computes,
    is_filler,
    is_waiter,
    unit_of,
)

WAITS, LATER = "tests/faults/test_b.py", "tests/notebooks/test_a.py"
SHORT = "tests/backends/test_a.py"
COMPUTES, STARTS = "tests/unit/test_units.py", "tests/unit/test_lab_cluster.py"


def test_a_worker_takes_what_waits_and_the_longest_first() -> None:
    units = [COMPUTES, SHORT, LATER, WAITS, LONGEST[1], LONGEST[0]]
    taken = []
    while units:
        unit = choose(units)
        assert unit is not None
        taken.append(unit)
        units.remove(unit)
    assert taken == [LONGEST[0], LONGEST[1], WAITS, LATER, SHORT, COMPUTES]


def test_the_filler_takes_what_computes_and_nothing_else() -> None:
    assert choose([WAITS, COMPUTES, LONGEST[0]], filler=True) == COMPUTES
    assert choose([WAITS, STARTS, LONGEST[0]], filler=True) is None
    assert choose([], filler=True) is choose([], waiter=True) is choose([]) is None


def test_the_waiter_begins_with_what_hardly_works() -> None:
    units = [COMPUTES, LONGEST[0], WAITS, SHORT]
    assert choose(units, waiter=True) == SHORT
    assert choose(units[:-1], waiter=True) == LONGEST[0]


def test_one_of_three_workers_or_more_is_the_filler() -> None:
    assert [[is_filler(f"gw{each}", count) for each in range(count)] for count in (1, 2, 3)] == [
        [False],
        [False, False],
        [False, False, True],
    ]
    assert [is_waiter("gw0", count) for count in (1, 2, 3)] == [False, False, True]
    assert not is_waiter("gw1", 3)


def test_what_goes_to_one_worker() -> None:
    first, second = "tests/browser/test_panels.py", "tests/browser/test_tour.py"
    assert unit_of(f"{first}::test_a[x::y]") == unit_of(f"{second}::test_b")
    run = f"{ONE_BY_ONE[0]}::test_notebook_runs[01-embedded]"
    assert unit_of(run) == run
    search = "tests/simulation/test_many.py::test_random_schedules_come_out_right[embedded]"
    assert unit_of(search) == search and computes(search)
    assert unit_of("tests/unit/test_units.py::TestA::test_b") == "tests/unit/test_units.py"


def test_what_is_named_is_there() -> None:
    shared = set(TOGETHER.values())
    for name in (*ONE_BY_ONE, *TOGETHER, *(each for each in LONGEST if each not in shared)):
        file, _, case = name.partition("::")
        assert (ROOT / file).is_file(), name
        if case:
            notebook = re.fullmatch(r"test_notebook_runs\[(\w+)-\w*\]", case)
            assert notebook and (ROOT / "notebooks" / f"{notebook[1]}.ipynb").is_file(), name
    for start in (*COMPUTING, *FIRST, *WAITING):
        assert list(ROOT.glob(f"{start}*")), start
