"""How long a cluster is without a leader, by what happened to the leader.

From the fault to the moment when the next leader's address is published, with a lease of
2 s that is renewed every 250 ms and given up after 1.5 s without renewal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from hawork.core.events import Event, EventKind
from hawork.lab import LabCluster
from tests.benchmarks.figures import Table
from tests.benchmarks.lab_events import wait_for_event, wait_until_published, wait_until_started

TIMES = 9
_EMBEDDED = "high-availability.embedded"
LEASE = 2.0
OPTIONS = {
    f"{_EMBEDDED}.leader-election.lease-duration": "2 s",
    f"{_EMBEDDED}.leader-election.renew-deadline": "1500 ms",
    f"{_EMBEDDED}.leader-election.retry-period": "250 ms",
}
NO_CRASH_DETECTION = {f"{_EMBEDDED}.crash-detection": "false"}

Fault = Callable[[LabCluster, str], Event]


def test_failover(tmp_path: Path) -> None:
    table = Table("From the fault to the next leader's published address", "s", first="fault")

    def measure(name: str, fault: Fault, at_most: float | None, **more: object) -> None:
        directory = tmp_path / name.replace(" ", "-").replace(",", "")
        table.add(name, failovers(directory, fault, **more), at_most)  # type: ignore[arg-type]

    measure("SIGKILL, supervisor", kill, 0.25)
    measure("SIGKILL, no supervisor", kill, LEASE + 0.3, supervisor=False)
    measure(
        "SIGKILL, no supervisor, no crash detection", kill, LEASE + 0.3,
        supervisor=False, options=NO_CRASH_DETECTION,
    )  # fmt: skip
    measure("SIGSTOP", pause, LEASE + 0.3)
    measure("SIGTERM", terminate, None)
    table.print()


def kill(lab: LabCluster, leader: str) -> Event:
    return lab.kill(leader)


def pause(lab: LabCluster, leader: str) -> Event:
    return lab.pause(leader)


def terminate(lab: LabCluster, leader: str) -> Event:
    return lab.terminate(leader)


def failovers(
    directory: Path,
    fault: Fault,
    *,
    supervisor: bool = True,
    options: Mapping[str, str] | None = None,
) -> list[float]:
    """Seconds of ``TIMES`` failovers of one cluster of three JobManagers."""
    seconds = []
    with LabCluster(
        3, 0, directory=directory, options={**OPTIONS, **(options or {})}, supervisor=supervisor
    ) as lab:
        for _ in range(TIMES):
            leader = lab.leader()
            begin = fault(lab, leader)
            seconds.append(wait_until_published(lab, begin).monotonic - begin.monotonic)
            _bring_back(lab, leader)
    return seconds


def _bring_back(lab: LabCluster, name: str) -> None:
    """Let the old leader be a standby again; a paused one has to notice that it was deposed."""
    if lab.processes[name].alive:
        woken = lab.resume(name)
        wait_for_event(lab, EventKind.LEADERSHIP_REVOKED, woken, name)
    else:
        wait_until_started(lab, lab.restart(name), name)
