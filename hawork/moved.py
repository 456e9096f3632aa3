"""Where the modules of the former layout are now, for one release.

Scripts that were written for it go on working: a module that moved is found by its former name, and
its public names are looked up in the new places when they are first used, with a
``DeprecationWarning`` that names the place. ``hawork`` asks here only for modules that are nowhere
else, so that this costs nothing.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import warnings
from types import ModuleType
from typing import Any

_LAB = """
    armed_steps: lab.steps core.steps
    artifact_magic: lab.magic lab.artifacts
    beliefs: story.beliefs
    bundling: inspect.files
    comparison: story.comparison
    demonstration: lessons.demonstration
    doctor: cli.doctor
    event_reader: story.event_reader
    exercises: lessons
    exercises.cases: lessons.cases
    exercises.check: lessons.check
    exercises.jobs: lessons.jobs
    exercises.leading: lessons.leading
    exercises.writing: lessons.writing
    flink_attach: lab.flink.attached
    flink_client: lab.flink.client
    flink_cluster: lab.flink.cluster lab.flink.submission
    flink_distribution: lab.flink.distribution core.flink
    flink_events: lab.flink.events
    flink_foreign: lab.flink.foreign lab.flink.watch core.addresses
    flink_jar: lab.flink.jar
    flink_job: lab.flink.job
    flink_log: lab.flink.log
    flink_memory: lab.flink.memory
    flink_processes: lab.flink.processes
    flink_rest: client.flink_rest
    flink_script: lab.flink.script
    flink_watch: lab.flink.watch
    frames: story.frames
    full_details: client.flink_rest
    incident_job: lessons.incident_job
    incidents: lessons.incidents
    kubernetes_api: servers.kubernetes.api
    kubernetes_audit: servers.kubernetes.audit
    kubernetes_program: servers.kubernetes.program
    kubernetes_rights: backends.kubernetes.rights servers.kubernetes.kubeconfig
    kubernetes_server: servers.kubernetes.control_plane
    kubernetes_store: lab.stores.kubernetes
    lab_options: lab.options
    loopback: servers.machine
    manifests: deploy.manifests
    manifests_flink: deploy.manifests_flink
    memory: servers.machine
    open_labs: lab.closing
    panels: panels
    panels.background: panels.background
    panels.bundle: panels.script
    panels.cluster_cards: panels.cluster_cards
    panels.commands: panels.commands
    panels.controller: panels.controller
    panels.faces: panels.static_views
    panels.facts: story.facts
    panels.feed: panels.feed
    panels.job_rows: panels.job_rows
    panels.live_timeline: panels.live_timeline
    panels.moments: panels.replay
    panels.panel: panels.panel
    panels.replay: panels.replay
    panels.sources: panels.sources
    panels.step_rows: panels.step_rows core.steps
    panels.store_rows: panels.store_rows
    panels.view_sources: panels.view_sources
    panels.widgets: panels.widgets
    recorded: story.recorded
    redaction: core.redaction core.known_secrets
    report: story.report
    rules: story.rules
    rules.checkpoints: story.rules.checkpoints
    rules.history: story.rules.history
    rules.jobs: story.rules.jobs
    rules.leadership: story.rules.leadership
    rules.output: story.rules.output
    rules.rule: story.rules.rule
    rules.writes: story.rules.writes
    run_bundle: story.run_bundle story.bundle_writer
    store_difference: inspect.difference
    store_network: lab.stores.network
    store_view: inspect.store inspect.files inspect.decode
    stores: lab.stores.store lab.stores.zookeeper
    submission: client.submission lab.artifacts
    tcp_proxy: servers.tcp_proxy
    timeline: story.timeline story.segments story.timeline_builder
    timeline_picture: story.picture story.timeline
    timeline_text: story.timeline
    verdict: story.verdict
    waiting: client.waiting
    zookeeper_program: servers.zookeeper.program servers.java
    zookeeper_server: servers.zookeeper.ensemble
    zookeeper_sessions: servers.zookeeper.sessions
"""
_OTHERS = """
    job.file_sink_writer: job.file_sink
    job.sinks: job.file_sink
    runtime.client: client.cluster_client
    runtime.job_details: client.job_details
    runtime.submission: client.submission
    runtime.token: client.token
"""


def _table() -> dict[str, tuple[str, ...]]:
    lines = [f"lab.{line.strip()}" for line in _LAB.strip().splitlines()]
    lines += _OTHERS.strip().splitlines()
    return {
        f"hawork.{former.strip()}": tuple(f"hawork.{place}" for place in places.split())
        for former, _, places in (line.partition(":") for line in lines)
    }


_ABSENT = object()
PLACES = _table()
"""Where the public names of a former module are now: in the first that has one."""


def find(module: str, name: str) -> Any:
    """A public name of a former module, from where it is now; with a ``DeprecationWarning``.

    ``AttributeError`` when it is nowhere.
    """
    if not name.startswith("_"):
        for place in PLACES[module]:
            found = getattr(importlib.import_module(place), name, _ABSENT)
            if found is _ABSENT:
                continue
            warnings.warn(
                f"{module}.{name} is now {place}.{name}: the former path works for one release",
                DeprecationWarning,
                stacklevel=3,
            )
            return found
    raise AttributeError(f"module {module!r} has no attribute {name!r}")


def spec_of(module: str) -> importlib.machinery.ModuleSpec | None:
    """How a module that moved is found by its former name; ``None`` for any other."""
    if module not in PLACES:
        return None
    is_package = any(each.startswith(f"{module}.") for each in PLACES)
    return importlib.util.spec_from_loader(module, _Loader(), is_package=is_package)


class _Loader(importlib.abc.Loader):
    """Makes a module without names of its own."""

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        former = module.__name__
        module.__doc__ = f"Moved to {', '.join(PLACES[former])}."
        module.__getattr__ = lambda name: find(former, name)  # type: ignore[method-assign]
