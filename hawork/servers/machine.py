"""What this machine has for servers: ports of its loopback interface, memory, processors."""

from __future__ import annotations

import contextlib
import os
import random
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hawork.core.errors import LabError

HOST = "127.0.0.1"
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST = 15_000
_TRIES = 1000


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that are free at the moment. ``LabError`` for too few.

    They are not among those that the system gives to a program that asks for any port: a server
    that starts a second later, or again on the port it had, would now and then find a client there.
    """
    sockets: list[socket.socket] = []
    last = _first_that_is_given_away() - 1
    try:
        for _ in range(_TRIES):
            if len(sockets) == count:
                break
            each = socket.socket()
            try:
                each.bind((HOST, random.randint(_FIRST, last) if last >= _FIRST else 0))
            except OSError:
                each.close()  # a program listens there
            else:
                sockets.append(each)
        if len(sockets) < count:
            raise LabError(f"fewer than {count} ports are free on {HOST}: end other programs")
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _first_that_is_given_away() -> int:
    try:
        return int(_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 32_768  # what Linux does by default; others begin later


def waited_for_a_processor(pids: Iterable[int]) -> float:
    """Seconds for which the threads of processes stood in the queue for a processor, added up.

    Of the threads that live now, and 0 where the system does not tell (it is in Linux' schedstat).
    """
    nanoseconds = 0
    for pid in pids:
        try:
            threads = os.listdir(f"/proc/{pid}/task")
        except OSError:
            continue  # it has ended, or this is not Linux
        for thread in threads:
            with contextlib.suppress(OSError, ValueError, IndexError):
                said = Path(f"/proc/{pid}/task/{thread}/schedstat").read_text()
                nanoseconds += int(said.split()[1])
    return nanoseconds / 1e9


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes: all there is, and what is free of it; whether it is a container's share."""

    most: int
    free: int
    container: bool = False


@dataclass(frozen=True, slots=True)
class _Files:
    """What one version of control groups calls its files; caches are given back when needed."""

    limit: str
    usage: str
    caches: tuple[str, ...]


_V2 = _Files("memory.max", "memory.current", ("inactive_file",))
_V1 = _Files(
    "memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "inactive_file")
)


def available(root: Path = Path("/")) -> Memory:
    """What this process can still use: the machine's, or a control group's that leaves less.

    That may be our own group or one around it. In a container the path of our group may be
    the host's and lead nowhere; the container's own group is at the top then.
    """
    import psutil

    try:
        machine = psutil.virtual_memory()
        whole = Memory(machine.total, machine.available)
    except OSError:  # a sandbox without /proc; caches count as taken
        page = os.sysconf("SC_PAGE_SIZE")
        whole = Memory(page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES"))
    limits = (_limit(group, _V2 if v2 else _V1) for group, v2 in _groups(root, "memory"))
    found = [whole, *filter(None, limits)]
    return min(found, key=lambda memory: memory.free)


def processors(root: Path = Path("/")) -> float:
    """How many processors this process may use at a time: the machine's, or a control group's.

    Half of one is 50 ms of each 100 ms, after which everything in the container stands still.
    """
    # macOS has no such call.
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = [float(here or 1)]
    for group, v2 in _groups(root, "cpu"):
        with contextlib.suppress(OSError, ValueError):
            if v2:
                quota, period = map(int, (group / "cpu.max").read_text().split())  # or "max"
            else:
                quota = int((group / "cpu.cfs_quota_us").read_text())  # -1 for no limit
                period = int((group / "cpu.cfs_period_us").read_text())
            if quota > 0 and period > 0:
                found.append(quota / period)
    return min(found)


def threads_left(root: Path = Path("/")) -> int | None:
    """How many more threads the control groups of this process allow; ``None`` for no limit."""
    found = []
    for group, _ in _groups(root, "pids"):
        with contextlib.suppress(OSError, ValueError):
            most = int((group / "pids.max").read_text())  # or "max"
            found.append(max(0, most - int((group / "pids.current").read_text())))
    return min(found, default=None)


def _groups(root: Path, controller: str) -> Iterator[tuple[Path, bool]]:
    """Our groups of either version, and all around them up to the top; whether it is version 2."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return  # not Linux
    for line in lines:
        _, _, named = line.partition(":")
        controllers, _, path = named.partition(":")
        if controllers == "":
            top, v2 = root / "sys/fs/cgroup", True
        elif controller in controllers.split(","):
            top, v2 = root / "sys/fs/cgroup" / controller, False
        else:
            continue
        parts = [part for part in path.split("/") if part]
        if ".." in parts:  # a group beside our own top, which we do not see
            parts = []
        for depth in range(len(parts), -1, -1):
            yield top.joinpath(*parts[:depth]), v2


def _limit(group: Path, files: _Files) -> Memory | None:
    try:
        most, used = int((group / files.limit).read_text()), int((group / files.usage).read_text())
    except (OSError, ValueError):
        return None  # it has no limit ("max"), or there is no such group
    try:
        lines = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        caches = next((int(lines[name]) for name in files.caches if name in lines), 0)
    except (OSError, ValueError):
        caches = 0
    return Memory(most, max(0, most - used + caches), container=True)
