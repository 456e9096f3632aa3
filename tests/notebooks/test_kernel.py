"""A kernel that is restarted or killed takes its lab with it: processes, ports and locks."""

from __future__ import annotations

import ast
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from hawork.testing import eventually

from .leftovers import Footprint, describe, own_sockets

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
    os.kill(pid_of(manager), signal.SIGKILL)


@contextmanager
def a_kernel(footprint: Footprint) -> Iterator[KernelManager]:
    with own_sockets() as settings:
        manager = KernelManager(kernel_name="python3", **settings)
        manager.start_kernel(env=footprint.environment(), cwd=str(footprint.directory))
        yield manager
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


@pytest.fixture
def kernel(footprint: Footprint) -> Iterator[KernelManager]:
    """That of a notebook, in the directory and the environment of the footprint."""
    with a_kernel(footprint) as manager:
        yield manager


@pytest.fixture
def other_kernel(footprint: Footprint) -> Iterator[KernelManager]:
    """That of a second notebook beside it."""
    with a_kernel(footprint) as manager:
        yield manager


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


TOLD = """
from hawork.client.waiting import Waiting
module = {"__name__": "not the notebook", "check": Waiting._check}
exec("def told(*given): print('waits', flush=True); return check(*given)", module)
Waiting._check = module["told"]
"""
"""An interrupt that comes before the wait is Python's own. A line of the notebook would be told."""


@pytest.mark.slow
def test_what_goes_wrong_in_a_cell_is_one_sentence(kernel: KernelManager) -> None:
    execute(kernel, START)
    assert "still runs 1 lab from before: LabCluster (4 processes" in shown(kernel, START)
    wrong = answer(kernel, "x = 1\nlab.kill('jm-9')", status="error")
    sentence, where = wrong["traceback"]
    assert "LabError" in sentence and "the lab has no process 'jm-9'" in sentence
    assert "line 2: lab.kill('jm-9') · %tb shows the traceback" in where
    assert "faults.py" in shown(kernel, "%tb")
    execute(kernel, TOLD)
    for cell in (
        "lab.wait_for_event('job.acknowledged').wait()",
        "await lab.wait_for_event('job.acknowledged')",
    ):
        client: BlockingKernelClient = kernel.client()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=60)
            asked = client.execute(f"x = 2\n{cell}")
            of_cell(asked, client.get_iopub_msg, "waits")
            kernel.interrupt_kernel()
            content = of_cell(asked, client.get_shell_msg)["content"]
        finally:
            client.stop_channels()
        sentence, where = content["traceback"]
        assert (
            "Interrupted" in sentence
            and "waiting for event job.acknowledged: run the cell" in sentence
        )
        assert f"line 2: {cell}" in where
    execute(kernel, "from hawork.lab import reset\nassert reset() == 2")


SHOW = "[str(lab.directory), lab.leader(), sorted(each.pid for each in lab.processes.values())]"
NAMED = "from hawork.lab import LabCluster\nkept = LabCluster(1, 0, directory='kept')"


@pytest.mark.slow
def test_two_labs_in_two_notebooks(
    kernel: KernelManager, other_kernel: KernelManager, footprint: Footprint
) -> None:
    """Each sees its own processes and directory only, whatever the other one does."""
    execute(kernel, START)
    directory, leader, pids = value(kernel, SHOW)
    os.utime(directory, (0, 0))  # so old that nobody takes it for one that is just starting
    execute(other_kernel, START)
    theirs, _, their_pids = value(other_kernel, SHOW)
    assert theirs != directory
    assert len(pids) == len(their_pids) == 3
    assert not set(pids) & set(their_pids)

    execute(other_kernel, "lab.kill('leader')\nlab.kill('tm-1')")
    execute(kernel, NAMED)
    assert f"used by another lab (process {pid_of(kernel)}): close that lab" in refused(
        other_kernel, NAMED
    )
    execute(other_kernel, "from hawork.lab import reset")
    assert value(other_kernel, "reset()") == 1
    assert value(kernel, SHOW) == [directory, leader, pids], "nothing happened to the other lab"
    assert (
        value(kernel, "[str(event) for event in lab.event_list() if event.kind == 'fault']") == []
    )

    execute(other_kernel, START)
    execute(kernel, "lab.close()\nkept.close()")
    assert value(other_kernel, "lab.leader()") in ("jm-1", "jm-2")
    execute(other_kernel, "lab.close()")
    eventually(lambda: len(footprint.processes()) == 2, timeout=GONE_WITHIN)  # the kernels
    assert not footprint.locks()


def kernel_ports(manager: KernelManager) -> set[int]:
    """A restarted kernel listens on the ports of the old one."""
    info = manager.get_connection_info()
    return {value for name, value in info.items() if name.endswith("_port")}


def pid_of(manager: KernelManager) -> int:
    return int(manager.provisioner.pid)  # type: ignore[union-attr]


def execute(manager: KernelManager, code: str) -> None:
    """Run ``code`` in the kernel; its error fails the test."""
    answer(manager, code)


def value(manager: KernelManager, expression: str) -> Any:
    """What an expression gives in the kernel."""
    content = answer(manager, "import json", {"it": f"json.dumps({expression})"})
    shown = content["user_expressions"]["it"]
    assert shown["status"] == "ok", json.dumps(shown, indent=1)
    return json.loads(ast.literal_eval(shown["data"]["text/plain"]))


def refused(manager: KernelManager, code: str) -> str:
    """The sentence with which ``code`` ends in the kernel."""
    content = answer(manager, code, status="error")
    assert content["ename"] == "LabError"
    return str(content["evalue"])


def shown(manager: KernelManager, code: str) -> str:
    """What a cell displays or prints, or the traceback that it ends with."""
    told: list[str] = []

    def hear(message: dict[str, Any]) -> None:
        content = message["content"]
        told.append(content.get("data", {}).get("text/plain", "") + content.get("text", ""))
        told.extend(content.get("traceback", ()))

    client: BlockingKernelClient = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        client.execute_interactive(code, timeout=60, output_hook=hear)
        return "\n".join(told)
    finally:
        client.stop_channels()


def of_cell(asked: str, get: Callable[..., dict[str, Any]], word: str = "") -> dict[str, Any]:
    """The first message with ``word`` that belongs to a cell: one of another may come late."""
    while True:
        message = get(timeout=60)
        if message["parent_header"].get("msg_id") == asked and word in str(message["content"]):
            return message


def answer(
    manager: KernelManager, code: str, expressions: dict[str, str] | None = None,
    status: str = "ok",
) -> dict[str, Any]:  # fmt: skip
    client: BlockingKernelClient = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        reply: dict[str, Any] = client.execute_interactive(
            code, timeout=60, output_hook=lambda message: None, user_expressions=expressions
        )
        content: dict[str, Any] = reply["content"]
        assert content["status"] == status, json.dumps(content, indent=1)
        return content
    finally:
        client.stop_channels()
