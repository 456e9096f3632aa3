"""``inspect_panel`` of what does not run: a saved case, dumps, an inspection."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from hawork.core.calls import checked
from hawork.core.errors import LabError
from hawork.inspect.inspection import Inspection
from hawork.inspect.inspector import inspect
from hawork.inspect.report import as_text
from hawork.inspect.report_html import as_fragment
from hawork.inspect.sources import Sources
from hawork.panels.panel import Panel
from hawork.story.bundle import RunBundle
from hawork.story.recorded import Recorded

__all__ = ["inspect_panel"]


@runtime_checkable
class _Cluster(Protocol):
    """A lab, or a cluster that was attached to."""

    def inspect_panel(self) -> Panel: ...


@checked
def inspect_panel(of: Recorded | Inspection | Sources | Path | str) -> Panel:
    """What the HA data says: of a cluster, of a case of ``hawork inspect --save``, of dumps.

    Of what does not run any more it needs no script, and shows the same without a kernel.

    >>> inspect_panel("case.zip")                                          # doctest: +SKIP
    >>> inspect_panel(lab)                                                 # doctest: +SKIP

    ``ConfigurationError`` for a file that is none, ``LabError`` for a bundle of a run.
    """
    if isinstance(of, RunBundle):
        raise LabError(
            "a bundle keeps the HA store as text and lists the files, and an inspection needs "
            "their bytes: write a case with 'hawork inspect --save' while the cluster is there"
        )
    if isinstance(of, _Cluster):
        return of.inspect_panel()
    if isinstance(of, Recorded):
        raise LabError(f"{of!r} has no HA data to look at: give a cluster or a case")
    if isinstance(of, Inspection):
        found = of
    else:
        found = inspect(of if isinstance(of, Sources) else Sources(case=of))
    shown = {"text/plain": as_text(found), "text/html": as_fragment(found)}
    return Panel("inspection", None, lambda: shown)
