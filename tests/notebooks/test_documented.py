"""Whatever a notebook uses says in its docstring what it does, with an example."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from hawork.lab import FlinkCluster, LabCluster
from hawork.lab.flink.job import FlinkJob
from hawork.lab.job import Job
from hawork.lessons.ha_data import HaData
from hawork.lessons.suspects import BrokenCode

from .rules import NOTEBOOKS, code_cells, parsed, read

CALLED: dict[str, tuple[type, ...]] = {
    "lab": (LabCluster, FlinkCluster), "other": (LabCluster,), "cluster": (LabCluster,),
    "job": (Job, FlinkJob), "again": (Job,), "data": (HaData,),
    "code": (BrokenCode,), "second": (BrokenCode,),
}  # fmt: skip
"""What the notebooks call the things that they talk to."""


def used() -> Iterator[tuple[str, Any]]:
    """Every public name of hawork's in the notebooks, with what it stands for."""
    for notebook in NOTEBOOKS:
        for cell in code_cells(read(notebook)):
            tree = parsed(cell)
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hawork"):
                    module = importlib.import_module(str(node.module))
                    for alias in node.names:
                        found = getattr(module, alias.name)
                        if callable(found) or inspect.ismodule(found):  # no table, such as STEPS
                            yield f"{node.module}.{alias.name}", found
                elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    for kind in CALLED.get(node.value.id, ()):
                        found = inspect.getattr_static(kind, node.attr, None)
                        if found is not None and not isinstance(found, str):
                            yield f"{kind.__name__}.{node.attr}", getattr(kind, node.attr)


NAMES = dict(used())


def test_the_names_are_found() -> None:
    assert {"LabCluster.kill", "Job.finished", "FlinkCluster.submit"} <= set(NAMES)
    assert len(NAMES) > 40


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_name_says_what_it_does_with_an_example(name: str) -> None:
    found = NAMES[name]
    if inspect.ismodule(found) or (inspect.isclass(found) and issubclass(found, Exception)):
        assert inspect.getdoc(found)
        return
    text = inspect.getdoc(found) or ""
    assert text, f"{name} has no docstring"
    assert ">>> " in text, f"the docstring of {name} has no example"
