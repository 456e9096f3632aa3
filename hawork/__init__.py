"""JobManager High Availability as Apache Flink 1.20 defines it, in Python.

The names below are imported when they are first used, so that ``import hawork`` is cheap.
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - a clone can be imported by any Python
    raise (SystemExit if sys.argv[:1] == ["-m"] else ImportError)(
        "hawork needs Python 3.11 or later, and this is "
        f"{'.'.join(map(str, sys.version_info[:3]))} ({sys.executable}): use another Python, or in "
        "a notebook another kernel"
    )

from hawork.core import library_path as _library_path

_library_path.guard()  # before anything else is imported

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

    from hawork.core.clock import Clock, SystemClock
    from hawork.core.configuration import Configuration
    from hawork.core.errors import HaworkError
    from hawork.core.events import Event, EventKind, EventLog, EventSink, read_events
    from hawork.core.jobs import (
        ApplicationStatus,
        CompletedCheckpoint,
        JobGraph,
        JobResult,
        JobStatus,
        RestartStrategy,
    )
    from hawork.core.steps import STEPS, StepGate, Steps
    from hawork.core.types import (
        DISPATCHER,
        NO_LEADERSHIP,
        RESOURCE_MANAGER,
        REST_SERVER,
        JobID,
        LeaderInformation,
        LeaderSessionID,
        StateHandle,
    )
    from hawork.ha.configuration_file import load_configuration
    from hawork.ha.leader_election import LeaderContender, LeaderElection
    from hawork.ha.leader_retrieval import LeaderRetrievalListener
    from hawork.ha.leader_retrieval_service import LeaderRetriever
    from hawork.ha.leader_stores import LeaderStores
    from hawork.ha.services import HighAvailabilityServices

__version__ = "0.1.0"

__all__ = [
    "DISPATCHER",
    "NO_LEADERSHIP",
    "RESOURCE_MANAGER",
    "REST_SERVER",
    "STEPS",
    "ApplicationStatus",
    "Clock",
    "CompletedCheckpoint",
    "Configuration",
    "Event",
    "EventKind",
    "EventLog",
    "EventSink",
    "HaworkError",
    "HighAvailabilityServices",
    "JobGraph",
    "JobID",
    "JobResult",
    "JobStatus",
    "LeaderContender",
    "LeaderElection",
    "LeaderInformation",
    "LeaderRetrievalListener",
    "LeaderRetriever",
    "LeaderSessionID",
    "LeaderStores",
    "RestartStrategy",
    "StateHandle",
    "StepGate",
    "Steps",
    "SystemClock",
    "load_configuration",
    "open_ha_services",
    "read_events",
]

_HOMES = {
    "hawork.core.clock": "Clock SystemClock",
    "hawork.core.configuration": "Configuration",
    "hawork.core.errors": "HaworkError",
    "hawork.core.events": "Event EventKind EventLog EventSink read_events",
    "hawork.core.jobs": (
        "ApplicationStatus CompletedCheckpoint JobGraph JobResult JobStatus RestartStrategy"
    ),
    "hawork.core.steps": "STEPS StepGate Steps",
    "hawork.core.types": (
        "DISPATCHER NO_LEADERSHIP RESOURCE_MANAGER REST_SERVER JobID LeaderInformation "
        "LeaderSessionID StateHandle"
    ),
    "hawork.ha.configuration_file": "load_configuration",
    "hawork.ha.leader_election": "LeaderContender LeaderElection",
    "hawork.ha.leader_retrieval": "LeaderRetrievalListener",
    "hawork.ha.leader_retrieval_service": "LeaderRetriever",
    "hawork.ha.leader_stores": "LeaderStores",
    "hawork.ha.services": "HighAvailabilityServices",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}


def open_ha_services(
    config: Mapping[str, Any] | Path | str,
    *,
    events: EventSink | None = None,
    steps: Steps | None = None,
    clock: Clock | None = None,
    ticket_sink: Callable[[dict[str, str]], None] | None = None,
) -> HighAvailabilityServices:
    """The HA services that a configuration, or the file of one, asks for.

    ``config`` maps Flink's option names to values, or is the path of a ``config.yaml``.
    ``ticket_sink`` is told what a supervisor needs to give up this process's leadership
    after its death. ``ConfigurationError`` or ``StoreUnavailableError`` in one sentence.
    """
    from hawork.backends.registry import open_backend
    from hawork.core.clock import SYSTEM_CLOCK
    from hawork.core.events import NullEventSink
    from hawork.core.options import checked
    from hawork.ha.configuration_file import load_configuration
    from hawork.ha.services import HighAvailabilityServices

    values = checked(config) if isinstance(config, Mapping) else load_configuration(config)
    clock, events = clock or SYSTEM_CLOCK, events or NullEventSink()
    backend = open_backend(values, clock, events)
    try:
        return HighAvailabilityServices(values, backend, clock, events, steps, ticket_sink)
    except BaseException:  # no thread is left, say
        backend.close()
        raise


class _MovedModules:
    """Finds a module of the former layout, when it is nowhere else."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if not name.startswith("hawork."):
            return None
        from hawork.moved import spec_of

        return spec_of(name)


sys.meta_path.append(_MovedModules)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'hawork' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
