"""Showing things in the cell of a notebook that runs now."""

from __future__ import annotations

import sys
from typing import Any


def in_notebook() -> bool:
    """Whether this process is a Jupyter kernel; loads nothing to find out."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def show(thing: object) -> None:
    """Display an object, or a bundle of its forms by MIME type, in the running cell."""
    from IPython import display

    untyped: Any = display.display
    untyped(thing, raw=isinstance(thing, dict))
