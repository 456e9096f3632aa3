"""How long a server is waited for that comes up on a busy machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from hawork.core.errors import LabError
from hawork.core.types import ProcessState
from hawork.servers import local_servers
from hawork.servers.local_servers import LocalServers
from hawork.servers.machine import waited_for_a_processor

SPIN = "import os; os.sched_setaffinity(0, {%d}); os.nice(%d); print(flush=True)\nwhile True: pass"


class Control:
    """One process that lives, and is this one."""

    def processes(self) -> dict[str, ProcessState]:
        return {"slow": ProcessState("slow", os.getpid(), "running")}

    def stop(self, grace: float) -> None:
        """There is nothing to end."""


class Slow(LocalServers):
    """A server that serves after some seconds, and is given fewer."""

    called = "server"
    start_seconds = 0.12

    def __init__(self, directory: Path, seconds: float) -> None:
        super().__init__(directory, ["slow"])
        self._serves_from = time.monotonic() + seconds

    def _launch(self, name: str) -> None:
        """It runs already."""

    def _serves(self, name: str) -> bool:
        return time.monotonic() >= self._serves_from


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the server stood in the queue for a processor; the last of the list counts."""
    seconds = [0.0]

    def waited(pids: Iterable[int]) -> float:
        assert list(pids) == [os.getpid()]
        return seconds[-1]

    monkeypatch.setattr(local_servers, "waited_for_a_processor", waited)
    monkeypatch.setattr(local_servers, "ProcessControl", lambda *_, **__: Control())
    return seconds


def test_a_server_that_waits_for_a_processor_is_waited_for(
    queue: list[float], tmp_path: Path
) -> None:
    queue.append(3600.0)
    with Slow(tmp_path, seconds=0.4):
        pass


def test_a_server_that_has_a_processor_and_does_not_serve_is_given_up(
    queue: list[float], tmp_path: Path
) -> None:
    with pytest.raises(LabError, match=r"^slow does not serve after 0 s: it printed nothing$"):
        Slow(tmp_path, seconds=3600).start()


def test_a_server_that_never_serves_is_given_up_on_a_busy_machine_too(
    queue: list[float], tmp_path: Path
) -> None:
    queue.append(3600.0)
    with pytest.raises(LabError, match=r"after 1 s, in 1 of which it waited for a processor: "):
        Slow(tmp_path, seconds=3600).start()


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="the kernel does not tell")
def test_the_kernel_tells_how_long_a_process_waited_for_a_processor() -> None:
    """Two that never rest share a processor, and one of them gets a seventieth of it."""
    processor = min(os.sched_getaffinity(0))
    spinning = [
        subprocess.Popen([sys.executable, "-c", SPIN % (processor, nice)], stdout=subprocess.PIPE)
        for nice in (0, 19)
    ]
    try:
        for each in spinning:
            assert each.stdout is not None
            each.stdout.readline()
        pids = [each.pid for each in spinning]
        before = waited_for_a_processor(pids[1:])
        end = time.monotonic() + 60
        while waited_for_a_processor(pids[1:]) < before + 0.05:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert waited_for_a_processor([]) == 0
    finally:
        for each in spinning:
            each.kill()
            each.communicate()
    assert waited_for_a_processor(pids) == 0, "they have ended"
