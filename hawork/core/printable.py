"""Text that others wrote, for a terminal: what is not printable could be obeyed there."""

from __future__ import annotations


def printable(text: str) -> str:
    """Text out of foreign data, safe for a terminal: what is not printable is escaped.

    >>> printable("flights \\x1b[2J"), printable("Flüge")
    ('flights \\\\x1b[2J', 'Flüge')
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape", "surrogatepass").decode()
        for each in text
    )


def printable_lines(text: str) -> str:
    """The same of several lines, which stay lines."""
    return "\n".join(map(printable, text.split("\n")))
