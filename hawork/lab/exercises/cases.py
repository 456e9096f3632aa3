"""The check of a case in which nobody says what happened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hawork.lab.exercises.check import Check, answer

if TYPE_CHECKING:
    from hawork.lab.incidents import Incident

__all__ = ["check_incident"]


def check_incident(incident: Incident, answers: Mapping[str, Any]) -> Check:
    """Which of the questions about a broken run are answered, and which rightly.

    >>> check_incident(incident, {"process": "jm-1", "what": "killed"})    # doctest: +SKIP
    """
    return Check(
        tuple(
            answer(question, answers.get(question, ...), right, incident.hints[question])
            for question, right in incident.answers().items()
        )
    )
