"""A leader that was deposed, and whose write has no answer, on the simulated ZooKeeper."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hawork.backends.zookeeper.latch import Latch
from hawork.backends.zookeeper.session import OutcomeUnknownError
from hawork.core.errors import PossibleInconsistentStateError
from hawork.core.types import LeaderSessionID
from hawork.ha.pointer_store import RESULTS, PointerStore
from hawork.simulation.stores.zookeeper_server import Operation
from tests.contract.harness import ElectionListener
from tests.contract.simulated_harness import SimulatedZooKeeperHarness

Write = Callable[[PointerStore, LeaderSessionID, int], object]
WRITES: dict[str, Write] = {
    "create": lambda pointers, leader, _: pointers.create("new", b"value", leader),
    "replace": lambda pointers, leader, version: pointers.replace("there", version, b"1", leader),
    "delete": lambda pointers, leader, _: pointers.delete("absent", leader),
}


@pytest.fixture
def cluster() -> Iterator[SimulatedZooKeeperHarness]:
    harness = SimulatedZooKeeperHarness(Path())
    try:
        yield harness
    finally:
        harness.close()


@pytest.mark.parametrize("name", WRITES)
def test_what_the_next_leader_wrote_is_not_taken_for_ones_own(
    cluster: SimulatedZooKeeperHarness, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it leads is what a caller asks by a write, before it touches files.

    Found by 1000308+long-pause@result.decided+long-pause-after@zookeeper.create: a leader that was
    deposed while it stood still set the result of the next one aside.
    """
    listener, write = ElectionListener(), WRITES[name]
    backend = cluster.backend()
    backend.election_driver(listener)
    leader = listener.wait_for_grant()
    pointers = backend.pointers(RESULTS)
    pointers.create("there", b"1", leader)
    there = pointers.read("there")
    assert there is not None
    commit, asked = Latch.commit, []

    def break_once(latch: Latch, fence: str, build: Any, what: str) -> list[Any]:
        if asked:
            return commit(latch, fence, build, what)
        asked.append(what)
        # The session ends, and the next leader does the same.
        path = cluster.store.paths.namespace(RESULTS)  # type: ignore[attr-defined]
        server = cluster.store.server  # type: ignore[attr-defined]
        cluster.expire_leadership()
        session = server.open_session(3.0, 0.0, b"")
        if name == "create":
            server.apply(Operation("create", f"{path}/new", b"value"), session)
        elif name == "replace":
            server.apply(Operation("set", f"{path}/there", b"1"), session)
        raise OutcomeUnknownError("the connection broke")

    monkeypatch.setattr(Latch, "commit", break_once)
    with pytest.raises(PossibleInconsistentStateError):
        write(pointers, leader, there.version)
