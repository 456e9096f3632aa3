"""The public fakes, and the examples in docstrings."""

from __future__ import annotations

import doctest
import importlib
import threading

import pytest

from hawork.core.errors import StoreUnavailableError
from hawork.ha.pointer_store import JOB_GRAPHS
from hawork.testing import FailingPointers, Failures, InMemoryCluster, ManualClock, eventually

MODULES = [
    "hawork.core.configuration",
    "hawork.core.types",
    "hawork.core.units",
    "hawork.ha.leader_retrieval_service",
    "hawork.ha.storage",
    "hawork.testing.failing",
    "hawork.testing.recording",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0 and found.failed == 0


def test_a_manual_clock_moves_both_times() -> None:
    clock = ManualClock(monotonic=5.0, wall=100.0)
    clock.advance(2.5)
    assert (clock.monotonic(), clock.time()) == (7.5, 102.5)


def test_eventually_waits_for_other_threads() -> None:
    happened: list[str] = []
    timer = threading.Timer(0.02, lambda: happened.append("x"))
    timer.start()
    assert eventually(lambda: happened) == ["x"]
    timer.join()


def test_eventually_shows_the_last_reason() -> None:
    def check() -> bool:
        raise AssertionError("because")

    with pytest.raises(AssertionError, match="did not become true within 0 s") as caught:
        eventually(check, timeout=0)
    assert str(caught.value.__cause__) == "because"


def test_planned_failures_come_once_and_in_order() -> None:
    failures = Failures()
    failures.fail("create", StoreUnavailableError("first"))
    failures.fail("create", StoreUnavailableError("second"), after=True)
    cluster = InMemoryCluster()
    session_id = cluster.lead()
    pointers = FailingPointers(cluster.backend().pointers(JOB_GRAPHS), failures)
    with pytest.raises(StoreUnavailableError, match="first"):
        pointers.create("x", b"", session_id)
    assert pointers.read("x") is None
    with pytest.raises(StoreUnavailableError, match="second"):
        pointers.create("x", b"", session_id)
    assert pointers.read("x") is not None
    cluster.close()
