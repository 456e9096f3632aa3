"""``hawork repair`` and ``restore`` on labs of real Flink, whose znodes and ConfigMaps are its own.

A job over all flights loses its JobManager, then its HA data are damaged, repaired, put back and
repaired again; it goes on from the checkpoint that was named, and its output is exact. A minute
each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from hawork.cli.main import main
from hawork.core.jobs import JobStatus
from hawork.ha.configuration_file import load_configuration
from hawork.inspect.cluster import JobView, StoredPointer
from hawork.inspect.finding import Object
from hawork.inspect.inspection import Inspection
from hawork.inspect.inspector import inspect
from hawork.inspect.repair.image import Image, difference, image_of
from hawork.inspect.repair.writers import open_writer
from hawork.inspect.sources import Sources, cluster_of, read_store
from hawork.lab import FlinkCluster, flights
from hawork.testing import eventually

SECONDS = 120  # for anything that a JVM does on a busy machine
OPTIONS = {"execution.checkpointing.num-retained": "3"}
DEAD = {"HA401"}
"""What the addresses of a dead leader on Kubernetes are told as."""

pytestmark = [pytest.mark.timeout(900)]


def file_of(pointer: StoredPointer) -> Path:
    assert pointer.pointer is not None
    return Path(pointer.pointer.path.removeprefix("file:"))


def file_missing(lab: FlinkCluster, job: JobView) -> None:
    """That of the newest checkpoint."""
    file_of(job.checkpoints[-1]).unlink()


def graph_pointer_gone(lab: FlinkCluster, job: JobView) -> None:
    remove(lab, [job.graphs[-1].entry.object])


def checkpoint_pointers_gone(lab: FlinkCluster, job: JobView) -> None:
    remove(lab, [each.entry.object for each in job.checkpoints])


def place_gone(lab: FlinkCluster, job: JobView) -> None:
    """The ConfigMap, or the znodes, which are containers where Flink made them."""
    assert job.place is not None
    remove(lab, [job.place])


KINDS: tuple[Callable[[FlinkCluster, JobView], None], ...] = (
    file_missing, graph_pointer_gone, checkpoint_pointers_gone, place_gone,
)  # fmt: skip


def image(lab: FlinkCluster) -> Image:
    sources = Sources(config=lab.directory / "config.yaml")
    raw = read_store(sources)
    assert raw is not None
    return image_of(raw, cluster_of(sources, raw))  # type: ignore[arg-type]


def remove(lab: FlinkCluster, things: Collection[Object]) -> None:
    """Entries with all that is in them or lies below them."""
    now = image(lab)
    places = {each.name for each in things if each.key is None}
    below = tuple(f"{place}/" for place in places)
    gone = {thing for thing in now
            if thing in things or thing.name in places or thing.name.startswith(below)}  # fmt: skip
    changes = difference(now, {thing: held for thing, held in now.items() if thing not in gone})
    with open_writer(load_configuration(lab.directory / "config.yaml")) as writer:
        writer.write(changes)


def lasting(found: Image) -> dict[Object, bytes]:
    """What does not end with a session."""
    return {thing: held.value for thing, held in found.items() if not held.session}


def look(lab: FlinkCluster) -> Inspection:
    return inspect(Sources(config=lab.directory / "config.yaml"))


@pytest.mark.parametrize("damage", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("ha", ["zookeeper", "kubernetes"])
def test_a_lab_is_repaired_and_its_job_goes_on(
    ha: str, damage: Callable[[FlinkCluster, JobView], None], tmp_path: Path
) -> None:
    with FlinkCluster(job_managers=1, task_managers=1, ha=ha, options=OPTIONS) as lab:
        arrivals = flights.Arrivals(tmp_path / "arrivals")
        arrivals.bring(100_000)
        config = {"flights": arrivals.directory, "output": tmp_path / "output"}
        job = lab.submit(str(flights.FLINK_JOB), config, parallelism=2)
        job.output_until(lambda rows: len(rows) > 0, SECONDS).wait()
        eventually(lambda: len(look(lab).cluster.jobs[job.job_id].checkpoints) == 3, SECONDS)
        command = [f"--config={lab.directory / 'config.yaml'}"]
        assert main(["repair", *command, "--apply"]) in (0, 2), "a healthy one has no repair"
        lab.kill("jm-1")
        eventually(lambda: not is_led(lab), SECONDS)
        healthy = look(lab)
        assert {each.code for each in healthy.alarms} <= DEAD
        damage(lab, healthy.cluster.jobs[job.job_id])
        broken = lasting(image(lab))
        for number in ("first", "second"):
            assert main(["repair", *command, "--apply", f"--backup={tmp_path / number}.zip"]) in (
                0,
                1,
            )
            if number == "first":
                assert main(["restore", *command, f"{tmp_path / number}.zip"]) == 0
                assert lasting(image(lab)) == broken
        found = look(lab)
        assert {each.code for each in found.alarms} <= DEAD
        named = found.recovery.jobs[job.job_id].checkpoint
        restarted = lab.restart("jm-1")
        arrivals.bring_all()
        restored = lab.wait_for_event("job.restored", after=restarted, timeout=SECONDS).wait()
        print(f"\n{ha} {damage.__name__}: named {named}, {json.dumps(restored.facts, default=str)}")
        assert restored.facts["checkpoint_id"] == named
        job.output_until(lambda rows: rows["count"].sum() >= flights.DEPARTED, SECONDS).wait()
        assert job.stop().wait().status is JobStatus.FINISHED
        comparison = flights.compare(job.output())
        assert comparison.equal, comparison


def is_led(lab: FlinkCluster) -> bool:
    """Whether a session lives yet, or the lease runs."""
    found: Any = look(lab).cluster
    leadership, now = found.leadership, found.moment.latest
    if leadership.latch:
        return True
    record = leadership.record
    return bool(record and record.renew_time + record.lease_duration >= now)
