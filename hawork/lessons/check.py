"""What every check returns, and what checks have in common."""

from __future__ import annotations

import difflib
import html
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import wraps
from numbers import Real
from typing import Any, ParamSpec

from hawork.lessons.hand_in import hand_in

__all__ = ["UNKNOWN", "Check", "answer", "answers_of", "because", "called", "number_of", "safe"]

P = ParamSpec("P")
Point = tuple[str, bool]

_PROCESS = re.compile(r"(?:jm|tm)-\d+")

UNKNOWN = "?"
"""The answer of a reader who does not know yet, where ``None`` would be an answer."""


@dataclass(frozen=True, slots=True)
class Check:
    """Sentences, each with whether it is so.

    >>> Check((("the leader was found", True),)).passed
    True
    """

    points: tuple[Point, ...]
    handed_in: str = ""
    """Where there is a class: what became of this result."""

    @property
    def passed(self) -> bool:
        return all(good for _, good in self.points)

    def __str__(self) -> str:
        lines = [f"{'✓' if good else '✗'} {sentence}" for sentence, good in self.points]
        lines.append("solved" if self.passed else "not solved yet")
        return "\n".join([*lines, *([self.handed_in] if self.handed_in else [])])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return "<br>".join(html.escape(line) for line in str(self).splitlines())


def safe(function: Callable[P, Check]) -> Callable[P, Check]:
    """A check that never raises: what it cannot look at is a point that is not kept.

    Its result is handed in where there is a class.

    >>> safe(lambda other: other.nothing)(None)
    ✗ this cannot be checked: 'NoneType' object has no attribute 'nothing'
    not solved yet
    """

    first = next(iter(inspect.signature(function).parameters))

    def judged(*arguments: P.args, **named: P.kwargs) -> Check:
        if first == "lab" and arguments and not hasattr(arguments[0], "event_list"):
            said = f"{arguments[0]!r} is not a lab; hand in the one that this notebook started"
            return Check(((f"this cannot be checked: {said}", False),))
        try:
            return function(*arguments, **named)
        except Exception as error:  # noqa: BLE001 - a reader may hand in anything
            said = str(error) or type(error).__name__
            return Check(((f"this cannot be checked: {said}", False),))

    @wraps(function)
    def guarded(*arguments: P.args, **named: P.kwargs) -> Check:
        check = judged(*arguments, **named)
        told = hand_in(function.__name__, check.passed, check.points)
        return replace(check, handed_in=told)

    return guarded


def answer(
    question: str, given: Any, right: Any, hint: str, means: Mapping[str, Any] | None = None
) -> Point:
    """A point about a question; ``hint`` says where to look as long as it is not answered.

    ``...`` is not an answer, and as ``right`` it says that it cannot be known yet. What means
    the same is the same: ``"4"`` is 4, ``" Paused"`` is ``"paused"``; ``means`` lists others.

    >>> answer("restarts", 2, 1, "count them")
    ('restarts: not 2; count them', False)
    >>> answer("restarts", "1", 1, "count them")
    ('restarts: 1', True)
    """
    if given is ... or (given is None and right is not None) or _is_blank(given):
        return f"{question}: no answer yet; {hint}", False
    if right is ...:
        return f"{question}: {given!r} cannot be judged yet; {hint}", False
    if _same(given, right, means or {}):
        return f"{question}: {right!r}", True
    return f"{question}: not {given!r}; {hint}", False


def _is_blank(given: Any) -> bool:
    return isinstance(given, str) and given.strip() in ("", UNKNOWN)


def _same(given: Any, right: Any, means: Mapping[str, Any]) -> bool:
    word = given.strip().casefold() if isinstance(given, str) else given
    if isinstance(word, str) and word in means:
        word = means[word]
    if right is None:
        return word is None or (isinstance(word, str) and word in ("none", "nothing", "no"))
    if isinstance(right, str):
        wanted = right.casefold()
        if _PROCESS.fullmatch(wanted) and isinstance(word, str):
            word, wanted = re.sub(r"[\s_-]", "", word), wanted.replace("-", "")
        return isinstance(word, str) and word.casefold() == wanted
    number = number_of(word)
    return number is not None and number == right


def number_of(given: Any) -> float | None:
    """The number that an answer is, or writes out; ``None`` for everything else.

    >>> number_of("1,000"), number_of(" checkpoint 4"), number_of("2.5 s"), number_of(True)
    (1000.0, 4.0, 2.5, None)
    """
    if isinstance(given, Real) and not isinstance(given, bool):
        return float(given)
    if not isinstance(given, str):
        return None
    text = given.strip().casefold().removeprefix("checkpoint").removeprefix("chk-").strip()
    found = re.fullmatch(
        r"(-?\d[\d,_]*(?:\.\d+)?)\s*(?:s|sec|seconds?|flights?|times?|jobs?)?", text
    )
    return float(found[1].replace(",", "").replace("_", "")) if found else None


def answers_of(given: Any, questions: Iterable[str]) -> tuple[Mapping[str, Any], list[Point]]:
    """The answers that were given, and a point for each key that answers no question."""
    names = list(questions)
    if given is None:
        return {}, []
    if hasattr(given, "to_dict"):  # a Series of pandas
        given = given.to_dict()
    if not isinstance(given, Mapping):
        example = f"{{{names[0]!r}: ..., ...}}"
        return {}, [(f"the answers are a {type(given).__name__}: write a dict, {example}", False)]
    return given, [(_unknown(key, names), False) for key in given if key not in names]


def _unknown(key: Any, names: list[str]) -> str:
    word = str(key).strip().casefold()
    close = difflib.get_close_matches(word, names, n=1) or [each for each in names if word in each]
    meant = f"did you mean {close[0]!r}?" if len(close) == 1 else f"write one of {', '.join(names)}"
    return f"{key!r} is not a question here: {meant}"


def called(function: Callable[..., Any], *arguments: Any) -> tuple[Any, str]:
    """What a learner's function returns, or why it does not.

    >>> called(lambda: {}["a"])
    (None, "it raised KeyError: 'a'")
    """
    if not callable(function):
        return None, f"it is {function!r}: hand in the function itself, without calling it"
    try:
        returned = function(*arguments)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a learner's function may raise anything
        return None, f"it raised {type(error).__name__}: {error}"
    if inspect.iscoroutine(returned):
        returned.close()
        return None, "it is async: write def, not async def"
    return returned, ""


def because(failure: str) -> str:
    """The end of a sentence about a function that may have raised.

    >>> because("it raised KeyError: 'a'")
    ": it raised KeyError: 'a'"
    """
    return f": {failure}" if failure else ""
