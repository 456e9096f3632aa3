"""A host that sleeps: on waking, a leader's belief is over before anything else happens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hawork.backends.registry import open_backend
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.errors import LeadershipLostError
from hawork.core.options import checked
from hawork.ha.services import HighAvailabilityServices
from hawork.testing import RecordingContender, eventually
from tests.conftest import HARNESSES

_EMBEDDED = "high-availability.embedded.leader-election"
_KUBERNETES = "high-availability.kubernetes.leader-election"
_LONG = {"lease-duration": "90 s", "renew-deadline": "80 s", "retry-period": "30 s"}
PATIENT = {
    "embedded": {f"{_EMBEDDED}.{key}": value for key, value in _LONG.items()},
    "kubernetes": {f"{_KUBERNETES}.{key}": value for key, value in _LONG.items()},
    "zookeeper": {"high-availability.zookeeper.client.session-timeout": "40 s"},
}
"""So that nothing is due for many seconds when the host falls asleep."""


class SleepingHost:
    """The kernel's clocks as they are after ``sleep``: one counted it, the other one did not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._slept = 0.0
        self._real = time.clock_gettime
        monkeypatch.setattr(time, "clock_gettime", self._read)

    def sleep(self, seconds: float) -> None:
        self._slept += seconds

    def _read(self, clock_id: int) -> float:
        counts = clock_id == time.CLOCK_BOOTTIME
        return self._real(clock_id) + (self._slept if counts else 0.0)


@pytest.fixture(params=PATIENT)
def services(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HighAvailabilityServices]:
    harness: Any = HARNESSES[request.param](tmp_path)
    config = checked({**dict(harness.config.items()), **PATIENT[request.param]})
    backend = open_backend(config, SYSTEM_CLOCK, harness.events)
    with HighAvailabilityServices(config, backend) as services:
        yield services
    harness.close()


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="no clock counts a suspend here")
def test_after_a_suspend_a_leader_believes_no_more(
    services: HighAvailabilityServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, contender = SleepingHost(monkeypatch), RecordingContender()
    election = services.leader_election("service")
    election.start(contender)
    session_id = contender.wait_for_grant()
    acted: list[str] = []
    assert election.run_if_leader(session_id, lambda: acted.append("before")).result() is None

    host.sleep(3600.0)
    # What runs first after a resume may be an action: it looks at the clock, not at a thread.
    with pytest.raises(LeadershipLostError):
        election.run_if_leader(session_id, lambda: acted.append("after")).result()
    assert acted == ["before"]
    # And the contender is told although no wait of the operating system has ended.
    eventually(lambda: ("revoke", session_id) in contender.calls)
    election.close()


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="no clock counts a suspend here")
def test_a_nap_shorter_than_the_lease_changes_nothing(
    services: HighAvailabilityServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, contender = SleepingHost(monkeypatch), RecordingContender()
    election = services.leader_election("service")
    election.start(contender)
    session_id = contender.wait_for_grant()
    host.sleep(20.0)
    assert election.run_if_leader(session_id, lambda: "led").result() == "led"
    election.close()
