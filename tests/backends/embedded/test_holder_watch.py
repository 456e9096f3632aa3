"""Process ids of another container: the lock of the contender has the last word."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hawork.backends.embedded.crash_lock import CrashLock
from hawork.backends.embedded.holder_watch import HolderWatch
from hawork.backends.embedded.lease_table import LeaseRow
from hawork.backends.embedded.process_identity import start_time_of
from hawork.testing import eventually


@pytest.fixture
def namesake() -> Iterator[subprocess.Popen[bytes]]:
    """Another process that has the leader's process id and start time, in our own container."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_the_end_of_a_process_of_the_leaders_number_is_not_the_leaders(
    tmp_path: Path, namesake: subprocess.Popen[bytes]
) -> None:
    leader = CrashLock(tmp_path, "leader")
    watch = HolderWatch(tmp_path)
    pid = namesake.pid
    watch.follow(LeaseRow("leader", "session", 0, pid, start_time_of(pid), 15.0, 15.0, 5.0))
    assert watch.descriptor() is not None and not watch.is_dead()
    namesake.kill()
    eventually(lambda: namesake.poll() is not None)
    assert not watch.is_dead(), "the leader holds its lock"
    assert watch.descriptor() is None, "what is readable for ever would end every wait at once"
    assert watch.interval() < 1.0, "its lock is looked at instead"
    leader._let_go()
    assert watch.is_dead()
