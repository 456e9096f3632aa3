"""A job that ended under one program, and is cleaned up by the other one.

Both keep dirty results in the same file, with the same bytes; each must take the other's for a
job that has ended, delete what is left of it, and mark the result clean.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from hawork.core import options
from hawork.core.jobs import JobStatus
from hawork.lab import LabCluster
from hawork.testing import eventually
from tests.contract.zookeeper_harness import shared_servers
from tests.faults.scenario import FAST
from tests.interop.flink import FlinkProcesses
from tests.interop.test_flink_clients import NUMBERS
from tests.unit import lab_jobs

SECONDS = 90  # for anything that a JVM does on a busy machine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def shared(tmp_path: Path) -> Mapping[str, str]:
    """What a cluster of each kind must have in common to be the same cluster."""
    return {
        options.HA_TYPE.key: "zookeeper",
        options.ZK_QUORUM.key: shared_servers().quorum,
        options.CLUSTER_ID.key: f"/results-{uuid.uuid4().hex[:12]}",
        options.STORAGE_DIR.key: f"file://{tmp_path}/storage",
        options.ZK_SESSION_TIMEOUT.key: "4 s",
        options.JOB_RESULT_DELETE_ON_COMMIT.key: "false",
    }


def results(shared: Mapping[str, str]) -> Path:
    storage = Path(shared[options.STORAGE_DIR.key].removeprefix("file://"))
    return storage / "job-result-store" / shared[options.CLUSTER_ID.key].strip("/")


def names(shared: Mapping[str, str]) -> list[str]:
    """The results, dirty and clean; below them lies hawork's folder of what ended jobs were."""
    folder = results(shared)
    return (
        sorted(path.name for path in folder.iterdir() if path.is_file()) if folder.exists() else []
    )


def lab(shared: Mapping[str, str], directory: Path) -> LabCluster:
    return LabCluster(1, 1, ha="zookeeper", directory=directory, options={**FAST, **shared})


def test_flink_cleans_up_what_hawork_left(shared: Mapping[str, str], tmp_path: Path) -> None:
    with lab(shared, tmp_path / "lab") as cluster:
        crash = cluster.arm("result.dirty", "crash")
        job = cluster.submit(
            f"{lab_jobs.__file__}:count", {"output": tmp_path / "out", "end": 1000}
        )
        crash.reached(timeout=SECONDS).wait()
        eventually(lambda: names(shared) == [f"{job.job_id}_DIRTY.json"])
        written = (results(shared) / f"{job.job_id}_DIRTY.json").read_bytes()
    with FlinkProcesses(tmp_path / "flink", shared) as flink:
        flink.start_job_manager("flink-1")
        eventually(lambda: names(shared) == [f"{job.job_id}.json"], timeout=SECONDS)
        assert (results(shared) / f"{job.job_id}.json").read_bytes() == written
        assert flink.is_alive("flink-1")
        assert json.loads(written)["result"]["application-status"] == "SUCCEEDED"


def test_hawork_cleans_up_what_flink_left(shared: Mapping[str, str], tmp_path: Path) -> None:
    """Flink cannot delete a job graph that somebody else has locked, so its result stays dirty."""
    zookeeper = KazooClient(shared[options.ZK_QUORUM.key])
    zookeeper.start()
    try:
        with FlinkProcesses(tmp_path / "flink", shared) as flink:
            flink.start_job_manager("flink-1")
            job_id = flink.sql(*NUMBERS)
            lock = f"/flink{shared[options.CLUSTER_ID.key]}/jobgraphs/{job_id}/locks/somebody"
            zookeeper.create(lock, ephemeral=True)
            assert flink.command_line("cancel", job_id).returncode == 0
            eventually(lambda: names(shared) == [f"{job_id}_DIRTY.json"], timeout=SECONDS)
            written = (results(shared) / f"{job_id}_DIRTY.json").read_bytes()
            flink.kill("flink-1")
        assert names(shared) == [f"{job_id}_DIRTY.json"]
    finally:
        zookeeper.stop()
        zookeeper.close()
    with lab(shared, tmp_path / "lab") as cluster:
        eventually(lambda: names(shared) == [f"{job_id}.json"], timeout=SECONDS)
        assert (results(shared) / f"{job_id}.json").read_bytes() == written
        assert cluster.client.job(job_id).status is JobStatus.CANCELED
