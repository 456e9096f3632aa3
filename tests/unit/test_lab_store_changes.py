"""What became of the HA store between two looks."""

from __future__ import annotations

import pandas

from hawork.inspect.store import COLUMNS
from hawork.lab import store_changes


def rows(*values: tuple[str, str, str, str]) -> pandas.DataFrame:
    return pandas.DataFrame(list(values), columns=list(COLUMNS))


def test_what_came_what_went_and_what_changed() -> None:
    before = rows(
        ("latch", "a", "0", "jm-1"), ("latch", "b", "0", "jm-2"), ("pointer", "p", "1", "old")
    )
    after = rows(
        ("latch", "b", "0", "jm-2"), ("pointer", "p", "2", "new"), ("latch", "c", "0", "jm-1")
    )
    changes = store_changes(before, after)
    assert list(changes.columns) == ["change", "table", "name", "value"]
    assert set(changes.itertuples(index=False, name=None)) == {
        ("-", "latch", "a", "jm-1"), ("+", "latch", "c", "jm-1"), ("~", "pointer", "p", "new"),
    }  # fmt: skip


def test_another_version_of_the_same_value_is_a_change() -> None:
    before, after = rows(("t", "n", "1", "v")), rows(("t", "n", "2", "v"))
    assert store_changes(before, after).change.tolist() == ["~"]


def test_nothing_changed() -> None:
    look = rows(("t", "n", "1", "v"))
    assert store_changes(look, look).empty
    assert store_changes(rows(), rows()).empty
