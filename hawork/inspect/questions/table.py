"""The questions that people ask of broken HA data, and what answers them.

A check is a function of ``Facts`` that gives findings; it belongs to a room, and a finding says
which questions it answers. ``QUESTIONS`` says what each one needs to be answered at all: without
it the answer is *not looked*, never *clean*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from hawork.inspect.finding import Finding, by_severity
from hawork.inspect.questions import (
    artifacts,
    checkpoints,
    job_graphs,
    leadership,
    leftovers,
    limits,
    own,
    results,
    running,
    savepoints,
)
from hawork.inspect.questions.facts import Check, Facts

__all__ = ["CHECKS", "NOT_ASKED", "QUESTIONS", "Answer", "Question", "answers", "ask"]

Need = Literal[
    "store",
    "storage",
    "results",
    "config",
    "zookeeper",
    "kubernetes",
    "rights",
    "watches",
    "events",
    "shared",
]


@dataclass(frozen=True, slots=True)
class Question:
    """One question, with the sources it cannot be answered without."""

    number: int
    text: str
    needs: tuple[Need, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """``clean``: looked, and found nothing; ``not looked``: ``why`` says what was not there."""

    question: Question
    state: Literal["answered", "clean", "not looked"]
    why: str = ""


QUESTIONS: Final = (
    Question(1, "Does every checkpoint pointer lead to a readable file?", ("store", "storage")),
    Question(2, "What belongs to no live cluster or job?", ("store", "storage")),
    Question(3, "Does every job graph have its pointer and its file?", ("store", "storage")),
    Question(4, "Which jobs have dirty results?", ("results",)),
    Question(5, "Will a submission be ignored because a result exists?", ("store", "results")),
    Question(6, "Who leads, and do lock and address agree?", ("store",)),
    Question(7, "Is there a leader that cannot be found?", ("store",)),
    Question(8, "Is leadership flapping?", ("store",)),
    Question(9, "Could two JobManagers act as leader?", ("store",)),
    Question(10, "Was HA data deleted although a job should recover?", ("store", "storage")),
    Question(11, "What would recovery do?", ("store", "storage", "results")),
    Question(12, "How near to 1 MiB is each ConfigMap?", ("store", "kubernetes")),
    Question(13, "Are more checkpoints retained than configured?", ("store", "config")),
    Question(14, "Is an entry locked by a dead owner?", ("store", "zookeeper")),
    Question(15, "Do two clusters share a cluster-id or a root?", ("store", "storage")),
    Question(16, "Are the rights (RBAC) enough?", ("kubernetes", "rights")),
    Question(17, "Is a watch stale?", ("events",)),
    Question(18, "How many watches and connections has a JobManager?", ("zookeeper", "watches")),
    Question(19, "Do the timeouts fit each other and the server?", ("config",)),
    Question(20, "Which files are unreferenced?", ("store", "storage")),
    Question(21, "Are a job's artifacts there and intact?", ("store", "storage")),
    Question(22, "Can this version read what is stored?", ("store", "storage")),
    Question(23, "Is the checkpoint id counter ahead of every checkpoint?", ("store",)),
    Question(24, "Was an entry half written?", ("store", "storage")),
    Question(25, "Is storageDir shared and durable?", ("shared",)),
    Question(26, "Whose clock is wrong?", ("store", "kubernetes")),
)
"""In the order of evidence and damage."""

CHECKS: Final[tuple[Check, ...]] = (
    *leadership.CHECKS,
    *job_graphs.CHECKS,
    *checkpoints.CHECKS,
    *savepoints.CHECKS,
    *results.CHECKS,
    *leftovers.CHECKS,
    *artifacts.CHECKS,
    *limits.CHECKS,
    *running.CHECKS,
    *own.CHECKS,
)

_OF_HAWORK: Final = (leadership, own, limits, running)
"""The rooms that are asked of hawork's own clusters: other rules are those of Flink's data."""
_OF_FLINK_ONLY: Final = frozenset({2, 15, 20, 22, 23, 24})
"""The questions that none of them answers."""

_MISSING: Final[dict[str, str]] = {
    "store": "no HA store was given (--configmaps, --zookeeper-dump or --zookeeper-data)",
    "storage": "storageDir was not looked at (--storage and --map)",
    "results": "the job result store was not looked at (--storage and --map)",
    "config": "no configuration was given (--config)",
    "zookeeper": "it is asked of ZooKeeper only",
    "kubernetes": "it is asked of Kubernetes only",
    "rights": "only the API server knows them: give --config of a cluster that runs, and no dump",
    "watches": "only the servers know them: give --config of a cluster that runs, and no dump",
    "events": "a JobManager tells nowhere which change it saw last: compare the leader in its log "
    "with the one above",
    "shared": "",
}

NOT_ASKED: Final = frozenset({_MISSING["zookeeper"], _MISSING["kubernetes"]})
"""Why a question is not asked at all of the kind of store that was looked at."""


_ASKED_IN_VAIN: Final = (
    "the HA store was not looked at: see why above, or give a dump of it (--configmaps, "
    "--zookeeper-dump or --zookeeper-data)"
)


def ask(facts: Facts) -> list[Finding]:
    """Every finding, worst first."""
    checks = CHECKS
    if facts.cluster.of_hawork:
        checks = tuple(check for room in _OF_HAWORK for check in room.CHECKS)
    return by_severity([finding for check in checks for finding in check(facts)])


def answers(facts: Facts, findings: Sequence[Finding]) -> list[Answer]:
    """What became of each question."""
    cluster = facts.cluster
    shared, why_shared = running.is_shared(cluster)
    told = {18: running.loads_told(cluster), 25: why_shared}
    reasons = {**_MISSING, **cluster.probes.why_not, "shared": why_shared}
    if cluster.settings.source is not None and cluster.not_looked_at:
        # Where there is one, why it was not looked at is said with its name.
        reasons["store"] = _ASKED_IN_VAIN
    there: dict[Need, bool] = {
        "store": cluster.store_looked,
        "storage": cluster.storage_looked,
        "results": cluster.results_looked,
        "config": cluster.settings.source is not None,
        "zookeeper": cluster.backend == "zookeeper",
        "kubernetes": cluster.backend == "kubernetes",
        "rights": bool(cluster.probes.rights),
        "watches": bool(cluster.probes.loads),
        "events": False,
        "shared": shared,
    }
    given = []
    for question in QUESTIONS:
        found = any(question.number in finding.questions for finding in findings)
        missing = [need for need in question.needs if not there[need]]
        if cluster.of_hawork and question.number in _OF_FLINK_ONLY:
            why = "it is asked of Flink's data only, and this cluster is hawork's"
            given.append(Answer(question, "not looked", why))
        elif missing and not found:
            given.append(Answer(question, "not looked", reasons[missing[0]]))
        else:
            why = told.get(question.number, "")
            if missing:
                why = f"only in part: {reasons[missing[0]]}"
            given.append(Answer(question, "answered" if found else "clean", why))
    return given
