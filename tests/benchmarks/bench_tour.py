"""The tour as a newcomer, and a visitor on Binder, has it: how soon, how long, how much memory."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from nbclient import NotebookClient

from tests.benchmarks.figures import Table
from tests.browser.jupyter import JupyterLab
from tests.notebooks.rules import FOLDER, code_cells, read

RUNS = 3
TOUR = FOLDER / "00_tour.ipynb"


class Memory(threading.Thread):
    """The most that a process and all below it took together, in MB (PSS)."""

    def __init__(self, *roots: int) -> None:
        super().__init__(daemon=True)
        self._roots = roots
        self._ended = threading.Event()
        self.most = 0.0

    def run(self) -> None:
        while not self._ended.wait(0.2):
            self.most = max(self.most, sum(map(below, self._roots)))

    def stop(self) -> float:
        self._ended.set()
        self.join()
        return self.most


def below(pid: int) -> float:
    """MB of a process and its descendants; what several share is counted once."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            try:
                total += process.memory_full_info().pss
            except psutil.Error:
                continue  # it has just ended
    except psutil.Error:
        return 0.0
    return total / 2**20


def run_tour(place: Path) -> tuple[float, float, float]:
    """Seconds of the first cell, seconds of all cells, and MB at most."""
    shutil.copytree(FOLDER, place, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    notebook = read(TOUR)
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(place)}}
    )
    memory = Memory(os.getpid())
    before = below(os.getpid())
    memory.start()
    asyncio.run(client.async_execute())
    most = memory.stop() - before
    cells = code_cells(notebook)
    return took(cells[0]), sum(map(took, cells)), most


def took(cell: Any) -> float:
    times = cell.metadata["execution"]
    began = datetime.fromisoformat(times["iopub.execute_input"])
    ended = datetime.fromisoformat(times["shell.execute_reply"])
    return (ended - began).total_seconds()


@pytest.mark.timeout(900)
def test_the_tour(tmp_path: Path) -> None:
    runs = [run_tour(tmp_path / f"run-{number}") for number in range(RUNS)]
    firsts, wholes, kernels = (list(each) for each in zip(*runs, strict=True))
    lab = JupyterLab.start(tmp_path / "server", dict(os.environ))
    try:
        server = below(lab.process.pid)
    finally:
        lab.stop()
    seconds = Table("The tour, cell by cell", "s", digits=1, first="until")
    seconds.add("the first lab cell shows who leads", firsts, at_most=5)
    seconds.add("all cells have run", wholes, at_most=180)
    seconds.print()
    table = Table("The most memory at once, on the embedded backend", "MB", digits=0)
    table.add("JupyterLab's server", [server])
    table.add("kernel, and all processes of the lab", kernels)
    table.add("together; Binder gives 1 GB", [server + each for each in kernels], at_most=1000)
    table.print()
