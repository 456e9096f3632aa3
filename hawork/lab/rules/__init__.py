"""What must hold in every run, one rule per module, judged from the events alone.

A rule gets a ``History`` and yields a ``Violation`` for each way in which it was broken, with
the few events that prove it: those events alone, judged again, break the rule again, and
without any one of them they do not.
"""

from __future__ import annotations

from hawork.lab.rules.checkpoints import CHECKPOINTS
from hawork.lab.rules.jobs import JOBS
from hawork.lab.rules.leadership import LEADERSHIP
from hawork.lab.rules.output import OUTPUT
from hawork.lab.rules.rule import Rule, Violation
from hawork.lab.rules.writes import WRITES

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
