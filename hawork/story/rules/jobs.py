"""No acknowledged job is lost, and none ends twice.

A new leader finds every job that was acknowledged before, or the result of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from hawork.core.events import Event, EventKind
from hawork.story.rules.history import History
from hawork.story.rules.rule import Rule, Violation, count


def _broken(history: History) -> Iterator[Violation]:
    results = _results(history)
    yield from _lost(history, results)
    yield from _ended_twice(history, results)
    yield from _ran_again(history, results)


def _results(history: History) -> dict[str, Event]:
    """The first result of every job that has ended."""
    results: dict[str, Event] = {}
    for event in history.of(EventKind.JOB_RESULT):
        results.setdefault(event.job_id or "", event)
    return results


def _lost(history: History, results: dict[str, Event]) -> Iterator[Violation]:
    """A job acknowledged before a leader was granted is missing among what it recovered."""
    acknowledged_in_order = iter(history.of(EventKind.JOB_ACKNOWLEDGED))
    coming = next(acknowledged_in_order, None)
    looked_for: list[Event] = []
    told: set[str] = set()
    ended_of: dict[str, set[str]] = {}
    for event in history.steps("takeover.results_cleaned"):
        ended_of.setdefault(event.session_id or "", set()).update(event.facts.get("job_ids", ()))
    for recovered in history.steps("takeover.graphs_recovered"):
        while coming is not None and coming.monotonic < recovered.monotonic:
            looked_for.append(coming)
            coming = next(acknowledged_in_order, None)
        # Of what is over nothing is looked at again: in a long run that is nearly everything.
        looked_for = [
            each for each in looked_for if not _is_over(each, results, told, recovered.monotonic)
        ]
        session_id = recovered.session_id or ""
        grant = history.grants.get(session_id)
        if grant is None or "job_ids" not in recovered.facts:
            continue
        found = {*recovered.facts["job_ids"], *ended_of.get(session_id, ())}
        for acknowledged in looked_for:
            job_id = acknowledged.job_id or ""
            late = acknowledged.monotonic >= grant.monotonic
            if late or job_id in found or job_id in told:
                continue
            told.add(job_id)
            why = _set_aside(history, recovered, job_id)
            reason = f": {why[0].facts.get('reason')}" if why else ""
            yield Violation(
                f"job {job_id[:8]}… was acknowledged, but {recovered.process} did not find it when "
                f"it took over{reason}",
                (acknowledged, grant, *why, recovered),
            )


def _is_over(acknowledged: Event, results: dict[str, Event], told: set[str], moment: float) -> bool:
    """Whether the job had ended by then, or is known to be lost."""
    result = results.get(acknowledged.job_id or "")
    ended = result is not None and result.monotonic < moment
    return ended or (acknowledged.job_id or "") in told


def _set_aside(history: History, recovered: Event, job_id: str) -> tuple[Event, ...]:
    """What the leader itself said about a job that it could not recover."""
    said = [
        event
        for event in history.of(EventKind.STATE_SET_ASIDE)
        if event.job_id == job_id and event.session_id == recovered.session_id
    ]
    return tuple(said[:1])


def _ended_twice(history: History, results: dict[str, Event]) -> Iterator[Violation]:
    for event in history.of(EventKind.JOB_RESULT):
        first = results[event.job_id or ""]
        one, other = (each.facts.get("application_status") for each in (first, event))
        if one != other:
            yield Violation(
                f"job {(event.job_id or '')[:8]}… ended twice: {one} under {first.process}, then "
                f"{other} under {event.process}",
                (first, event),
            )
            return


def _ran_again(history: History, results: dict[str, Event]) -> Iterator[Violation]:
    for event in history.of(EventKind.JOB_STATUS):
        result = results.get(event.job_id or "")
        grant = history.grants.get(event.session_id or "")
        if event.facts.get("status") != "RUNNING" or result is None or grant is None:
            continue
        if result.monotonic < grant.monotonic:
            yield Violation(
                f"{event.process} ran job {(event.job_id or '')[:8]}… again, which had ended "
                f"{result.facts.get('application_status')}",
                (result, grant, event),
            )


def _looked_at(history: History) -> str:
    jobs = count(len(history.of(EventKind.JOB_ACKNOWLEDGED)), "acknowledged job")
    takeovers = count(len(list(history.steps("takeover.graphs_recovered"))), "takeover")
    return f"{jobs}, {takeovers}"


def _judged(history: History) -> bool:
    """A job must have ended, or a leader must have looked for it after its acknowledgement."""
    if history.of(EventKind.JOB_RESULT):
        return True
    acknowledged = [event.monotonic for event in history.of(EventKind.JOB_ACKNOWLEDGED)]
    granted = [
        history.grants[recovered.session_id or ""].monotonic
        for recovered in history.steps("takeover.graphs_recovered")
        if "job_ids" in recovered.facts and (recovered.session_id or "") in history.grants
    ]
    return bool(acknowledged and granted) and min(acknowledged) < max(granted)


JOBS = Rule(
    name="no job is lost",
    meaning="each leader finds every job acknowledged before it, or its one result",
    looked_at=_looked_at,
    judged=_judged,
    broken=_broken,
)
