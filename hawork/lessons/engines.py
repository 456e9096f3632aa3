"""The same lesson on either engine: hawork's own processes, or real Apache Flink."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hawork.core.errors import LabError
from hawork.lab.cluster import LabCluster
from hawork.lab.flink.cluster import FlinkCluster
from hawork.story.recorded import Recorded
from hawork.story.side_by_side import SideBySide

__all__ = ["ENGINES", "above", "check_engine", "lab_of", "start_lab"]

ENGINES = ("hawork", "flink")


def check_engine(engine: str) -> None:
    """``LabError`` for what is not an engine."""
    if engine not in ENGINES:
        raise LabError(f"engine={engine!r} is not an engine: write 'hawork' or 'flink'")


def start_lab(engine: str = "hawork", **arguments: Any) -> LabCluster | FlinkCluster:
    """A started lab of that engine; ``arguments`` are those of ``LabCluster``.

    ``LabError`` for another engine, and where Flink cannot do what the lesson asks for.

    >>> lab = start_lab(engine="flink", ha="zookeeper", job_managers=3)    # doctest: +SKIP
    """
    return lab_of(engine, **arguments).start()


def lab_of(engine: str, **arguments: Any) -> LabCluster | FlinkCluster:
    """The same, not started: for a ``with`` block, which ends it."""
    check_engine(engine)
    if engine == "hawork":
        return LabCluster(**arguments)
    if arguments.get("ha", "embedded") == "embedded":
        raise LabError("Flink has no embedded backend: write ha='zookeeper' or ha='kubernetes'")
    return FlinkCluster(**arguments)


def above(runs: Mapping[str, Recorded]) -> SideBySide:
    """The timelines of runs, one above the other, each under its name.

    >>> above({"your run": lab, "Flink": recording("crash-zookeeper")})    # doctest: +SKIP
    """
    return SideBySide({name: run.timeline() for name, run in runs.items()})
