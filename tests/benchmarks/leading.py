"""The HA services of a cluster, led by this process: stores to write to without a JobManager."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hawork.backends.registry import open_backend
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.configuration import Configuration
from hawork.core.events import NullEventSink
from hawork.core.types import DISPATCHER
from hawork.ha.backend import Backend
from hawork.ha.leader_stores import LeaderStores
from hawork.ha.services import HighAvailabilityServices
from hawork.testing import RecordingContender


@contextmanager
def leadership(config: Configuration) -> Iterator[tuple[Backend, LeaderStores]]:
    """Lead the cluster of ``config`` for a while; its HA data stays."""
    backend = open_backend(config, SYSTEM_CLOCK, NullEventSink())
    with HighAvailabilityServices(config, backend) as ha:
        contender = RecordingContender()
        ha.leader_election(DISPATCHER).start(contender)
        yield backend, ha.stores(contender.wait_for_grant())
