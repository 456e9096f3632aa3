"""Uses that a strict type checker must refuse, one for each kind of value that has a type.

``test_types.py`` checks this file: a misuse that is not refused is an unused ``ignore`` there.
"""

from __future__ import annotations

from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.core.steps import Step
from hawork.inspect.decode import StoreRow
from hawork.inspect.entries import Entry
from hawork.lab import FlinkCluster, LabCluster
from hawork.runtime.messages import Command, TaskEvent


def of_an_option(config: Configuration) -> None:
    seconds: int = config.get_option(options.HEARTBEAT_TIMEOUT)  # type: ignore[assignment]
    config.get_option(options.CLUSTER_ID) + 1  # type: ignore[operator]
    config.get_option(options.STORAGE_DIR).strip()  # type: ignore[union-attr]
    config.get_option("high-availability.type")  # type: ignore[arg-type]
    del seconds


def of_an_entry(row: StoreRow) -> None:
    Entry("etcd", "/flink", b"")  # type: ignore[arg-type]
    row.entry.data.decode()  # type: ignore[union-attr]
    row.pointer.to_json()  # type: ignore[union-attr]


def of_a_message(event: TaskEvent) -> Command:
    if event["type"] == "progress":
        event["checkpoint_id"]  # type: ignore[typeddict-item]
    if event["type"] == "finished":  # type: ignore[comparison-overlap]
        raise AssertionError(event)
    return {"type": "checkpoint"}  # type: ignore[return-value]


def of_a_step() -> None:
    Step("submit.sent", "the job was sent", "client", "the moon")  # type: ignore[arg-type]
    Step("submit.sent", "the job was sent")  # type: ignore[call-arg]


def of_a_verb(lab: LabCluster, flink: FlinkCluster) -> None:
    lab.kill(1)  # type: ignore[arg-type]
    flink.arm("submit.graph_written")  # type: ignore[attr-defined]
