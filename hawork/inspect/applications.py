"""Application mode: a cluster of one job, which ``main()`` submits whenever a JobManager leads.

Its job keeps its id over failovers, so that a job whose graph is lost is submitted again and takes
its newest checkpoint. Source: ``ApplicationDispatcherBootstrap``: without an id of its own the job
has that of the cluster-id's hash code, 0 before Flink 1.18. Seen on real Flink 1.20.5.
"""

from __future__ import annotations

from typing import Final

from hawork.inspect.settings import Settings

__all__ = ["is_of_application"]

_FIXED_ID: Final = "$internal.pipeline.job-id"
_NO_UPPER_HALF: Final = "0" * 16
_SIGNS: Final = ("00000000", "ffffffff")


def is_of_application(job_id: str, settings: Settings) -> bool:
    """Whether a job is the one of a cluster in application mode.

    Its id is a 32-bit number as ``long``, and a second ``long`` that is 0: no other job's id is,
    which is random; or it is the one that the configuration names.

    >>> is_of_application("ffffffffec9379550000000000000000", Settings())
    True
    >>> is_of_application("62f6a8b83a1b44313a74d89f6e50b70c", Settings())
    False
    """
    if settings.values.get(_FIXED_ID, "").strip().lower() == job_id:
        return True
    return job_id.endswith(_NO_UPPER_HALF) and job_id.startswith(_SIGNS)
