"""Each box *In Flink* replays its recording where neither Java nor Flink is."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path
from typing import Any

import pandas
import pytest

from hawork.lessons import above, noted, recording

from .rules import FOLDER, NOTEBOOKS, code_cells, parsed, read

BOXES = [
    pytest.param(cell, id=f"{path.stem}-{cell.id}")
    for path in NOTEBOOKS
    for cell in code_cells(read(path))
    if "recording(" in cell.source
]


def test_most_lessons_have_boxes() -> None:
    headed = [
        path.stem
        for path in NOTEBOOKS
        if any(cell.source.startswith("### In Flink") for cell in read(path).cells)
    ]
    assert {name[:2] for name in headed} >= {f"{number:02}" for number in (*range(9), 10, 11)}
    assert len(BOXES) >= 14


SITUATIONS = {
    "crash of a leader without a supervisor, on ZooKeeper": "crash-zookeeper",
    "and on Kubernetes": "crash-kubernetes",
    "a deposed leader that writes": "deposed-writes",
    "a standby's REST": "standby-rest",
    "a half-done submission": "half-submission",
    "a damaged checkpoint": "damaged-checkpoint",
    "a stale dirty result": "stale-result",
    "a leader cut off, on ZooKeeper": "cut-off-zookeeper",
    "a leader cut off, on Kubernetes": "cut-off-kubernetes",
    "a standby's requests": "standby-requests",
    "time without progress after a failover": "failovers()",
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_each_situation_is_shown_right_below_its_box(situation: str) -> None:
    """The cell after the heading *In Flink* replays it."""
    shown = [
        code.source
        for path in NOTEBOOKS
        for box, code in itertools.pairwise(read(path).cells)
        if box.source.startswith("### In Flink") and code.cell_type == "code"
    ]
    replays = SITUATIONS[situation]
    asked = [replays, replays.replace("-zookeeper", "-{store}").replace("-kubernetes", "-{store}")]
    assert any(each in source for source in shown for each in asked)


def test_each_lesson_says_how_flink_does_it_here() -> None:
    """Once, in the first cell that replays."""
    for path in NOTEBOOKS:
        replays = [each.source for each in code_cells(read(path)) if "recording(" in each.source]
        if replays:
            assert '# recording(..., engine="flink") runs Flink here, for ' in replays[0], path.stem


def test_each_box_names_its_source() -> None:
    for path in NOTEBOOKS:
        for cell in read(path).cells:
            if cell.source.startswith("### In Flink"):
                assert "\n*Source:* " in cell.source, f"{path.stem} {cell.id}"


@pytest.mark.parametrize("cell", BOXES)
def test_a_box_replays(
    cell: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(FOLDER)
    own = recording("crash-kubernetes")  # in place of the reader's own lab
    names: dict[str, Any] = {
        "pandas": pandas, "above": above, "noted": noted, "recording": recording, "lab": own,
    }  # fmt: skip
    *statements, last = parsed(cell).body
    exec(compile(ast.Module(statements, []), cell.id, "exec"), names)
    if isinstance(last, ast.Expr):
        shown = eval(compile(ast.Expression(last.value), cell.id, "eval"), names)
        assert shown is not None or capsys.readouterr().out
    else:
        exec(compile(ast.Module([last], []), cell.id, "exec"), names)
        assert capsys.readouterr().out
    assert Path("recordings").exists()
