"""hawork and real Flink 1.20.5 on Kubernetes HA: found by each other, one lock for both."""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from hawork.cli.main import main
from hawork.core import options
from hawork.core.errors import HighAvailabilityError
from hawork.core.jobs import JobStatus
from hawork.core.types import REST_SERVER, LeaderInformation
from hawork.ha.pointer_store import JOB_GRAPHS
from hawork.lab import LabCluster
from hawork.testing import eventually
from tests.backends.kubernetes.kubernetes_setup import ClusterUnderTest, Contender
from tests.contract.harness import Observer
from tests.contract.kubernetes_server import shared_control_plane
from tests.faults.scenario import FAST
from tests.interop.flink import FlinkClient, FlinkProcesses
from tests.unit import lab_jobs

SECONDS = 90  # of a Flink JobManager on a busy machine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def cluster() -> Iterator[ClusterUnderTest]:
    cluster = ClusterUnderTest(shared_control_plane())
    yield cluster
    cluster.close()


@pytest.fixture
def discovery(cluster: ClusterUnderTest, tmp_path: Path) -> Mapping[str, str]:
    """All that a client has to know, with Flink's rights. On Kubernetes, unlike on ZooKeeper,
    Flink's client wants a storageDir, too, and keeps nothing in it.
    """
    file = cluster.control_plane.kubeconfig("flink")
    storage = f"file://{tmp_path}/storage"
    values = cluster.values(K8S_CONFIG_FILE=str(file), STORAGE_DIR=storage)
    return {key: str(value) for key, value in values.items()}


@pytest.fixture
def flink(discovery: Mapping[str, str], tmp_path: Path) -> Iterator[FlinkProcesses]:
    values = {**discovery, "jobmanager.rpc.port": "0"}
    with FlinkProcesses(tmp_path / "flink", values) as processes:
        yield processes


def observe(cluster: ClusterUnderTest) -> Observer:
    observer = Observer()
    cluster.open().retrieval_driver(REST_SERVER, observer)
    return observer


def test_flinks_client_finds_a_hawork_leader(
    cluster: ClusterUnderTest, discovery: Mapping[str, str], tmp_path: Path
) -> None:
    values = {
        **FAST,
        **discovery,
        options.REST_WITHOUT_TOKEN.key: "cancel",
        options.K8S_LEASE_DURATION.key: "30 s",  # for as long as a JVM needs to start
        options.K8S_RENEW_DEADLINE.key: "25 s",
    }
    client = FlinkClient(tmp_path / "client", discovery)
    with LabCluster(1, 1, ha="kubernetes", directory=tmp_path / "lab", options=values) as lab:
        job = lab.submit(
            f"{lab_jobs.__file__}:count", {"output": tmp_path / "out"}, name="counting"
        )
        eventually(lambda: lab.client.job(job.job_id).status is JobStatus.RUNNING)
        listed = client.command_line("list")
        assert f"{job.job_id} : counting (RUNNING)" in listed.stdout, listed
        canceled = client.command_line("cancel", job.job_id)
        assert canceled.returncode == 0, canceled.stdout + canceled.stderr
        eventually(lambda: lab.client.job(job.job_id).status is JobStatus.CANCELED)


def test_hawork_and_flink_stand_in_one_election(
    cluster: ClusterUnderTest,
    discovery: Mapping[str, str],
    flink: FlinkProcesses,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Contenders of both kinds join and die; one leads at a time, and clients find it."""
    chance = random.Random(20)
    observer = observe(cluster)
    hawork: dict[str, Contender] = {}
    pointers = cluster.open().pointers(JOB_GRAPHS)
    config = ["--config", str(flink.config_file)]

    def holder() -> str:
        return str(cluster.lock()["holderIdentity"])

    def join(name: str) -> None:
        if name.startswith("flink"):
            flink.start_job_manager(name)
            eventually(lambda: "Triggered leader election" in flink.log(name), timeout=SECONDS)
        else:
            hawork[name] = cluster.contender()

    def leader() -> str:
        """Who holds the lock, and is found at its own address; nobody of hawork leads besides."""

        def found() -> str | None:
            leading = [name for name, contender in hawork.items() if contender.leads]
            assert len(leading) <= 1, leading
            if leading:
                session_id = hawork[leading[0]].session_id
                assert session_id is not None
                information = LeaderInformation(session_id, f"http://127.0.0.1:1/{leading[0]}")
                try:
                    hawork[leading[0]].driver.publish_leader_information(REST_SERVER, information)
                    observer.wait_for(information)
                    pointers.create(uuid.uuid4().hex, leading[0].encode(), session_id)
                except HighAvailabilityError:
                    return None  # deposed while JVMs start
                return leading[0]
            (last,) = [value for kind, value in observer.calls if kind == "leader"][-1:] or [None]
            if last is None or "/hawork" in last.address:
                return None
            for name in flink.names():
                if flink.is_alive(name) and str(last.session_id) in flink.log(name):
                    return name
            return None

        return eventually(found, timeout=SECONDS)

    join("flink-1")
    assert leader() == "flink-1"
    assert main(["leader", *config, "--wait", str(SECONDS)]) == 0
    assert re.match(r"http://127\.0\.0\.1:\d+  session id [0-9a-f-]{36}$", capsys.readouterr().out)
    assert main(["list", *config]) == 0
    assert capsys.readouterr().out == "no jobs\n"
    join("hawork-1")
    join("hawork-2")
    for how in ("KILL", "", "TERM", ""):
        before, held = leader(), holder()
        if before.startswith("flink"):
            flink.kill(before, how or chance.choice(["KILL", "TERM"]))
            join("hawork-3" if "hawork-3" not in hawork else "hawork-4")
        else:
            if not any(flink.is_alive(name) for name in flink.names()):
                join(f"flink-{len(flink.names()) + 1}")
            hawork.pop(before).driver.close()
        eventually(lambda held=held: holder() not in ("", held), timeout=SECONDS)  # type: ignore[misc]
        assert leader() != before
    values = {entry.value for _, entry in pointers.entries()}
    assert len(values) >= 2, "Flink's leaders touch nothing that hawork keeps"
