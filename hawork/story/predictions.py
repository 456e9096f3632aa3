"""A learner's guesses, kept in the event log, beside what was observed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hawork.core.events import Event, EventKind

if TYPE_CHECKING:
    import pandas

_COLUMNS = ["question", "guess", "observed", "unit"]


def predictions(events: Iterable[Event]) -> dict[str, dict[str, Any]]:
    """What was guessed and observed last, by question."""
    asked: dict[str, dict[str, Any]] = {}
    for event in events:
        if event.kind is EventKind.PREDICTION:
            facts = {name: value for name, value in event.facts.items() if name != "question"}
            asked.setdefault(str(event.facts.get("question")), {}).update(facts)
    return asked


def predictions_frame(events: Iterable[Event]) -> pandas.DataFrame:
    """Every guess beside what was observed; empty where nothing was observed yet."""
    import pandas

    rows = [
        {"question": question, "guess": "", "observed": "", **facts}
        for question, facts in predictions(events).items()
    ]
    return pandas.DataFrame(rows, columns=_COLUMNS, dtype=object)  # 1000 beside 0.02, as given
