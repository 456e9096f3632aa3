"""What real Flink processes need of this machine's memory, measured, and whether it is there."""

from __future__ import annotations

from hawork.core.errors import LabError
from hawork.lab.memory import available

JOB_MANAGER_MB = 260
TASK_MANAGER_MB = 400
CLIENT_MB = 300
"""Resident memory of each process in a lab while a job runs, rounded up."""

JOB_MANAGER_JVM = ("-Xmx128m", "-XX:MaxMetaspaceSize=192m")
CLIENT_JVM = ("-Xmx160m",)
TASK_MANAGER_JVM = (
    "-Xms64m", "-Xmx192m", "-XX:MaxDirectMemorySize=96m", "-XX:MaxMetaspaceSize=160m",
)  # fmt: skip
# bin/taskmanager.sh computes these; a TaskManager that is started by hand must be told all.
TASK_MANAGER_OPTIONS = {
    "taskmanager.cpu.cores": "1.0",
    "taskmanager.memory.framework.heap.size": "64m",
    "taskmanager.memory.task.heap.size": "128m",
    "taskmanager.memory.framework.off-heap.size": "48m",
    "taskmanager.memory.task.off-heap.size": "0m",
    "taskmanager.memory.network.min": "32m",
    "taskmanager.memory.network.max": "32m",
    "taskmanager.memory.managed.size": "32m",
    "taskmanager.memory.jvm-metaspace.size": "160m",
    "taskmanager.memory.jvm-overhead.min": "96m",
    "taskmanager.memory.jvm-overhead.max": "96m",
}


def needed(job_managers: int, task_managers: int) -> int:
    """Bytes that so many processes, and the client that submits jobs, need."""
    mb = job_managers * JOB_MANAGER_MB + task_managers * TASK_MANAGER_MB + CLIENT_MB
    return mb << 20


def check_memory(job_managers: int, task_managers: int) -> None:
    """``LabError`` says how much is needed when less is free; nothing was started then."""
    need, free = needed(job_managers, task_managers), available().free
    if free < need:
        raise LabError(
            f"{job_managers} JobManagers and {task_managers} TaskManagers of Apache Flink need "
            f"{need >> 20:,} MB of memory and {free >> 20:,} MB are free: start fewer of them, "
            "or close other programs"
        )
