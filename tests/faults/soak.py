"""A soak: random faults under load, and everything that must be true afterwards."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from hawork.core.events import Event, EventKind
from hawork.lab import LabCluster
from hawork.testing import eventually
from tests.faults.chaos import Chaos, task_processes
from tests.faults.load import Load
from tests.faults.scenario import FAST, Scenario
from tests.faults.stores import store_options, witness_of

OPTIONS = {
    **FAST,
    "heartbeat.interval": "250 ms",
    "heartbeat.timeout": "1200 ms",
    # Some of the long pauses are longer, and what is blocked is ended by it alone.
    "hawork.supervisor.watchdog": "2 s",
    # Small enough for keyed state to be in files of its own.
    "state.storage.fs.memory-threshold": "100 b",
}
TASK_MANAGERS = 2

_KILLING = ("kill", "restart")
_HANGING = ("pause", "block")
_TERMINATED = (0, -signal.SIGTERM)  # the latter when it had hardly started


def soak(directory: Path, seed: int, faults: int, mean_pause: float = 1.0) -> None:
    """Run ``faults`` random faults; raises ``AssertionError`` with the seed and the events.

    Between two faults are ``mean_pause`` seconds on average; often they come in quick
    succession.
    """
    print(f"soak of {faults} faults with HAWORK_SEED={seed}")
    source = random.Random(seed)
    began = time.monotonic()
    job_managers, supervisor = source.choice((1, 2, 3, 3)), source.random() < 0.7
    print(f"  {job_managers} JobManagers, supervisor: {'on' if supervisor else 'off'}")
    ha, store = store_options()
    before = psutil.Process().children(recursive=True)
    with LabCluster(
        job_managers, TASK_MANAGERS, ha=ha, directory=directory / "lab",
        options={**OPTIONS, **store}, supervisor=supervisor, keep=True,
    ) as lab:  # fmt: skip
        scenario = _SoakScenario(lab, directory)
        try:
            _run(scenario, source, faults, mean_pause)
        except BaseException:
            print(f"HAWORK_SEED={seed} failed; the last events of {lab.directory}:")
            for event in lab.event_list()[-80:]:
                print(event.to_json())
            raise
    check_no_process_is_left(before)
    print(f"  {time.monotonic() - began:.0f} s")


def _run(scenario: Scenario, source: random.Random, faults: int, mean_pause: float) -> None:
    lab = scenario.lab
    witness = witness_of(lab)
    # Of their own: how often jobs are topped up does not change which faults come.
    load = Load(scenario, random.Random(source.random()))
    chaos = Chaos(lab, random.Random(source.random()))
    load.top_up()
    while chaos.done.total() < faults:
        chaos.break_something()
        chaos.live_on(source.expovariate(1.0) * mean_pause)
        load.top_up()
    chaos.end()
    load.check()
    eventually(lambda: not task_processes())
    eventually(lambda: len(lab.client.taskmanagers()) == TASK_MANAGERS)
    scenario.check_verdict()
    _check_nothing_but_results(lab.directory / "storage")
    check_every_death_was_wanted(lab.event_list())
    check_no_complaints(lab.directory / "logs")
    writes = witness.check(lab.event_list())
    _print_figures(lab.event_list(), chaos, load, writes)


def check_every_death_was_wanted(events: list[Event]) -> None:
    """A process ends because it was told to, or because it was killed; never by itself."""
    killed: Counter[str] = Counter()
    told: Counter[str] = Counter()
    stood_still: set[str] = set()
    for event in events:
        target = str(event.facts.get("target", event.process))
        verb = event.facts.get("verb")
        if event.kind is EventKind.FAULT and verb in _KILLING:
            killed[target] += 1
        elif event.kind is EventKind.FAULT and verb == "terminate":
            told[target] += 1
        elif event.kind is EventKind.FAULT and verb in _HANGING:
            stood_still.add(target)
        elif event.kind is EventKind.STEP_ARMED and event.facts["action"] == "crash":
            killed[target] += 1
        elif event.kind is EventKind.STEP_ARMED:
            stood_still.add(target)
        elif event.kind is EventKind.PROCESS_HUNG:
            assert event.facts["of"] in stood_still, event
            killed[event.facts["of"]] += 1
        elif event.kind is EventKind.PROCESS_EXITED:
            status, of = event.facts["status"], event.facts["of"]
            assert status in (*_TERMINATED, -signal.SIGKILL), event
            assert (told if status in _TERMINATED else killed)[of] > 0, event


def check_no_complaints(logs: Path) -> None:
    """Nothing went wrong without being handled, nothing was left behind by the event loop."""
    for log in sorted(logs.glob("*.log")):
        text = log.read_text(errors="replace")
        for complaint in ("Traceback", "Task was destroyed", "never retrieved"):
            assert complaint not in text, f"{log.name}: {text[-3000:]}"


def _check_nothing_but_results(storage: Path) -> None:
    """Nothing of any job is left in storageDir; the store and the results are."""
    left = list((storage / "lab" / "jobs").glob("*"))
    assert not left, left


def check_no_process_is_left(before: list[psutil.Process]) -> None:
    def processes() -> list[psutil.Process]:
        return [each for each in psutil.Process().children(recursive=True) if each not in before]

    eventually(lambda: not processes())


def _print_figures(events: list[Event], chaos: Chaos, load: Load, writes: int) -> None:
    kinds = Counter(event.kind for event in events)
    figures: dict[str, Any] = {
        "faults": dict(chaos.done),
        "leaders": kinds[EventKind.LEADERSHIP_GRANTED],
        "jobs": {status.value: number for status, number in load.ended.items()},
        "restored": kinds[EventKind.JOB_RESTORED],
        "checkpoints": kinds[EventKind.CHECKPOINT_COMPLETED],
        "writes": writes,
        "writes refused": kinds[EventKind.POINTER_REFUSED],
    }
    for name, value in figures.items():
        print(f"  {name}: {value}")


class _SoakScenario(Scenario):
    """The witness's own rows name the jobs, too: they are not remains of them."""

    def _rows_of(self, job_id: str) -> list[Any]:
        return [row for row in super()._rows_of(job_id) if row["table"] != "witness"]
