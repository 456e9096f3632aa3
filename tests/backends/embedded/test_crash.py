"""Leaders that die, or stand still, in processes of their own."""

from __future__ import annotations

import time
import uuid

import pytest

from hawork.backends.registry import release_leadership
from hawork.core.types import DISPATCHER, LeaderInformation
from hawork.ha.pointer_store import JOB_GRAPHS
from hawork.testing import eventually
from tests.backends.embedded.processes import contender_process
from tests.contract.embedded_harness import LONG, EmbeddedHarness
from tests.contract.harness import Contender, Retrieval

LEASE = 2.0
BLIND = {"high-availability.embedded.crash-detection": "false"}
DEADLINE = 6.0
UNHURRIED = {
    "high-availability.embedded.leader-election.lease-duration": f"{DEADLINE:g} s",
    "high-availability.embedded.leader-election.renew-deadline": f"{DEADLINE:g} s",
}


@pytest.mark.parametrize("embedded", [LONG], indirect=True)
def test_a_crashed_leader_is_replaced_at_once(embedded: EmbeddedHarness) -> None:
    """With a lease of an hour: only its death can have been noticed."""
    with contender_process(embedded.config) as leader:
        before = leader.wait_for("grant")
        standby = Contender.of(embedded)
        retrieval = Retrieval.of(embedded, DISPATCHER)
        leader.tell("publish old:1")
        retrieval.observer.wait_for(LeaderInformation(uuid.UUID(before), "old:1"))
        leader.kill()
        assert str(standby.listener.wait_for_grant()) != before
        retrieval.observer.wait_for(None)
    locks = embedded.directory / "contenders"
    eventually(lambda: len(list(locks.glob("*.lock"))) == 1)  # swept after the grant


@pytest.mark.parametrize("embedded", [LONG], indirect=True)
def test_without_process_descriptors_the_file_lock_tells(
    embedded: EmbeddedHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "hawork.backends.embedded.holder_watch.watch_process", lambda pid, start_time: None
    )
    with contender_process(embedded.config) as leader:
        leader.wait_for("grant")
        standby = Contender.of(embedded)
        leader.kill()
        standby.listener.wait_for_grant()


@pytest.mark.parametrize("embedded", [BLIND], indirect=True)
def test_without_crash_detection_the_lease_has_to_run_out(embedded: EmbeddedHarness) -> None:
    with contender_process(embedded.config) as leader:
        leader.wait_for("grant")
        standby = Contender.of(embedded)
        before, seen_at = embedded.renewals(), time.monotonic()
        eventually(lambda: embedded.renewals() > before)
        leader.kill()
        standby.listener.wait_for_grant()
        # One lease duration after a renewal that came after that look, however busy it is here.
        assert standby.listener.granted_at - seen_at > LEASE


@pytest.mark.parametrize("embedded", [{**BLIND, **LONG}], indirect=True)
def test_a_supervisor_gives_up_a_dead_leaders_leadership(embedded: EmbeddedHarness) -> None:
    with contender_process(embedded.config) as leader:
        leader.wait_for("grant")
        standby = Contender.of(embedded)
        assert release_leadership(embedded.config, leader.ticket) is False, "it is alive"
        assert standby.listener.session_id is None
        leader.kill()
        assert release_leadership(embedded.config, leader.ticket) is True
        standby.listener.wait_for_grant()
        assert release_leadership(embedded.config, leader.ticket) is False
        assert standby.leads()


def test_a_leader_that_was_stopped_finds_out_by_itself(embedded: EmbeddedHarness) -> None:
    with contender_process(embedded.config) as paused:
        before = paused.wait_for("grant")
        paused.tell("create early")
        assert paused.wait_for("done") == "create"
        standby = Contender.of(embedded)
        paused.stop()
        after = standby.listener.wait_for_grant()
        assert str(after) != before
        paused.tell("create late")
        paused.resume()
        assert paused.wait_for("refused") == "LeadershipLostError"
        paused.wait_for("revoke")
        assert standby.driver.has_leadership(after)
        names = [name for name, _ in standby.backend.pointers(JOB_GRAPHS).entries()]
        assert names == ["early"]
        # It is a standby now.
        standby.driver.close()
        assert paused.wait_for("grant") not in (before, str(after))


@pytest.mark.parametrize("embedded", [UNHURRIED], indirect=True)
def test_a_stopped_leader_without_a_rival_leads_again_under_a_new_session_id(
    embedded: EmbeddedHarness,
) -> None:
    observer = Retrieval.of(embedded, DISPATCHER).observer
    with contender_process(embedded.config) as paused:
        before = paused.wait_for("grant")
        paused.tell("publish old:1")
        observer.wait_for(LeaderInformation(uuid.UUID(before), "old:1"))
        paused.stop()
        # A renew deadline passes; nothing in the store says so.
        time.sleep(DEADLINE + 0.2)
        paused.resume()
        assert paused.wait_for("grant") != before
        told = [kind for message in paused.heard for kind in message if kind in ("grant", "revoke")]
        assert told == ["grant", "revoke", "grant"]
        observer.wait_for(None)
