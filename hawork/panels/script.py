"""The views' scripts as one module: anywidget takes one, and nothing is built or downloaded.

Imports between our own files are left out, ``export`` too; so the top-level names of all files
must differ, which a test checks.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

MODULES = (
    "state.js", "layout.js", "dom.js", "requests.js", "cluster.js", "shapes.js", "toolbar.js",
    "timeline.js", "jobs.js", "store.js", "stepper.js", "inspection.js", "still.js", "frame.js",
    "dock.js", "panel.js",
)  # fmt: skip
"""In the order of their dependencies."""

_IMPORT = re.compile(r'^import\s[^;]*?\sfrom\s+"\./[\w.]+";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?!default)", re.MULTILINE)


@cache
def script() -> str:
    """All modules as one; the last one holds the default export that anywidget asks for."""
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", _read(name))) for name in MODULES)


@cache
def style() -> str:
    """The panels' own, and that of the page, for a server that ``hawork lab`` did not start."""
    return _read("page.css", "labextension/hawork/static") + _read("panels.css")


def _read(name: str, folder: str = "js") -> str:
    return (files("hawork.panels") / folder / name).read_text(encoding="utf-8")
