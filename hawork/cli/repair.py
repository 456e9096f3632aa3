"""``hawork repair``: what would mend the HA data of a Flink cluster, and, with ``--apply``, does.

Exit status: 0 nothing to repair, or nothing left to repair; 1 there is; 2 could not look, or was
refused; 64 the command line was wrong.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from hawork.cli.inspect import USAGE, add_sources, sources_of, version_of
from hawork.cli.output import complain, say, say_json, say_line
from hawork.core.errors import ConfigurationError, HaworkError
from hawork.inspect.cluster import JobView
from hawork.inspect.finding import CODES
from hawork.inspect.inspection import Inspection
from hawork.inspect.own import OwnJob
from hawork.inspect.repair.repairing import RepairPlan, apply, plan_repair

_REFUSED: Final = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sources(parser)
    parser.add_argument(
        "--target-version", metavar="V", help="repair it for Flink V, such as 2.1.1"
    )
    parser.add_argument(
        "--only", metavar="CODE", action="append", default=[],
        help="repair only findings of this code, such as HA101; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--skip", metavar="CODE", action="append", default=[],
        help="leave findings of this code alone; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--apply", action="store_true",
        help="write a backup, then the changes; no JobManager may lead",
    )  # fmt: skip
    parser.add_argument(
        "--backup", metavar="FILE", help="where the backup goes (default: hawork-backup-TIME.zip)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    try:
        sources = sources_of(arguments)
        sources = replace(sources, store_itself=not sources.has_dump)
        target = version_of(arguments.target_version)
        for code in (*arguments.only, *arguments.skip):
            if code not in CODES:
                raise ConfigurationError(f"{code} is not a code of a finding: write one as HA101")
    except ConfigurationError as error:
        complain(error)
        return USAGE
    try:
        planned = plan_repair(
            sources, only=arguments.only, skip=arguments.skip, target_version=target
        )
        applies = arguments.apply and bool(planned.repairs)
        if not (applies and arguments.json):
            _show(planned, arguments)
        if not applies:
            return planned.before.exit_status
        after = apply(
            planned, _backup_file(arguments.backup), _silent if arguments.json else say_line
        )
    except HaworkError as error:
        complain(error)
        return _REFUSED
    if arguments.json:
        say_json({**_written(planned), "after": _outcome(after)})
    else:
        say("")
        say_line(f"now: {_sentence(after)}")
    return after.exit_status


def backup_file() -> Path:
    """A name for a new backup in the working directory."""
    return Path(time.strftime("hawork-backup-%Y%m%d-%H%M%S.zip"))


def _backup_file(given: str | None) -> Path:
    return backup_file() if given is None else Path(given)


def _silent(_: str) -> None:
    """With ``--json`` one object is all that is printed."""


def _show(planned: RepairPlan, arguments: argparse.Namespace) -> None:
    if arguments.json:
        say_json(_written(planned))
        return
    lines = [f"now: {_sentence(planned.before)}", ""]
    for repair in planned.repairs:
        lines.append(f"{repair.code}: {repair.why}")
        lines += [f"    {change}" for change in repair.changes]
    for finding, why in planned.plan.left:
        lines += [f"{finding.code}: left alone: {finding.title}", f"    {why}"]
    if planned.repairs:
        lines += ["", f"then: {_sentence(planned.after)}", ""]
        if not arguments.apply:
            how = "with --apply"
            if not planned.sources.live:
                how += " and without the dump, which cannot be repaired"
            lines.append(f"nothing was written: call again {how}, while no JobManager runs")
    else:
        if not planned.plan.left:
            lines.append("nothing to repair in what was looked at")
        if arguments.apply:
            lines.append("nothing was written")
    for missed in planned.before.cluster.not_looked_at:
        lines.append(f"not looked at: {missed.what}: {missed.why}")
    for line in lines:
        say_line(line)


def _sentence(inspection: Inspection) -> str:
    """The prediction in one line."""
    recovery = inspection.recovery
    known: dict[str, JobView | OwnJob] = {**inspection.cluster.jobs, **inspection.cluster.own}
    jobs = ", ".join(
        f"{known[job_id].name or job_id[:8]} {job.outcome}"
        + (f" ({job.checkpoint})" if job.checkpoint is not None else "")
        for job_id, job in recovery.jobs.items()
        if job_id in known
    )
    alarms = len(inspection.alarms)
    said = f"a JobManager {recovery.jobmanager}; {jobs or 'no job'}"
    return f"{said}; {alarms} finding{'' if alarms == 1 else 's'}"


def _outcome(inspection: Inspection) -> dict[str, object]:
    return {
        "recovery": inspection.recovery.to_json(),
        "findings": [finding.to_json() for finding in inspection.findings],
    }


def _written(planned: RepairPlan) -> dict[str, object]:
    return {
        "repairs": [repair.to_json() for repair in planned.repairs],
        "left": [{"code": finding.code, "title": finding.title, "why": why}
                 for finding, why in planned.plan.left],
        "not_looked_at": [{"what": each.what, "why": each.why}
                          for each in planned.before.cluster.not_looked_at],
        "before": _outcome(planned.before),
        "predicted": _outcome(planned.after),
    }  # fmt: skip
