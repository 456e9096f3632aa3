"""A schedule as a recorded run: on the timeline, on the panels with their slider, and judged.

``hawork.lab.replay(record(seed))`` goes through it step by step.
"""

from __future__ import annotations

import json
from pathlib import Path

from hawork.core.events import Event
from hawork.simulation.schedule import Outcome, run
from hawork.simulation.seed import Seed
from hawork.story.recorded import Recorded


class SimulatedRun(Recorded):
    """What the processes of a schedule told, as those of a lab do; ``outcome`` is the checker's."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def event_list(self) -> list[Event]:
        return list(self.outcome.recorded)

    def save(self, directory: Path | str) -> Path:
        """Write the events as those of a run directory, one file for each process; its path."""
        events = Path(directory).expanduser() / "events"
        events.mkdir(parents=True, exist_ok=True)
        lines: dict[str, list[str]] = {}
        for event in self.outcome.recorded:
            lines.setdefault(event.process, []).append(json.dumps(event.to_json(), default=str))
        for process, each in lines.items():
            (events / f"{process}.jsonl").write_text("\n".join(each) + "\n")
        return events.parent

    def __repr__(self) -> str:
        return f"SimulatedRun({self.outcome})"


def record(seed: Seed | str, *, any_version: bool = False) -> SimulatedRun:
    """Run the schedule of a seed again, with all its events, right or wrong.

    ``ForeignSeedError`` when the seed was made by another version of the code.

    >>> lab.replay(record("5b5a3ad1:embedded:4711"))                       # doctest: +SKIP
    """
    if isinstance(seed, str):
        seed = Seed.parse(seed, any_version=any_version)
    return SimulatedRun(run(seed, record=True))


def replay(seed: Seed | str, *, any_version: bool = False) -> SimulatedRun:
    """The same, as a test: ``AssertionError`` says what is wrong in it."""
    again = record(seed, any_version=any_version)
    if not again.outcome.ok:
        raise AssertionError(str(again.outcome))
    return again
