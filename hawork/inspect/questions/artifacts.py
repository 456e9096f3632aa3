"""Are the jars of a job there, and intact (question 21)?"""

from __future__ import annotations

from collections.abc import Iterator

from hawork.inspect.finding import Finding, Severity
from hawork.inspect.questions.facts import Check, Facts, job_name, named, several

__all__ = ["CHECKS"]


def jars(facts: Facts) -> Iterator[Finding]:
    """A job is recovered with the classes in its jars, which lie in storageDir as blobs.

    Source: ``JobGraph.getUserJarBlobKeys``, ``FileSystemBlobStore``, which compares the SHA-1.
    """
    for job in facts.cluster.jobs.values():
        for graph in job.graphs:
            bad = [each for each in graph.artifacts if each.missing or each.error]
            if not bad or facts.fate(graph) != "read":
                continue
            gone = [each for each in bad if each.missing]
            severity: Severity = "fatal" if job.job_id in facts.recovery.loading else "warning"
            name, what = (
                ("artifact-missing", "missing") if gone else ("artifact-damaged", "damaged")
            )
            yield Finding(
                name, severity, (21, 11),
                (*(each.object for each in bad), graph.entry.object, job.object),
                f"{several(len(bad), 'jar')} of {job_name(job)} {'is' if len(bad) == 1 else 'are'} "
                f"{what}",
                tuple(each.error or f"{each.name} is not there" for each in bad[:3]),
                "a JobManager that recovers the job cannot load its classes, and ends"
                if severity == "fatal" else "the job ended: nothing loads it",
                safe="put the jar back under this name (its SHA-1 is in the name), or, while no "
                "JobManager runs, back up and remove the pointer of this job graph, then submit "
                "the job again from its newest checkpoint",
                unsafe=f"an empty file called {named(each.name for each in bad[:1])}",
                job_id=job.job_id,
            )  # fmt: skip


CHECKS: tuple[Check, ...] = (jars,)
