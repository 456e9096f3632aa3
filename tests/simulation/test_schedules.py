"""hawork's own code in simulation: whatever strikes, it comes out right, and again the same."""

from __future__ import annotations

import ast
import asyncio
import dataclasses
import gc
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from hawork.core.errors import ConfigurationError
from hawork.core.events import EventKind, read_events
from hawork.core.steps import STEPS
from hawork.simulation import (
    BROKEN_FENCE,
    Defect,
    ForeignSeedError,
    Seed,
    record,
    replay,
    run,
)  # fmt: skip
from hawork.simulation.faults import Order
from hawork.simulation.schedule import STORES
from hawork.simulation.seed import version
from hawork.simulation.world import World
from hawork.story.facts import tell
from tests.simulation.defects import DEFECTS
from tests.simulation.finding import NAMED, find, find_in, find_named
from tests.simulation.fresh_defects import FRESH_DEFECTS, HELD_BY_SOMETHING_ELSE

_HISTORIES = """
import hashlib, json, sys
from hawork.simulation import Seed, run
def history(number):
    outcome = run(Seed(sys.argv[1], number), record=True)
    told = [json.dumps(event.to_json(), default=str) for event in outcome.recorded]
    return hashlib.sha256("\\n".join([*told, str(outcome)]).encode()).hexdigest()
numbers = list(map(int, sys.argv[2:]))
print({number: history(number) for number in numbers})
"""


def _histories(backend: str, numbers: Iterable[int], hash_seed: str) -> dict[int, str]:
    found = subprocess.run(
        [sys.executable, "-c", _HISTORIES, backend, *map(str, numbers)],
        capture_output=True, text=True, timeout=120, env={"PYTHONHASHSEED": hash_seed}, check=True,
    )  # fmt: skip
    told: dict[int, str] = ast.literal_eval(found.stdout)
    return told


@pytest.mark.parametrize("backend", STORES)
def test_a_seed_is_the_same_history_in_another_process(backend: str) -> None:
    """Byte for byte, whatever Python's hash seed, and whatever ran before in the process."""
    histories = _histories(backend, range(6), "0")
    assert _histories(backend, reversed(range(6)), "77") == histories
    assert len(set(histories.values())) == 6


@pytest.mark.parametrize("backend", list(STORES))
def test_a_schedule_leaves_no_memory_behind(backend: str) -> None:
    """A thousand objects of each had stayed, 200 kB: a hundred thousand had no room in 16 GB."""
    before = _worlds()
    for number in range(20):
        run(Seed(backend, number))
    assert _worlds() - before < 8, "besides those that greenlets still hold which wait for work"


def _worlds() -> int:
    return sum(type(each) is World for each in gc.get_objects())


def test_a_restart_is_as_late_as_before() -> None:
    """The pause before it is drawn from the seed, as all else."""
    seed = Seed("embedded", 3, (Order("no-tasks", "checkpoint.written"),))
    assert len({run(seed).trace for _ in range(3)}) == 1


SAMPLE = [each for each in DEFECTS if each.name in (
    "the fence of SQLite's transactions is left out",
    "transactions do not check the latch node",
    "a lease is taken without a look",
    "a job begins anew in a takeover",
)]  # fmt: skip


@pytest.mark.parametrize(
    "defect",
    [*SAMPLE, *(each for each in FRESH_DEFECTS if each.name not in NAMED)],
    ids=lambda defect: defect.name,
)
def test_a_deliberate_defect_is_found(defect: Defect) -> None:
    assert find(defect, 300) is not None


@pytest.mark.parametrize("name", NAMED)
def test_a_deliberate_defect_is_found_by_the_faults_that_show_it(name: str) -> None:
    defect = next(each for each in (*DEFECTS, *FRESH_DEFECTS) if each.name == name)
    assert find_named(defect, 150) is not None


@pytest.mark.parametrize(
    "defect",
    (*DEFECTS, *FRESH_DEFECTS, *HELD_BY_SOMETHING_ELSE),
    ids=lambda defect: defect.name,
)
def test_each_defect_can_be_had(defect: Defect) -> None:
    """What a bench would only find out after minutes: the source reads as the defect says."""
    with defect.applied():
        pass


def test_a_defect_of_other_source_is_refused() -> None:
    other = dataclasses.replace(BROKEN_FENCE, old="no such line")
    with pytest.raises(ConfigurationError, match="'no such line' 0 times, and not once"):
        other.applied().__enter__()


@pytest.mark.parametrize("backend", STORES)
def test_what_a_paused_leader_acknowledges_is_run(backend: str) -> None:
    """One in ten of these had a job that was acknowledged and that nothing ran."""
    orders = tuple(
        Order.parse(each)
        for each in ("long-pause@takeover.published", "refused@storage.delete/submit.pointer_added")
    )
    wrong = [each for n in range(30) if not (each := run(Seed(backend, n, orders))).ok]
    assert not wrong, "\n".join(map(str, wrong))


def test_what_a_process_that_died_as_it_began_leaves_is_removed_by_the_next_one() -> None:
    """All else was over then, and what it had tried storageDir with passed for left over."""
    assert (outcome := run(Seed("kubernetes", 10_000_810))).ok, str(outcome)


@pytest.mark.parametrize(
    "seed",
    [
        "kubernetes:14+long-pause@storage.write/takeover.published",
        "embedded:10+stop@storage.write/takeover.published+>long-pause@storage.write",
        "zookeeper:10+stop@storage.write/takeover.published+>long-pause@storage.write",
    ],
)
def test_a_deposed_leader_leaves_no_artifact_behind(seed: str) -> None:
    """It was written beside the cleanup of the next one, or by a process that was told to end."""
    outcome = run(Seed.parse(f"00000000:{seed}", any_version=True))
    assert outcome.ok, str(outcome)


def test_a_file_in_doubt_is_kept_until_the_next_takeover() -> None:
    """A deposed leader heard no answer to the write that was to point to its checkpoint."""
    orders = "+crash@result.decided+long-pause@kubernetes.patch/checkpoint.written"
    orders += "+lost@kubernetes.patch/leadership.revoked"
    outcome = run(Seed.parse(f"00000000:kubernetes:80100000{orders}", any_version=True))
    assert outcome.ok, str(outcome)


def test_a_leader_that_stands_back_from_a_disk_that_hangs_is_waited_for() -> None:
    """All else was over, and the other one had just died: no one led for some seconds more."""
    assert (outcome := run(Seed("kubernetes", 1_000_837))).ok, str(outcome)


def test_a_fault_can_wait_for_the_one_before() -> None:
    """The first leader makes requests after its grant, too; the crash comes before those meant."""
    seed = f"{version()}:embedded:3+crash@result.dirty+>refused@request/takeover.granted#3"
    assert str(Seed.parse(seed)) == seed
    told = [(each.process, each.kind, each.label) for each in replay(seed).outcome.faults]
    assert [kind for _, kind, _ in told] == ["crash", "refused"]
    assert told[0][2] == "result.dirty"
    assert told[1][0] != told[0][0]
    assert told[1][2] not in STEPS


def test_a_run_is_told_as_that_of_a_lab(tmp_path: Path) -> None:
    again = record(Seed("embedded", 3, (Order("crash", "checkpoint.written"),)))
    assert [each.cause for each in again.timeline().takeovers] == ["kill"]
    assert again.verdict().valid
    saved = again.save(tmp_path / "run")
    kept = [json.dumps(event.to_json()) for event in read_events(saved / "events")]
    assert sorted(kept) == sorted(json.dumps(each.to_json()) for each in again.event_list())


def test_a_process_that_crashed_is_down_until_it_is_started_again() -> None:
    again = record(Seed("embedded", 3, (Order("crash", "checkpoint.written"),)))
    events = again.event_list()
    (fault,) = [each for each in events if each.kind is EventKind.FAULT]
    (ended,) = [each for each in events if each.kind is EventKind.PROCESS_EXITED]
    killed = fault.facts["target"]
    assert (ended.facts["of"], ended.facts["status"]) == (killed, -9)
    assert tell(ended) == f"{killed} ended"
    timeline = again.timeline()
    (mark,) = [each for each in timeline.marks if each.lane == killed and each.label == "kill"]
    lane = [each for each in timeline.segments if each.lane == killed]
    after = [each.state for each in lane if each.end > mark.time + 0.001]
    assert after[0] == "down", lane
    assert "leading" not in after, lane


def test_a_pause_and_its_end_are_told() -> None:
    again = record(Seed("embedded", 4, (Order("pause", "checkpoint.written"),)))
    told = [each.facts["verb"] for each in again.event_list() if each.kind is EventKind.FAULT]
    assert told == ["pause", "resume"]
    assert not again.timeline().takeovers


def test_the_verdict_shows_what_a_broken_fence_does() -> None:
    with BROKEN_FENCE.applied():
        found = find_in(BROKEN_FENCE, 100)
        assert found is not None
        broken = record(found.outcome.seed)
        with pytest.raises(AssertionError, match="was accepted while"):
            replay(str(found.outcome.seed))
    assert any("was accepted while" in each for each in broken.outcome.violations)
    told = [each for each in broken.event_list() if each.process == "simulation"]
    assert any("violated" in str(each.facts.get("message")) for each in told)


def test_a_schedule_leaves_the_loop_of_a_notebook_alone() -> None:
    """A cell runs inside the event loop of its kernel, which has to go on afterwards."""

    async def cell() -> int:
        outcome = run(Seed("embedded", 1))
        await asyncio.sleep(0)
        return outcome.trace

    assert asyncio.run(cell()) == run(Seed("embedded", 1)).trace


def test_a_fault_can_be_ordered_by_name() -> None:
    seed = f"{version()}:embedded:3+crash@storage.write#2"
    outcome = replay(seed).outcome
    assert [(each.kind, each.label) for each in outcome.faults] == [("crash", "storage.write")]
    assert str(outcome.seed) == seed


def test_a_seed_of_another_version_says_so() -> None:
    with pytest.raises(ForeignSeedError, match=f"made by version 00000000 .* {version()}"):
        replay("00000000:embedded:1")
    assert replay("00000000:embedded:1", any_version=True).outcome.ok


@pytest.mark.parametrize(
    "text",
    [
        "",
        "embedded:1",
        "00000000:embedded:x",
        "00000000:embedded:1+burn@result.dirty",
        "00000000:embedded:1+crash>@result.dirty",
    ],
)
def test_what_is_no_seed_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is not a|is not an order"):
        Seed.parse(text, any_version=True)


def test_a_backend_that_is_not_simulated_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'tape' is not simulated: choose one of embedded"):
        run(Seed("tape", 1))
