"""Which worker takes which tests: the filler computes, the others wait first."""

from __future__ import annotations

import re
from pathlib import Path

from tests.scheduling import COMPUTING, LONGEST, ONE_BY_ONE, choose, is_filler

ROOT = Path(__file__).resolve().parent.parent.parent
WAITS, LATER, COMPUTES = (
    "tests/faults/test_b.py",
    "tests/contract/test_a.py",
    "tests/unit/test_c.py",
)


def test_a_worker_takes_what_waits_and_the_longest_first() -> None:
    units = [COMPUTES, WAITS, LATER, LONGEST[1], LONGEST[0]]
    taken = []
    while units:
        unit = choose(units, filler=False)
        assert unit is not None
        taken.append(unit)
        units.remove(unit)
    assert taken == [LONGEST[0], LONGEST[1], WAITS, LATER, COMPUTES]


def test_the_filler_takes_what_computes_and_nothing_else() -> None:
    assert choose([WAITS, COMPUTES, LONGEST[0]], filler=True) == COMPUTES
    assert choose([WAITS, LONGEST[0]], filler=True) is None
    assert choose([], filler=True) is choose([], filler=False) is None


def test_one_of_three_workers_or_more_is_the_filler() -> None:
    assert [[is_filler(f"gw{each}", count) for each in range(count)] for count in (1, 2, 3)] == [
        [False],
        [False, False],
        [False, False, True],
    ]


def test_what_is_named_is_there() -> None:
    for name in (*LONGEST, *ONE_BY_ONE):
        file, _, case = name.partition("::")
        assert (ROOT / file).is_file(), name
        if case:
            notebook = re.fullmatch(r"test_notebook_runs\[(\w+)-\w*\]", case)
            assert notebook and (ROOT / "notebooks" / f"{notebook[1]}.ipynb").is_file(), name
    for start in COMPUTING:
        assert list(ROOT.glob(f"{start}*")), start
