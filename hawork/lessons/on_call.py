"""Checks of a call at night: what was found, and what a change of the reader's own comes to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from hawork.core.calls import checked
from hawork.core.errors import LabError
from hawork.inspect.inspection import Inspection
from hawork.lessons.check import Check, Point, answer, answers_of, safe
from hawork.lessons.ha_data import HaData
from hawork.lessons.names import name_of

__all__ = ["answers_to", "check_call", "check_mended"]

QUESTIONS: Final = {
    "jobmanager": "'starts', 'crash-loops' or 'never-leads'? The first line of data.inspect()",
    "go on": "how many jobs go on from a checkpoint if a JobManager starts now? See its table",
    "change": "which one entry, or file, has to be changed? Not the file that is missing: the "
    "entry that leads to it",
}
_MEANS: Final = {
    "starts": "starts", "will start": "starts", "it starts": "starts", "stays": "starts",
    "crash loops": "crash-loops", "crash-loop": "crash-loops", "crash loop": "crash-loops",
    "crash_loops": "crash-loops", "it crash-loops": "crash-loops", "crashes": "crash-loops",
    "crashloopbackoff": "crash-loops", "will not stay up": "crash-loops",
    "ends again and again": "crash-loops", "ends, again and again": "crash-loops",
    "never leads": "never-leads", "never_leads": "never-leads", "it never leads": "never-leads",
    "will never lead": "never-leads",
}  # fmt: skip
_COUNTS: Final = {"none": 0, "zero": 0, "no job": 0, "no jobs": 0}
_WOULD: Final = {
    "from-scratch": "it would begin from nothing", "not-recovered": "it would not run",
    "restart-loop": "it would restart for ever", "removed-as-done": "it would be removed as done",
    "cleaned-up": "it would be removed", "fails": "it would fail",
}  # fmt: skip
_BECOMES: Final = {
    "crash-loops": "it ends, again and again", "never-leads": "it never leads",
}  # fmt: skip
_SHOWN: Final = 3


@checked
def answers_to(data: HaData) -> dict[str, Any]:
    """The answers to a call, for a reader who gives up. ``LabError`` for a copy that is whole.

    >>> answers_to(data)["jobmanager"]                                     # doctest: +SKIP
    'crash-loops'
    """
    recovery = data.plan.before.recovery
    if not data.plan.repairs:
        raise LabError(f"nothing in {data.name} is to be mended: open ha_data('call-1')")
    repair = data.plan.repairs[0]
    return {
        "jobmanager": recovery.jobmanager,
        "go on": sum(each.outcome == "restored" for each in recovery.jobs.values()),
        "change": _name(repair.changes[-1]),
    }


@safe
def check_call(data: HaData, answers: Mapping[str, Any] | None) -> Check:
    """Which of the three questions of a call are answered, and which rightly.

    The entry may be named by its end, as long as one entry alone ends in that, and a key of a
    ConfigMap by a pair.

    >>> check_call(data, {"jobmanager": "crash-loops", "go on": 0})        # doctest: +SKIP
    """
    right = answers_to(data)
    given, unknown = answers_of(answers, QUESTIONS)
    points = [
        answer(each, given.get(each, ...), right[each], QUESTIONS[each], means)
        for each, means in (("jobmanager", _MEANS), ("go on", _COUNTS))
    ]
    points.append(_named(data, given.get("change", ...), right["change"]))
    return Check((*points, *unknown))


def _named(data: HaData, given: Any, right: str) -> Point:
    hint = QUESTIONS["change"]
    name = name_of(given, data.storage)
    if name is None or name in ("", "?"):
        return answer("change", given, right, hint)
    text = name.strip("/")
    names = [each.strip("/") for each in (*data.found.store, *data.found.files)]
    meant = [each for each in names if each == text or _ends(each, text)]
    if len(meant) > 1 and right.strip("/") in meant:
        return f"change: {len(meant)} entries end in {text!r}; write the whole name", False
    if meant == [right.strip("/")]:
        return f"change: {right}", True
    return f"change: not {given!r}; {hint}", False


def _ends(name: str, text: str) -> bool:
    """Whether ``text`` is the end of a path, or a key of a ConfigMap."""
    return bool(text) and (name.endswith((f"/{text}", f"[{text}]")))


@safe
def check_mended(data: HaData) -> Check:
    """What would come of the copy as it is now, and whether anything else was changed.

    >>> check_mended(data)                                                 # doctest: +SKIP
    """
    now = data.inspect()
    recovery = now.recovery
    up = recovery.jobmanager == "starts"
    becomes = _BECOMES.get(recovery.jobmanager, "what it does is not known")
    why = "" if up else f": {becomes}, because {recovery.because}"
    return Check(
        (
            (f"a JobManager starts and stays{why}", up),
            *_goes_on(data, now),
            _nothing_left(data, now),
            *_untouched(data),
        )
    )


def _goes_on(data: HaData, now: Inspection) -> Iterator[Point]:
    """A point for each job: it goes on from the newest checkpoint that it can go on from."""
    wanted = data.plan.after
    for job_id, best in wanted.recovery.jobs.items():
        name = wanted.cluster.jobs[job_id].name or job_id[:8]
        told = f"{name} goes on from checkpoint {best.checkpoint}"
        found = now.recovery.jobs.get(job_id)
        if found is None:
            yield f"{told}: nothing is left of it, and it does not run again", False
        elif (found.outcome, found.checkpoint) == (best.outcome, best.checkpoint):
            yield told, True
        elif found.outcome == "restored":
            yield f"{told}: it would go on from {found.checkpoint}, which is older", False
        else:
            because = f", because {found.because}" if found.because else ""
            yield f"{told}: {_WOULD.get(found.outcome, found.outcome)}{because}", False


def _nothing_left(data: HaData, now: Inspection) -> Point:
    """Whether the inspector finds no more than it would after ``hawork repair``."""
    stays = {each.title for each in data.plan.after.alarms}
    left = [f"{each.code}, {each.title}" for each in now.alarms if each.title not in stays]
    return f"no finding is left{f', but for {left[0]}' if left else ''}", not left


def _untouched(data: HaData) -> Iterator[Point]:
    now, found = data.held(), data.found
    meant = {_name(each) for each in data.plan.plan.changes}
    changed = [name for name in found.store if now.store.get(name) != found.store[name]]
    changed += [name for name in now.store if name not in found.store]
    changed += [name for name in found.files if now.files.get(name) != found.files[name]]
    others = [name for name in changed if name not in meant]
    others = [name for name in others if name.rpartition("/")[0] not in others]
    new = [name for name in now.files if name not in found.files and "set-aside" not in name]
    others += [f"{name} (new)" for name in new]
    shown = ", ".join(others[:_SHOWN])
    more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
    yield f"nothing else was changed{f', but for {shown}{more}' if others else ''}", not others


def _name(change: Any) -> str:
    """The name of what a change is of, as ``HaData.held`` has it."""
    name = str(change.object)
    return name.removeprefix("file:///srv/flink/").removeprefix("file:/srv/flink/")
