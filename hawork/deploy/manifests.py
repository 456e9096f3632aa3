"""The Kubernetes objects of a whole cluster, as plain dictionaries for ``kubectl apply``.

JobManagers and TaskManagers are two Deployments of the same image. They find each other through
the leader's ConfigMap, so the Service is for people and programs outside only. What must outlive
the cluster or stay secret is not here: the volume behind a local storageDir, and the Secrets with
the token of REST and, where REST speaks TLS, its certificate and key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import yaml

from hawork.backends.kubernetes.rights import RBAC, READING, WRITING, role
from hawork.backends.kubernetes.settings import names_of
from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.core.errors import ConfigurationError
from hawork.ha.configuration_file import configuration_text
from hawork.ha.storage import local_path

REST_PORT = 8081
JOB_MANAGER, TASK_MANAGER = "jobmanager", "taskmanager"
_CONFIG = "/etc/hawork"
_TOKEN = "/etc/hawork-token"
_TLS, _KEYSTORE = "/etc/hawork-tls", "rest.pem"
_MEMORY = {JOB_MANAGER: ("128Mi", "384Mi"), TASK_MANAGER: ("256Mi", "1Gi")}
"""Asked for, and the limit: a JobManager takes about 110 MB with its supervisor, a TaskManager
50 MB and what its tasks need."""


@dataclass(frozen=True, slots=True)
class Manifests:
    """What the objects depend on. ``ConfigurationError`` for what Kubernetes would refuse.

    ``storage_dir`` is a URL. One that names a local path needs ``storage_claim``, a
    PersistentVolumeClaim that many pods may write (``ReadWriteMany``); it is mounted there.
    ``options`` go into config.yaml, too, and win.
    """

    image: str
    cluster_id: str
    storage_dir: str
    namespace: str = "default"
    job_managers: int = 2
    task_managers: int = 2
    storage_claim: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    PROGRAM: ClassVar[str] = "hawork"
    USER: ClassVar[int] = 1000
    RIGHTS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        JOB_MANAGER: (*READING, *WRITING), TASK_MANAGER: READING,
    }  # fmt: skip

    def __post_init__(self) -> None:
        for role_name, count in (
            ("JobManagers", self.job_managers), ("TaskManagers", self.task_managers),
        ):  # fmt: skip
            if count < 1:
                raise ConfigurationError(f"{count} {role_name} make no cluster: use at least 1")
        path = self._storage_path()
        if path is not None and self.storage_claim is None:
            raise ConfigurationError(
                f"storageDir {self.storage_dir} is a path that all pods must share: name a "
                "PersistentVolumeClaim with --storage-claim, or use a URL such as s3://bucket/ha"
            )
        if path is None and self.storage_claim is not None:
            raise ConfigurationError(
                f"storageDir {self.storage_dir} is not a path: leave out --storage-claim, or name "
                "the path where the claim is to be mounted"
            )
        names_of(self.config())

    def config(self) -> Configuration:
        """The cluster's configuration, checked."""
        return options.checked(
            {
                options.HA_TYPE.key: "kubernetes",
                # Flink's deployer on Kubernetes sets it so; else it is /default for all clusters.
                options.CLUSTER_ID.key: f"/{self.cluster_id}",
                options.STORAGE_DIR.key: self.storage_dir,
                options.K8S_CLUSTER_ID.key: self.cluster_id,
                options.K8S_NAMESPACE.key: self.namespace,
                options.REST_BIND_ADDRESS.key: "0.0.0.0",
                options.REST_PORT.key: REST_PORT,
                **self._more_options(),
                **self.options,
            }
        )

    def _more_options(self) -> dict[str, Any]:
        """What a cluster of this program needs besides."""
        return {
            options.REST_TOKEN_FILE.key: f"{_TOKEN}/token",
            # A volume is root's and its group's; there are no other users in a pod.
            options.STORAGE_SHARED.key: "true",
            **self._tls_options(),
        }

    def objects(self) -> list[dict[str, Any]]:
        """All of them, in the order in which they are to be applied."""
        made = [self._config_map()]
        for component, verbs in self.RIGHTS.items():
            name = f"{self.cluster_id}-{component}"
            account = {"kind": "ServiceAccount", "name": name}
            made += [
                self._object("v1", "ServiceAccount", component),
                role(name, verbs) | {"metadata": self._metadata(component)},
                self._object(
                    f"{RBAC}/v1", "RoleBinding", component,
                    subjects=[{**account, "namespace": self.namespace}],
                    roleRef={"kind": "Role", "name": name, "apiGroup": RBAC},
                ),
            ]  # fmt: skip
        return [*made, self._service(), self._job_managers(), self._task_managers()]

    def to_yaml(self) -> str:
        """The objects as one stream of YAML documents."""
        head = (
            f"# A {self.PROGRAM} cluster of {self.job_managers} JobManagers and "
            f"{self.task_managers} TaskManagers, made by 'hawork manifests'.\n"
        )
        return (
            head + self._advice() + yaml.dump_all(self.objects(), Dumper=_Dumper, sort_keys=False)
        )

    # --- objects --------------------------------------------------------------------------

    def _advice(self) -> str:
        """Comments at the top: what is needed besides the objects."""
        return (
            "# It needs a Secret, once; its value lets clients in:\n"
            f"#   kubectl --namespace {self.namespace} create secret generic {self._secret} "
            '--from-literal=token="$(openssl rand -hex 32)"\n'
            f"{self._advice_on_tls()}"
        )

    def _advice_on_tls(self) -> str:
        if not self._secure:
            return (
                "# REST speaks plain HTTP: who can listen in the pods' network can read the token\n"
                f"# of a client there. With -D {options.SSL_REST_ENABLED.key}=true it speaks TLS.\n"
            )
        return (
            "# REST speaks TLS with this certificate, the only one that is trusted:\n"
            f"#   openssl req -x509 -newkey rsa:2048 -noenc -days 365 -subj /CN={self.cluster_id} "
            f"-keyout key.pem -out cert.pem && cat cert.pem key.pem > {_KEYSTORE}\n"
            f"#   kubectl --namespace {self.namespace} create secret generic {self._tls_secret} "
            f"--from-file={_KEYSTORE}\n"
        )

    def _config_map(self, **files: str) -> dict[str, Any]:
        data = {"config.yaml": configuration_text(self.config()), **files}
        return self._object("v1", "ConfigMap", "config", data=data)

    def _service(self) -> dict[str, Any]:
        ports = [{"name": "rest", "port": REST_PORT, "targetPort": "rest"}]
        spec = {"selector": self._labels(JOB_MANAGER), "ports": ports}
        return self._object("v1", "Service", "rest", spec=spec)

    def _job_managers(self) -> dict[str, Any]:
        listening = {"tcpSocket": {"port": "rest"}}
        return self._deployment(
            JOB_MANAGER,
            self.job_managers,
            {
                "ports": [{"name": "rest", "containerPort": REST_PORT}],
                # A standby is as alive as a leader, so nothing asks who leads; and an answer
                # would need the token.
                "startupProbe": {**listening, "periodSeconds": 2, "failureThreshold": 60},
                "readinessProbe": {**listening, "periodSeconds": 5},
                "livenessProbe": {**listening, "periodSeconds": 10, "failureThreshold": 6},
            },
        )

    def _task_managers(self) -> dict[str, Any]:
        # It listens nowhere. What can be asked is whether it can find the leader from its pod;
        # when it hangs, the leader notices by its heartbeats and deploys elsewhere.
        find = ["hawork", "leader", "--config", f"{_CONFIG}/config.yaml"]
        probe = {
            "exec": {"command": find}, "initialDelaySeconds": 5, "periodSeconds": 30,
            "timeoutSeconds": 20,
        }  # fmt: skip
        return self._deployment(TASK_MANAGER, self.task_managers, {"readinessProbe": probe})

    def _deployment(
        self, component: str, replicas: int, container: dict[str, Any]
    ) -> dict[str, Any]:
        labels = self._labels(component)
        spread = {
            "maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": labels},
        }  # fmt: skip
        pod = {
            "serviceAccountName": f"{self.cluster_id}-{component}",
            "securityContext": {
                "runAsNonRoot": True, "runAsUser": self.USER, "runAsGroup": self.USER,
                "fsGroup": self.USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "topologySpreadConstraints": [spread],
            "containers": [self._container(component) | container],
            "volumes": self._volumes(),
        }  # fmt: skip
        spec = {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        }
        return self._object("apps/v1", "Deployment", component, spec=spec)

    def _container(self, component: str) -> dict[str, Any]:
        asked, limit = _MEMORY[component]
        command = ["hawork", component, "--config", f"{_CONFIG}/config.yaml"]
        command += ["--name", "$(POD_NAME)"]
        if component == JOB_MANAGER:
            command += ["-D", f"{options.REST_ADDRESS.key}=$(POD_IP)"]
        mounts = [("config", _CONFIG), ("token", _TOKEN), ("scratch", "/tmp")]
        if self._secure:
            mounts.append(("tls", _TLS))
        path = self._storage_path()
        if path is not None:
            mounts.append(("storage", path))
        return {
            "name": component,
            "image": self.image,
            "command": command,
            "env": POD,
            "resources": {
                "requests": {"cpu": "100m", "memory": asked}, "limits": {"memory": limit},
            },
            "securityContext": {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [{"name": name, "mountPath": where} for name, where in mounts],
        }  # fmt: skip

    def _volumes(self) -> list[dict[str, Any]]:
        volumes: list[dict[str, Any]] = [
            {"name": "config", "configMap": {"name": f"{self.cluster_id}-config"}},
            {"name": "token", "secret": {"secretName": self._secret}},
            {"name": "scratch", "emptyDir": {}},
        ]
        if self._secure:
            volumes.append({"name": "tls", "secret": {"secretName": self._tls_secret}})
        if self.storage_claim is not None:
            claim = {"claimName": self.storage_claim}
            volumes.append({"name": "storage", "persistentVolumeClaim": claim})
        return volumes

    # --- parts ----------------------------------------------------------------------------

    @property
    def _secret(self) -> str:
        return f"{self.cluster_id}-token"

    @property
    def _tls_secret(self) -> str:
        return f"{self.cluster_id}-rest-tls"

    @property
    def _secure(self) -> bool:
        return bool(Configuration(self.options).get_option(options.SSL_REST_ENABLED))

    def _tls_options(self) -> dict[str, str]:
        """Where pods find the certificate, the only one that they trust.

        They reach each other by addresses, which it cannot name.
        """
        if not self._secure:
            return {}
        return {
            options.SSL_REST_KEYSTORE.key: f"{_TLS}/{_KEYSTORE}",
            options.SSL_REST_TRUSTSTORE.key: f"{_TLS}/{_KEYSTORE}",
            options.SSL_VERIFY_HOSTNAME.key: "false",
        }

    def _storage_path(self) -> str | None:
        path = local_path(self.storage_dir)
        return None if path is None else str(path)

    def _object(self, version: str, kind: str, suffix: str, **rest: Any) -> dict[str, Any]:
        metadata = self._metadata(suffix)
        return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}

    def _metadata(self, suffix: str) -> dict[str, Any]:
        return {
            "name": f"{self.cluster_id}-{suffix}",
            "namespace": self.namespace,
            "labels": self._labels(suffix),
        }

    def _labels(self, component: str) -> dict[str, str]:
        # Not Flink's labels of HA data: those objects are deleted with a cluster's data.
        return {
            "app.kubernetes.io/name": self.PROGRAM,
            "app.kubernetes.io/instance": self.cluster_id,
            "app.kubernetes.io/component": component,
        }


def _of_pod(variable: str, path: str) -> dict[str, Any]:
    return {"name": variable, "valueFrom": {"fieldRef": {"fieldPath": path}}}


POD = [_of_pod("POD_NAME", "metadata.name"), _of_pod("POD_IP", "status.podIP")]
"""What a container is told about its pod."""


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and everything in full, without aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
