"""What the inspector says is wrong: a code that does not change, objects, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

__all__ = [
    "CODES", "DOCUMENT", "SEVERITIES", "Finding", "Object", "Severity", "by_severity", "is_alarm",
]  # fmt: skip

Severity: TypeAlias = Literal["fatal", "data-loss", "stuck", "warning", "info"]
SEVERITIES: Final[tuple[Severity, ...]] = ("fatal", "data-loss", "stuck", "warning", "info")
"""Worst first. ``fatal``: no JobManager can start and stay, or none can lead. ``data-loss``: the
JobManager starts, and a job silently loses state or is not there. ``stuck``: a job or the
election cannot get on."""

DOCUMENT: Final = "docs/inspect.md"

CODES: Final[dict[str, str]] = {
    "HA101": "checkpoint-file-missing",
    "HA102": "checkpoint-file-truncated",
    "HA103": "checkpoint-file-corrupt",
    "HA104": "pointer-to-another-job",
    "HA105": "pointer-to-another-checkpoint",
    "HA106": "operators-do-not-match",
    "HA107": "pointer-unreadable",
    "HA108": "pointer-of-another-version",
    "HA111": "state-file-missing",
    "HA112": "state-file-too-short",
    "HA113": "metadata-file-missing",
    "HA114": "metadata-file-unreadable",
    "HA115": "metadata-disagrees",
    "HA116": "savepoint-missing",
    "HA117": "savepoint-unreadable",
    "HA201": "job-graph-file-missing",
    "HA202": "job-graph-file-truncated",
    "HA203": "job-graph-file-corrupt",
    "HA204": "job-graph-of-another-job",
    "HA205": "job-graph-pointer-missing",
    "HA206": "job-graphs-lost",
    "HA207": "checkpoints-lost",
    "HA208": "marked-for-deletion",
    "HA209": "counter-behind",
    "HA210": "counter-unreadable",
    "HA211": "stored-for-another-version",
    "HA212": "checkpoint-marked-for-deletion",
    "HA213": "artifact-missing",
    "HA214": "artifact-damaged",
    "HA301": "dirty-result",
    "HA302": "dirty-result-unreadable",
    "HA303": "clean-result-with-job-graph",
    "HA304": "result-of-another-job",
    "HA305": "clean-result-unreadable",
    "HA306": "left-over-of-a-done-job",
    "HA401": "leader-dead",
    "HA402": "address-without-lock",
    "HA403": "leader-without-address",
    "HA404": "two-leaders",
    "HA405": "flapping",
    "HA406": "latch-without-session",
    "HA407": "persistent-lock",
    "HA408": "lock-of-dead-owner",
    "HA409": "lease-in-the-future",
    "HA410": "leader-information-unreadable",
    "HA411": "lock-record-unreadable",
    "HA412": "persistent-leader-address",
    "HA413": "lock-record-missing",
    "HA501": "orphan-files",
    "HA502": "half-written",
    "HA503": "files-of-another-cluster",
    "HA504": "abandoned-configmaps",
    "HA505": "another-cluster",
    "HA506": "dump-of-two-moments",
    "HA601": "configmap-near-limit",
    "HA602": "more-than-retained",
    "HA603": "timeouts-do-not-fit",
    "HA604": "rights-missing",
    "HA605": "storage-not-shared",
    "HA606": "storage-not-durable",
    "HA607": "configmap-immutable",
    "HA608": "configmap-being-deleted",
    "HA701": "hawork-job-graph-damaged",
    "HA702": "hawork-checkpoint-damaged",
    "HA703": "hawork-job-graph-lost",
    "HA704": "hawork-checkpoints-lost",
    "HA705": "hawork-artifact-damaged",
    "HA706": "hawork-result-unreadable",
}
"""Every code and its name. A code is never given to something else."""

_CODE_OF: Final = {name: code for code, name in CODES.items()}


@dataclass(frozen=True, slots=True)
class Object:
    """What a finding is about.

    ``kind``: ``znode``, ``configmap``, ``configmap-key`` (with ``key``), ``row`` (of a
    table of the embedded store, with ``key``), ``file`` (its name in the storage that was given),
    ``job``, ``option``.
    """

    kind: str
    name: str
    key: str | None = None

    def to_json(self) -> dict[str, str]:
        written = {"kind": self.kind, "name": self.name}
        if self.key is not None:
            written["key"] = self.key
        return written

    def __str__(self) -> str:
        return self.name if self.key is None else f"{self.name}[{self.key}]"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or worth knowing (``info``)."""

    name: str
    severity: Severity
    questions: tuple[int, ...]
    objects: tuple[Object, ...]
    title: str
    """One sentence: what it is, and of what."""
    evidence: tuple[str, ...] = ()
    cause: str = ""
    safe: str = ""
    unsafe: str = ""
    job_id: str | None = None

    @property
    def code(self) -> str:
        return _CODE_OF[self.name]

    @property
    def link(self) -> str:
        return f"{DOCUMENT}#{self.code.lower()}"

    def to_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "name": self.name,
            "severity": self.severity,
            "questions": list(self.questions),
            "objects": [each.to_json() for each in self.objects],
            "title": self.title,
            "evidence": list(self.evidence),
            "cause": self.cause,
            "safe": self.safe,
            "unsafe": self.unsafe,
            "link": self.link,
        }


def is_alarm(finding: Finding) -> bool:
    """Whether it is more than information: exit status 1."""
    return finding.severity != "info"


def by_severity(findings: Sequence[Finding]) -> list[Finding]:
    """Worst first; findings of one severity stay in their order."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))
