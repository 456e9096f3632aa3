"""``hawork class``: who is where in a class, live, from the folder into which learners hand in."""

from __future__ import annotations

import argparse
import html
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hawork.cli.common import duration_of
from hawork.cli.output import is_terminal, say, say_table, tell
from hawork.core.errors import LabError
from hawork.lessons.class_folder import ClassFolder, how_to_join, table
from hawork.story.display import html_table

if TYPE_CHECKING:
    from rich.console import RenderableType

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 1rem 2rem; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: .2rem .8rem; border-bottom: 1px solid #8886; }
"""

Row = Sequence[str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", metavar="DIR", help="the class folder; made when it is not there yet"
    )
    parser.add_argument(
        "--html", metavar="FILE", help="write the table there, too; the page renews itself"
    )
    parser.add_argument("--once", action="store_true", help="print the table once, and end")
    parser.add_argument(
        "--every",
        metavar="SECONDS",
        type=duration_of(0.1),
        default=2.0,
        help="how often to look (2)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Show the table until Ctrl-C, or once."""
    folder = ClassFolder(Path(arguments.folder))
    if folder.create():
        tell(f"{folder.path} was made for this class")
    elif hint := folder.closed():
        tell(hint)
    tell(f"each learner, before JupyterLab starts: {how_to_join(folder.path)}")
    page = Path(arguments.html) if arguments.html else None
    every = max(0.2, arguments.every)
    if arguments.once or not is_terminal():
        return _printed(folder, page, every, once=arguments.once)
    return _live(folder, page, every)


def _live(folder: ClassFolder, page: Path | None, every: float) -> int:
    try:
        from rich.live import Live
    except ImportError:
        return _printed(folder, page, every, once=False)
    live: AbstractContextManager[Any] = Live(auto_refresh=False, screen=False)
    with live as view:
        while True:
            head, rows = table(folder.look(), time.time())
            trouble = _write_page(page, head, rows, folder.trouble, every)
            view.update(_drawn(head, rows, trouble), refresh=True)
            time.sleep(every)


def _drawn(head: Row, rows: Sequence[Row], trouble: str) -> RenderableType:
    """Cells are text and nothing else: a learner's name is not markup."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    drawn = Table()
    for name in head:
        drawn.add_column(Text(name))
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    counted = f"{len(rows)} learners" if rows else "waiting for the first result"
    return Group(drawn, Text(f"{time.strftime('%H:%M:%S')} · {counted}"), Text(trouble))


def _printed(folder: ClassFolder, page: Path | None, every: float, *, once: bool) -> int:
    """The table as plain lines, whenever a learner has handed in something."""
    shown: object = None
    while True:
        found = folder.look()
        head, rows = table(found, time.time())
        trouble = _write_page(page, head, rows, folder.trouble, every)
        if (found, trouble) != shown:
            shown = (found, trouble)
            say_table(head, rows)
            if trouble:
                say(trouble)
        if once:
            return 0
        time.sleep(every)


def _write_page(
    page: Path | None, head: Row, rows: Sequence[Row], trouble: str, every: float
) -> str:
    """Write the page, whole; returns what is to be told, with why there is no page if need be."""
    if page is None:
        return trouble
    try:
        _replace(page, _html(head, rows, trouble, every))
    except OSError as error:
        return "; ".join(
            each for each in (trouble, f"{page} cannot be written ({error.strerror})") if each
        )
    return trouble


def _html(head: Row, rows: Sequence[Row], trouble: str, every: float) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="refresh" content="{max(2, round(every))}">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>Class</title><style>{_STYLE}</style></head><body>"
        f"<h1>Class</h1><p>{time.strftime('%H:%M:%S')}, {len(rows)} learners</p>"
        f"{html_table(head, rows)}<p>{html.escape(trouble)}</p></body></html>\n"
    )


def _replace(page: Path, text: str) -> None:
    if page.is_dir():
        raise LabError(f"{page} is a directory: name a file")
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=page.parent, prefix=f".{page.name}-", delete=False
    ) as file:
        file.write(text)
    made = Path(file.name)
    try:
        made.chmod(0o644)
        made.replace(page)
    except BaseException:
        made.unlink(missing_ok=True)
        raise
