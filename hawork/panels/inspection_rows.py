"""The section of the inspection's panel: what the HA data says, and what becomes of each job."""

from __future__ import annotations

from hawork.inspect.finding import Finding
from hawork.inspect.inspection import Inspection
from hawork.inspect.report import COLUMNS, headline, job_rows, leader_lines, summary, verdict
from hawork.panels.feed import Json

__all__ = ["inspection_section"]

_MOST = 50
"""Jobs, findings and objects that a panel shows; ``to_json`` has all."""


def inspection_section(found: Inspection) -> Json:
    """Plain values, for a script and for the table without one."""
    words, how = headline(found)
    findings = {f"{each.code} {at}": _finding(each)
                for at, each in enumerate(found.findings[:_MOST])}  # fmt: skip
    missed = [f"{each.what}: {each.why}" for each in found.cluster.not_looked_at[:_MOST]]
    return {
        "summary": summary(found),
        "words": words,
        "how": how,
        "verdict": verdict(found),
        "leader": leader_lines(found),
        "head": list(COLUMNS),
        "rows": [list(row) for row in job_rows(found)[:_MOST]],
        "findings": findings,
        "order": list(findings),
        "missed": missed,
        "note": "",
    }


def _finding(finding: Finding) -> Json:
    return {
        "code": finding.code,
        "severity": finding.severity,
        "title": finding.title,
        "parts": [
            ["objects", [f"{each.kind} {each}" for each in finding.objects[:_MOST]]],
            ["evidence", list(finding.evidence)],
            ["cause", [finding.cause]],
            ["safe", [finding.safe]],
            ["unsafe", [finding.unsafe]],
        ],
    }
