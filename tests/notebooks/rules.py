"""What a notebook may look like; ``test_rules.py`` asks about every one."""

from __future__ import annotations

import ast
import importlib
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat

FOLDER = Path(__file__).resolve().parent.parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
EXPECTED = (
    "00_tour",
    "01_leader_election",
    "02_service_discovery",
    "03_leases_and_timeouts",
    "04_persist_and_recover",
    "05_checkpoints",
    "06_zookeeper",
    "07_kubernetes",
    "08_split_brain",
    "09_real_flink",
    "10_incident",
    "11_job_results",
    "12_sandbox",
    "13_flink_on_kubernetes",
    "14_write_it_yourself",
    "15_flink_incident",
    "16_disaster_drills",
    "17_find_the_bug",
    "18_watching_a_failover",
    "19_upgrades",
    "20_timeouts",
)
"""A notebook that is not found is not tested: say here which ones there are."""

BACKENDS = ("embedded", "zookeeper", "kubernetes")

MOST_CODE_CELLS = 25
MOST_LINES = 15
MOST_LINES_OF_AN_EXERCISE = 30

WITHOUT_LAB = ("check_election", "ha_data", "broken_code", "check_alert")
"""A lesson that imports one of these starts no cluster: it is simulated, dead, or recorded."""


WORDS_PER_MINUTE = 200
CELLS_PER_MINUTE = 6
"""Each is run, and what it shows is looked at."""
EXERCISE_MINUTES = 3


def minutes(notebook: Any) -> int:
    """How long a lesson takes: its words at reading speed, its runs, its exercises."""
    texts = [cell.source for cell in notebook.cells]
    exercises = sum("exercise" in cell.metadata.get("tags", []) for cell in notebook.cells)
    words = len(re.findall(r"[A-Za-z][\w'-]*|\d[\d.,]*", " ".join(texts)))
    cells = len(code_cells(notebook))
    reading = words / WORDS_PER_MINUTE + cells / CELLS_PER_MINUTE
    return math.ceil(reading) + EXERCISE_MINUTES * exercises


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def python_of(cell: Any) -> str:
    """The Python of a code cell, without magics; ``await`` stays at the top level."""
    lines = cell.source.splitlines()
    return "\n".join("" if line.startswith("%") else line for line in lines)


def parsed(cell: Any) -> ast.Module:
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST
    module = compile(python_of(cell), "<cell>", "exec", flags=flags)
    assert isinstance(module, ast.Module)
    return module


def backends(notebook: Any) -> list[str]:
    """What the first cell says that one may write for ``ha``, the notebook's own choice first.

    A notebook that names none runs as it is.
    """
    own = re.search(r'\bha="(\w+)"', code_cells(notebook)[0].source)
    named = re.findall(rf'`(?:ha=)?"({"|".join(BACKENDS)})"`', notebook.cells[0].source)
    return list(dict.fromkeys([own[1], *named])) if own and named else []


def on_backend(notebook: Any, backend: str) -> None:
    """Change the one line that chooses the backend."""
    cell = code_cells(notebook)[0]
    cell.source = re.sub(r'\bha="\w+"', f'ha="{backend}"', cell.source)


def has_engines(notebook: Any) -> bool:
    """Whether one word in the first cell switches to real Flink."""
    return 'engine="hawork"' in code_cells(notebook)[0].source


def on_flink(notebook: Any) -> None:
    """Change that word, on a backend that Flink has: its own, or else one that is named."""
    cell = code_cells(notebook)[0]
    if 'ha="embedded"' in cell.source:
        named = backends(notebook)
        on_backend(notebook, "kubernetes" if named and "zookeeper" not in named else "zookeeper")
    cell.source = cell.source.replace('engine="hawork"', 'engine="flink"')


def broken_rules(notebook: Any) -> Iterator[str]:
    yield from _frame(notebook)
    yield from _size(notebook)
    yield from _imports(notebook)
    yield from _guesses(notebook)
    yield from _exercises(notebook)
    yield from _order(notebook)


def _frame(notebook: Any) -> Iterator[str]:
    first = notebook.cells[0]
    if first.cell_type != "markdown" or not first.source.startswith("# "):
        yield "the first cell has no title"
    for word in ("**Goal.**", "**Time.**"):
        if word not in first.source:
            yield f"the first cell does not say {word}"
    if not re.search(r"\*\*Time\.\*\* .*\d+ minutes", first.source):
        yield "the time is not a number of minutes"
    elif (takes := minutes(notebook)) not in (says := _stated(first.source), says - 1, says + 1):
        yield f"it says {says} minutes, and takes {takes}"
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        yield "the kernel is not python3"
    if "widgets" in notebook.metadata:
        yield "the state of widgets is stored"
    for cell in notebook.cells:
        if not cell.get("id"):
            yield "a cell has no id"
        if cell.cell_type == "code" and (cell.outputs or cell.execution_count is not None):
            yield f"cell {cell.id} has outputs: run make format"
    cells = code_cells(notebook)
    if not _imported(cells[0]).isdisjoint(WITHOUT_LAB):
        return
    if not re.search(r"\b(?:(?:Lab|Flink)Cluster|start_lab)\(", cells[0].source):
        yield "the first code cell does not start a lab"
    if "lab.close()" not in cells[-1].source:
        yield "the last code cell does not close the lab"


def _imported(cell: Any) -> set[str]:
    nodes = (node for node in ast.walk(parsed(cell)) if isinstance(node, ast.ImportFrom))
    return {alias.name for node in nodes for alias in node.names}


def _stated(title: str) -> int:
    found = re.search(r"\*\*Time\.\*\* .*?(\d+) minutes", title)
    return int(found[1]) if found else 0


def _size(notebook: Any) -> Iterator[str]:
    cells = code_cells(notebook)
    if len(cells) > MOST_CODE_CELLS:
        yield f"{len(cells)} code cells are more than {MOST_CODE_CELLS}"
    for cell in cells:
        own = {"exercise", "solution"} & set(cell.metadata.get("tags", []))
        most = MOST_LINES_OF_AN_EXERCISE if own else MOST_LINES
        if (lines := len(cell.source.splitlines())) > most:
            yield f"cell {cell.id} has {lines} lines: move logic to hawork.lab"
        if not cell.source.strip():
            yield f"cell {cell.id} is empty"


def _imports(notebook: Any) -> Iterator[str]:
    """Only what is offered in some ``__all__``: a notebook shows what a reader may use."""
    for cell in code_cells(notebook):
        for node in ast.walk(parsed(cell)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hawork"):
                offered = getattr(importlib.import_module(str(node.module)), "__all__", ())
                for alias in node.names:
                    if alias.name not in offered:
                        yield f"cell {cell.id} imports {alias.name}, no public name"
            elif isinstance(node, ast.Attribute) and node.attr.startswith("_"):
                yield f"cell {cell.id} uses {node.attr}"


def _guesses(notebook: Any) -> Iterator[str]:
    """A guess is left to the reader, and what was observed comes from the run."""
    for cell in code_cells(notebook):
        for node in ast.walk(parsed(cell)):
            if isinstance(node, ast.For) and "predict(" in ast.unparse(node):
                yield f"cell {cell.id} asks for guesses in a loop, and each question has its own"
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            given = node.args[1] if len(node.args) > 1 else None
            constant = isinstance(given, ast.Constant)
            if node.func.attr == "predict" and given is not None:
                if not (isinstance(given, ast.Constant) and given.value is ...):
                    yield f"cell {cell.id} guesses {ast.unparse(given)}: write ..."
            elif node.func.attr == "observe" and constant:
                yield f"cell {cell.id} observes {ast.unparse(node)}: ask the event log"


def _order(notebook: Any) -> Iterator[str]:
    """A text stands right before the run that it announces, and the way on stands last."""
    cells = notebook.cells
    for index, cell in enumerate(cells):
        if cell.cell_type != "markdown":
            continue
        later = [each for each in cells[index + 1 :] if each.cell_type == "markdown"]
        following = cells[index + 1] if index + 1 < len(cells) else None
        if cell.source.rstrip().endswith(":") and (not following or following.cell_type != "code"):
            yield f"cell {cell.id} announces a run, and none follows"
        if re.search(r"^Next: \[", cell.source, re.MULTILINE) and later:
            yield f"cell {later[0].id} comes after the link to the next lesson"
        if cell.source.startswith("### In Flink") and _announces(cells[index - 1]):
            yield f"the box {cell.id} parts {cells[index - 1].id} from its run"


def _announces(cell: Any) -> bool:
    """Whether the end of a text is about the cell that follows."""
    if cell.cell_type != "markdown":
        return False
    last = cell.source.rstrip().rpartition("\n\n")[2]
    headings = re.findall(r"^## (.*)$", cell.source, re.MULTILINE)
    return last.startswith(("**", "## ")) or (headings[-1:] == ["Your turn"])


def _exercises(notebook: Any) -> Iterator[str]:
    """An exercise runs as it is; the next code cell is its solution, collapsed."""
    cells = code_cells(notebook)
    for index, cell in enumerate(cells):
        tags = cell.metadata.get("tags", [])
        if "exercise" in tags:
            following = cells[index + 1] if index + 1 < len(cells) else None
            if following is None or "solution" not in following.metadata.get("tags", []):
                yield f"exercise {cell.id} has no solution"
        if "solution" in tags and "exercise" not in cells[index - 1].metadata.get("tags", []):
            yield f"solution {cell.id} has no exercise before it"
        if "solution" in tags and not cell.metadata.get("jupyter", {}).get("source_hidden"):
            yield f"solution {cell.id} is not collapsed"
