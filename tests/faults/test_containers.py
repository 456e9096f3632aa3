"""Two containers of one host: in each, the processes have the same ids and the same host name."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from hawork.client.cluster_client import ClusterClient
from hawork.client.submission import make_submission
from hawork.core.configuration import Configuration
from hawork.core.jobs import JobStatus
from hawork.ha.configuration_file import configuration_text
from hawork.job import read_output
from hawork.testing import eventually
from tests.faults.scenario import JOBS, expected_counts

LONG = "10 min"
"""A lease that does not end while the test runs: only the death of its holder ends it."""


@contextlib.contextmanager
def container(role: str, config: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """``hawork ROLE`` as process 1 of a process id namespace of its own."""
    namespace = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if os.geteuid() != 0:
        namespace += ["--user", "--map-current-user"]
    with log.open("ab") as file:
        process = subprocess.Popen(
            [*namespace, sys.executable, "-m", "hawork", role, "--config", str(config)],
            stdout=file, stderr=file,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_containers_with_the_same_process_ids_share_an_embedded_store(tmp_path: Path) -> None:
    lease = "high-availability.embedded.leader-election"
    config = Configuration(
        {
            "high-availability.type": "embedded",
            "high-availability.cluster-id": "containers",
            "high-availability.storageDir": f"file://{tmp_path}/storage",
            "high-availability.embedded.directory": str(tmp_path / "ha"),
            f"{lease}.lease-duration": LONG,
            f"{lease}.renew-deadline": "9 min",
            "heartbeat.interval": "200 ms",
            "heartbeat.timeout": "20 s",
        }
    )
    path = tmp_path / "config.yaml"
    path.write_text(configuration_text(config))
    path.chmod(0o600)
    output = tmp_path / "output"
    end = 6000
    with contextlib.ExitStack() as running:
        leader = running.enter_context(container("jobmanager", path, tmp_path / "jm-1.log"))
        client = running.enter_context(ClusterClient(config))
        first = client.leader(timeout=60).address
        for role, name in (
            ("jobmanager", "jm-2"),
            ("taskmanager", "tm-1"),
            ("taskmanager", "tm-2"),
        ):
            running.enter_context(container(role, path, tmp_path / f"{name}.log"))
        eventually(lambda: len(client.taskmanagers()) == 2)
        job_id = client.submit(
            make_submission(
                f"{JOBS}:counts",
                {"end": end, "rate": 2000, "output": str(output)},
                parallelism=2,
                checkpoint_interval="100 ms",
            )
        )
        eventually(lambda: client.job(job_id).checkpoints > 0)
        names = {each["id"] for each in client.taskmanagers()}
        leader.kill()
        # The file lock tells the standby, although the lease has ten minutes to go.
        eventually(lambda: (now := client.current_leader()) and now.address != first, timeout=60)
        assert client.wait(job_id, timeout=60).status is JobStatus.FINISHED
        assert {each["id"] for each in client.taskmanagers()} == names
        assert len(names) == 2  # two processes 1, and neither drove the other out
    rows = read_output(output)
    found = sorted((int(row["key"]), int(row["count"]), int(row["total"])) for row in rows)
    assert found == expected_counts(end)
