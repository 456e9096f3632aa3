"""Two processes and four threads on one store: nothing is lost, nothing is half done."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import pytest

from hawork.core.errors import VersionMismatchError
from hawork.core.types import LeaderSessionID
from hawork.ha.pointer_store import JOB_GRAPHS, PointerStore
from tests.contract.embedded_harness import LONG, EmbeddedHarness
from tests.contract.harness import TIMEOUT, Leader

EACH = 25

CHILD = """
import json, sys, threading, uuid
from hawork.backends.registry import open_backend
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.configuration import Configuration
from hawork.core.events import NullEventSink
from hawork.ha.pointer_store import JOB_GRAPHS
from tests.backends.embedded.test_hammering import hammer
config, session_id = Configuration(json.loads(sys.argv[1])), uuid.UUID(sys.argv[2])
backend = open_backend(config, SYSTEM_CLOCK, NullEventSink())
hammer(backend.pointers(JOB_GRAPHS), session_id, "child")
backend.close()
"""


def hammer(pointers: PointerStore, session_id: LeaderSessionID, process: str) -> None:
    """Two threads count up one shared entry and add their own."""
    finished: list[int] = []

    def work(thread: int) -> None:
        for number in range(EACH):
            pointers.create(f"{process}-{thread}-{number}", b"x", session_id)
            while not count_up(pointers, session_id):
                pass
        finished.append(thread)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(finished) == [0, 1]


def count_up(pointers: PointerStore, session_id: LeaderSessionID) -> bool:
    found = pointers.read("shared")
    assert found is not None
    try:
        value = str(int(found.value) + 1).encode()
        pointers.replace("shared", found.version, value, session_id)
    except VersionMismatchError:
        return False
    return True


@pytest.mark.parametrize("embedded", [LONG], indirect=True)
def test_two_threads_in_each_of_two_processes(embedded: EmbeddedHarness) -> None:
    leader = Leader.of(embedded, JOB_GRAPHS)
    leader.pointers.create("shared", b"0", leader.session_id)
    arguments = [json.dumps(dict(embedded.config)), str(leader.session_id)]
    child = subprocess.Popen([sys.executable, "-c", CHILD, *arguments])
    try:
        hammer(leader.pointers, leader.session_id, "parent")
        assert child.wait(TIMEOUT * 2) == 0
    finally:
        child.kill()
        child.wait()
    entries = dict(leader.pointers.entries())
    assert entries["shared"].value == str(4 * EACH).encode()
    assert len(entries) == 4 * EACH + 1
    versions = [entry.version for entry in entries.values()]
    assert len(set(versions)) == len(versions)
