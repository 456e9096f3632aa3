"""The contract that a backend's pointers fulfil: small values, versioned and fenced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hawork.core.types import JobID, LeaderSessionID, Versioned


@dataclass(frozen=True, slots=True)
class Namespace:
    """A set of pointers that live and go together.

    ``kind`` is ``jobgraphs`` or ``results`` (one per cluster, entries named by job id), or
    ``checkpoints`` or ``counters`` (one per job). A backend maps it to rows, znodes or
    ConfigMap keys.
    """

    kind: str
    job_id: JobID | None = None

    def __str__(self) -> str:
        return self.kind if self.job_id is None else f"{self.kind}/{self.job_id}"


JOB_GRAPHS = Namespace("jobgraphs")
RESULTS = Namespace("results")


CHECKPOINTS = "checkpoints"


def checkpoints(job_id: JobID) -> Namespace:
    return Namespace(CHECKPOINTS, job_id)


def counters(job_id: JobID) -> Namespace:
    return Namespace("counters", job_id)


class PointerStore(Protocol):
    """Small named values of one namespace.

    **Every write is fenced**: it is atomic with a check, made by the store itself, that
    ``session_id`` is the present leadership; otherwise ``LeadershipLostError`` and nothing
    is changed. This holds for a process that was paused past its lease, too.

    Every method raises ``StoreUnavailableError`` when the store cannot be reached and
    nothing was changed, and every write ``PossibleInconsistentStateError`` when it is
    unknown, after reading back, whether the write landed.
    """

    def create(
        self, name: str, value: bytes, session_id: LeaderSessionID, older: Sequence[str] = ()
    ) -> bool:
        """Add an entry, and remove ``older`` ones by the same write: whether it was done.

        ``False``, only with ``older`` ones: nothing was changed, because this store cannot do both
        at once. ``AlreadyExistsError`` when the name is taken.
        """

    def replace(self, name: str, version: int, value: bytes, session_id: LeaderSessionID) -> None:
        """Replace the entry that has ``version``.

        ``NotExistError`` when it is absent, ``VersionMismatchError`` when it was changed.
        """

    def read(self, name: str) -> Versioned[bytes] | None:
        """The entry, or ``None``. Reads are not fenced, and may be repeated."""

    def entries(self) -> Sequence[tuple[str, Versioned[bytes]]]:
        """All entries, in the order of their names."""

    def delete(self, name: str, session_id: LeaderSessionID) -> bool:
        """Remove the entry; whether there was one. May be repeated."""
