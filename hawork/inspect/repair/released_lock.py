"""The annotation without which Flink takes the ConfigMap of a cluster for no lock."""

from __future__ import annotations

from hawork.inspect.inspection import Inspection
from hawork.inspect.pointers import LockRecord, encode_lock_record
from hawork.inspect.recovery import reads_plans, running_versions

__all__ = ["released_lock"]


def released_lock(inspection: Inspection) -> bytes:
    """The record of a lock that is free, in the form of the release that is started."""
    plans = reads_plans(running_versions(inspection.cluster, inspection.target_version))
    now = inspection.cluster.moment.latest
    record = LockRecord("", 1.0, now, now, 0, "iso" if plans else "number")
    return encode_lock_record(record).encode()
