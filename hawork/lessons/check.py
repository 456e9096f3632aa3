"""What every check returns, and what checks have in common."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["UNKNOWN", "Check", "answer", "because", "called"]

UNKNOWN = "?"
"""The answer of a reader who does not know yet, where ``None`` would be an answer."""


@dataclass(frozen=True, slots=True)
class Check:
    """Sentences, each with whether it is so.

    >>> Check((("the leader was found", True),)).passed
    True
    """

    points: tuple[tuple[str, bool], ...]

    @property
    def passed(self) -> bool:
        return all(good for _, good in self.points)

    def __str__(self) -> str:
        lines = [f"{'✓' if good else '✗'} {sentence}" for sentence, good in self.points]
        return "\n".join([*lines, "solved" if self.passed else "not solved yet"])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return "<br>".join(html.escape(line) for line in str(self).splitlines())


def answer(question: str, given: Any, right: Any, hint: str) -> tuple[str, bool]:
    """A point about a question; ``hint`` says where to look as long as it is not answered.

    ``...`` is not an answer, and as ``right`` it says that it cannot be known yet.

    >>> answer("restarts", 2, 1, "count them")
    ('restarts: not 2; count them', False)
    """
    if given in (..., UNKNOWN) or (given is None and right is not None):
        return f"{question}: no answer yet; {hint}", False
    if right is ...:
        return f"{question}: {given!r} is a guess; {hint}", False
    if given == right:
        return f"{question}: {given!r}", True
    return f"{question}: not {given!r}; {hint}", False


def called(function: Callable[..., Any], *arguments: Any) -> tuple[Any, str]:
    """What a learner's function returns, or why it does not.

    >>> called(lambda: {}["a"])
    (None, "it raised KeyError: 'a'")
    """
    try:
        return function(*arguments), ""
    except Exception as error:  # noqa: BLE001 - a learner's function may raise anything
        return None, f"it raised {type(error).__name__}: {error}"


def because(failure: str) -> str:
    """The end of a sentence about a function that may have raised.

    >>> because("it raised KeyError: 'a'")
    ": it raised KeyError: 'a'"
    """
    return f": {failure}" if failure else ""
