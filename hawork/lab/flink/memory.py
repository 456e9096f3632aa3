"""What real Flink processes need of this machine's memory, measured, and whether it is there."""

from __future__ import annotations

from collections.abc import Mapping

from hawork.core.errors import ConfigurationError, LabError
from hawork.core.units import parse_size
from hawork.lab.processes import JOB_MANAGER, TASK_MANAGER
from hawork.servers.machine import available

JOB_MANAGER_MB = 260
TASK_MANAGER_MB = 400
CLIENT_MB = 300
"""Resident memory of each process in a lab while a job runs, rounded up."""

CLIENT_JVM = ("-Xmx160m",)
JOB_MANAGER_OPTIONS = {
    "jobmanager.memory.heap.size": "128m",
    "jobmanager.memory.jvm-metaspace.size": "192m",
}
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
"""bin/jobmanager.sh and bin/taskmanager.sh compute these, and the flags of the JVM from them; a
process that is started by hand must be told all."""

_HEAP = {
    JOB_MANAGER: ("jobmanager.memory.heap.size",),
    TASK_MANAGER: (
        "taskmanager.memory.framework.heap.size", "taskmanager.memory.task.heap.size",
    ),
}  # fmt: skip
_DIRECT = (
    "taskmanager.memory.framework.off-heap.size", "taskmanager.memory.task.off-heap.size",
    "taskmanager.memory.network.max",
)  # fmt: skip
_DIRECT_RESERVE = 16 << 20
_METASPACE = {role: f"{role}.memory.jvm-metaspace.size" for role in _HEAP}
_TOTALS = tuple(f"{role}.memory.{what}.size" for role in _HEAP for what in ("process", "flink"))
_OFF_HEAP = (*_DIRECT, "taskmanager.memory.managed.size")


def jvm_flags(role: str, config: Mapping[str, str]) -> tuple[str, ...]:
    """What a JVM must be told to stay within Flink's memory options.

    ``ConfigurationError`` for a value that is not a size.

    >>> jvm_flags("jobmanager", {"jobmanager.memory.heap.size": "1 gb"})
    ('-Xmx1024m', '-XX:MaxMetaspaceSize=192m')
    """
    heap = f"-Xmx{_bytes(config, _HEAP[role]) >> 20}m"
    metaspace = f"-XX:MaxMetaspaceSize={_bytes(config, (_METASPACE[role],)) >> 20}m"
    if role == JOB_MANAGER:
        return heap, metaspace
    direct = _bytes(config, _DIRECT) + _DIRECT_RESERVE
    return "-Xms64m", heap, f"-XX:MaxDirectMemorySize={direct >> 20}m", metaspace


def needed(job_managers: int, task_managers: int, config: Mapping[str, str]) -> int:
    """Bytes that so many processes, and the client that submits jobs, need."""
    for key in _TOTALS:
        if key in config:
            raise ConfigurationError(
                f"option {key} is {config[key]!r}, and a lab divides no total: set "
                f"{_HEAP[key.partition('.')[0]][-1]} instead"
            )
    mb = job_managers * JOB_MANAGER_MB + task_managers * TASK_MANAGER_MB + CLIENT_MB
    more = job_managers * _beyond_the_measured(_HEAP[JOB_MANAGER], config)
    more += task_managers * _beyond_the_measured((*_HEAP[TASK_MANAGER], *_OFF_HEAP), config)
    return (mb << 20) + more


def check_memory(job_managers: int, task_managers: int, config: Mapping[str, str]) -> None:
    """``LabError`` says how much is needed when less is free; nothing was started then."""
    need, free = needed(job_managers, task_managers, config), available().free
    if free < need:
        raise LabError(
            f"{job_managers} JobManagers and {task_managers} TaskManagers of Apache Flink need "
            f"{need >> 20:,} MB of memory and {free >> 20:,} MB are free: start fewer of them, "
            "or close other programs"
        )


def _beyond_the_measured(keys: tuple[str, ...], config: Mapping[str, str]) -> int:
    """Bytes by which the options ask for more than the processes had that were measured."""
    return max(0, _bytes(config, keys) - _bytes({}, keys))


def _bytes(config: Mapping[str, str], keys: tuple[str, ...]) -> int:
    total = 0
    for key in keys:
        text = config.get(key) or {**JOB_MANAGER_OPTIONS, **TASK_MANAGER_OPTIONS}[key]
        try:
            total += parse_size(text)
        except ValueError as error:
            raise ConfigurationError(f"option {key} is {text!r}: {error}") from None
    return total
