"""Live views of a lab: one model, which is told what changed, and any number of panels.

``LabCluster`` makes them (``cluster_panel()`` and its like); ``replay`` shows a recorded run.
Who knows what::

    sources     look at the lab and say what there is, as plain dictionaries
    controller  one thread: asks the sources, does what buttons ask for, sends what changed
    feed        numbers the changes, and sums them up in keyframes
    widgets     the hub (the model in the kernel) and the panels, on anywidget
    js/         the views; layout.js and state.js are arithmetic, without a browser;
                still.js is for browsers that cannot show the others
    static_views  the same as a table and as text, where there are no widgets
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hawork.panels.panel import Panel
    from hawork.panels.replay import replay

__all__ = ["Panel", "replay"]

_HOMES = {"Panel": "hawork.panels.panel", "replay": "hawork.panels.replay"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hawork.panels' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
