"""The workbench: a whole cluster on this machine, to look at and to break.

>>> from hawork.lab import LabCluster, flights                           # doctest: +SKIP
>>> %load_ext hawork.lab                        # in a notebook: %%artifact  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hawork.inspect.difference import store_changes
    from hawork.lab import flights as flights
    from hawork.lab.closing import reset
    from hawork.lab.cluster import LabCluster
    from hawork.lab.flink.cluster import FlinkCluster
    from hawork.lab.job import Job
    from hawork.panels.inspect_panel import inspect_panel
    from hawork.panels.replay import replay
    from hawork.story.bundle import RunBundle
    from hawork.story.comparison import compare_values
    from hawork.story.run_bundle import open_bundle
    from hawork.story.timeline import Timeline
    from hawork.story.verdict import Verdict, judge

__all__ = [
    "FlinkCluster",
    "Job",
    "LabCluster",
    "RunBundle",
    "Timeline",
    "Verdict",
    "compare_values",
    "flights",
    "inspect_panel",
    "judge",
    "open_bundle",
    "replay",
    "reset",
    "store_changes",
]

_HOMES = {
    "FlinkCluster": "hawork.lab.flink.cluster",
    "Job": "hawork.lab.job",
    "LabCluster": "hawork.lab.cluster",
    "RunBundle": "hawork.story.bundle",
    "Timeline": "hawork.story.timeline",
    "Verdict": "hawork.story.verdict",
    "compare_values": "hawork.story.comparison",
    "inspect_panel": "hawork.panels.inspect_panel",
    "judge": "hawork.story.verdict",
    "open_bundle": "hawork.story.run_bundle",
    "replay": "hawork.panels.replay",
    "reset": "hawork.lab.closing",
    "store_changes": "hawork.inspect.difference",
}


def load_ipython_extension(shell: Any) -> None:
    """Called by ``%load_ext hawork.lab``."""
    from hawork.lab.magic import register_magic

    register_magic(shell)


def __getattr__(name: str) -> Any:
    if name == "flights":
        return importlib.import_module("hawork.lab.flights")
    if name not in _HOMES:
        raise AttributeError(f"module 'hawork.lab' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
