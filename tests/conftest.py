"""Fixtures that every folder of tests may use: the HA backends, by name.

A backend joins the contract suite by one line in ``HARNESSES``.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer

from hawork.cli.jupyter import UNUSED
from tests.contract.embedded_harness import PATIENT, EmbeddedHarness
from tests.contract.harness import BackendHarness
from tests.contract.in_memory_harness import InMemoryHarness
from tests.contract.kubernetes_harness import KubernetesHarness
from tests.contract.kubernetes_server import RUN
from tests.contract.simulated_harness import (
    SimulatedEmbeddedHarness,
    SimulatedKubernetesHarness,
    SimulatedZooKeeperHarness,
)
from tests.contract.zookeeper_harness import ZooKeeperHarness
from tests.scheduling import FileByFile, make_nicer

# Else each worker makes its 38 parsers as it imports nbformat, a second of a processor.
sys.modules.setdefault(UNUSED, None)  # type: ignore[arg-type]

# An example on a busy machine takes what it takes.
settings.register_profile("hawork", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hawork")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[object]:
    """Keep the rewritten tests for the next run, also where Python is told to keep nothing.

    Each worker would rewrite the assertions of all files again: nine seconds of a processor. What
    is collected stays: to look for garbage among it would take two more.
    """
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, False
    gc.disable()
    try:
        return (yield)
    finally:
        sys.dont_write_bytecode = before
        gc.freeze()
        gc.enable()


def pytest_configure(config: pytest.Config) -> None:
    """Give the workers of a run, or its only process, a folder in common."""
    if not hasattr(config, "workerinput"):
        folder = tempfile.TemporaryDirectory(prefix="hawork-test-run-", ignore_cleanup_errors=True)
        os.environ[RUN] = folder.name
        config.add_cleanup(folder.cleanup)
    else:
        make_nicer(config.workerinput["workerid"], config.workerinput["workercount"])


HARNESSES: dict[str, Callable[[Path], BackendHarness]] = {
    "embedded": lambda directory: EmbeddedHarness(directory, PATIENT),
    "in-memory": InMemoryHarness,
    "kubernetes": KubernetesHarness,
    "simulated-embedded": SimulatedEmbeddedHarness,
    "simulated-kubernetes": SimulatedKubernetesHarness,
    "simulated-zookeeper": SimulatedZooKeeperHarness,
    "zookeeper": ZooKeeperHarness,
}


@pytest.fixture(params=HARNESSES)
def ha_backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BackendHarness]:
    """An empty cluster on each backend; all it handed out is closed at the end."""
    harness = HARNESSES[request.param](tmp_path)
    yield harness
    harness.close()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileByFile:
    """Of the workers of a run: see ``scheduling.py``."""
    return FileByFile(config, log)
