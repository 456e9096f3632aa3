"""Where the servers of a lab listen: this machine, and nowhere else."""

from __future__ import annotations

import random
import socket
from pathlib import Path

from hawork.core.errors import LabError

HOST = "127.0.0.1"
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST = 15_000
_TRIES = 1000


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody uses at the moment. ``LabError`` for too few.

    They are not among those that the system gives to whoever asks for any port: a server that
    starts a second later, or again on the port it had, would now and then find a client there.
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
                each.close()  # somebody listens there
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
        return 32_768  # what Linux does when nobody changed it; others begin later
