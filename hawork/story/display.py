"""Showing things: in the cell of a notebook that runs now, and as a table of HTML."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Iterable
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


def html_table(head: Iterable[object], rows: Iterable[Iterable[object]], caption: str = "") -> str:
    """A table of plain text, without styles or scripts, so that it is never sanitised away."""
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return f"<table>{title}{_row('th', head)}{''.join(_row('td', row) for row in rows)}</table>"


def _row(tag: str, cells: Iterable[object]) -> str:
    return f"<tr>{''.join(f'<{tag}>{html.escape(str(cell))}</{tag}>' for cell in cells)}</tr>"


def clock_time(wall: float) -> str:
    """``wall``, seconds since 1970, as the clock of this machine shows it.

    Without the date: what is told with it has just happened.
    """
    return time.strftime("%H:%M:%S", time.localtime(wall))


def age(wall: float, now: float | None = None) -> str:
    """How long ago: ``14 s ago``, ``3 min ago``.

    >>> age(0.0, now=200.0)
    '3 min ago'
    """
    seconds = max(0.0, (time.time() if now is None else now) - wall)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
