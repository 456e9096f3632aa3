"""The Kubernetes objects of a session cluster of real Apache Flink, with high availability.

As those of hawork, and with the same ``config.yaml``, so that the lab can look at the cluster.
They are made for the official image or one built on it: its entrypoint starts a JobManager or a
TaskManager, and puts a file system plugin of Flink's in place before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from hawork.backends.kubernetes.rights import FLINK_JOB_MANAGER_VERBS, TASK_MANAGER_VERBS
from hawork.core.errors import ConfigurationError
from hawork.core.flink import LOGGING, TESTED_VERSION
from hawork.core.units import parse_size
from hawork.deploy.manifests import JOB_MANAGER, POD, REST_PORT, TASK_MANAGER, Manifests

RPC_PORT, TASK_RPC_PORT, BLOB_PORT = 6123, 6122, 6124
_CONF = "/opt/flink/conf"
_MEMORY = {
    JOB_MANAGER: "jobmanager.memory.process.size", TASK_MANAGER: "taskmanager.memory.process.size",
}  # fmt: skip
_PLUGINS = {
    "s3": "flink-s3-fs-presto", "s3p": "flink-s3-fs-presto", "s3a": "flink-s3-fs-hadoop",
    "gs": "flink-gs-fs-hadoop", "oss": "flink-oss-fs-hadoop",
    **dict.fromkeys(("abfs", "abfss", "wasb", "wasbs"), "flink-azure-fs-hadoop"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class FlinkManifests(Manifests):
    """As ``Manifests``. ``flink_version`` names the plugin of an object store in the image."""

    flink_version: str = TESTED_VERSION

    PROGRAM: ClassVar[str] = "flink"
    USER: ClassVar[int] = 9999  # that of the official image
    RIGHTS = {JOB_MANAGER: FLINK_JOB_MANAGER_VERBS, TASK_MANAGER: TASK_MANAGER_VERBS}

    def _more_options(self) -> dict[str, Any]:
        root = self.storage_dir.rstrip("/")
        return {
            "jobmanager.bind-host": "0.0.0.0",
            "jobmanager.rpc.port": RPC_PORT,
            "blob.server.port": BLOB_PORT,
            "taskmanager.bind-host": "0.0.0.0",
            "taskmanager.rpc.port": TASK_RPC_PORT,
            "taskmanager.numberOfTaskSlots": "2",
            _MEMORY[JOB_MANAGER]: "1600m",
            _MEMORY[TASK_MANAGER]: "1728m",
            "execution.checkpointing.dir": f"{root}/checkpoints",
            "execution.checkpointing.savepoint-dir": f"{root}/savepoints",
            # How a job ended is forgotten by the next leader, but not by a holder of the file.
            "job-result-store.delete-on-commit": "false",
        }

    # --- objects --------------------------------------------------------------------------

    def _advice(self) -> str:
        return (
            f"# Image: Apache Flink {self.flink_version}. Keys for storageDir, if its pods have "
            "none by other ways:\n"
            f"#   kubectl --namespace {self.namespace} create secret generic {self._secret} "
            "--from-literal=AWS_ACCESS_KEY_ID=... --from-literal=AWS_SECRET_ACCESS_KEY=...\n"
            f"# Flink's REST has no token: what reaches port {REST_PORT} runs code there.\n"
        )

    def _config_map(self, **files: str) -> dict[str, Any]:
        # The mounted folder hides the image's, so what is read at start has to be there.
        return Manifests._config_map(self, **{"log4j-console.properties": LOGGING}, **files)

    def _job_managers(self) -> dict[str, Any]:
        def listening(port: str) -> dict[str, Any]:
            return {"tcpSocket": {"port": port}}

        return self._deployment(
            JOB_MANAGER,
            self.job_managers,
            {
                "ports": _ports(rest=REST_PORT, rpc=RPC_PORT, blob=BLOB_PORT),
                # A standby is ready, too: it forwards requests to the leader.
                "startupProbe": {**listening("rest"), "periodSeconds": 3, "failureThreshold": 60},
                "readinessProbe": {**listening("rest"), "periodSeconds": 5},
                "livenessProbe": {**listening("rpc"), "periodSeconds": 10, "failureThreshold": 6},
            },
        )

    def _task_managers(self) -> dict[str, Any]:
        listening = {"tcpSocket": {"port": "rpc"}}
        return self._deployment(
            TASK_MANAGER,
            self.task_managers,
            {
                "ports": _ports(rpc=TASK_RPC_PORT),
                "startupProbe": {**listening, "periodSeconds": 3, "failureThreshold": 60},
                "readinessProbe": {**listening, "periodSeconds": 5},
                "livenessProbe": {**listening, "periodSeconds": 10, "failureThreshold": 6},
            },
        )

    def _container(self, component: str) -> dict[str, Any]:
        # A JobManager publishes the address that it is given: each pod its own.
        given = ["$(POD_IP)"] if component == JOB_MANAGER else ["-Dtaskmanager.host=$(POD_IP)"]
        mebibytes = f"{self._memory(component) >> 20}Mi"
        mounts = [("config", _CONF)]
        path = self._storage_path()
        if path is not None:
            mounts.append(("storage", path))
        return {
            "name": component,
            "image": self.image,
            "args": [component, *given, f"-D{component}.resource-id=$(POD_NAME)"],
            "env": [*POD, *self._plugin()],
            "envFrom": [{"secretRef": {"name": self._secret, "optional": True}}],
            # Flink divides what it is given among heap, metaspace, network, ...: no reserve here.
            "resources": {
                "requests": {"cpu": "500m", "memory": mebibytes}, "limits": {"memory": mebibytes},
            },
            "securityContext": {
                "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [{"name": name, "mountPath": where} for name, where in mounts],
        }  # fmt: skip

    def _volumes(self) -> list[dict[str, Any]]:
        return [each for each in Manifests._volumes(self) if each["name"] in ("config", "storage")]

    # --- parts ----------------------------------------------------------------------------

    @property
    def _secret(self) -> str:
        return f"{self.cluster_id}-storage"

    def _memory(self, component: str) -> int:
        """Bytes of a pod: those that Flink is told to do with."""
        key = _MEMORY[component]
        given = self.config()[key]
        try:
            return parse_size(given)
        except ValueError as error:
            raise ConfigurationError(f"option {key} is {given!r}: {error}") from None

    def _plugin(self) -> list[dict[str, Any]]:
        """What the image's entrypoint has to put in place for the scheme of storageDir."""
        plugin = _PLUGINS.get(self.storage_dir.partition("://")[0])
        if plugin is None:
            return []
        jar = f"{plugin}-{self.flink_version}.jar"
        return [{"name": "ENABLE_BUILT_IN_PLUGINS", "value": jar}]


def _ports(**numbers: int) -> list[dict[str, Any]]:
    return [{"name": name, "containerPort": number} for name, number in numbers.items()]
