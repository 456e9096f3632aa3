"""A leader that hangs costs the watchdog, and not its lease; one that does not is left alone.

Leases and sessions last for ten minutes here: whatever takes over does so by the watchdog.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hawork.core.events import Event, EventKind
from hawork.lab import LabCluster
from hawork.runtime.watchdog import EVENT_LOOP, LEADERSHIP_THREAD
from hawork.testing import eventually
from tests.faults.scenario import JOBS
from tests.faults.stores import on_shared_kubernetes, on_shared_zookeeper

WATCHDOG = 2.0
FOR_EVER = "10 min"
_EMBEDDED = "high-availability.embedded.leader-election"
_KUBERNETES = "high-availability.kubernetes.leader-election"
OPTIONS = {
    "hawork.supervisor.watchdog": f"{WATCHDOG:g} s",
    f"{_EMBEDDED}.lease-duration": FOR_EVER,
    f"{_EMBEDDED}.renew-deadline": FOR_EVER,
    f"{_KUBERNETES}.lease-duration": FOR_EVER,
    f"{_KUBERNETES}.renew-deadline": FOR_EVER,
    # The most that the shared server grants: 20 ticks.
    "high-availability.zookeeper.client.session-timeout": FOR_EVER,
}
STORES: dict[str, Callable[[], dict[str, str]]] = {
    "embedded": dict,
    "zookeeper": on_shared_zookeeper,
    "kubernetes": on_shared_kubernetes,
}


def lab_on(ha: str, directory: Path, job_managers: int) -> LabCluster:
    options = {**STORES[ha](), **OPTIONS}
    return LabCluster(job_managers, 0, ha=ha, directory=directory, options=options)


def hung(lab: LabCluster) -> list[Event]:
    return [each for each in lab.event_list() if each.kind is EventKind.PROCESS_HUNG]


@pytest.mark.parametrize("ha", STORES)
def test_a_leader_that_hangs_costs_the_watchdog(ha: str, tmp_path: Path) -> None:
    with lab_on(ha, tmp_path / "lab", 3) as lab:
        stopped = lab.leader()
        lab.pause(stopped)
        blocked = lab.wait_for_leader(other_than=stopped, timeout=60).wait()
        lab.block(blocked)  # and its renewals go on
        last = lab.wait_for_leader(other_than=blocked, timeout=60).wait()
        assert len({stopped, blocked, last}) == 3
        first, second = hung(lab)
        assert first.facts["of"] == stopped
        assert first.facts["silent"] == f"{EVENT_LOOP} and {LEADERSHIP_THREAD}"
        assert (second.facts["of"], second.facts["silent"]) == (blocked, EVENT_LOOP)
        log = (lab.directory / "logs" / f"{blocked}.log").read_text()
        assert "in _run_once" in log, "what its threads did is in its log"
        assert [each.cause for each in lab.timeline().takeovers] == ["pause", "block"]
        states = {name: state.state for name, state in lab.processes.items()}
        assert states == {stopped: "exited", blocked: "exited", last: "running"}


def test_what_does_not_hang_is_left_alone(tmp_path: Path) -> None:
    """A slow disk, a debugger, and a supervisor that stands still: beside one that does hang."""
    with lab_on("embedded", tmp_path / "lab", 4) as lab:
        leader = lab.leader()
        others = [name for name in lab.processes if name != leader]

        # An I/O thread of the leader stands still, as in an fsync of a disk that does not answer.
        armed = lab.arm("submit.graph_written", "hold", leader)
        job = lab.submit(
            f"{JOBS}:counts",
            config={"end": 1, "rate": 1, "output": str(tmp_path / "out")},
            wait=False,
        )
        armed.reached().wait()
        lab.block(others[0])
        eventually(lambda: [each.facts["of"] for each in hung(lab)] == others[:1])
        assert lab.leader() == leader
        lab.proceed()
        job.acknowledged(timeout=60).wait()

        # Nothing is asked for twice the watchdog, and everything answers when it goes on.
        supervisor = lab._started().control.pid
        os.kill(supervisor, signal.SIGSTOP)
        away = time.monotonic() + 2 * WATCHDOG
        eventually(lambda: time.monotonic() > away, timeout=4 * WATCHDOG)
        os.kill(supervisor, signal.SIGCONT)
        lab.block(others[1])
        eventually(lambda: [each.facts["of"] for each in hung(lab)] == others[:2])
        assert lab.leader() == leader

        if sys.platform == "linux":
            with held_by_a_debugger(lab.processes[leader].pid):
                eventually(lambda: "a debugger, process" in told(lab))
            lab.block(others[2])
            eventually(lambda: [each.facts["of"] for each in hung(lab)] == others)
        assert lab.leader() == leader


def told(lab: LabCluster) -> str:
    return " ".join(
        str(each.facts.get("message")) for each in lab.event_list() if each.kind is EventKind.ERROR
    )


@contextmanager
def held_by_a_debugger(pid: int) -> Iterator[None]:
    """Stop every thread of a process as a debugger does: no signal, no word to its parent."""
    seize, interrupt, detach = 0x4206, 0x4207, 17
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

    def trace(request: int, thread: int) -> None:
        if libc.ptrace(request, thread, None, None) == -1:
            raise OSError(ctypes.get_errno(), f"ptrace {request:#x} of {thread}")

    threads = sorted(int(each) for each in os.listdir(f"/proc/{pid}/task"))
    for thread in threads:
        trace(seize, thread)
        trace(interrupt, thread)
        os.waitpid(thread, 0x40000000)  # __WALL: threads, too
    try:
        yield
    finally:
        for thread in threads:
            trace(detach, thread)
