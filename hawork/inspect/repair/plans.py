"""A plan: the repairs that answer findings, and the findings that none answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hawork.inspect.finding import Finding
from hawork.inspect.repair.changes import Change, Repair

__all__ = ["ASKED", "Plan"]

ASKED: Final = {
    "HA303": "the result says that the job is done: if it should run all the same, name HA303 with "
    "--only, which moves the result away",
}
"""Repairs that are made only when they are asked for, and why."""


@dataclass(frozen=True)
class Plan:
    """``left`` are findings without a repair here, each with the reason."""

    repairs: tuple[Repair, ...]
    left: tuple[tuple[Finding, str], ...]

    @property
    def changes(self) -> list[Change]:
        return [change for repair in self.repairs for change in repair.changes]

    def and_then(self, later: Plan) -> Plan:
        """With what a later look adds. What is changed already is not changed once more."""
        touched = {change.object for change in self.changes}
        more = [repair for repair in later.repairs
                if touched.isdisjoint(change.object for change in repair.changes)]  # fmt: skip
        known = {(finding.code, finding.title) for finding, _ in self.left}
        left = [(finding, why) for finding, why in later.left
                if (finding.code, finding.title) not in known]  # fmt: skip
        return Plan((*self.repairs, *more), (*self.left, *left) if more else self.left)
