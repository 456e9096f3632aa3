"""An inspection as text: one screen first, then the findings."""

from __future__ import annotations

import datetime
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from hawork.core.printable import printable
from hawork.inspect.cluster import Cluster, JobView
from hawork.inspect.questions.facts import age, several
from hawork.inspect.questions.table import NOT_ASKED

if TYPE_CHECKING:
    from hawork.inspect.finding import Finding
    from hawork.inspect.inspection import Inspection

__all__ = ["as_text", "headline", "job_rows", "leader_lines", "summary", "verdict"]

_COLOURS: Final = {
    "fatal": "1;31", "data-loss": "1;31", "stuck": "33", "warning": "33", "info": "2",
    "good": "32", "bold": "1",
}  # fmt: skip
_MOST = 50
"""Jobs and findings that one screen shows; ``--json`` has all."""
COLUMNS: Final = ("job", "id", "would be", "newest", "newest whole", "counter")


def moment(seconds: float | None) -> str:
    """A time in UTC, to the second."""
    if seconds is None:
        return "an unknown moment"
    try:
        when = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f} s since 1970"
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"


def summary(inspection: Inspection) -> str:
    """Which cluster, where, of which release, of what moment."""
    cluster = inspection.cluster
    where = {
        "zookeeper": "ZooKeeper",
        "kubernetes": "Kubernetes",
        "embedded": "the embedded store",
    }.get(cluster.backend or "", "?")
    parts = [
        f"{cluster.cluster_id or 'cluster'} on {where}",
        "of hawork" if cluster.of_hawork else f"Flink {cluster.versions}",
        f"data of {moment(cluster.moment.earliest)}" if cluster.moment.earliest else "",
        "storageDir looked at" if cluster.storage_looked else "storageDir NOT looked at",
    ]
    if not cluster.store_looked:
        parts[0] = f"{cluster.cluster_id or 'cluster'}, HA store NOT looked at"
    return ", ".join(part for part in parts if part)


def headline(inspection: Inspection) -> tuple[str, str]:
    """The prediction in capitals, and how good it is (a key of the colours)."""
    recovery = inspection.recovery
    with_version = f" WITH FLINK {inspection.target_version}" if inspection.target_version else ""
    if recovery.jobmanager == "crash-loops":
        return f"WILL NOT STAY UP{with_version}", "fatal"
    if recovery.jobmanager == "never-leads":
        return f"WILL NEVER LEAD{with_version}", "fatal"
    if recovery.jobmanager == "unknown":
        return "NOT KNOWN", "warning"
    if _is_absent(inspection):
        return "THERE IS NO SUCH CLUSTER", "warning"
    lost = [job for job in recovery.jobs.values()
            if job.outcome in ("from-scratch", "not-recovered", "removed-as-done")]  # fmt: skip
    looping = [job for job in recovery.jobs.values() if job.outcome in ("restart-loop", "fails")]
    losing = [finding for finding in inspection.findings if finding.severity == "data-loss"]
    if losing and lost:
        return f"WILL START AND LOSE {several(len(lost), 'JOB').upper()}{with_version}", "fatal"
    if losing and not looping:
        jobs = len({finding.job_id for finding in losing})
        return (
            f"WILL START AND LOSE STATE OF {several(jobs, 'JOB').upper()}{with_version}", "fatal",
        )  # fmt: skip
    if any(finding.severity == "fatal" for finding in inspection.findings):
        return f"WILL START{with_version}, AND IS IN DANGER", "fatal"
    if looping:
        return (
            f"WILL START, {several(len(looping), 'JOB').upper()} WILL NOT RUN{with_version}",
            "stuck",
        )
    if inspection.exit_status == 2 or not inspection.cluster.storage_looked:
        return f"WILL START{with_version}, AS FAR AS WAS LOOKED AT", "warning"
    if inspection.alarms:
        return f"WILL START{with_version}", "warning"
    return f"WILL START{with_version}", "good"


def _is_absent(inspection: Inspection) -> bool:
    """Whether the store knows other clusters and nothing of this one: its id may be wrong."""
    cluster = inspection.cluster
    led = cluster.leadership is not None and cluster.leadership.exists
    there = led or cluster.graphs_place_exists or inspection.recovery.jobs or inspection.alarms
    return bool(cluster.others) and not there


def _others(cluster: Cluster) -> tuple[list[str], str]:
    """The clusters that there are, as an option would name them, and which options do."""
    if cluster.backend != "zookeeper":
        return sorted(other.cluster_id for other in cluster.others), "kubernetes.cluster-id"
    root = (cluster.settings.get("high-availability.zookeeper.path.root") or "/flink").strip("/")
    below = f"/{root}/" if root else "/"
    paths = sorted(other.objects[0].name for other in cluster.others)
    options = "high-availability.cluster-id"
    if not all(path.startswith(below) for path in paths):
        return paths, f"high-availability.zookeeper.path.root and {options}"
    return [path.removeprefix(below) for path in paths], options


def verdict(inspection: Inspection) -> str:
    """The sentence after the headline."""
    recovery = inspection.recovery
    if recovery.jobmanager == "crash-loops":
        leads = any(blocker.leads_first for blocker in recovery.blockers[:1])
        when = "leads for some seconds and ends" if leads else "ends before it leads"
        return f"A JobManager {when}, again and again: {recovery.because}."
    if recovery.jobmanager in ("never-leads", "unknown"):
        return f"{recovery.because[:1].upper()}{recovery.because[1:]}."
    if _is_absent(inspection):
        there, options = _others(inspection.cluster)
        return (
            f"The HA store has nothing of it, and it has {', '.join(there[:3])}"
            f"{f' and {len(there) - 3:,} more' if len(there) > 3 else ''}: see {options}; or no "
            "JobManager ever ran."
        )
    alarms = dict.fromkeys(f"{each.code} ({each.severity})" for each in inspection.alarms)
    see = f"; see {', '.join(list(alarms)[:3])}" if alarms else ""
    if not recovery.jobs:
        return f"There is no job to recover{see}."
    counts: dict[str, int] = {}
    for job in recovery.jobs.values():
        counts[job.outcome] = counts.get(job.outcome, 0) + 1
    told = ", ".join(f"{several(number, 'job')} {outcome}" for outcome, number in counts.items())
    return f"{told}{see}."


def leader_lines(inspection: Inspection) -> list[str]:
    """Who leads, as the data says."""
    cluster = inspection.cluster
    leadership = cluster.leadership
    if leadership is None:
        return []
    now = cluster.moment.earliest
    lines = []
    record = leadership.record
    if leadership.latch:
        first = leadership.latch[0].entry
        standbys = len(leadership.latch) - 1
        whose = "no session" if first.owner_known else "a session that the dump does not tell"
        if first.owner is not None:
            whose = f"session {first.owner}"
        lines.append(f"lock held by {whose}, {several(standbys, 'standby', 'standbys')}")
    elif record is not None and record.holder:
        line = f"lock held by {record.holder}"
        if record.renew_time is not None:
            line += f", renewed {moment(record.renew_time)}"
            if now is not None:
                left = record.renew_time + record.lease_duration - now
                line += f", lease {'runs' if left > 0 else f'ran out {age(-left)} before'}"
        lines.append(line)
    else:
        lines.append("lock free" if leadership.exists else f"no lock: {leadership.place} is absent")
    shown = [each for each in leadership.published if each.job_id is None]
    lines += [f"{each.component}: {each.information.address}" for each in shown
              if each.information is not None]  # fmt: skip
    if leadership.held and not cluster.live:
        lines.append("a dump does not tell whether that process lives now")
    return lines


def job_rows(inspection: Inspection) -> list[tuple[str, ...]]:
    """One row a job, in the order of ``COLUMNS``."""
    rows: list[tuple[str, ...]] = []
    for job_id, outcome in inspection.recovery.jobs.items():
        job = inspection.cluster.jobs.get(job_id) or JobView(job_id)
        own = inspection.cluster.own.get(job_id)
        ids = [each.checkpoint_id for each in job.checkpoints if each.checkpoint_id is not None]
        if own is not None:
            ids += [each.checkpoint_id for each in own.checkpoints]
        would: str = outcome.outcome
        if outcome.checkpoint is not None:
            would += f" ({outcome.checkpoint})"
        rows.append((
            printable(job.name or (own.name if own is not None else "")) or "?",
            job_id,
            would,
            str(max(ids)) if ids else "-",
            "-" if outcome.newest_readable is None else str(outcome.newest_readable),
            "-" if job.counter is None or job.counter.value is None else str(job.counter.value),
        ))  # fmt: skip
    for job in inspection.cluster.jobs.values():
        if job.job_id not in inspection.recovery.jobs and job.clean is not None:
            status = job.clean.status or "?"
            rows.append((printable(job.name) or "?", job.job_id, f"done ({status})", "-", "-", "-"))
    return rows


def as_text(inspection: Inspection, *, colour: bool = False, width: int = 100) -> str:
    """All of it, for a terminal of ``width`` columns."""

    def paint(text: str, how: str) -> str:
        return f"\x1b[{_COLOURS[how]}m{text}\x1b[0m" if colour else text

    words, how = headline(inspection)
    lines = [paint(printable(summary(inspection)), "bold"), ""]
    lines += _wrapped(f"{words}.  {printable(verdict(inspection))}", width, "")
    lines[2] = lines[2].replace(f"{words}.", paint(f"{words}.", how), 1)
    leader = leader_lines(inspection)
    if leader:
        lines += ["", *(f"  {'leader' if at == 0 else '':<8}{printable(line)}"
                        for at, line in enumerate(leader))]  # fmt: skip
    rows = job_rows(inspection)
    if rows:
        lines += ["", *_table(COLUMNS, rows[:_MOST])]
        if len(rows) > _MOST:
            lines.append(f"  and {several(len(rows) - _MOST, 'more job')}: see --json")
    for finding in inspection.findings[:_MOST]:
        lines += ["", *_finding(finding, width, paint(f"{finding.severity:<9}", finding.severity))]
    if more := Counter(f"{each.code} {each.name}" for each in inspection.findings[_MOST:]):
        told = ", ".join(f"{number:,} {name}" for name, number in more.most_common())
        lines += ["", *_wrapped(f"and {told}: see --json", width, "")]
    lines += ["", *_not_looked(inspection, width)]
    if inspection.alarms and not inspection.cluster.of_hawork:
        lines += _wrapped(
            "'hawork repair' with the same options shows the single changes that would mend it, "
            "and writes nothing", width, "",
        )  # fmt: skip
    counted = several(len(inspection.alarms), "finding")
    lines.append(f"{counted}, exit status {inspection.exit_status}")
    return "\n".join(lines)


def _finding(finding: Finding, width: int, severity: str) -> Iterator[str]:
    yield f"{finding.code} {severity} {printable(finding.title)}"
    shown = finding.objects[:6]
    for each in shown:
        yield f"    {each.kind:<14}{printable(str(each))}"
    if len(finding.objects) > len(shown):
        yield f"    {'':<14}and {len(finding.objects) - len(shown)} more: see --json"
    for line in finding.evidence:
        yield from _wrapped(printable(line), width, "    ")
    for word in ("cause", "safe", "unsafe"):
        if text := getattr(finding, word):
            yield from _wrapped(f"{word + ':':<8}{printable(text)}", width, "    ")


def _not_looked(inspection: Inspection, width: int) -> list[str]:
    # What is asked of the other kind of store only is not open here.
    open_questions = [each for each in inspection.answers
                      if each.state == "not looked" and each.why not in NOT_ASKED]  # fmt: skip
    lines = [f"not looked at: {printable(missed.what)}: {printable(missed.why)}"
             for missed in inspection.cluster.not_looked_at[:20]]  # fmt: skip
    more = len(inspection.cluster.not_looked_at) - 20
    if more > 0:
        lines.append(f"not looked at: {more} more: see --json")
    by_reason: dict[str, list[int]] = {}
    for each in open_questions:
        by_reason.setdefault(each.why, []).append(each.question.number)
    for why, numbers in by_reason.items():
        listed = ", ".join(map(str, numbers))
        lines.append(f"not answered: {several(len(numbers), 'question')} ({listed}): {why}")
    return [part for line in lines for part in _wrapped(line, width, "")]


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(
        text, max(40, width), initial_indent=indent, subsequent_indent=f"{indent}    ",
        break_long_words=False, break_on_hyphens=False,
    ) or [indent]  # fmt: skip


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    padded = [
        [cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines
    ]
    return [f"  {'  '.join(cells)}".rstrip() for cells in padded]
