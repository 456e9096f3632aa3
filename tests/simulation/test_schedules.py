"""hawork's own code in simulation: whatever strikes, it comes out right, and again the same."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from hawork.backends.embedded import election_driver, pointer_store
from hawork.core.errors import ConfigurationError
from hawork.simulation import ForeignSeedError, Seed, replay, run
from hawork.simulation.schedule import STORES
from hawork.simulation.seed import version

SCHEDULES = 100


@pytest.mark.parametrize("backend", STORES)
def test_random_schedules_come_out_right(backend: str) -> None:
    wrong = [
        outcome for number in range(SCHEDULES) if not (outcome := run(Seed(backend, number))).ok
    ]
    assert not wrong, "\n".join(map(str, wrong[:5]))


@pytest.mark.parametrize("backend", STORES)
def test_a_seed_is_the_same_schedule_in_another_process(backend: str) -> None:
    program = (
        "from hawork.simulation import Seed, run\n"
        f"print([run(Seed({backend!r}, number)).trace for number in range(5)])"
    )
    traces = [run(Seed(backend, number)).trace for number in range(5)]
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60,
        env={"PYTHONHASHSEED": "77"}, check=True,
    )  # fmt: skip
    assert found.stdout.strip() == str(traces)
    assert len(set(traces)) == 5


def test_a_fence_that_was_left_out_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fence(*_: Any) -> None:
        """Lets every write through."""

    monkeypatch.setattr(pointer_store, "fence", fence)
    monkeypatch.setattr(election_driver, "fence", fence)
    found = [
        outcome.violations
        for number in range(60)
        if not (outcome := run(Seed("embedded", number))).ok
    ]
    assert any("was accepted while" in sentence for each in found for sentence in each)


def test_a_fault_can_be_ordered_by_name() -> None:
    seed = f"{version()}:embedded:3+crash@checkpoint.written#2"
    outcome = replay(seed)
    assert [(each.kind, each.label) for each in outcome.faults] == [("crash", "checkpoint.written")]
    assert str(outcome.seed) == seed


def test_a_failing_seed_is_a_test_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pointer_store, "fence", lambda *_: None)
    seed = next(each for each in map(_seed, range(200)) if not run(each).ok)
    with pytest.raises(AssertionError, match="accepted while"):
        replay(str(seed))


def test_a_seed_of_another_version_says_so() -> None:
    with pytest.raises(ForeignSeedError, match=f"made by version 00000000 .* {version()}"):
        replay("00000000:embedded:1")
    assert replay("00000000:embedded:1", any_version=True).ok


@pytest.mark.parametrize(
    "text", ["", "embedded:1", "00000000:embedded:x", "00000000:embedded:1+burn@result.dirty"]
)
def test_what_is_no_seed_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is not a|is not an order"):
        Seed.parse(text, any_version=True)


def test_a_backend_that_is_not_simulated_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'tape' is not simulated: choose one of embedded"):
        run(Seed("tape", 1))


def _seed(number: int) -> Seed:
    return Seed("embedded", number)
