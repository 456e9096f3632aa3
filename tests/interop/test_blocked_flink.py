"""A JobManager of real Flink whose Dispatcher is blocked leads for ever: its session lives on.

What a JVM debugger holds is the one thread on which the Dispatcher's actor runs, in the middle of a
request; every other thread, ZooKeeper's and those of the heartbeats among them, goes on. The
counterpart, where a watchdog replaces such a leader, is ``tests/faults/test_watchdog.py``.
"""

from __future__ import annotations

import re
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hawork.core.events import EventKind
from hawork.lab import FlinkCluster
from hawork.testing import eventually

SECONDS = 90.0
SESSION_TIMEOUT = 4.0
AGENT = "-agentlib:jdwp=transport=dt_socket,server=y,suspend=n,address=127.0.0.1:0"
ON_THE_MAIN_THREAD = "org.apache.flink.runtime.dispatcher.Dispatcher.requestMultipleJobDetails"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def test_a_leader_whose_main_thread_is_blocked_is_never_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JDK_JAVA_OPTIONS", AGENT)
    options = {"high-availability.zookeeper.client.session-timeout": f"{SESSION_TIMEOUT:g} s"}
    with FlinkCluster(job_managers=2, task_managers=0, options=options) as lab:
        blocked = lab.leader(SECONDS)
        before = lab.leader_information()
        assert before is not None
        overview = f"{before.address}/jobs/overview"
        with debugger_of(lab, blocked) as hits:
            with pytest.raises(TimeoutError):
                ask(overview)
            eventually(lambda: "Breakpoint hit" in hits.read_text(), timeout=SECONDS)
            # Several session timeouts, in which it answers nothing and leads all the same.
            for _ in range(4):
                with pytest.raises(TimeoutError):
                    ask(overview)
                assert lab.leader_information() == before
            assert lab.leader() == blocked
        eventually(lambda: ask(overview), timeout=SECONDS)  # it is well again, and was all along
        assert lab.leader_information() == before
        # Standing still as a whole costs it the session timeout, and only that.
        fault = lab.pause(blocked)
        assert lab.wait_for_leader(other_than=fault, timeout=SECONDS).wait() != blocked
        assert not [each for each in lab.event_list() if each.kind is EventKind.PROCESS_HUNG]


def ask(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=SESSION_TIMEOUT) as answer:
        return bytes(answer.read())


@contextmanager
def debugger_of(lab: FlinkCluster, name: str) -> Iterator[Path]:
    """jdb, which holds the thread that comes by; its output. The thread goes on at the end."""
    log = (lab.directory / "logs" / f"{name}.log").read_text()
    listening = re.search(r"Listening for transport dt_socket at address: (\d+)", log)
    assert listening is not None, log
    output = lab.directory / "jdb.log"
    with output.open("wb") as file:
        debugger = subprocess.Popen(
            ["jdb", "-connect", f"com.sun.jdi.SocketAttach:hostname=127.0.0.1,port={listening[1]}"],
            stdin=subprocess.PIPE, stdout=file, stderr=file,
            env={"PATH": "/usr/bin:/bin"},
        )  # fmt: skip
    assert debugger.stdin is not None
    try:
        debugger.stdin.write(f"stop thread in {ON_THE_MAIN_THREAD}\n".encode())
        debugger.stdin.flush()
        eventually(lambda: "breakpoint" in output.read_text(), timeout=SECONDS)
        yield output
        debugger.stdin.write(f"clear {ON_THE_MAIN_THREAD}\nresume\nquit\n".encode())
        debugger.stdin.close()
        debugger.wait(SECONDS)
    finally:
        debugger.kill()
        debugger.wait()
