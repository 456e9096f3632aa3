"""What became of the HA store between two looks at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hawork.core.calls import checked

if TYPE_CHECKING:
    import pandas

_KEY = ["table", "name"]


@checked
def store_changes(before: pandas.DataFrame, after: pandas.DataFrame) -> pandas.DataFrame:
    """The rows or znodes that came (``+``), went (``-``) or say something else now (``~``).

    Both are what ``LabCluster.store_rows`` gave. Of a changed one the new value is shown.

    >>> before = lab.store_rows()                                          # doctest: +SKIP
    >>> lab.kill("leader")                                                 # doctest: +SKIP
    >>> store_changes(before, lab.store_rows())                            # doctest: +SKIP
    """
    both = before.merge(after, how="outer", on=_KEY, suffixes=("_before", ""), indicator="change")
    both["change"] = both.change.map({"left_only": "-", "right_only": "+", "both": "~"})
    gone = both.change == "-"
    for column in ("version", "value"):
        both.loc[gone, column] = both.loc[gone, f"{column}_before"]
    same = (both.version == both.version_before) & (both.value == both.value_before) & ~gone
    return both.loc[~same, ["change", *_KEY, "value"]].reset_index(drop=True)
