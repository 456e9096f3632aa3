"""What ``hawork manifests --engine flink`` prints, under real Flink: configuration and Roles.

There are no kubelets, so the processes run here, each as a user with its Role's rights.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from hawork.core.errors import RestError
from hawork.core.jobs import JobStatus
from hawork.deploy.manifests import JOB_MANAGER, TASK_MANAGER
from hawork.deploy.manifests_flink import FlinkManifests
from hawork.lab import FlinkCluster
from hawork.lab.flink.attached import AttachedCluster
from hawork.lab.flink.client import FlinkClient
from hawork.lab.flink.distribution import FlinkDistribution
from hawork.lab.flink.memory import TASK_MANAGER_OPTIONS, jvm_flags
from hawork.lab.flink.processes import JOB_MANAGER_MAIN, TASK_MANAGER_MAIN, write_conf
from hawork.lab.flink.script import SqlScript
from hawork.runtime.process_control import ProcessControl
from hawork.servers.kubernetes.control_plane import NAMESPACE, ControlPlane
from hawork.testing import eventually
from tests.interop.flink_lab import FOREVER

SECONDS = 90
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def registered(view: AttachedCluster) -> bool:
    """Whether a TaskManager is; a leader that is published refuses for a moment to say so."""
    with contextlib.suppress(RestError):
        return bool(view.taskmanagers())
    return False


def test_the_rights_are_those_that_flink_uses(tmp_path: Path) -> None:
    """A job runs, checkpoints and is canceled: no request is refused, and no right is unused."""
    # Ports of a pod of its own; on one machine others may have them.
    shared_machine = {
        **dict.fromkeys(("rest.bind-port", "jobmanager.rpc.port"), "0"),
        **dict.fromkeys(("blob.server.port", "taskmanager.rpc.port"), "0"),
        **dict.fromkeys(("jobmanager.bind-host", "rest.bind-address"), "127.0.0.1"),
        **dict.fromkeys(("jobmanager.rpc.address", "taskmanager.host"), "127.0.0.1"),
        "taskmanager.bind-host": "127.0.0.1",
        # start-foreground computes the parts of the whole; a JVM of ours is told them.
        **TASK_MANAGER_OPTIONS,
    }
    manifests = FlinkManifests(
        "flink", "my-cluster", f"file://{tmp_path}/ha", NAMESPACE, storage_claim="shared",
        options=shared_machine,
    )  # fmt: skip
    config = dict(manifests.config())
    del config["taskmanager.memory.process.size"]
    flink, control = FlinkDistribution.find(), ProcessControl(tmp_path, {}, release=False)
    with ControlPlane(tmp_path / "kube", manifests.RIGHTS, audit=True) as control_plane:

        def used_by(component: str) -> set[str]:
            asked = [each for each in control_plane.requests() if each.user == component]
            return {each.verb for each in asked if each.resource == "configmaps"}

        try:
            for component, main in (
                (JOB_MANAGER, JOB_MANAGER_MAIN),
                (TASK_MANAGER, TASK_MANAGER_MAIN),
            ):
                memory = jvm_flags(component, {})
                own = {**config, "kubernetes.config.file": str(control_plane.kubeconfig(component))}
                lines = tmp_path / f"{component}.yaml"
                lines.write_text("".join(f'{key}: "{value}"\n' for key, value in own.items()))
                conf = tmp_path / component
                write_conf(conf, lines, {})
                argv = flink.command(main, "--configDir", str(conf), memory=memory, conf=conf)
                control.start(component, argv, log=tmp_path / f"{component}.log")
            with (
                FlinkCluster.attach(own) as view,
                FlinkClient(tmp_path / "client", own, flink) as client,
            ):
                view.leader(SECONDS)
                eventually(lambda: registered(view), timeout=SECONDS, interval=0.2)
                job_id = "ab" * 16
                client.submit(
                    SqlScript.of(FOREVER, {}), {"execution.checkpointing.interval": "300 ms"},
                    job_id,
                )  # fmt: skip
                eventually(lambda: view.job(job_id).checkpoints > 2, timeout=SECONDS, interval=0.2)
                client.command_line("cancel", job_id)
                ended = eventually(lambda: list(view.job_results().job_id), timeout=SECONDS)
                assert ended == [job_id]
                # Flink's REST API answers out of a cache of three seconds (web.refresh-interval).
                eventually(lambda: view.job(job_id).status is JobStatus.CANCELED, timeout=SECONDS)
                # The last of the cleanup: the job's ConfigMap goes.
                eventually(lambda: "delete" in used_by(JOB_MANAGER), timeout=SECONDS, interval=0.2)
        finally:
            control.stop(grace=0)
        for component, verbs in manifests.RIGHTS.items():
            asked = [each for each in control_plane.requests() if each.user == component]
            assert not [each for each in asked if each.status in (401, 403)]
            used = used_by(component)
            assert used <= set(verbs), component
            if component == JOB_MANAGER:
                assert used == set(verbs)
