"""Every notebook runs from top to bottom in a fresh kernel, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from nbclient import NotebookClient
from traitlets.config import Config

from hawork.testing import eventually

from .leftovers import Footprint, own_sockets
from .rules import (
    FOLDER,
    NOTEBOOKS,
    backends,
    code_cells,
    has_engines,
    on_backend,
    on_flink,
    read,
)

CELL_LIMIT = 90
NOTEBOOK_LIMIT = 420
"""Seconds. They end a notebook that hangs; they do not judge its speed."""


RUNS = [(path, backend) for path in NOTEBOOKS for backend in backends(read(path)) or [""]]
LONG = {
    "02_service_discovery",
    "03_leases_and_timeouts",
    "06_zookeeper",
    "07_kubernetes",
    "20_timeouts",
}
"""Half a minute to two on real Flink: ``make bench`` runs them there, ``make test`` on hawork."""
ON_FLINK = [path for path in NOTEBOOKS if has_engines(read(path))]
RUNS += [(path, "flink") for path in ON_FLINK if path.stem not in LONG]
"""Every notebook, on every backend that it names; and those on real Flink that are short there."""
RUNS.remove((FOLDER / "00_tour.ipynb", ""))  # ``tests/browser/test_tour.py`` runs all of it


def test_some_lessons_run_everywhere() -> None:
    everywhere = [path.stem for path in NOTEBOOKS if len(backends(read(path))) == 3]
    assert {"01_leader_election", "08_split_brain", "11_job_results"} <= set(everywhere)


@pytest.mark.slow
@pytest.mark.timeout(NOTEBOOK_LIMIT + 60)
@pytest.mark.parametrize(("path", "backend"), RUNS, ids=lambda each: getattr(each, "stem", each))
def test_notebook_runs(path: Path, backend: str, footprint: Footprint, tmp_path: Path) -> None:
    run_whole(path, backend, footprint, tmp_path)


def run_whole(path: Path, backend: str, footprint: Footprint, tmp_path: Path) -> None:
    place = tmp_path / "notebooks"
    shutil.copytree(FOLDER, place, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    notebook = read(path)
    if backend == "flink":
        on_flink(notebook)
    elif backend:
        on_backend(notebook, backend)
    asyncio.run(run(notebook, place, footprint))

    cells = code_cells(notebook)
    assert all(cell.execution_count for cell in cells), "a cell did not run"
    assert problems(cells) == []
    eventually(footprint.nothing_left)
    assert list(footprint.directory.glob("hawork*")) == [], "a run directory is left"


async def run(notebook: Any, place: Path, footprint: Footprint) -> None:
    with own_sockets() as settings:
        client = NotebookClient(
            notebook,
            timeout=CELL_LIMIT,
            startup_timeout=60,
            kernel_name="python3",
            store_widget_state=False,
            config=Config({"KernelManager": settings}),
            resources={"metadata": {"path": str(place)}},
        )
        async with asyncio.timeout(NOTEBOOK_LIMIT):
            await client.async_execute(env=footprint.environment())


def problems(cells: list[Any]) -> list[str]:
    """What a reader should not see: errors, and warnings of Python, of a library, of a lab.

    A lab of the lesson's own beside the first one is no accident, and the advice to end the first
    one would end the lesson.
    """
    return [
        f"{cell.id}: {output.get('text', output.get('evalue', ''))}"
        for cell in cells
        for output in cell.outputs
        if output.output_type == "error"
        or output.get("name") == "stderr"
        or "This notebook still runs" in output.get("data", {}).get("text/plain", "")
    ]
