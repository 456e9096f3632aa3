"""A contender may be granted leadership, and confirm it, before its ``start`` has returned."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from election_setup import TIMEOUT, Setup

from hawork.testing import RecordingContender, eventually


@pytest.fixture
def setup() -> Iterator[Setup]:
    setup = Setup()
    yield setup
    setup.close()


def test_an_early_grant_can_be_confirmed(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    confirmed: list[Future[None]] = []
    register = setup.service.register

    def return_late(*arguments: Any) -> object:
        registered = register(*arguments)
        eventually(lambda: confirmed)
        return registered

    monkeypatch.setattr(setup.service, "register", return_late)
    setup.factory.while_creating = lambda driver: driver.grant()
    election = setup.service.leader_election("service")
    setup.elections.append(election)
    election.start(
        RecordingContender(
            on_grant=lambda session_id: confirmed.append(
                election.confirm_leadership(session_id, "http://a")
            )
        )
    )
    confirmed[0].result(TIMEOUT)
    assert setup.factory.storage["service"].address == "http://a"
