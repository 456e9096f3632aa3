"""An alert that the learner writes, asked about every look at a recorded cluster."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hawork.lessons.check import Check, Point, called, safe
from hawork.lessons.recordings import noted

if TYPE_CHECKING:
    import pandas

__all__ = ["check_alert", "looks"]

Look = Mapping[str, Any]

WITHIN: Final = {"the leader is killed": 15.0, "a TaskManager hangs": 30.0, "a job is lost": 60.0}
"""Seconds after which an alert is late, for each fault. The last has a failover before it."""
_QUIET: Final = ("healthy", "healthy again")
_LABEL: Final = "phase"
"""What the recorder wrote beside each look, and no monitor knows."""
_SHOWN: Final = ("rest", "running_jobs", "task_managers", "status", "checkpoint_age")


@dataclass(frozen=True)
class _Phase:
    name: str
    looks: tuple[Look, ...]


def looks(run: Any) -> pandas.DataFrame:
    """Every look at the recorded cluster, a row each, in the order of time.

    >>> looks(recording("failover-signals"))                               # doctest: +SKIP
    """
    import pandas

    return pandas.DataFrame([_flat(look) for look in noted(run, "look")])


@safe
def check_alert(run: Any, alert: Callable[[Look], Any]) -> Check:
    """Does ``alert(look)`` fire in each fault of the recording, in time, and never without one?

    A look has no ``"phase"``: what is going on is what the alert has to find out.

    >>> check_alert(recording("failover-signals"), lambda look: False)     # doctest: +SKIP
    """
    if not hasattr(run, "event_list"):
        return Check(((f"{run!r} is not a recording: write check_alert(run, alert)", False),))
    fired, failure = _asked(run, alert)
    if failure:
        return Check(((f"the alert can be asked about each look: {failure}", False),))
    points: list[Point] = []
    for phase, each in zip(_phases(run), fired, strict=True):
        if phase.name in _QUIET:
            points.append(_is_quiet(phase, each))
        elif phase.name in WITHIN:
            points.append(_fires(phase, each))
    return Check(tuple(points))


def _asked(run: Any, alert: Callable[[Look], Any]) -> tuple[list[list[bool]], str]:
    answers = []
    for phase in _phases(run):
        told = []
        for look in phase.looks:
            seen = {key: value for key, value in look.items() if key != _LABEL}
            answer, failure = called(alert, copy.deepcopy(seen))  # an alert may change its look
            if failure and not callable(alert):
                return [], failure
            if failure:
                return [], f"{failure}, with {_told(look)}"
            if type(answer).__module__ == "numpy":
                answer = answer.item()
            if not isinstance(answer, (bool, int)):
                return [], f"it returned {answer!r}: return True or False"
            told.append(bool(answer))
        answers.append(told)
    return answers, ""


def _is_quiet(phase: _Phase, fired: list[bool]) -> Point:
    wish = f"{phase.name} from {phase.looks[0]['seconds']:.0f} s on: it is silent"
    wrong = [look for look, fires in zip(phase.looks, fired, strict=True) if fires]
    if not wrong:
        return wish, True
    return f"{wish}; it fired in {len(wrong)} of {len(fired)} looks, with {_told(wrong[0])}", False


def _fires(phase: _Phase, fired: list[bool]) -> Point:
    most, began = WITHIN[phase.name], phase.looks[0]["seconds"]
    wish = f"{phase.name}: it fires within {most:.0f} s"
    after = [
        look["seconds"] - began for look, fires in zip(phase.looks, fired, strict=True) if fires
    ]
    if phase.name == "a job is lost" and not fired[-1]:
        return f"{wish}, and until a hand helps; at the end it is silent, with " + _told(
            phase.looks[-1]
        ), False  # fmt: skip
    if not after:
        return f"{wish}; it is silent, with {_told(phase.looks[len(phase.looks) // 2])}", False
    if after[0] > most:
        return f"{wish}; it fired after {after[0]:.0f} s", False
    return f"{wish}: after {after[0]:.0f} s", True


def _phases(run: Any) -> Iterator[_Phase]:
    found: list[Look] = noted(run, "look")
    for name, group in itertools.groupby(found, key=lambda look: str(look["phase"])):
        yield _Phase(name, tuple(group))


def _told(look: Look) -> str:
    return ", ".join(f"{key} {look[key]!r}" for key in _SHOWN)


def _flat(look: Look) -> dict[str, Any]:
    flat = {key: value for key, value in look.items() if key not in ("metrics", "rest")}
    flat |= {f"REST of {name}": status for name, status in look["rest"].items()}
    return flat | {
        f"metric {name}": int(value) for name, value in look["metrics"].items() if value is not None
    }
