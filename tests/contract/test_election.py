"""Leader election on every backend: one leader, in order, with a new token per grant."""

from __future__ import annotations

import json
import uuid
from functools import partial

import pytest

from hawork.core.errors import LeadershipLostError
from hawork.core.types import DISPATCHER, LeaderInformation
from hawork.testing import eventually
from tests.contract.harness import BackendHarness, Contender, Retrieval


def test_a_single_contender_leads(ha_backend: BackendHarness) -> None:
    contender = Contender.of(ha_backend)
    session_id = contender.listener.wait_for_grant()
    assert contender.driver.has_leadership(session_id)
    assert not contender.driver.has_leadership(uuid.uuid4())


def test_one_of_several_leads(ha_backend: BackendHarness) -> None:
    contenders = [Contender.of(ha_backend) for _ in range(3)]
    eventually(lambda: any(contender.leads() for contender in contenders))
    assert sum(contender.leads() for contender in contenders) == 1
    assert sum(len(contender.listener.of("grant")) for contender in contenders) == 1


def test_a_closed_leader_hands_over_under_a_new_session_id(ha_backend: BackendHarness) -> None:
    first = Contender.of(ha_backend)
    before = first.listener.wait_for_grant()
    second = Contender.of(ha_backend)
    first.driver.close()
    assert not first.driver.has_leadership(before)
    after = second.listener.wait_for_grant()
    assert after != before
    assert second.driver.has_leadership(after)
    assert not second.driver.has_leadership(before)


def test_a_closed_driver_says_nothing_more(ha_backend: BackendHarness) -> None:
    first = Contender.of(ha_backend)
    first.listener.wait_for_grant()
    second = Contender.of(ha_backend)
    first.driver.close()
    second.listener.wait_for_grant()
    assert [kind for kind, _ in first.listener.of("grant", "revoke", "error")] == ["grant"]


def test_closing_may_be_repeated(ha_backend: BackendHarness) -> None:
    first = Contender.of(ha_backend)
    first.listener.wait_for_grant()
    first.driver.close()
    second = Contender.of(ha_backend)
    second.listener.wait_for_grant()
    first.driver.close()
    assert second.leads()


def test_a_standby_that_leaves_changes_nothing(ha_backend: BackendHarness) -> None:
    leader = Contender.of(ha_backend)
    session_id = leader.listener.wait_for_grant()
    standby = Contender.of(ha_backend)
    standby.driver.close()
    assert leader.driver.has_leadership(session_id)
    assert not leader.listener.of("revoke")
    assert not standby.listener.of("grant")


def test_a_leadership_that_expires_is_revoked(ha_backend: BackendHarness) -> None:
    leader = Contender.of(ha_backend)
    before = leader.listener.wait_for_grant()
    ha_backend.expire_leadership()
    leader.listener.wait_for_revoke()
    assert not leader.driver.has_leadership(before)
    after = leader.listener.wait_for_grant(different_from=before)
    assert leader.driver.has_leadership(after)


def test_grants_and_revocations_alternate(ha_backend: BackendHarness) -> None:
    contenders = [Contender.of(ha_backend) for _ in range(3)]
    seen: set[uuid.UUID] = set()
    for _ in range(5):
        leader = eventually(
            lambda: next((one for one in contenders if one.leads() and not known(one, seen)), None)
        )
        assert leader is not None
        session_id = leader.listener.wait_for_grant()
        assert session_id not in seen, "a session id was granted twice"
        seen.add(session_id)
        assert sum(contender.leads() for contender in contenders) <= 1
        ha_backend.expire_leadership()
        # It was ended behind a living leader's back, which believes until it hears of it.
        eventually(partial(stopped_leading, leader, session_id))
    for contender in contenders:
        kinds = [kind for kind, _ in contender.listener.of("grant", "revoke")]
        assert kinds == ["grant", "revoke"] * (len(kinds) // 2) + ["grant"] * (len(kinds) % 2)


def stopped_leading(contender: Contender, session_id: uuid.UUID) -> bool:
    return not contender.driver.has_leadership(session_id)


def known(contender: Contender, seen: set[uuid.UUID]) -> bool:
    return contender.listener.session_id in seen


def test_contenders_may_come_back(ha_backend: BackendHarness) -> None:
    first = Contender.of(ha_backend)
    before = first.listener.wait_for_grant()
    first.driver.close()
    assert Contender.of(ha_backend).listener.wait_for_grant() != before


def test_publishing_may_be_repeated_and_changed(ha_backend: BackendHarness) -> None:
    leader = Contender.of(ha_backend)
    retrieval = Retrieval.of(ha_backend, DISPATCHER)
    for address in ("a:1", "a:1", "b:2"):
        retrieval.observer.wait_for(leader.publish(DISPATCHER, address))


def test_a_deposed_leader_cannot_publish(ha_backend: BackendHarness) -> None:
    first = Contender.of(ha_backend)
    before = first.listener.wait_for_grant()
    second = Contender.of(ha_backend)
    first.driver.close()
    published = second.publish(DISPATCHER, "new:1")
    with pytest.raises(LeadershipLostError, match=str(before)):
        second.driver.publish_leader_information(
            DISPATCHER, LeaderInformation(before, "old:1")
        )  # fmt: skip
    with pytest.raises(LeadershipLostError):
        second.driver.delete_leader_information(DISPATCHER, before)
    Retrieval.of(ha_backend, DISPATCHER).observer.wait_for(published)


def test_removing_leader_information(ha_backend: BackendHarness) -> None:
    leader = Contender.of(ha_backend)
    retrieval = Retrieval.of(ha_backend, DISPATCHER)
    information = leader.publish(DISPATCHER, "a:1")
    retrieval.observer.wait_for(information)
    leader.driver.delete_leader_information(DISPATCHER, information.session_id)
    retrieval.observer.wait_for(None)
    leader.driver.delete_leader_information(DISPATCHER, information.session_id)  # absent is fine


def test_a_ticket_can_be_sent_to_a_supervisor(ha_backend: BackendHarness) -> None:
    ticket = Contender.of(ha_backend).driver.ticket()
    assert json.loads(json.dumps(ticket)) == ticket
    assert ticket["type"]
