"""Checks of the notebooks' exercises: they say what is there, and what is missing.

A check never raises: an exercise that nobody has begun is not an error.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hawork.core import options
from hawork.core.errors import HaworkError
from hawork.core.events import EventKind
from hawork.lab.lab_options import SHORT_TIMEOUTS

if TYPE_CHECKING:
    from hawork.lab.cluster import LabCluster
    from hawork.lab.incidents import Incident
    from hawork.lab.job import Job

__all__ = [
    "Check",
    "check_exactly_once",
    "check_fencing",
    "check_incident",
    "check_results",
    "check_retrieval",
    "check_timeouts",
]


UNKNOWN = "?"
"""The answer of somebody who does not know yet, where ``None`` would be an answer."""


@dataclass(frozen=True, slots=True)
class Check:
    """Sentences, each with whether it is so.

    >>> Check((("the leader was found", True),)).passed
    True
    """

    points: tuple[tuple[str, bool], ...]

    @property
    def passed(self) -> bool:
        return all(good for _, good in self.points)

    def __str__(self) -> str:
        lines = [f"{'✓' if good else '✗'} {sentence}" for sentence, good in self.points]
        return "\n".join([*lines, "solved" if self.passed else "not solved yet"])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return "<br>".join(html.escape(line) for line in str(self).splitlines())


def check_retrieval(lab: LabCluster, find: Callable[[Any], str | None]) -> Check:
    """Does ``find(config)`` return the leader's address, and another one's after a kill?

    >>> check_retrieval(lab, find_leader)                                  # doctest: +SKIP
    """
    before = lab.wait_for_leader().wait() and lab.leader_information()
    found, failure = _called(find, lab.config)
    points = [_point("it returns the leader's address", before, found, failure)]
    if points[0][1]:
        fault = lab.kill("leader")
        lab.wait_for_leader(other_than=fault).wait()
        after = lab.leader_information()
        lab.restart(fault.facts["target"])
        found, failure = _called(find, lab.config)
        points.append(_point("after a kill it returns the new leader's", after, found, failure))
    return Check(tuple(points))


def _point(wish: str, leader: Any, found: Any, failure: str) -> tuple[str, bool]:
    good = leader is not None and found == leader.address
    return (wish if good else f"{wish}: {failure or f'it returned {found!r}'}"), good


def _called(function: Callable[..., Any], *arguments: Any) -> tuple[Any, str]:
    try:
        return function(*arguments), ""
    except Exception as error:  # noqa: BLE001 - a learner's function may raise anything
        return None, f"it raised {type(error).__name__}: {error}"


def check_timeouts(
    chosen: Mapping[str, Any], *, survives: float, gap: float, renewals: int = 3
) -> Check:
    """Do the options for the lease of the embedded backend keep these promises?

    A leader paused for ``survives`` seconds still leads, a standby takes over at most ``gap``
    seconds after a leader fell silent, and a lease is renewed ``renewals`` times before it ends.

    >>> check_timeouts({}, survives=1.0, gap=3.0).passed
    True
    """
    try:
        config = options.checked({**SHORT_TIMEOUTS, **chosen})
    except HaworkError as error:
        return Check(((f"the options are refused: {error}", False),))
    lease = config.get_option(options.EMBEDDED_LEASE_DURATION)
    deadline = config.get_option(options.EMBEDDED_RENEW_DEADLINE)
    retry = config.get_option(options.EMBEDDED_RETRY_PERIOD)
    tolerated, longest = deadline - retry, lease + retry
    return Check(
        (
            (
                f"a pause of {tolerated:g} s is survived in any case; {survives:g} s are wanted",
                tolerated >= survives,
            ),
            (
                f"a silent leader is followed after at most {longest:g} s; {gap:g} s are allowed",
                longest <= gap,
            ),
            (
                f"a leader renews {int(deadline / retry)} times within its renew deadline; "
                f"{renewals} are wanted",
                deadline / retry >= renewals,
            ),
        )
    )


def check_exactly_once(lab: LabCluster, job: Job | None, output: Any = None) -> Check:
    """Did a job lose a TaskManager *and* its leader, and come out exactly all the same?

    ``output`` is what comparing its output gave, such as ``flights.compare``.

    >>> check_exactly_once(lab, job, flights.compare(job.output()))        # doctest: +SKIP
    """
    if job is None:
        return Check((("a job was submitted", False),))
    events = lab.event_list()
    of_job = [event for event in events if event.job_id == job.job_id]
    running = [e for e in of_job if e.kind is EventKind.JOB_STATUS]
    start = running[0].monotonic if running else float("inf")
    ended = [e.monotonic for e in of_job if e.kind is EventKind.JOB_RESULT]
    end = ended[0] if ended else float("inf")
    during = [event for event in events if start < event.monotonic < end]
    killed = {str(e.facts.get("of")) for e in during if e.kind is EventKind.PROCESS_EXITED}
    restored = [e for e in of_job if e.kind is EventKind.JOB_RESTORED and e.facts["checkpoint_id"]]
    leaders = {event.session_id for event in running}
    exact = output is not None and not (output.lost or output.duplicated or output.different)
    return Check(
        (
            ("a TaskManager died while the job ran", any(n.startswith("tm") for n in killed)),
            ("the job ran under two leaders", len(leaders) > 1),
            ("it was restored from a checkpoint, twice or more", len(restored) > 1),
            ("it has ended", bool(ended)),
            ("its output is exact", exact),
            ("the verdict over the run is valid", lab.verdict().valid),
        )
    )


def check_results(lab: LabCluster, job: Job | None) -> Check:
    """Did one leader store a job's result, and another one clean up behind the job?

    >>> check_results(lab, job)                                            # doctest: +SKIP
    """
    if job is None:
        return Check((("a job was submitted", False),))
    told = [
        event
        for event in lab.event_list()
        if event.kind is EventKind.JOB_RESULT and event.job_id == job.job_id
    ]
    dirty = {event.session_id for event in told if event.facts.get("state") == "dirty"}
    clean = {event.session_id for event in told if event.facts.get("state") == "clean"}
    results = lab.job_results()
    stored = list(results[results.job_id == job.job_id].state)
    paths = lab.storage_tree().path
    left = paths[paths.str.contains(job.job_id) & ~paths.str.contains("job-result-store")]
    return Check(
        (
            ("a leader stored the result, dirty", bool(dirty)),
            ("another leader marked it clean", bool(clean - dirty)),
            ("there is one result, and it is clean", stored == ["clean"]),
            ("nothing else of the job is left in storageDir", left.empty),
            ("the verdict over the run is valid", lab.verdict().valid),
        )
    )


def check_fencing(write: Callable[[dict[str, Any], str, str, Any], bool]) -> Check:
    """Does ``write(store, session_id, name, value)`` refuse whoever does not lead?

    ``store`` is a dict with the session id of the leader under ``"leader"``, and what was
    written under ``"data"``. ``write`` says whether it wrote.

    >>> def write(store, session_id, name, value):
    ...     if store["leader"] != session_id:
    ...         return False
    ...     store["data"][name] = value
    ...     return True
    >>> check_fencing(write).passed
    True
    """
    store: dict[str, Any] = {"leader": "B", "data": {"checkpoint": 7}}
    refused, failure = _called(write, store, "A", "checkpoint", 3)
    kept = store == {"leader": "B", "data": {"checkpoint": 7}}
    accepted, second = _called(write, store, "B", "checkpoint", 8)
    written = store == {"leader": "B", "data": {"checkpoint": 8}}
    return Check(
        (
            (f"a write of the deposed leader A changes nothing{_because(failure)}", kept),
            ("and A is told so (False)", refused is False),
            (f"a write of the leader B is made{_because(second)}", written),
            ("and B is told so (True)", accepted is True),
        )
    )


def _because(failure: str) -> str:
    return f": {failure}" if failure else ""


def check_incident(incident: Incident, answers: Mapping[str, Any]) -> Check:
    """Which of the questions about a broken run are answered, and which rightly.

    >>> check_incident(incident, {"process": "jm-1", "what": "killed"})    # doctest: +SKIP
    """
    points = []
    for question, right in incident.answers().items():
        given = answers.get(question, ...)
        if given in (..., UNKNOWN) or (given is None and right is not None):
            points.append((f"{question}: no answer yet; {incident.hints[question]}", False))
        elif given == right:
            points.append((f"{question}: {given!r}", True))
        else:
            points.append((f"{question}: not {given!r}; {incident.hints[question]}", False))
    return Check(tuple(points))
