"""A kernel that is restarted or killed takes its lab with it: processes, ports and locks."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from hawork.testing import eventually

from .leftovers import Footprint, describe

START = """
from hawork.lab import LabCluster
lab = LabCluster(job_managers=2, task_managers=1).start()
await lab.wait_for_leader()
"""
PAUSE_THE_LEADER = "lab.pause('leader')"
PAUSE_ALL = "[lab.pause(name) for name in ('jm-1', 'jm-2', 'tm-1')]"
GONE_WITHIN = 10.0
"""Seconds in which everything must be gone; it takes a fraction of one."""


def restart(manager: KernelManager) -> None:
    """What the button of JupyterLab does."""
    manager.restart_kernel(now=False)


def kill(manager: KernelManager) -> None:
    """What the kernel's machine does when memory runs out."""
    pid = manager.provisioner.pid  # type: ignore[union-attr]
    os.kill(pid, signal.SIGKILL)


@pytest.fixture
def kernel(footprint: Footprint) -> Iterator[KernelManager]:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env=footprint.environment(), cwd=str(footprint.directory))
    yield manager
    manager.shutdown_kernel(now=True)
    manager.cleanup_resources()


@pytest.mark.slow
@pytest.mark.parametrize("end", [restart, kill], ids=["restarted", "killed"])
@pytest.mark.parametrize(
    "fault", ["", PAUSE_THE_LEADER, PAUSE_ALL], ids=["healthy", "leader-paused", "all-paused"]
)
def test_nothing_outlives_its_kernel(
    fault: str, end: Callable[[KernelManager], None], kernel: KernelManager, footprint: Footprint
) -> None:
    execute(kernel, START)
    execute(kernel, fault)
    before = {process.pid for process in footprint.processes()}
    ports = footprint.ports()
    assert len(before) >= 5, "kernel, supervisor, two JobManagers and a TaskManager"
    assert ports
    assert footprint.locks()

    end(kernel)

    def gone() -> bool:
        """All but the kernel that came in place of a restarted one."""
        left = [each for each in footprint.processes() if each.pid in before]
        assert not left, "\n".join(map(describe, left))
        return True

    eventually(gone, timeout=GONE_WITHIN)
    assert not footprint.locks()
    assert not ports & footprint.ports() - kernel_ports(kernel)


@pytest.mark.slow
def test_cells_run_twice_or_half_are_mended_by_one_call(
    kernel: KernelManager, footprint: Footprint
) -> None:
    execute(kernel, START)
    execute(kernel, START)
    client: BlockingKernelClient = kernel.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        before = len(footprint.processes())
        client.execute("third = LabCluster(job_managers=2, task_managers=1).start()")
        eventually(lambda: len(footprint.processes()) > before, timeout=60)
        kernel.interrupt_kernel()
        assert client.get_shell_msg(timeout=60)["content"]["status"] in ("error", "ok")
    finally:
        client.stop_channels()
    execute(kernel, "from hawork.lab import reset\nassert reset() >= 2")
    eventually(lambda: len(footprint.processes()) == 1, timeout=GONE_WITHIN)  # the kernel
    assert not footprint.locks()
    execute(kernel, f"{START}assert lab.leader()\nlab.close()")


def kernel_ports(manager: KernelManager) -> set[int]:
    """A restarted kernel listens on the ports of the old one."""
    info = manager.get_connection_info()
    return {value for name, value in info.items() if name.endswith("_port")}


def execute(manager: KernelManager, code: str) -> None:
    """Run ``code`` in the kernel; its error fails the test."""
    client: BlockingKernelClient = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        reply: dict[str, Any] = client.execute_interactive(
            code, timeout=60, output_hook=lambda message: None
        )
        assert reply["content"]["status"] == "ok", json.dumps(reply["content"], indent=1)
    finally:
        client.stop_channels()
