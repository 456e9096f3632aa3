"""The real ``flink list`` and ``flink cancel`` on hawork, and hawork's commands on real Flink.

Each side knows nothing but the HA type, the quorum and the cluster-id.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from hawork.cli.main import main
from hawork.client.token import read_token
from hawork.core import options
from hawork.core.jobs import JobStatus
from hawork.lab import LabCluster
from hawork.testing import eventually
from tests.contract.zookeeper_harness import shared_servers
from tests.faults.scenario import FAST
from tests.interop.flink import FlinkClient, FlinkProcesses
from tests.unit import lab_jobs

START_SECONDS = 90  # of a Flink JobManager on a busy machine
NUMBERS = (
    "CREATE TABLE numbers (number BIGINT) WITH ('connector' = 'datagen')",
    "CREATE TABLE nothing (number BIGINT) WITH ('connector' = 'blackhole')",
    "INSERT INTO nothing SELECT number FROM numbers",
)


@pytest.fixture
def discovery() -> Mapping[str, str]:
    """All that a client has to know."""
    return {
        options.HA_TYPE.key: "zookeeper",
        options.ZK_QUORUM.key: shared_servers().quorum,
        options.CLUSTER_ID.key: f"/interop-{uuid.uuid4().hex[:12]}",
    }


@pytest.fixture
def client(discovery: Mapping[str, str], tmp_path: Path) -> FlinkClient:
    return FlinkClient(tmp_path / "flink", discovery)


def lab(discovery: Mapping[str, str], directory: Path, without_token: str) -> LabCluster:
    values = {**FAST, **discovery, options.REST_WITHOUT_TOKEN.key: without_token}
    return LabCluster(1, 1, ha="zookeeper", directory=directory, options=values)


@pytest.mark.slow
def test_flinks_client_needs_the_token(
    discovery: Mapping[str, str], client: FlinkClient, tmp_path: Path
) -> None:
    with lab(discovery, tmp_path / "lab", "none") as cluster:
        job = cluster.submit(
            f"{lab_jobs.__file__}:count", {"output": tmp_path / "out"}, name="counting"
        )
        refused = client.command_line("list")
        assert refused.returncode != 0
        assert "no valid token" in refused.stdout + refused.stderr
        header = f"Authorization:Bearer {read_token(cluster.config)}"
        listed = client.command_line("list", FLINK_REST_CLIENT_HEADERS=header)
    assert re.search(rf"{job.job_id} : counting \((RUNNING|CREATED)\)", listed.stdout), listed


@pytest.mark.slow
def test_flinks_client_lists_and_cancels_when_it_is_let_in(
    discovery: Mapping[str, str], client: FlinkClient, tmp_path: Path
) -> None:
    with lab(discovery, tmp_path / "lab", "cancel") as cluster:
        job = cluster.submit(
            f"{lab_jobs.__file__}:count", {"output": tmp_path / "out"}, name="counting"
        )
        eventually(lambda: cluster.client.job(job.job_id).status is JobStatus.RUNNING)
        listed = client.command_line("list")
        started = time.localtime(cluster.client.job(job.job_id).start_time / 1000)
        line = f"{time.strftime('%d.%m.%Y %H:%M:%S', started)} : {job.job_id} : counting (RUNNING)"
        assert line in listed.stdout, listed
        canceled = client.command_line("cancel", job.job_id)
        assert canceled.returncode == 0, canceled.stdout + canceled.stderr
        eventually(lambda: cluster.client.job(job.job_id).status is JobStatus.CANCELED)
        ended = client.command_line("list", "--all")
        assert f"{job.job_id} : counting (CANCELED)" in ended.stdout, ended
    assert list((tmp_path / "lab").glob("storage/**/submittedJobGraph*")) == []


@pytest.fixture
def flink(discovery: Mapping[str, str], tmp_path: Path) -> Iterator[FlinkProcesses]:
    with FlinkProcesses(tmp_path / "flink-cluster", discovery) as processes:
        yield processes


@pytest.mark.slow
def test_hawork_lists_the_jobs_of_a_flink_cluster(
    flink: FlinkProcesses, client: FlinkClient, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ["--config", str(client.config_file)]
    flink.start_job_manager("flink-1")
    assert main(["leader", *config, "--wait", str(START_SECONDS)]) == 0
    assert re.match(r"http://127\.0\.0\.1:\d+  session id [0-9a-f-]{36}$", capsys.readouterr().out)
    assert main(["list", *config]) == 0
    assert capsys.readouterr().out == "no jobs\n"
    job_id = client.sql(*NUMBERS)
    assert main(["list", *config]) == 0
    line = rf"{job_id}  insert-into_default_catalog\.default_database\.nothing  \w+ +-  "
    assert re.search(line, capsys.readouterr().out)
    assert main(["cancel", *config, job_id]) == 0
    assert capsys.readouterr().out == f"job {job_id} is CANCELED\n"
