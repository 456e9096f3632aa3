"""What tests of one shared cluster of Flink's on ZooKeeper need: it is ready, and a job for it."""

from __future__ import annotations

import re

from hawork.core.errors import RestError
from hawork.lab import FlinkCluster
from hawork.testing import eventually

SECONDS = 90  # for anything that a JVM does on a busy machine
FOREVER = """
CREATE TABLE numbers (number BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '100');
CREATE TABLE nothing (number BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO nothing SELECT number FROM numbers;
"""


def ready(lab: FlinkCluster) -> None:
    """Every process runs, each JobManager is in the latch, the leader has the TaskManager."""
    lab.heal()
    for state in lab.processes.values():
        if not state.alive:
            lab.restart(state.name)
        elif state.state == "paused":
            lab.resume(state.name)
    lab.leader(SECONDS)
    eventually(lambda: registered(lab) == 1, timeout=SECONDS)
    eventually(lambda: in_latch(lab) == ["jm-1", "jm-2"], timeout=SECONDS, interval=0.2)


def registered(lab: FlinkCluster) -> int:
    """TaskManagers; 0 as long as the resource manager is only being elected.

    Its REST server may lead already, and then refuses in these words
    (``AbstractResourceManagerHandler``).
    """
    try:
        return len(lab.client.taskmanagers())
    except RestError as error:
        if "Cannot connect to ResourceManager" in str(error):
            return 0
        raise


def in_latch(lab: FlinkCluster) -> list[str]:
    """Whose znodes are in the latch; a session that no process has is ``unknown``."""
    rows = lab.store_rows()
    latch = rows[rows.table.str.endswith("/latch")]
    return sorted(re.findall(r"\((\S+), session", " ".join(latch.value)))
