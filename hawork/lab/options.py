"""The options a lab starts with: Flink's, with timeouts short enough to watch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hawork.core import options
from hawork.core.configuration import Configuration, flatten
from hawork.lab.run_directory import RunDirectory

CLUSTER_ID = "/lab"

SHORT_TIMEOUTS: Mapping[str, str] = {
    options.EMBEDDED_LEASE_DURATION.key: "2 s",
    options.EMBEDDED_RENEW_DEADLINE.key: "1500 ms",
    options.EMBEDDED_RETRY_PERIOD.key: "250 ms",
    options.HEARTBEAT_INTERVAL.key: "500 ms",
    options.HEARTBEAT_TIMEOUT.key: "3 s",
    options.RESTART_INITIAL_BACKOFF.key: "200 ms",
    options.RESTART_MAX_BACKOFF.key: "2 s",
    options.CLEANUP_INITIAL_BACKOFF.key: "200 ms",
    options.CLEANUP_MAX_BACKOFF.key: "2 s",
    # A client that asks a later leader how a job ended must still get an answer.
    options.JOB_RESULT_DELETE_ON_COMMIT.key: "false",
    # A learner holds and pauses processes, for as long as it takes to look.
    options.SUPERVISOR_WATCHDOG.key: "0",
    # One to fall back on when the newest is damaged.
    options.RETAINED_CHECKPOINTS.key: "2",
}


def lab_options(
    run: RunDirectory, ha: str, slots: int, supervisor: bool, more: Mapping[str, Any] | None
) -> Configuration:
    """A lab's whole configuration, checked; ``more`` wins, in nested or flat spelling."""
    values: dict[str, Any] = {
        **SHORT_TIMEOUTS,
        options.HA_TYPE.key: ha,
        options.CLUSTER_ID.key: CLUSTER_ID,
        options.STORAGE_DIR.key: f"file://{run.storage}",
        options.SLOTS.key: slots,
        options.SUPERVISOR.key: supervisor,
        options.RUN_DIRECTORY.key: str(run.path),
        options.REST_TOKEN_FILE.key: str(run.token_file),
        **flatten(more or {}),
    }
    return options.checked(values)
