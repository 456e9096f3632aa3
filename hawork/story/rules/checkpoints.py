"""Checkpoint ids grow, and a job never goes back behind its newest completed checkpoint.

A checkpoint is completed when the HA store has taken the pointer to it. A newer one that is
unreadable may be passed over, if the leader says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from hawork.core.events import Event, EventKind
from hawork.story.rules.history import Accepted, History
from hawork.story.rules.rule import Rule, Violation, count


def _broken(history: History) -> Iterator[Violation]:
    for job_id, completed in _completed(history).items():
        yield from _not_growing(job_id, completed)
        for event in history.of(EventKind.JOB_RESTORED):
            if event.job_id == job_id:
                yield from _gone_back(history, completed, event)


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


def _gone_back(
    history: History, completed: Sequence[Accepted], restored: Event
) -> Iterator[Violation]:
    grant = history.grants.get(restored.session_id or "")
    if grant is None:
        return
    chosen = restored.facts.get("checkpoint_id")
    newest = max(_seen(history, completed, restored), key=_number, default=None)
    if newest is not None and (chosen is None or int(chosen) < _number(newest)):
        to = f"checkpoint {chosen}" if chosen is not None else "its beginning"
        yield Violation(
            f"{restored.process} took job {(restored.job_id or '')[:8]}… back to {to} although "
            f"checkpoint {_number(newest)} was completed",
            (newest.event, grant, restored),
        )


def _seen(history: History, completed: Sequence[Accepted], restored: Event) -> list[Accepted]:
    """What was completed before the restoring leader was granted, it must have seen."""
    grant = history.grants.get(restored.session_id or "")
    if grant is None:
        return []
    told = {str(each).split(":")[0] for each in restored.facts.get("skipped", ())}
    return [
        each
        for each in completed
        if each.end < grant.monotonic and f"checkpoint {_number(each)}" not in told
    ]


def _completed(history: History) -> dict[str, list[Accepted]]:
    found: defaultdict[str, list[Accepted]] = defaultdict(list)
    for write in history.writes:
        facts = write.event.facts
        of_checkpoint = str(facts.get("namespace", "")).startswith("checkpoints")
        if of_checkpoint and facts.get("operation") == "add" and str(facts["name"]).isdigit():
            found[write.event.job_id or ""].append(write)
    return found


def _number(write: Accepted) -> int:
    return int(write.event.facts["name"])


def _looked_at(history: History) -> str:
    completed = sum(len(each) for each in _completed(history).values())
    restored = count(len(history.of(EventKind.JOB_RESTORED)), "restore")
    return f"{count(completed, 'completed checkpoint')}, {restored}"


def _judged(history: History) -> bool:
    """Two checkpoints of a job can be in the wrong order; one can be passed over by a restore."""
    for job_id, completed in _completed(history).items():
        restored = (each for each in history.of(EventKind.JOB_RESTORED) if each.job_id == job_id)
        if len(completed) > 1 or any(_seen(history, completed, each) for each in restored):
            return True
    return False


CHECKPOINTS = Rule(
    name="checkpoints go forward",
    meaning="ids of completed checkpoints grow, and the newest readable one is restored",
    looked_at=_looked_at,
    judged=_judged,
    broken=_broken,
)
