"""The simulated HA stores under the drivers of hawork: they pass the suite that the real ones pass.

The test itself is a thread of the simulation from here on, until the harness is closed.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from random import Random

from hawork.backends.registry import open_backend
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.events import EventLog
from hawork.core.options import checked
from hawork.ha.backend import Backend
from hawork.simulation.faults import Faults
from hawork.simulation.stores.embedded import EmbeddedStore
from hawork.simulation.stores.kubernetes import KubernetesStore
from hawork.simulation.stores.store import Store
from hawork.simulation.stores.zookeeper import ZooKeeperStore
from hawork.simulation.substitution import simulated
from hawork.simulation.world import World
from tests.contract.remembering import RememberingBackend, close_all


class SimulatedHarness:
    """A cluster on a simulated store, without faults."""

    def __init__(self, kind: type[Store]) -> None:
        random = Random(kind.__name__)
        self.world = World(random, Faults(Random(0), (), 0, quiet=True))
        self.store = kind(self.world)
        self.config = checked({**kind.options, "high-availability.storageDir": "file:/simulated"})
        self.events = EventLog("test")
        self._backends: list[RememberingBackend] = []
        self._simulation = contextlib.ExitStack()
        self._simulation.enter_context(simulated(self.world.scheduler, self.store.substitutes()))
        self.world.scheduler.adopt(self.world.scheduler.process("test"), "test")

    def backend(self) -> Backend:
        backend = RememberingBackend(open_backend(self.config, SYSTEM_CLOCK, self.events))
        self._backends.append(backend)
        return backend

    def expire_leadership(self) -> None:
        self.store.expire()

    def close(self) -> None:
        with self._simulation:
            close_all(self._backends)
            self.world.scheduler.current = None
            self.world.close()
            self.store.close()


class SimulatedEmbeddedHarness(SimulatedHarness):
    def __init__(self, _: Path) -> None:
        super().__init__(EmbeddedStore)


class SimulatedKubernetesHarness(SimulatedHarness):
    def __init__(self, _: Path) -> None:
        super().__init__(KubernetesStore)


class SimulatedZooKeeperHarness(SimulatedHarness):
    def __init__(self, _: Path) -> None:
        super().__init__(ZooKeeperStore)
