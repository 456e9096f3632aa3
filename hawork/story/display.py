"""Showing things: in the cell of a notebook that runs now, and as a table of HTML."""

from __future__ import annotations

import html
import sys
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
