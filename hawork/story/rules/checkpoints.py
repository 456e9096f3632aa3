"""Checkpoint ids grow, and a job never goes back behind its newest completed checkpoint.

A checkpoint is completed when the HA store has taken the pointer to it. A newer one that is
unreadable may be passed over, if the leader says so.
"""

from __future__ import annotations

import bisect
import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence

from hawork.core.events import Event, EventKind
from hawork.story.rules.history import Accepted, History
from hawork.story.rules.rule import Rule, Violation, count


def _broken(history: History) -> Iterator[Violation]:
    restored = _restored(history)
    for job_id, completed in _completed(history).items():
        yield from _not_growing(job_id, completed)
        known = _Known(completed)
        for event in restored.get(job_id, ()):
            yield from _gone_back(history, known, event)


def _not_growing(job_id: str, completed: Sequence[Accepted]) -> Iterator[Violation]:
    """Of two that did not overlap in time, the later one must have the greater id."""
    ended = sorted(completed, key=lambda each: each.end)
    newest: Accepted | None = None
    position = 0
    for each in sorted(completed, key=lambda each: each.start):
        while position < len(ended) and ended[position].end < each.start:
            if newest is None or _number(ended[position]) >= _number(newest):
                newest = ended[position]
            position += 1
        if newest is not None and _number(newest) >= _number(each):
            yield Violation(
                f"checkpoint {_number(each)} of job {job_id[:8]}… was completed after checkpoint "
                f"{_number(newest)}",
                (newest.event, each.event),
            )


def _gone_back(history: History, known: _Known, restored: Event) -> Iterator[Violation]:
    grant = history.grants.get(restored.session_id or "")
    if grant is None:
        return
    chosen = restored.facts.get("checkpoint_id")
    newest = known.newest(history, restored)
    if newest is not None and (chosen is None or int(chosen) < _number(newest)):
        to = f"checkpoint {chosen}" if chosen is not None else "its beginning"
        yield Violation(
            f"{restored.process} took job {(restored.job_id or '')[:8]}… back to {to} although "
            f"checkpoint {_number(newest)} was completed",
            (newest.event, grant, restored),
        )


class _Known:
    """The completed checkpoints of one job, and which of them a leader must have seen."""

    def __init__(self, completed: Sequence[Accepted]) -> None:
        self._ended = sorted(completed, key=lambda each: each.end)
        self._ends = [each.end for each in self._ended]
        self._newest = list(itertools.accumulate(self._ended, _newer))

    def newest(self, history: History, restored: Event) -> Accepted | None:
        """The newest one that was completed before the restoring leader was granted.

        One that the leader says it skipped does not count.
        """
        grant = history.grants.get(restored.session_id or "")
        seen = 0 if grant is None else bisect.bisect_left(self._ends, grant.monotonic)
        if not seen:
            return None
        skipped = {str(each).split(":")[0] for each in restored.facts.get("skipped", ())}
        if not skipped:
            return self._newest[seen - 1]
        left = (each for each in self._ended[:seen] if f"checkpoint {_number(each)}" not in skipped)
        return max(left, key=_number, default=None)


def _restored(history: History) -> dict[str, list[Event]]:
    found: defaultdict[str, list[Event]] = defaultdict(list)
    for event in history.of(EventKind.JOB_RESTORED):
        found[event.job_id or ""].append(event)
    return found


def _completed(history: History) -> dict[str, list[Accepted]]:
    found: defaultdict[str, list[Accepted]] = defaultdict(list)
    for write in history.writes:
        facts = write.event.facts
        of_checkpoint = str(facts.get("namespace", "")).startswith("checkpoints")
        if of_checkpoint and facts.get("operation") == "add" and str(facts["name"]).isdigit():
            found[write.event.job_id or ""].append(write)
    return found


def _newer(one: Accepted, other: Accepted) -> Accepted:
    return other if _number(other) > _number(one) else one


def _number(write: Accepted) -> int:
    return int(write.event.facts["name"])


def _looked_at(history: History) -> str:
    completed = sum(len(each) for each in _completed(history).values())
    restored = count(len(history.of(EventKind.JOB_RESTORED)), "restore")
    return f"{count(completed, 'completed checkpoint')}, {restored}"


def _judged(history: History) -> bool:
    """Two checkpoints of a job can be in the wrong order; one can be passed over by a restore."""
    restored = _restored(history)
    for job_id, completed in _completed(history).items():
        known = _Known(completed)
        if len(completed) > 1 or any(known.newest(history, e) for e in restored.get(job_id, ())):
            return True
    return False


CHECKPOINTS = Rule(
    name="checkpoints go forward",
    meaning="ids of completed checkpoints grow, and the newest readable one is restored",
    looked_at=_looked_at,
    judged=_judged,
    broken=_broken,
)
