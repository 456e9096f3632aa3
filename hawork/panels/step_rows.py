"""The section *stepper*: the protocol in its order, who stands where, what a step changed."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Any

from hawork.core.errors import LabError
from hawork.core.steps import ACTORS, STEPS, armed_steps
from hawork.inspect.difference import store_changes
from hawork.panels.cluster_source import ClusterSource, SteppedSource
from hawork.panels.live_timeline import LiveTimeline
from hawork.panels.store_rows import RENEWALS

if TYPE_CHECKING:
    import pandas

MOST_CHANGES = 40
BASELINE_EVERY = 1.0
"""Seconds between looks at the store while no process stands at a step. What a process finds on
arrival is compared with the last one, or with the step before if that is not so long ago."""


class StepRows:
    """``look`` runs on one thread, ``reached`` on another; they share nothing that changes."""

    def __init__(self, lab: ClusterSource, stepped: SteppedSource, timeline: LiveTimeline) -> None:
        self._lab = lab
        self._stepped = stepped
        self._timeline = timeline
        self._standing: list[str] = []
        self._looked = 0.0
        self._before: pandas.DataFrame | None = None
        self._difference: dict[str, Any] = {"since": "", "changes": []}
        self._since = ""

    def look(self) -> dict[str, Any]:
        """Who stands where, what is armed, and what the HA store says against the step before."""
        held = self._stepped.held()
        armed = [str(order) for order in armed_steps(self._lab.directory / "control")]
        standing = [f"{each.process} {each.step}" for each in held]
        arrived = [each for each in held if f"{each.process} {each.step}" not in self._standing]
        now = time.monotonic()
        if self._before is None or (not held and now - self._looked >= BASELINE_EVERY):
            self._before, self._looked = self._everything(), now
            self._since = "the second before"
        elif arrived:
            found = self._everything()
            self._difference = {
                "since": self._since,
                "at": str(arrived[-1]),
                "changes": _changes(self._before, found),
            }
            self._before, self._looked = found, now
            self._since = f"the step before, {arrived[-1].step}"
        if held:
            self._looked = now
        self._standing = standing
        return {
            "held": [[each.process, each.step, each.action] for each in held],
            "armed": armed,
            "difference": self._difference,
        }

    def reached(self) -> dict[str, Any]:
        """The steps in their order, how often each was reached, and who may be armed."""
        facts = self._timeline.facts
        counts = {
            name: [reached.times, reached.process, self._timeline.milliseconds(reached.monotonic)]
            for name, reached in list(facts.steps.items())
        }
        states = self._lab.processes
        paused = [name for name, each in states.items() if each.state == "paused"]
        steps = [[step.name, step.meaning, step.source, step.target] for step in STEPS.values()]
        return {
            "actors": list(ACTORS), "steps": steps, "reached": counts,
            "processes": list(states), "paused": paused,
        }  # fmt: skip

    def _everything(self) -> pandas.DataFrame:
        """Rows of the HA store and files of storageDir in one frame."""
        import pandas

        try:
            rows = self._lab.store_rows()
        except sqlite3.Error as error:
            raise LabError(f"the HA store cannot be read now: {error}") from None
        tree = self._lab.storage_tree()
        shown = tree[~tree.what.isin(["HA store", "lock of a contender"])]
        files = pandas.DataFrame(
            {
                "table": "file",
                "name": shown.path,
                "version": shown.bytes.astype(str),
                "value": shown.content,
            }
        )
        # A lease that is renewed is not a change; one that changes hands is.
        rows = rows.assign(value=rows.value.str.replace(RENEWALS, "", regex=True))
        rows.loc[rows.table == "lease", "version"] = ""
        return pandas.concat([rows, files], ignore_index=True)


def _changes(before: pandas.DataFrame, after: pandas.DataFrame) -> list[list[str]]:
    changes = store_changes(before, after).astype(str)
    return [list(row) for row in changes.itertuples(index=False)][:MOST_CHANGES]
