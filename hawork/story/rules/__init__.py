"""What must hold in every run, one rule per module, judged from the events alone.

A rule gets a ``History`` and yields a ``Violation`` for each way in which it was broken, with
the few events that prove it: those events alone, judged again, break the rule again, and
without any one of them they do not.
"""

from __future__ import annotations

from hawork.story.rules.checkpoints import CHECKPOINTS
from hawork.story.rules.jobs import JOBS
from hawork.story.rules.leadership import LEADERSHIP
from hawork.story.rules.output import OUTPUT
from hawork.story.rules.rule import Rule, Violation
from hawork.story.rules.writes import WRITES

RULES: tuple[Rule, ...] = (LEADERSHIP, WRITES, JOBS, CHECKPOINTS, OUTPUT)

__all__ = [
    "CHECKPOINTS",
    "JOBS",
    "LEADERSHIP",
    "OUTPUT",
    "RULES",
    "WRITES",
    "Rule",
    "Violation",
]
