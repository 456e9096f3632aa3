"""What the lessons say about Flink, sentence by sentence, and the table that must hold it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TABLE = Path(__file__).resolve().parent.parent.parent / "docs" / "claims.md"
_END = re.compile(r"(?<=[.!?:])\*{0,2}\s+(?=[*A-Z`(\[])")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_NO_CLAIM = re.compile(
    r"[:?]$|^(?:Next:|#|Here (?:is|are)\b|Below\b|This is (?:what|not)\b|You have (?:seen|read))"
    r"|Where something is missing|pip install|statement by statement|you need not have seen it"
)
"""What only says what the reader sees or does next."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One row of the table."""

    lesson: str
    statement: str
    source: str
    evidence: str


def plain(text: str) -> str:
    """A sentence without links, emphasis and line ends."""
    return " ".join(_LINK.sub(r"\1", text).replace("*", "").split()).strip(" |")


def spoken(notebook: Any) -> Iterator[str]:
    """Every sentence and every row of a table that speaks of Flink, in its order.

    All sentences below the heading *In Flink* do, up to the end of their cell.
    """
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            continue
        box = cell.source.startswith("### In Flink")
        for block in re.split(r"\n\s*\n", cell.source):
            if block.startswith(("*Source:*", "Next: ")):
                continue
            if block.startswith("|"):
                rows = [plain(line) for line in block.splitlines()]
                about = box or "Flink" in rows[0]
                found = [row for row in rows[2:] if about or "Flink" in row]
            else:
                items = re.split(r"\n(?=- |\d+\. )", block)
                sentences = [plain(each) for item in items for each in _END.split(item)]
                found = [each for each in sentences if _speaks(each, box)]
            yield from (each for each in found if each and not _NO_CLAIM.search(each))


def _speaks(sentence: str, box: bool) -> bool:
    return "Flink" in sentence or (box and "hawork" not in sentence)


def claims(text: str) -> list[Claim]:
    """The rows of every table of the page, each below the heading of its lesson."""
    found, lesson = [], ""
    for line in text.splitlines():
        if line.startswith("## "):
            match = re.search(r"\((?:\.\./notebooks/)?(\w+)\.ipynb\)", line)
            lesson = match[1] if match else ""
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if (
            lesson
            and len(cells) == 3
            and not set(cells[0]) <= {"-", ":"}
            and cells[0] != "statement"
        ):
            statement = cells[0].replace("\\|", "|")
            found.append(Claim(lesson, plain(statement), cells[1], cells[2]))
    return found
