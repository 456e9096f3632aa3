"""What every question is asked about, and how it names things."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from hawork.inspect.cluster import Cluster, JobView, LooseFile, StoredPointer
from hawork.inspect.finding import Finding, Object
from hawork.inspect.outcomes import Recovery
from hawork.inspect.recovery import Fate, fate_of
from hawork.inspect.versions import FlinkVersions

__all__ = [
    "Check", "Facts", "age", "job_name", "named", "on_kubernetes", "perhaps_unlabelled", "several",
    "short",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Facts:
    """The cluster as it was looked at, and what the started release would do with it."""

    cluster: Cluster
    recovery: Recovery
    versions: FlinkVersions
    """The release that is started."""

    def fate(self, stored: StoredPointer) -> Fate:
        return fate_of(stored, self.versions)

    def leads(self, stored: StoredPointer) -> bool:
        """Whether the pointer leads to its file for the release that wrote it.

        Damage behind it is damage, though the release that is started passes over it.
        """
        return self.fate(stored) in ("read", "invisible") and not stored.marked

    def is_marked(self, stored: StoredPointer) -> bool:
        """Whether it is marked for deletion, also for a release that does not see it at all."""
        return self.fate(stored) in ("marked", "invisible") and stored.marked

    def ends_it(self, stored: StoredPointer) -> bool:
        """Whether this pointer, or what it leads to, ends every JobManager."""
        return self.recovery.ends_with(stored.entry.object)

    @property
    def now(self) -> float | None:
        """The moment of the data, at the earliest."""
        return self.cluster.moment.earliest

    @property
    def store_now(self) -> float | None:
        """The moment of the store, at the earliest: files may have been dumped much later."""
        return self.cluster.store_moment


Check: TypeAlias = Callable[[Facts], Iterable[Finding]]


def on_kubernetes(facts: Facts) -> bool:
    return facts.cluster.backend == "kubernetes"


def perhaps_unlabelled(cluster: Cluster, place: Object) -> tuple[str, ...]:
    """What to make sure of before a ConfigMap that is not in a dump is taken for deleted.

    Flink 1.20.5 finds its ConfigMaps by their names: it restores jobs from such without labels.
    """
    if cluster.live or place.kind != "configmap":
        return ()
    return (
        "a dump by labels (-l) lacks a ConfigMap that lost them, and Flink finds it all the same: "
        f"look with 'kubectl get configmap {place.name}'",
    )


def short(job_id: str) -> str:
    """A job id as a reader recognises it."""
    return job_id[:8]


def job_name(job: JobView) -> str:
    """``orders-per-region (534f7acb)``, or the id alone."""
    return f"{job.name} ({short(job.job_id)})" if job.name else f"job {short(job.job_id)}"


def several(number: int, one: str, many: str | None = None) -> str:
    """``1 file``, ``2 files``."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def named(names: Iterable[str], most: int = 3) -> str:
    """The first names of many."""
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def age(seconds: float) -> str:
    """``38 s``, ``9 min``, ``3 h``, ``9 d``."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def loose_checkpoints(cluster: Cluster, job_id: str) -> Iterator[LooseFile]:
    """Unreferenced checkpoint files of a job, the oldest checkpoint first."""
    found = cluster.loose_of(job_id, graphs=False)
    return iter(sorted(found, key=lambda file: (file.checkpoint_id or 0, file.name)))
