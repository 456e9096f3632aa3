"""Broken code, to be told by a seed: one of four lines was changed, and a run shows which.

Each change is done to hawork's own code in memory, as long as a search or a run of it lasts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from hawork.core.calls import checked
from hawork.core.errors import LabError
from hawork.core.events import Event, EventKind
from hawork.lessons.check import Check, answer, answers_of, safe

if TYPE_CHECKING:
    from hawork.simulation import Defect, Outcome, Seed, SimulatedRun

__all__ = ["BrokenCode", "broken_code", "check_bug"]

_MOST: Final = 200
"""Schedules of a search; each bug shows within some tens."""
SUSPECTS: Final = {
    "a": "the fence of a write looks whether any leader is there, and not which",
    "b": "a new leader starts a job from its beginning, and not from its newest checkpoint",
    "c": "a job's result is marked as clean before the rest of the job is removed",
    "d": "a takeover does not look at results that were decided and not yet written",
}
_HIDDEN: Final = {1: "a", 2: "b", 3: "d", 4: "c"}
_SHOWS: Final = {
    "a": EventKind.POINTER_WRITTEN,
    "b": EventKind.JOB_RESTORED,
    "c": EventKind.JOB_STATUS,
    "d": EventKind.JOB_STATUS,
}
"""The last event of what a change breaks: a schedule may break more, which would lead astray."""
_HINTS: Final = {
    "line": "a letter; which of the four could have prevented what the verdict shows?",
    "process": "the process that did what it should not have done, in the last of the events",
}


def _seed(given: Any) -> Seed:
    """The seed itself, or that of the text which a run prints first."""
    from hawork.simulation import Seed

    if isinstance(given, str):
        return Seed.parse(given)
    if not isinstance(given, Seed):
        raise LabError(f"{given!r} is not a seed: hand in what code.search() returned")
    return given


def deliberate_defects() -> Mapping[str, Defect]:
    """By the letter of the suspect: the change that makes it so."""
    from hawork.simulation import BROKEN_FENCE, Defect

    cleanup, results = "hawork.ha.cleanup:JobCleanup", "hawork.ha.job_result_store:JobResultStore"
    return {
        "a": BROKEN_FENCE,
        "b": Defect(
            SUSPECTS["b"],
            "hawork.ha.checkpoint_store:CompletedCheckpointStore.recover",
            "            return RecoveredCheckpoint(checkpoint, tuple(skipped))",
            "            return RecoveredCheckpoint(None, ())",
        ),
        "c": Defect(
            SUSPECTS["c"],
            f"{cleanup}.run",
            "        submission = submission or self._submission(result.job_id)\n",
            "        submission = submission or self._submission(result.job_id)\n"
            "        self._job_results.remember(result.job_id, submission)\n"
            "        self._job_results.mark_clean(result.job_id)\n",
        ),
        "d": Defect(
            SUSPECTS["d"], f"{results}.dirty_results", "in self._pointers.entries():", "in ():"
        ),
    }


class BrokenCode:
    """hawork's HA core with one line changed; which one, is to be found out.

    >>> code = broken_code(1)                                              # doctest: +SKIP
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._line = _HIDDEN[number]
        self._defect = deliberate_defects()[self._line]
        self._run: SimulatedRun | None = None

    def search(self) -> Seed:
        """The first seed whose run shows the bug, and nothing else, by its events alone.

        >>> code.search()                                                  # doctest: +SKIP
        Seed('embedded', 1)
        """
        from hawork.simulation import Seed

        for number in range(_MOST):
            seed = Seed("embedded", number)
            if not self.run(seed).ok:
                broken = self.record(seed).verdict().violations
                if [each.events[-1].kind for each in broken] == [_SHOWS[self._line]]:
                    return seed
        raise LabError(f"none of {_MOST} schedules shows it: the code that it changes has changed")

    def run(self, seed: Seed) -> Outcome:
        """One schedule of the broken code, as the checker of the simulation sees it.

        >>> code.run(seed).ok                                              # doctest: +SKIP
        False
        """
        from hawork.simulation import run

        with self._defect.applied():
            return run(_seed(seed))

    def record(self, seed: Seed) -> SimulatedRun:
        """The same schedule with all its events: timeline, verdict, replay.

        >>> code.record(seed).verdict()                                    # doctest: +SKIP
        """
        from hawork.simulation import record

        with self._defect.applied():
            self._run = record(_seed(seed))
        return self._run

    def mended(self, seed: Seed) -> Outcome:
        """The same schedule of the code as it was, without the change.

        >>> code.mended(seed).ok                                           # doctest: +SKIP
        True
        """
        from hawork.simulation import run

        return run(_seed(seed))

    def proof(self) -> tuple[Event, ...]:
        """The events that prove what was broken in the run that was recorded last.

        >>> code.proof()[-1].process                                       # doctest: +SKIP
        'jm-3'
        """
        violations = () if self._run is None else self._run.verdict().violations
        return violations[0].events if violations else ()

    def answers(self) -> dict[str, Any]:
        """What is to be found out; for ``check_bug``, and for a reader who gives up.

        >>> code.answers()["line"]                                         # doctest: +SKIP
        'a'
        """
        told: dict[str, Any] = {"line": self._line}
        if proof := self.proof():
            told["process"] = proof[-1].process
        return told

    def __repr__(self) -> str:
        lines = [f"broken code {self.number}: one of these was done to it"]
        return "\n".join([*lines, *(f"  {letter}  {text}" for letter, text in SUSPECTS.items())])


@checked
def broken_code(number: int) -> BrokenCode:
    """Code with a bug, 1 to 4. Needs ``hawork[simulation]``.

    >>> broken_code(1).search()                                            # doctest: +SKIP
    Seed('embedded', 1)
    """
    if number not in _HIDDEN:
        raise LabError(f"there is no broken code {number}: choose 1 to {len(_HIDDEN)}")
    return BrokenCode(number)


@safe
def check_bug(code: BrokenCode, answers: Mapping[str, Any] | None) -> Check:
    """Which line was changed, and which process shows it in the run that was recorded last?

    >>> check_bug(code, {"line": "a", "process": "jm-3"})                  # doctest: +SKIP
    """
    right = code.answers()
    given, unknown = answers_of(answers, ("line", "process"))
    means = {text: letter for letter, text in SUSPECTS.items()}
    for letter in SUSPECTS:
        means |= dict.fromkeys(
            (f"({letter})", f"{letter})", f"{letter}.", f"line {letter}"), letter
        )
        means[f"{letter}  {SUSPECTS[letter]}"] = letter  # as it is shown
    points = [answer("line", given.get("line", ...), right["line"], _HINTS["line"], means)]
    if "process" in right:
        points.append(
            answer("process", given.get("process", ...), right["process"], _HINTS["process"])
        )
    else:
        points.append(("process: nothing was recorded yet; code.record(code.search())", False))
    return Check((*points, *unknown))
