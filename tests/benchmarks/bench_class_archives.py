"""How much sooner a lab of real Flink is there when its JVMs map an archive of their classes."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from hawork.lab import FlinkCluster
from hawork.lab.flink import distribution
from hawork.lab.flink.distribution import FlinkDistribution
from hawork.servers.class_archive import build
from hawork.servers.zookeeper import program
from hawork.servers.zookeeper.program import ZooKeeperProgram
from tests.benchmarks.side_by_side import Comparison

STARTS = 5
WITH, WITHOUT = "with archives", "without"

pytestmark = [pytest.mark.timeout(1800)]


def start() -> tuple[float, float]:
    """Start a lab of three JobManagers and a TaskManager; seconds and processor seconds."""
    began = time.monotonic()
    with FlinkCluster(job_managers=3, task_managers=1):
        seconds = time.monotonic() - began
        busy = 0.0
        for process in psutil.Process().children(recursive=True):
            times = process.cpu_times()
            busy += times.user + times.system
        return seconds, busy


def no_flags(*_: object) -> list[str]:
    return []


def test_start_of_a_lab_of_real_flink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The archives are made once, from the classes that a first lab listed."""
    monkeypatch.setenv("HOME", str(tmp_path))
    start()
    flink, zookeeper = FlinkDistribution.find(), ZooKeeperProgram.find()
    began = time.monotonic()
    archives = [build(flink.java, flink.class_path), build(zookeeper.java, zookeeper.class_path)]
    assert all(archives)
    sizes = " and ".join(f"{each.stat().st_size >> 20} MB" for each in archives if each)
    print(
        f"\nArchives of Flink's and ZooKeeper's classes: {sizes}, {time.monotonic() - began:.0f} s"
    )
    seconds: dict[str, list[float]] = {WITH: [], WITHOUT: []}
    processor: dict[str, list[float]] = {WITH: [], WITHOUT: []}
    for _ in range(STARTS):
        for kind in (WITHOUT, WITH):
            with monkeypatch.context() as patched:
                if kind == WITHOUT:
                    patched.setattr(distribution, "archive_flags", no_flags)
                    patched.setattr(program, "archive_flags", no_flags)
                took, busy = start()
            seconds[kind].append(took)
            processor[kind].append(busy)
    comparison = Comparison((WITH, WITHOUT))
    for kind in (WITH, WITHOUT):
        comparison.add("a lab of three JobManagers is ready", "s", kind, seconds[kind])
        comparison.add("processor time of all its processes", "s", kind, processor[kind])
    comparison.print()
