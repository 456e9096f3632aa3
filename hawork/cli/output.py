"""What commands print: nothing else in this package writes to the terminal (a test holds that).

Names, addresses and messages come from stores, files and servers that others write to, and a
terminal obeys what is not printable in them. All of it is escaped here, once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from hawork.core.printable import printable, printable_lines

__all__ = [
    "complain", "flush", "is_terminal", "say", "say_json", "say_no_more", "say_table", "show",
    "tell",
]  # fmt: skip


def say(text: str) -> None:
    """Print lines: the answer of the command."""
    show(f"{printable_lines(text)}\n")


def tell(text: str) -> None:
    """Print lines on standard error: what is not the answer."""
    show(f"{printable_lines(text)}\n", on_error=True)


def say_line(text: str) -> None:
    """One line that has foreign text in it: a line break in that is escaped, too."""
    show(f"{printable(text)}\n")


def complain(why: object) -> None:
    """Print one line on standard error: what went wrong, or may."""
    show(f"hawork: {printable(str(why))}\n", on_error=True)


def say_json(value: Any) -> None:
    """Print one JSON object on a line of its own; it has no letters but those of ASCII."""
    show(f"{json.dumps(value)}\n")


def say_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table in plain text, readable by people and by ``awk``."""
    lines = [list(head), *[[printable(str(cell)) for cell in row] for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    show("".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        + "\n" for line in lines
    ))  # fmt: skip


def show(text: str, *, on_error: bool = False) -> None:
    """Print text as it is, with what a terminal is to obey: it holds nothing that others wrote, or
    that is escaped in it already. Letters that the terminal does not know are escaped.
    """
    stream = _stream(on_error)
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        name = "error" if on_error else "output"
        raise OSError(error.errno, error.strerror, f"standard {name}") from None


def is_terminal(*, on_error: bool = False) -> bool:
    """Whether a person looks at it."""
    return _stream(on_error).isatty()


def flush() -> None:
    """Print now what libraries have printed, before the end or another program."""
    sys.stdout.flush()


def say_no_more() -> None:
    """The reader of standard output is gone: whatever else is printed there goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _stream(on_error: bool) -> TextIO:
    return sys.stderr if on_error else sys.stdout
