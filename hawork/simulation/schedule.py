"""One schedule: from a seed to what happened, and whether it was right."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random

from hawork.core.errors import ConfigurationError
from hawork.core.events import Event
from hawork.simulation.checker import check
from hawork.simulation.cluster import Cluster, Size
from hawork.simulation.faults import Faults, Struck
from hawork.simulation.scheduler import Stuck
from hawork.simulation.seed import Seed
from hawork.simulation.stores.embedded import EmbeddedStore
from hawork.simulation.stores.kubernetes import KubernetesStore
from hawork.simulation.stores.store import Store
from hawork.simulation.stores.zookeeper import ZooKeeperStore
from hawork.simulation.substitution import simulated

STORES: Mapping[str, type[Store]] = {
    "embedded": EmbeddedStore,
    "kubernetes": KubernetesStore,
    "zookeeper": ZooKeeperStore,
}
"""The simulated HA stores, by backend."""
_A_MOMENT = 3.0
_ALONE = 0.25
"""In how many schedules a standby has to lead in the end, because all others are gone."""
HEALED = 90.0
"""Simulated seconds after which everything must be over, whatever happened."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a schedule came to. ``violations`` says in sentences what never may happen."""

    seed: Seed
    violations: tuple[str, ...]
    faults: tuple[Struck, ...]
    steps: tuple[tuple[str, str, str | None], ...]
    seconds: float
    turns: int
    reached: frozenset[tuple[str, str | None]]
    """Points that a JobManager came to: what it did, and the step that it had reached last."""
    later: Mapping[str, int]
    """How many requests came when each fault that the seed orders had struck, by the last step."""
    trace: int
    """The same for the same schedule, another one for any other."""
    recorded: tuple[Event, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.violations

    def __str__(self) -> str:
        faults = ", ".join(f"{each.kind} of {each.process} at {each.label}" for each in self.faults)
        verdict = "; ".join(self.violations) or "all is right"
        return f"{self.seed} ({faults or 'no fault'}): {verdict}"


def run(seed: Seed, *, record: bool = False) -> Outcome:
    """Run the schedule of a seed; takes no simulated time of anybody's."""
    open_store = STORES.get(seed.backend)
    if open_store is None:
        raise ConfigurationError(
            f"backend {seed.backend!r} is not simulated: choose one of {', '.join(STORES)}"
        )
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run(seed, open_store, record)
    # The loop of a notebook's kernel must not take part: which loop runs is kept by thread.
    with ThreadPoolExecutor(1, "simulation") as thread:
        return thread.submit(_run, seed, open_store, record).result()


def _run(seed: Seed, open_store: type[Store], record: bool) -> Outcome:
    with _own_garbage():
        random = Random(f"{seed.backend}:{seed.number}")
        faults = Faults(random, seed.orders, open_store.expected_points)
        cluster = Cluster(open_store, random, faults, Size.of(seed.number))
        world = cluster.world
        scheduler = world.scheduler
        with simulated(scheduler, cluster.substitutes()):
            try:
                cluster.start()
                settled = scheduler.run(1000.0 + HEALED, cluster.settled)
            except Stuck as error:
                world.violated(str(error))
                settled = False
            violations = tuple(dict.fromkeys(check(cluster, settled)))
            if settled and violations:
                # A process that has just woken up may be about to clean up behind itself.
                scheduler.run(scheduler.now + _A_MOMENT, lambda: False)
                # One that stands back from a disk that hangs may be all that is left.
                scheduler.run(scheduler.now + HEALED, cluster.is_led)
                if cluster.has_late_files():
                    cluster.take_over()
                    scheduler.run(scheduler.now + HEALED, cluster.has_swept)
                violations = tuple(dict.fromkeys(check(cluster, settled)))
            if settled and not violations and random.random() < _ALONE:
                violations = tuple(_left_alone(cluster))
            seconds = scheduler.now - 1000.0
            world.close()
            cluster.store.close()
        outcome = _outcome(seed, cluster, violations, seconds, record)
        del cluster, world, scheduler, faults
    return outcome


def _left_alone(cluster: Cluster) -> list[str]:
    """Whatever it went through, a JobManager that runs takes part; what is wrong with that."""
    last, world = cluster.leave_alone(), cluster.world
    if last is None:
        return []
    try:
        led = world.scheduler.run(world.scheduler.now + HEALED, lambda: cluster.leads(last))
    except Stuck as error:
        return [str(error)]
    unled = [] if led else [f"{last.name} does not lead although all others are gone"]
    return [*world.violations, *unled]


def _outcome(
    seed: Seed, cluster: Cluster, violations: tuple[str, ...], seconds: float, record: bool
) -> Outcome:
    world = cluster.world
    scheduler = world.scheduler
    # What was drawn decides all that happened: the next draw is another one after another schedule.
    drawn = scheduler.random.random(), scheduler.chance.random(), scheduler.turns, seconds
    trace = zlib.crc32(repr((drawn, world.steps)).encode())
    return Outcome(
        seed,
        violations,
        tuple(world.faults.struck),
        tuple(world.steps),
        seconds,
        world.scheduler.turns,
        frozenset(world.faults.reached),
        dict(world.faults.later),
        trace,
        tuple(world.events()) if record else (),
    )


@contextlib.contextmanager
def _own_garbage() -> Iterator[None]:
    """Collect what a schedule leaves behind at its end, and at no other moment.

    What was going on when it ended goes then: coroutines that wait for something that never comes
    have nothing to tell any more.
    """
    collecting, hook = gc.isenabled(), sys.unraisablehook
    gc.disable()
    gc.freeze()  # what was there before costs nothing
    sys.unraisablehook = _silent
    try:
        yield
    finally:
        gc.collect()
        sys.unraisablehook = hook
        gc.unfreeze()
        if collecting:
            gc.enable()


def _silent(_: object) -> None:
    """Said of a schedule that is over."""
