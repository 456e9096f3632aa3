"""A last-state upgrade by hand: what an operator asks of the HA data, and what it takes away.

The question is that of the Flink Kubernetes Operator (``FlinkUtils.isHaMetadataAvailable`` and
``isKubernetesHaMetadataAvailableWithCheckpoint``, commit 6e9caeb4), asked of a copy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from hawork.core.calls import checked
from hawork.core.errors import LabError
from hawork.lessons.check import Check, Point, answer, answers_of, safe
from hawork.lessons.ha_data import HaData, Held

__all__ = ["check_last_state", "check_prepared", "operator_sees"]

_MAP_OF_JOB: Final = re.compile(r"(?!.*-cluster-config-map).*-config-map")
_CHECKPOINT: Final = re.compile(_MAP_OF_JOB.pattern + r"\[checkpointID-\d+\]")
_GRAPH: Final = re.compile(r".*-cluster-config-map\[jobGraph-([0-9a-f]{32})\]")

STATES: Final[Mapping[str, tuple[str, ...]]] = {
    "nothing": (),
    "the cluster's ConfigMap": ("-cluster-config-map",),
    "the ConfigMap of one job": ("-b273d150f8e57dfe7887a0e38b09fefe-config-map",),
    "the ConfigMaps of all jobs": (
        "-b273d150f8e57dfe7887a0e38b09fefe-config-map",
        "-f6089ac08cb7aed6044c4fc544602e9c-config-map",
        "-f9f72f93148ada67d92ccb88ebd007ec-config-map",
    ),
    "storageDir": ("ha/flights-prod",),
}
"""What is lost in each state, by the ends of its names."""
_MEANS: Final = {
    "go on": "goes on", "it goes on": "goes on", "goes ahead": "goes on", "continues": "goes on",
    "yes": "goes on", "refuse": "refuses", "refused": "refuses", "it refuses": "refuses",
    "no": "refuses", "does not go on": "refuses",
}  # fmt: skip


@checked
def operator_sees(data: HaData) -> dict[str, bool]:
    """The two answers that the operator has before a last-state upgrade on Kubernetes.

    ``LabError`` for a copy of a cluster on ZooKeeper.

    >>> operator_sees(data)                                                # doctest: +SKIP
    {'HA metadata available': True, 'a checkpoint in it': True}
    """
    if data.backend != "kubernetes":
        raise LabError("this copy is of ZooKeeper: open ha_data('whole-kubernetes')")
    names = data.held().store
    return {
        "HA metadata available": any(_MAP_OF_JOB.fullmatch(name) for name in names),
        "a checkpoint in it": any(_CHECKPOINT.fullmatch(name) for name in names),
    }


def lost(data: HaData, state: str) -> dict[str, bool]:
    """What the operator sees of a copy without the things of that state; the copy is as before."""
    before = data.held()
    if before != data.found:
        raise LabError("the copy was changed: data.undo() brings everything back")
    try:
        for end in STATES[state]:
            data.remove(end if "/" in end else f"flights-prod{end}")
        return operator_sees(data)
    finally:
        data.undo()


@safe
def check_last_state(data: HaData, answers: Any) -> Check:
    """Does the operator go on, or refuse, in each state? ``"goes on"`` or ``"refuses"``.

    >>> check_last_state(data, {"nothing": "goes on"})                     # doctest: +SKIP
    """
    given, points = answers_of(answers, STATES)
    hint = "remove it from the copy and ask operator_sees(data), then data.undo()"
    for state in STATES:
        right = "goes on" if lost(data, state)["HA metadata available"] else "refuses"
        points.append(answer(state, given.get(state, ...), right, hint, _MEANS))
    return Check(tuple(points))


@safe
def check_prepared(data: HaData, job: str) -> Check:
    """Is the copy ready for a new version of that job, which goes on from its last checkpoint?

    >>> check_prepared(data, "b273d150f8e57dfe7887a0e38b09fefe")           # doctest: +SKIP
    """
    held, found = data.held(), data.found
    known = {match[1] for name in found.store if (match := _GRAPH.fullmatch(name))}
    meant = [each for each in sorted(known) if _is_meant(job, each)]
    if len(meant) != 1:
        return Check(
            (
                (
                    f"{job!r} is not a job of this copy: write one of {', '.join(sorted(known))}",
                    False,
                ),
            )
        )
    (job,) = meant
    gone = sorted(set(found.store) - set(held.store))
    graphs = {name: match[1] for name in gone if (match := _GRAPH.fullmatch(name))}
    others = [each for each in graphs.values() if each != job]
    beside = [name for name in gone if name not in graphs]
    points: list[Point] = [
        (
            f"the pointer to the old graph of job {job[:8]} is gone"
            if job in graphs.values()
            else f"the pointer to the old graph of job {job[:8]} is there: a JobManager would "
            "start the old version",
            job in graphs.values(),
        ),
        _untouched("the graphs of the other jobs", others),
        _untouched("checkpoints, counters and addresses", beside),
        _as_found(held, found),
    ]
    return Check(tuple(points))


def _is_meant(given: Any, job: str) -> bool:
    """Whether that job's id is given, or its beginning."""
    text = given.strip().casefold() if isinstance(given, str) else ""
    return len(text) >= 6 and job.startswith(text)


def _untouched(what: str, gone: list[str]) -> Point:
    if not gone:
        return f"{what} are untouched", True
    more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
    return f"{what} are untouched: {gone[0]} is gone{more}; data.undo() brings it back", False


def _as_found(held: Held, found: Held) -> Point:
    changed = [name for name, value in held.store.items() if found.store.get(name) != value]
    files = held.files != found.files
    if not changed and not files:
        return "nothing else is changed, and no file", True
    what = changed[0] if changed else "a file of storageDir"
    return f"nothing else is changed, and no file: {what} is not as it was found", False
