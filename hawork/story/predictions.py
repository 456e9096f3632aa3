"""A learner's guesses, kept in the event log, beside what was observed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hawork.core.events import Event, EventKind

if TYPE_CHECKING:
    import pandas

__all__ = ["Prediction", "frame_of", "is_guess", "predictions", "predictions_frame"]

_NO_GUESS, _LATE = "no guess", "guessed after the observation"


def is_guess(value: Any) -> bool:
    """Whether a reader has guessed: ``...``, ``None``, ``"?"`` and ``""`` stand for no guess.

    >>> is_guess(0), is_guess("no"), is_guess(...), is_guess("?")
    (True, True, False, False)
    """
    if isinstance(value, str):
        return value.strip() not in ("", "?")
    return value is not None and value is not ...


@dataclass(slots=True)
class Prediction:
    """One question: the guess, what was observed (``""`` for nothing yet), and a remark.

    The last guess before the first observation counts. A question without one shows the last
    guess after it, and ``remark`` tells the two apart.
    """

    question: str
    guess: Any = ""
    observed: Any = ""
    unit: str = ""
    is_observed: bool = False
    is_late: bool = False

    @property
    def remark(self) -> str:
        if not is_guess(self.guess):
            return _NO_GUESS
        return _LATE if self.is_late else ""

    def guessed(self, value: Any, unit: str) -> None:
        self.unit = unit
        if not self.is_observed:
            self.guess = value if is_guess(value) else ""
        elif is_guess(value) and (self.is_late or not is_guess(self.guess)):
            self.guess, self.is_late = value, True

    def saw(self, value: Any) -> None:
        self.observed, self.is_observed = value, True


def predictions(events: Iterable[Event]) -> dict[str, Prediction]:
    """What was guessed and observed, by question, in the order in which they were asked."""
    asked: dict[str, Prediction] = {}
    for event in events:
        if event.kind is EventKind.PREDICTION:
            question = str(event.facts.get("question"))
            prediction = asked.setdefault(question, Prediction(question))
            if "guess" in event.facts:
                prediction.guessed(event.facts["guess"], str(event.facts.get("unit", "")))
            if "observed" in event.facts:
                prediction.saw(event.facts["observed"])
    return asked


def predictions_frame(events: Iterable[Event]) -> pandas.DataFrame:
    """Every guess beside what was observed; empty where nothing was guessed or observed yet."""
    return frame_of(predictions(events).values())


def frame_of(asked: Iterable[Prediction]) -> pandas.DataFrame:
    """The same of questions that are kept elsewhere than in an event log."""
    import pandas

    rows = [(each.question, each.guess, each.observed, each.unit, each.remark) for each in asked]
    columns = ["question", "guess", "observed", "unit", "remark"]
    return pandas.DataFrame(rows, columns=columns, dtype=object)  # 1000 beside 0.02, as given
