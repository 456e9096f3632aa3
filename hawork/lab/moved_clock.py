"""``python -m hawork.lab.moved_clock FILE ROLE ...``: ``hawork.runtime``, its clocks moved.

``FILE`` holds two numbers of seconds, and may change at any time: by how much the wall clock was
set, and for how long the host has slept. Sleep moves the wall clock and ``CLOCK_BOOTTIME``;
``CLOCK_MONOTONIC``, and what the operating system waits for, do not count it.
"""

from __future__ import annotations

import mmap
import struct
import sys
import time
from pathlib import Path

from hawork.core.private_files import private_directory

_OFFSETS = struct.Struct("=dd")


def clock_file(run_directory: Path, process: str) -> Path:
    """Where the offsets of a process are; there once its clock can be moved."""
    return run_directory / "clocks" / process


def add_offsets(file: Path, wall: float, slept: float) -> None:
    """Set the wall clock by so many seconds, let so many pass asleep; makes the file."""
    private_directory(file.parent)
    old = _OFFSETS.unpack(file.read_bytes()) if file.exists() else (0.0, 0.0)
    # In place: the process has the file mapped. One write of 16 bytes is not seen by half.
    with file.open("r+b" if file.exists() else "xb", buffering=0) as opened:
        opened.write(_OFFSETS.pack(old[0] + wall, old[1] + slept))


def move_clocks(file: Path) -> None:
    """Let this process read moved clocks from now on."""
    with file.open("rb") as opened:
        offsets = mmap.mmap(opened.fileno(), _OFFSETS.size, prot=mmap.PROT_READ)
    real_time, real_time_ns, real_clock = time.time, time.time_ns, time.clock_gettime

    def moved_time() -> float:
        wall, slept = _OFFSETS.unpack_from(offsets)
        return real_time() + float(wall) + float(slept)

    def moved_time_ns() -> int:
        wall, slept = _OFFSETS.unpack_from(offsets)
        return real_time_ns() + int((wall + slept) * 1e9)

    def moved_clock(clock: int) -> float:
        found = real_clock(clock)
        if clock == getattr(time, "CLOCK_BOOTTIME", None):
            return found + float(_OFFSETS.unpack_from(offsets)[1])
        return found

    time.time, time.time_ns, time.clock_gettime = moved_time, moved_time_ns, moved_clock


if __name__ == "__main__":
    move_clocks(Path(sys.argv[1]))
    from hawork.runtime.__main__ import main  # only now: it may keep a clock at its import

    sys.exit(main(sys.argv[2:]))
