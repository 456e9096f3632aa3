"""What a process costs: time to start, memory, and what it does while nothing happens."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil

from hawork.core.events import EventKind
from hawork.lab import LabCluster
from hawork.testing import eventually
from tests.benchmarks.figures import Table, print_table
from tests.benchmarks.lab_events import wait_for_event, wait_until_published, wait_until_started

STARTS = 9
IMPORTS = 15
IDLE_SECONDS = 10.0
OPTIONAL = ("kazoo", "kubernetes", "pandas", "IPython", "tornado", "yaml", "psutil", "sqlite3")

_TIME_IMPORT = """
import sys, time
before = set(sys.modules)
began = time.perf_counter()
import hawork
print(time.perf_counter() - began, *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_start_of_a_job_manager(tmp_path: Path) -> None:
    """From exec to leading, alone in its cluster."""
    table = Table("Start of a JobManager", "s", first="until")
    started, leading = [], []
    with LabCluster(1, 0, directory=tmp_path) as lab:
        for _ in range(STARTS):
            lab.kill("jm-1")
            begin = lab.restart("jm-1")
            running = wait_until_started(lab, begin, "jm-1")
            published = wait_until_published(lab, begin)
            started.append(running.monotonic - begin.monotonic)
            leading.append(published.monotonic - begin.monotonic)
    table.add("its options are read", started)
    table.add("its address is published", leading, at_most=1.0)
    table.print()


def test_import() -> None:
    table = Table("import hawork, in a new process", "ms", digits=1)
    seconds, modules = [], set[str]()
    for _ in range(IMPORTS):
        output = subprocess.check_output([sys.executable, "-c", _TIME_IMPORT], text=True).split()
        seconds.append(float(output[0]) * 1000)
        modules.update(output[1:])
    table.add("import hawork", seconds, at_most=100.0)
    table.print()
    pulled_in = [name for name in OPTIONAL if name in modules]
    print(f"of {', '.join(OPTIONAL)} it pulls in: {', '.join(pulled_in) or 'none'}")


def test_memory_and_idle_processor_time(tmp_path: Path) -> None:
    rows = []
    with LabCluster(2, 1, directory=tmp_path) as lab:
        leader = lab.leader()
        (standby,) = {"jm-1", "jm-2"} - {leader}
        wait_for_event(lab, EventKind.LEADER_RETRIEVED, 0.0, standby)
        roles = {
            "JobManager, leading": leader,
            "JobManager, standby": standby,
            "TaskManager": "tm-1",
        }
        processes = {role: psutil.Process(lab.processes[name].pid) for role, name in roles.items()}
        processes["supervisor"] = psutil.Process(processes["TaskManager"].ppid())
        _settle(list(processes.values()))
        before = {role: _processor_time(process) for role, process in processes.items()}
        time.sleep(IDLE_SECONDS)
        for role, process in processes.items():
            share = (_processor_time(process) - before[role]) / IDLE_SECONDS
            target = ""
            if role == "JobManager, leading":
                target = "45 met" if _megabytes(process)[0] <= 45 else "45 MISSED"
            rss, pss = (f"{value:.1f}" for value in _megabytes(process))
            rows.append((role, rss, target, pss, f"{share:.2%}"))
    print(f"\nMemory, and processor time of {IDLE_SECONDS:g} s in which nothing happens\n")
    print_table(("process", "RSS [MB]", "at most", "PSS [MB]", "one core"), rows)


def _settle(processes: list[psutil.Process]) -> None:
    """Wait until starting is over: a second in which hardly anything is done."""

    def quiet() -> bool:
        before = sum(map(_processor_time, processes))
        time.sleep(1.0)
        return sum(map(_processor_time, processes)) - before < 0.1

    eventually(quiet, timeout=60.0)


def _processor_time(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _megabytes(process: psutil.Process) -> tuple[float, float]:
    """Resident, and with shared pages divided among those who share them (Linux only)."""
    memory = process.memory_full_info()
    return memory.rss / 1e6, getattr(memory, "pss", float("nan")) / 1e6
