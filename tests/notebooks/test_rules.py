"""Every notebook keeps the rules, and the rules notice what breaks them."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from hawork.lab import flights

from .rules import EXPECTED, NOTEBOOKS, broken_rules, read


def test_all_notebooks_are_found() -> None:
    assert tuple(path.stem for path in NOTEBOOKS) == EXPECTED


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_keeps_the_rules(path: Path) -> None:
    nbformat.validate(read(path))
    assert list(broken_rules(read(path))) == []


KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def notebook_of(*sources: str) -> nbformat.NotebookNode:
    """A notebook that keeps the rules, and then has ``sources`` as code."""
    new = nbformat.v4
    cells = [
        new.new_markdown_cell("# Title\n\n**Goal.** To learn.\n\n**Time.** 2 minutes."),
        new.new_code_cell("lab = LabCluster()"),
        *(new.new_code_cell(source) for source in sources),
        new.new_code_cell("lab.close()"),
    ]
    return new.new_notebook(cells=cells, metadata={"kernelspec": KERNEL})


def test_a_good_notebook_breaks_nothing() -> None:
    assert list(broken_rules(notebook_of("await lab.wait()"))) == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("\n".join(["x = 1"] * 16), "has 16 lines"),
        ("from hawork.core.options import checked", "imports checked, no public name"),
        ("lab._processes", "uses _processes"),
        (" ", "is empty"),
        ("lab.predict('gap', 5.0)", "guesses 5.0: write ..."),
        ("lab.observe('gap', 'no')", "ask the event log"),
    ],
)
def test_bad_code_is_noticed(source: str, said: str) -> None:
    assert any(said in rule for rule in broken_rules(notebook_of(source)))


def test_a_wrong_time_is_noticed() -> None:
    notebook = notebook_of("1")
    notebook.cells[0].source = notebook.cells[0].source.replace("2 minutes", "9 minutes")
    assert "it says 9 minutes, and takes 1" in set(broken_rules(notebook))


def next_of(notebook: nbformat.NotebookNode) -> list[str]:
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return re.findall(r"^Next: \[[^\]]+\]\((\w+)\.ipynb\)", text, re.MULTILINE)


def test_next_walks_the_whole_course_once() -> None:
    follows = {path.stem: next_of(read(path)) for path in NOTEBOOKS}
    walked, at = [], "00_tour"
    while at not in walked:
        walked.append(at)
        if not follows[at]:
            break
        (at,) = follows[at]
    assert sorted(walked) == sorted(follows)


def test_outputs_are_noticed() -> None:
    notebook = notebook_of("1")
    notebook.cells[2].execution_count = 1
    assert any("has outputs" in rule for rule in broken_rules(notebook))


def test_a_missing_frame_is_noticed() -> None:
    notebook = notebook_of("1")
    del notebook.cells[0], notebook.metadata["kernelspec"]
    said = " ".join(broken_rules(notebook))
    assert "no title" in said
    assert "not python3" in said


def test_an_exercise_without_solution_is_noticed() -> None:
    notebook = notebook_of("answer = None")
    notebook.cells[2].metadata["tags"] = ["exercise"]
    assert any("has no solution" in rule for rule in broken_rules(notebook))
    notebook.cells[3].metadata["tags"] = ["solution"]
    assert any("is not collapsed" in rule for rule in broken_rules(notebook))


def test_questions_that_can_get_one_guess_only_are_noticed() -> None:
    looped = "for each in (1, 2):\n    lab.predict(f'question {each}', ...)"
    assert any("guesses in a loop" in rule for rule in broken_rules(notebook_of(looped)))
    apart = "lab.predict('question 1', ...)\nlab.predict('question 2', ...)"
    assert not any("in a loop" in rule for rule in broken_rules(notebook_of(apart)))


def texts_of(*texts: str) -> str:
    """What is said against a notebook with these texts, and a run after the last one."""
    notebook = notebook_of("1")
    notebook.cells[2:2] = [nbformat.v4.new_markdown_cell(text) for text in texts]
    return " ".join(broken_rules(notebook))


def test_a_text_that_is_parted_from_its_run_is_noticed() -> None:
    box = "### In Flink\n\nIt is so."
    assert "announces a run" in texts_of("Look at it:", box)
    assert "parts" in texts_of("It ended.\n\n**Predict:** will it end?", box)
    assert "parts" in texts_of("## Explain\n\nSo.\n\n## Your turn\n\nDo it.", box)
    assert "parts" in texts_of("So it is.\n\n## Compare", box)
    assert "comes after the link" in texts_of("Next: [B](b.ipynb)", box)
    for text in ("It is over.", "## Your turn\n\nDo it.\n\n## Explain\n\nSo."):
        assert "parts" not in texts_of(text, box)
    assert "announces" not in texts_of(box, "Look at it:")


TRAINER = Path(__file__).resolve().parent.parent.parent / "docs" / "trainer"


@pytest.mark.parametrize("name", EXPECTED)
def test_every_lesson_has_a_page_for_the_trainer(name: str) -> None:
    """docs/trainer/README.md links to it; a new lesson needs one, too."""
    page = (TRAINER / f"{name}.md").read_text(encoding="utf-8")
    sections = (
        "What to say",
        "Where to stop",
        "Numbers to expect",
        "Usual wrong answers",
        "Answers",
    )
    assert [part for part in sections if f"\n## {part}\n" not in page] == []
    assert f"({name}.md)" in (TRAINER / "README.md").read_text(encoding="utf-8")


RATES = re.compile(r'rate\.write_text\("(\d+)"\)|"rate": ([\d_]+)|\brate=([\d_]+)\)')


@pytest.mark.parametrize(
    "name", ["04_persist_and_recover", "06_zookeeper", "07_kubernetes", "20_timeouts"]
)
def test_a_job_is_slow_until_it_has_been_broken(name: str) -> None:
    """It is broken cells after its submission, and a reader reads them."""
    (notebook,) = [read(path) for path in NOTEBOOKS if path.stem == name]
    rates = [found for cell in notebook.cells for found in RATES.findall(cell.source)]
    first = "".join(rates[0]).replace("_", "")
    assert flights.RECORDS / int(first) >= 120


def test_the_tour_leaves_a_reader_two_minutes() -> None:
    """From the submission until the job ends by itself, in the tour and in its exercise."""
    (tour,) = [read(path) for path in NOTEBOOKS if path.stem == "00_tour"]
    sources = {cell.id: cell.source for cell in tour.cells}
    for cell in ("submit", "exercise"):
        (rate,) = re.findall(r'rate\.write_text\("(\d+)"\)', sources[cell])
        assert flights.RECORDS / int(rate) >= 120, cell
    assert "run the cell above again" in sources["kill"]
