"""Drills upon clusters of their own: started, broken, healed, judged, and gone without a trace."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hawork.core import options
from hawork.lab.cluster import LabCluster
from hawork.lab.local_cluster import LocalCluster
from hawork.lab.nemesis.drill import DrillReport
from hawork.lab.nemesis.judge import Remains
from hawork.lab.nemesis.plan import Seed, check_length, seed_of
from hawork.lab.own_disk import mount_own_disks, unmount

SHORT: Mapping[str, str] = {
    options.EMBEDDED_LEASE_DURATION.key: "1 s",
    options.EMBEDDED_RENEW_DEADLINE.key: "800 ms",
    options.EMBEDDED_RETRY_PERIOD.key: "200 ms",
    options.ZK_SESSION_TIMEOUT.key: "2 s",
    options.K8S_LEASE_DURATION.key: "2 s",
    options.K8S_RENEW_DEADLINE.key: "1500 ms",
    options.K8S_RETRY_PERIOD.key: "300 ms",
    options.HEARTBEAT_INTERVAL.key: "250 ms",
    options.HEARTBEAT_TIMEOUT.key: "1200 ms",
    options.RESTART_INITIAL_BACKOFF.key: "50 ms",
    options.RESTART_MAX_BACKOFF.key: "200 ms",
    # Longer than any pause: what is deposed while it stands still is to wake up, too.
    options.SUPERVISOR_WATCHDOG.key: "8 s",
}
"""Short enough for many failovers in a minute; safe at any length, which is what is tried."""


@dataclass(frozen=True)
class DrillSetup:
    """Upon what a drill is run. ``flink`` means JobManagers of real Flink."""

    ha: str = "embedded"
    job_managers: int = 3
    task_managers: int = 2
    store_servers: int = 1
    flink: bool = False
    directory: Path | None = None
    own_disk: bool = False
    """Whether storageDir gets a small file system, to be filled. Needs root."""

    def make(self, directory: Path) -> LocalCluster[Any]:
        """The cluster, not started."""
        if not self.flink:
            return LabCluster(
                self.job_managers, self.task_managers, self.ha, directory, SHORT, keep=True,
                store_servers=self.store_servers,
            )  # fmt: skip
        from hawork.lab.flink.cluster import FlinkCluster

        return FlinkCluster(
            self.job_managers, self.task_managers, self.ha, directory, slots=4,
            store_servers=self.store_servers,
        )  # fmt: skip


def run_drill(
    setup: DrillSetup,
    seed: int | str | Seed | None = None,
    *,
    minutes: float = 1.0,
    faults: int | None = None,
    only: Collection[int] | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> DrillReport:
    """One drill upon a cluster of its own; afterwards no process, port or file of it is there.

    See ``LabCluster.nemesis`` for the arguments. ``setup.directory`` is kept.
    """
    seed = seed_of(seed)
    check_length(minutes, faults)
    remains = Remains()
    with (
        tempfile.TemporaryDirectory(
            prefix="hawork-drill-", ignore_cleanup_errors=True
        ) as temporary,
        contextlib.ExitStack() as stack,
    ):
        directory = (setup.directory or Path(temporary)) / "lab"
        lab = setup.make(directory)
        disks = directory / "storage", directory / "taskmanagers"
        for disk in disks:
            stack.callback(unmount, disk)
        stack.callback(lab.close)
        if setup.own_disk and (why := mount_own_disks(disks)):
            tell(f"no disk to fill: {why}")
        report = lab.start().nemesis(seed, minutes, faults=faults, only=only, tell=tell)
        lab.close()
        left = remains.judge(report.addresses)
    return dataclasses.replace(report, breaches=(*report.breaches, *left))
