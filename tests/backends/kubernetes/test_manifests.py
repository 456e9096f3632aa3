"""``hawork manifests``: what it prints is accepted by a real API server, and says enough."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from hawork.backends.kubernetes.rights import READING, WRITING
from hawork.cli.main import main
from hawork.client.tls import client_context, server_context
from hawork.core.errors import ConfigurationError
from hawork.core.options import checked
from hawork.deploy.manifests import Manifests
from hawork.servers.kubernetes.control_plane import NAMESPACE, ControlPlane

COLLECTIONS = {
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "Service": "/api/v1/namespaces/{}/services",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
}


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[tuple[str, str], Any]:
    """The objects that the command prints, by kind and name."""
    given = ["--image", "registry.example/hawork:1", "--cluster-id", "my-cluster", *arguments]
    assert main(["manifests", *given]) == 0
    objects = list(yaml.safe_load_all(capsys.readouterr().out))
    return {(each["kind"], each["metadata"]["name"]): each for each in objects}


def at(thing: Any, path: str) -> Any:
    """The value at a JSON path such as ``spec.containers.0.image``."""
    for step in path.split("."):
        thing = thing[int(step)] if step.isdigit() else thing[step]
    return thing


def missing(sent: Any, kept: Any, path: str = "") -> list[str]:
    """Where the server did not keep what was sent; it drops fields that it does not know."""
    if isinstance(sent, Mapping):
        return [
            lost for key in sent for lost in
            (missing(sent[key], kept[key], f"{path}.{key}") if key in (kept or {})
             else [f"{path}.{key}"])
        ]  # fmt: skip
    if isinstance(sent, list):
        if not isinstance(kept, list) or len(sent) != len(kept):
            return [path]
        return [
            lost for index, (one, other) in enumerate(zip(sent, kept, strict=True))
            for lost in missing(one, other, f"{path}.{index}")
        ]  # fmt: skip
    return [] if sent == kept else [path]


@pytest.mark.parametrize("engine", ["hawork", "flink"])
@pytest.mark.parametrize(
    "storage",
    [("--storage-dir", "s3://bucket/ha"),
     ("--storage-dir", "s3://bucket/ha", "-D", "security.ssl.rest.enabled=true"),
     ("--storage-dir", "file:///ha", "--storage-claim", "shared")],
)  # fmt: skip
def test_the_api_server_accepts_all_of_it(
    control_plane: ControlPlane, capsys: pytest.CaptureFixture[str], storage: tuple[str, ...],
    engine: str,
) -> None:  # fmt: skip
    objects = printed(capsys, "--engine", engine, "--namespace", NAMESPACE, *storage)
    assert len(objects) == 10
    for (kind, name), sent in objects.items():
        path = COLLECTIONS[kind].format(NAMESPACE)
        query = "dryRun=All&fieldValidation=Strict"
        status, kept = control_plane.admin.call("POST", f"{path}?{query}", sent)
        assert status == 201, f"{kind} {name}: {kept}"
        assert not missing(sent, kept), f"{kind} {name}"


def test_a_field_that_does_not_exist_would_be_noticed(control_plane: ControlPlane) -> None:
    """Old API servers drop it silently; the test above must not."""
    deployment = Manifests("i", "c", "s3://ha", NAMESPACE).objects()[-1]
    deployment["spec"]["replica"] = 3
    path = COLLECTIONS["Deployment"].format(NAMESPACE)
    _, kept = control_plane.admin.call("POST", f"{path}?dryRun=All", deployment)
    assert missing(deployment, kept) == [".spec.replica"]


def test_replicas_probes_and_limits(capsys: pytest.CaptureFixture[str]) -> None:
    objects = printed(
        capsys, "--storage-dir", "s3://ha", "--job-managers", "3", "--task-managers", "5"
    )
    managers = objects["Deployment", "my-cluster-jobmanager"]
    tasks = objects["Deployment", "my-cluster-taskmanager"]
    container = "spec.template.spec.containers.0"
    assert (at(managers, "spec.replicas"), at(tasks, "spec.replicas")) == (3, 5)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert at(managers, f"{container}.{probe}.tcpSocket.port") == "rest"
    assert at(managers, f"{container}.ports.0") == {"name": "rest", "containerPort": 8081}
    assert at(tasks, f"{container}.readinessProbe.exec.command")[:2] == ["hawork", "leader"]
    for deployment in (managers, tasks):
        assert at(deployment, f"{container}.resources.limits.memory")
        assert at(deployment, f"{container}.resources.requests.memory")
        assert at(deployment, f"{container}.image") == "registry.example/hawork:1"
        assert at(deployment, "spec.template.spec.securityContext.runAsNonRoot") is True
        labels = at(deployment, "spec.template.metadata.labels").items()
        assert at(deployment, "spec.selector.matchLabels").items() <= labels
    service = objects["Service", "my-cluster-rest"]
    assert at(service, "spec.selector") == at(managers, "spec.template.metadata.labels")


def test_each_component_gets_the_minimum_of_rights(capsys: pytest.CaptureFixture[str]) -> None:
    objects = printed(capsys, "--storage-dir", "s3://ha", "--namespace", "flink")
    for component, verbs in (("jobmanager", [*READING, *WRITING]), ("taskmanager", [*READING])):
        name = f"my-cluster-{component}"
        assert objects["Role", name]["rules"] == [
            {"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs}
        ]
        assert objects["RoleBinding", name]["subjects"] == [
            {"kind": "ServiceAccount", "name": name, "namespace": "flink"}
        ]
        pod = at(objects["Deployment", name], "spec.template.spec")
        assert pod["serviceAccountName"] == name


def test_the_configuration_is_one_that_hawork_reads(capsys: pytest.CaptureFixture[str]) -> None:
    objects = printed(
        capsys, "--storage-dir", "file:///ha", "--storage-claim", "shared",
        "-D", "taskmanager.numberOfTaskSlots=4",
    )  # fmt: skip
    text = at(objects["ConfigMap", "my-cluster-config"], "data")["config.yaml"]
    config = checked(yaml.safe_load(text))
    assert config["high-availability.type"] == "kubernetes"
    assert config["taskmanager.numberOfTaskSlots"] == "4"
    pod = at(objects["Deployment", "my-cluster-taskmanager"], "spec.template.spec")
    mounts = {each["mountPath"]: each["name"] for each in pod["containers"][0]["volumeMounts"]}
    volumes = {each["name"]: each for each in pod["volumes"]}
    assert volumes[mounts["/ha"]]["persistentVolumeClaim"] == {"claimName": "shared"}
    token = config["hawork.rest.token-file"].rpartition("/")[0]
    assert volumes[mounts[token]]["secret"] == {"secretName": "my-cluster-token"}


def test_flinks_own_image_gets_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    objects = printed(
        capsys, "--engine", "flink", "--storage-dir", "s3://bucket/ha", "--job-managers", "3",
        "-D", "taskmanager.memory.process.size=4g", "--flink-version", "1.20.3",
    )  # fmt: skip
    config = objects["ConfigMap", "my-cluster-config"]["data"]
    assert config["log4j-console.properties"]
    given = checked(yaml.safe_load(config["config.yaml"]))
    assert given["kubernetes.cluster-id"] == "my-cluster"
    assert given["high-availability.cluster-id"] == "/my-cluster"
    managers = objects["Deployment", "my-cluster-jobmanager"]
    tasks = objects["Deployment", "my-cluster-taskmanager"]
    container = "spec.template.spec.containers.0"
    assert at(managers, "spec.replicas") == 3
    assert at(managers, f"{container}.args")[:2] == ["jobmanager", "$(POD_IP)"]
    assert at(tasks, f"{container}.args")[0] == "taskmanager"
    for deployment, memory in ((managers, "1600Mi"), (tasks, "4096Mi")):
        assert at(deployment, f"{container}.resources.limits.memory") == memory
        assert at(deployment, f"{container}.volumeMounts") == [
            {"name": "config", "mountPath": "/opt/flink/conf"}
        ]
        ports = {each["name"] for each in at(deployment, f"{container}.ports")}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert at(deployment, f"{container}.{probe}.tcpSocket.port") in ports
        variables = {each["name"]: each for each in at(deployment, f"{container}.env")}
        plugin = variables["ENABLE_BUILT_IN_PLUGINS"]["value"]
        assert plugin == "flink-s3-fs-presto-1.20.3.jar"
    for component, verbs in (("jobmanager", {*READING, *WRITING, "update"}),
                             ("taskmanager", {*READING})):  # fmt: skip
        (rule,) = objects["Role", f"my-cluster-{component}"]["rules"]
        assert (set(rule["verbs"]), rule["resources"]) == (verbs, ["configmaps"])


def test_an_option_of_flinks_is_not_for_hawork(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--image", "i", "--cluster-id", "c", "--storage-dir", "s3://ha"]
    assert main(["manifests", *given, "--flink-version", "1.20.5"]) == 1
    assert "add --engine flink" in capsys.readouterr().err
    memory = "jobmanager.memory.process.size"
    assert main(["manifests", *given, "--engine", "flink", "-D", f"{memory}=much"]) == 1
    assert f"option {memory} is 'much'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"storage_dir": "/ha"}, "name a PersistentVolumeClaim with --storage-claim"),
        ({"storage_claim": "shared"}, "is not a path: leave out --storage-claim"),
        ({"cluster_id": "My_Cluster"}, "kubernetes.cluster-id is 'My_Cluster'"),
        ({"cluster_id": "c" * 46}, "it has 46 characters; write at most 45"),
        ({"namespace": "a/b"}, "kubernetes.namespace is 'a/b'"),
        ({"job_managers": 0}, "0 JobManagers make no cluster"),
        ({"options": {"high-availability.typo": "1"}}, r"high-availability\.typo"),
    ],
)
def test_what_kubernetes_would_refuse_is_refused(wrong: dict[str, Any], said: str) -> None:
    good = {"image": "i", "cluster_id": "c", "storage_dir": "s3://ha"}
    with pytest.raises(ConfigurationError, match=said):
        Manifests(**{**good, **wrong})


def test_rest_speaks_tls_where_it_is_asked_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With the certificate that the first lines of the output make, and no other one."""
    given = ["--image", "i", "--cluster-id", "my-cluster", "--storage-dir", "s3://ha"]
    assert main(["manifests", *given, "-D", "security.ssl.rest.enabled=true"]) == 0
    text = capsys.readouterr().out
    assert "plain HTTP" not in text
    (command,) = (line[4:] for line in text.splitlines() if line.startswith("#   openssl req"))
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, capture_output=True)
    objects = {(e["kind"], e["metadata"]["name"]): e for e in yaml.safe_load_all(text)}
    config = checked(
        yaml.safe_load(objects["ConfigMap", "my-cluster-config"]["data"]["config.yaml"])
    )
    keystore = Path(config["security.ssl.rest.keystore"])
    for component in ("jobmanager", "taskmanager"):
        pod = at(objects["Deployment", f"my-cluster-{component}"], "spec.template.spec")
        mounts = {each["mountPath"]: each["name"] for each in pod["containers"][0]["volumeMounts"]}
        volumes = {each["name"]: each for each in pod["volumes"]}
        secret = volumes[mounts[str(keystore.parent)]]["secret"]
        assert secret == {"secretName": "my-cluster-rest-tls"}
        assert secret["secretName"] in text.partition("\napiVersion")[0]
    mounted = checked(
        {
            key: value.replace(str(keystore.parent), str(tmp_path))
            for key, value in config.items()
            if key.startswith("security.ssl")
        }
    )
    server = server_context(mounted)
    assert server is not None
    shake_hands(server, client_context(mounted))
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(server, ssl.create_default_context())


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """As a TaskManager does it, which knows the JobManager's pod by its address."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(down, up, server_hostname="10.1.2.3"),
        server.wrap_bio(up, down, server_side=True),
    ]
    while ends:
        for end in list(ends):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
                ends.remove(end)


def test_plain_http_is_said_to_be_that(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--image", "i", "--cluster-id", "c", "--storage-dir", "s3://ha"]
    assert main(["manifests", *given]) == 0
    assert "plain HTTP" in capsys.readouterr().out.partition("\napiVersion")[0]
