"""A leader that forks workers: what they inherit is neither used, nor ended, nor kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hawork.backends.embedded.crash_lock import is_dead
from hawork.core.options import checked
from hawork.testing import eventually
from tests.conftest import HARNESSES
from tests.contract.embedded_harness import EmbeddedHarness
from tests.contract.harness import Contender

_EMBEDDED = "high-availability.embedded.leader-election"
_KUBERNETES = "high-availability.kubernetes.leader-election"
SHORT: dict[str, dict[str, str]] = {
    "embedded": {f"{_EMBEDDED}.lease-duration": "4 s", f"{_EMBEDDED}.renew-deadline": "4 s"},
    "kubernetes": {f"{_KUBERNETES}.lease-duration": "4 s", f"{_KUBERNETES}.renew-deadline": "3 s"},
    "zookeeper": {"high-availability.zookeeper.client.session-timeout": "4 s"},
}
LONGER_THAN_A_LEASE = {"embedded": 4.5, "kubernetes": 3.5, "zookeeper": 4.5}


@pytest.fixture(params=LONGER_THAN_A_LEASE)
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    harness: Any = HARNESSES[request.param](tmp_path)
    harness.config = checked({**dict(harness.config.items()), **SHORT[request.param]})
    harness.values = {
        **dict(harness.config.items()),
        "high-availability.storageDir": f"file:{tmp_path}/storage",
    }
    harness.seconds = LONGER_THAN_A_LEASE[request.param]
    yield harness
    harness.close()


def leader(harness: Any, what: str) -> subprocess.Popen[str]:
    arguments = [json.dumps(harness.values), what, str(harness.seconds)]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.contract.forking_leader", *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("what", ["leaves", "multiprocessing"])
def test_a_worker_that_ends_leaves_the_parent_leading(harness: Any, what: str) -> None:
    with leader(harness, what) as process:
        told, _ = process.communicate(timeout=100)
    worker, parent = (json.loads(line) for line in told.splitlines())
    assert worker["acts"] == "LeadershipLostError"
    assert worker["writes"] in ("LeadershipLostError", "StoreUnavailableError")
    assert worker["joins"] == worker["retrieves"] == "HighAvailabilityError"
    # SQLite cannot be opened again after a fork, and says so; a server can be connected to.
    embedded = isinstance(harness, EmbeddedHarness)
    assert worker["opens"] == ("ConfigurationError" if embedded else "done")
    assert worker["closes"] == "done"
    assert parent == {"status": 0, "leads": True, "calls": ["grant"]}


def test_a_worker_that_lives_does_not_keep_a_dead_parents_leadership(harness: Any) -> None:
    with leader(harness, "lives") as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        standby = Contender.of(harness)
        try:
            process.kill()
            process.wait()
            assert standby.listener.wait_for_grant()
            os.kill(told["worker"], 0)  # it is there, with all that it inherited
        finally:
            os.kill(told["worker"], signal.SIGKILL)


def test_a_worker_that_lives_does_not_keep_the_crash_lock(tmp_path: Path) -> None:
    """By which a supervisor knows that the parent is dead, and a standby where it has no pid."""
    harness: Any = EmbeddedHarness(tmp_path)
    harness.values, harness.seconds = dict(harness.config.items()), 0.0
    with leader(harness, "lives") as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        contenders = harness.directory / "contenders"
        (lock,) = contenders.glob("*.lock")
        try:
            assert not is_dead(contenders, lock.stem)
            process.kill()
            process.wait()
            assert eventually(lambda: is_dead(contenders, lock.stem))
        finally:
            os.kill(told["worker"], signal.SIGKILL)
    harness.close()
