"""What is not a repair of lesson 09's cluster, and what a repair must leave behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lab_story import Story

from hawork.lessons import Check, check_repair


def lab_of(story: Story, folder: Path) -> Any:
    return SimpleNamespace(event_list=lambda: story.events, directory=folder)


def dead_cluster() -> Story:
    return Story().started(0, "jm-1").leads(0.5, "jm-1").died(2, "jm-1")


def repair(story: Story, content: str = "{}") -> Callable[[Path], Check]:
    def ask(folder: Path) -> Check:
        results = folder / "storage" / "job-result-store" / "lab"
        results.mkdir(parents=True)
        (results / "b_DIRTY.json").write_text(content)
        return check_repair(lab_of(story, folder))

    return ask


NO_REPAIR = [
    (repair(dead_cluster(), '{"result":{"id":'), "a whole file, but for b_DIRTY.json"),
    (repair(dead_cluster(), ""), "a whole file, but for b_DIRTY.json"),
    (repair(dead_cluster()), "✗ a JobManager was started after the last one had ended"),
    (repair(dead_cluster().fault(4, "restart", "jm-1")), "✗ and a leader is there"),
    (repair(dead_cluster().fault(4, "restart", "tm-1").leads(7, "jm-1")), "✗ a JobManager was st"),
    (repair(dead_cluster().fault(4, "restart", "jm-1").leads(7, "jm-1").died(8, "jm-1")),
     "✗ a JobManager was started"),
    (repair(Story()), "✗ and a leader is there"),
]  # fmt: skip


@pytest.mark.parametrize(("ask", "said"), NO_REPAIR)
def test_what_is_not_a_repair(tmp_path: Path, ask: Callable[[Path], Check], said: str) -> None:
    told = ask(tmp_path)
    assert not told.passed
    assert said in str(told), str(told)


def move(half: Path) -> None:
    half.rename(half.parents[3] / "evidence.json")


def delete(half: Path) -> None:
    half.unlink()


def write_over(half: Path) -> None:
    half.write_text("{}")


def put_another(half: Path) -> None:
    half.with_suffix(".new").write_text("{}")
    half.with_suffix(".new").replace(half)


@pytest.mark.parametrize(
    ("deed", "said"),
    [
        (move, "✓ b_DIRTY.json is kept"),
        (delete, "✗ b_DIRTY.json is kept, so that an operator can find out how it came about: it"),
        (write_over, "came about: it was written over"),
        (put_another, "came about: it was deleted, or moved to another file system"),
    ],
)
def test_a_repair_keeps_what_was_damaged(
    tmp_path: Path, deed: Callable[[Path], None], said: str
) -> None:
    lab = lab_of(dead_cluster().fault(4, "restart", "jm-1").leads(7, "jm-1"), tmp_path)
    half = tmp_path / "storage" / "job-result-store" / "lab" / "b_DIRTY.json"
    half.parent.mkdir(parents=True)
    half.write_text('{"result":{"id":')
    assert "✗ every job result is a whole file, but for b_DIRTY.json" in str(check_repair(lab))
    deed(half)
    check = check_repair(lab)
    assert said in str(check)
    assert check.passed == (deed is move)
    # The fault can be had again, and mended well.
    half.write_text('{"result":{"id":')
    check_repair(lab)
    move(half)
    assert check_repair(lab).passed
