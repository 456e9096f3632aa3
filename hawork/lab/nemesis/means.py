"""Which faults this machine, and this cluster, can have; and why not the others."""

from __future__ import annotations

import resource
from collections.abc import Mapping

from hawork.core import options
from hawork.lab.damage import SCRATCH
from hawork.lab.nemesis.cluster import Breakable, OwnProcesses, Store
from hawork.lab.nemesis.plan import KINDS


def what_cannot_be_done(cluster: Breakable, store: Store) -> dict[str, str]:
    """The kinds that are left out, each with its reason."""
    ha = str(cluster.config.get_option(options.HA_TYPE))
    missing = _missing(cluster, store)
    return {kind.name: missing[kind.needs] for kind in KINDS.values()
            if ha in kind.stores and kind.needs in missing}  # fmt: skip


def watchdog_seconds(cluster: Breakable) -> float:
    """After how long a JobManager that hangs is killed; 0 where nothing does that."""
    if not cluster.config.get_option(options.SUPERVISOR):
        return 0.0
    return float(cluster.config.get_option(options.SUPERVISOR_WATCHDOG))


def _missing(cluster: Breakable, store: Store) -> Mapping[str, str]:
    missing = {}
    if not hasattr(resource, "prlimit"):
        missing["limits"] = "the limits of another process are changed on Linux only"
    if not cluster.has_own_disk():
        missing["disk"] = (
            "storageDir is not a small file system of its own (hawork drill mounts one as root)"
        )
    if not cluster.has_own_disk(SCRATCH):
        missing["scratch disk"] = (
            "TaskManagers have no small file system of their own (hawork drill mounts one as root)"
        )
    if len(store.server_data()) in (1, 2):
        missing["ensemble"] = "the store is not an ensemble of three servers"
    if not isinstance(cluster, OwnProcesses):
        missing["files"] = missing["pointers"] = (
            "what real Flink does with damaged HA data is predicted by hawork inspect"
        )
    if watchdog_seconds(cluster) == 0:
        missing["watchdog"] = (
            f"only a watchdog ends what hangs: switch it on with {options.SUPERVISOR_WATCHDOG.key}"
        )
    for needs, verb in (
        ("watchdog", "block"), ("tasks", "kill_task"), ("clock", "move_clock"),
        ("scratch", "clear_scratch"),
    ):  # fmt: skip
        if verb in cluster.absent:
            missing[needs] = cluster.absent[verb]
    return missing
