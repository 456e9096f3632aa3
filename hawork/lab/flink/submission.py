"""Submitting SQL or a jar to Flink, for a cluster of ours and for one that was attached to."""

from __future__ import annotations

from pathlib import Path

from hawork.client.submission import seconds
from hawork.core import options
from hawork.core.jobs import RestartStrategy
from hawork.lab.flink.client import FlinkClient
from hawork.lab.flink.jar import JobJar
from hawork.lab.flink.script import SqlScript


def job_settings(
    parallelism: int,
    checkpoint_interval: str | float | None,
    name: str | None,
    restart_strategy: RestartStrategy | None = None,
) -> dict[str, str]:
    """What ``submit`` was told, in Flink's options; what is ``None`` is left to the cluster."""
    settings = {options.PARALLELISM.key: str(parallelism)}
    if name:
        settings["pipeline.name"] = name
    if interval := seconds(checkpoint_interval):
        settings[options.CHECKPOINT_INTERVAL.key] = _milliseconds(interval)
    if restart_strategy is not None:
        settings |= _restart_settings(restart_strategy)
    return settings


def submit_work(
    client: FlinkClient, work: SqlScript | JobJar, settings: dict[str, str], job_id: str
) -> list[str]:
    """Submit it under ``job_id``; the columns of what a script writes, where they are known."""
    if isinstance(work, JobJar):
        client.submit_jar(work, settings, job_id)
        return []
    return client.submit(work, settings, job_id)


def job_name(job: str) -> str:
    """A short name for a job that has none: that of its file."""
    return Path(job.strip()).stem if job.strip().endswith((".sql", ".jar")) else "sql"


def _restart_settings(strategy: RestartStrategy) -> dict[str, str]:
    prefix = f"restart-strategy.{strategy.type}"
    settings = {options.RESTART_STRATEGY.key: strategy.type}
    if strategy.type == "fixed-delay":
        settings[f"{prefix}.delay"] = _milliseconds(strategy.delay)
        if strategy.attempts is not None:
            settings[f"{prefix}.attempts"] = str(strategy.attempts)
    elif strategy.type == "exponential-delay":
        settings[f"{prefix}.initial-backoff"] = _milliseconds(strategy.initial_backoff)
        settings[f"{prefix}.max-backoff"] = _milliseconds(strategy.max_backoff)
    return settings


def _milliseconds(duration: float) -> str:
    return f"{duration * 1000:.0f} ms"
