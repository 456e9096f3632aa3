"""Credentials, rights and options: each thing that is wrong gets one clear sentence."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from hawork.backends.kubernetes.access import check_access
from hawork.backends.kubernetes.client import KubernetesClient
from hawork.backends.kubernetes.rights import JOB_MANAGER_VERBS, READING, WRITING, role
from hawork.backends.kubernetes.settings import KubernetesSettings
from hawork.core.errors import (
    ConfigurationError,
    HaworkError,
    NotAllowedError,
    StoreUnavailableError,
)
from hawork.core.options import K8S_CLUSTER_ID, K8S_NAMESPACE
from hawork.ha.pointer_store import JOB_GRAPHS
from hawork.inspect.probes import probe
from hawork.inspect.store import store_rows
from hawork.servers.kubernetes.control_plane import ControlPlane
from hawork.testing import eventually
from tests.backends.kubernetes.kubernetes_setup import ClusterUnderTest
from tests.contract.harness import ElectionListener


@pytest.fixture
def changed(cluster: ClusterUnderTest, tmp_path: Path) -> Iterator[Any]:
    """A kubeconfig in which one thing is another."""

    def change(kind: str, **values: Any) -> str:
        file = tmp_path / "kubeconfig.yaml"
        content = yaml.safe_load(cluster.control_plane.kubeconfig("jm-1").read_text())
        (entry,) = content[f"{kind}s"]
        kept = entry[kind]
        if "certificate-authority" in values:
            kept.pop("certificate-authority-data", None)
        entry[kind] = {**kept, **values}
        file.write_text(json.dumps(content))
        return str(file)

    yield change


def refused(cluster: ClusterUnderTest, **values: Any) -> str:
    """What opening the backend says, in one line."""
    with pytest.raises(HaworkError) as caught:
        cluster.open(**values)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 400
    return text


def test_an_unknown_context(cluster: ClusterUnderTest) -> None:
    text = refused(cluster, K8S_CONTEXT="elsewhere")
    assert "kubernetes.context is 'elsewhere'" in text and "get-contexts" in text


def test_no_such_file(cluster: ClusterUnderTest) -> None:
    text = refused(cluster, K8S_CONFIG_FILE="/nowhere/kubeconfig")
    assert "'/nowhere/kubeconfig'" in text and "no such file" in text


def test_no_kubeconfig_at_all(
    cluster: ClusterUnderTest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    text = refused(cluster, K8S_CONFIG_FILE=None)
    assert "no kubeconfig was found" in text and "kubernetes.config.file" in text
    monkeypatch.setenv("KUBECONFIG", "/nowhere/a:/nowhere/b")
    assert "KUBECONFIG is '/nowhere/a:/nowhere/b'" in refused(cluster, K8S_CONFIG_FILE=None)


def test_the_environment_names_the_file(
    cluster: ClusterUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(cluster.control_plane.kubeconfig("jm-1")))
    assert cluster.contender(K8S_CONFIG_FILE=None).wait_for_grant()


@pytest.mark.parametrize("content", ["", "- a list", "{not yaml", '{"clusters": 7}'])
def test_a_file_that_is_no_kubeconfig(
    cluster: ClusterUnderTest, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(content)
    assert f"kubeconfig {file} cannot be used" in refused(cluster, K8S_CONFIG_FILE=str(file))


def test_a_token_that_is_not_valid(cluster: ClusterUnderTest, changed: Any) -> None:
    text = refused(cluster, K8S_CONFIG_FILE=changed("user", token="expired"))
    assert "does not accept our credentials" in text and "renew the token" in text


def test_an_authority_that_did_not_sign(
    cluster: ClusterUnderTest, changed: Any, tmp_path: Path
) -> None:
    authority = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(authority))
    file = changed("cluster", **{"certificate-authority": str(authority)})
    text = refused(cluster, K8S_CONFIG_FILE=file)
    assert "cannot be trusted" in text and "certificate-authority" in text


def test_nobody_listens(cluster: ClusterUnderTest, changed: Any) -> None:
    file = changed("cluster", server="https://127.0.0.1:9")
    text = refused(cluster, K8S_CONFIG_FILE=file)
    assert "https://127.0.0.1:9 cannot be reached" in text


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("K8S_CLUSTER_ID", "Capital", "lower-case letters"),
        ("K8S_CLUSTER_ID", "under_score", "lower-case letters"),
        ("K8S_CLUSTER_ID", "-first", "lower-case letters"),
        ("K8S_CLUSTER_ID", "x" * 46, "46 characters; write at most 45"),
        ("K8S_NAMESPACE", "Not/One", "the name of a namespace"),
    ],
)
def test_names_that_cannot_be(
    cluster: ClusterUnderTest, option: str, value: str, says: str
) -> None:
    text = refused(cluster, **{option: value})
    key = {"K8S_CLUSTER_ID": K8S_CLUSTER_ID, "K8S_NAMESPACE": K8S_NAMESPACE}[option].key
    assert f"option {key} is {value!r}" in text and says in text


def test_a_cluster_id_is_needed(cluster: ClusterUnderTest) -> None:
    assert "kubernetes.cluster-id" in refused(cluster, K8S_CLUSTER_ID=None)


@pytest.mark.parametrize("verb", (*READING, *WRITING))
def test_each_missing_verb_is_named(own_control_plane: ControlPlane, verb: str) -> None:
    cluster = ClusterUnderTest(own_control_plane)
    config_file = str(own_control_plane.kubeconfig("jm-3"))
    own_control_plane.revoke_right("jm-3", verb)
    try:
        with pytest.raises(ConfigurationError, match=rf"may not {verb} configmaps in namespace"):
            cluster.contender(K8S_CONFIG_FILE=config_file)
    finally:
        own_control_plane.grant_right("jm-3", verb)
        cluster.close()


def test_no_right_is_missing_on_a_server_that_has_just_started(
    own_control_plane: ControlPlane,
) -> None:
    """Before it has read the RoleBindings it says no to what it allows a moment later."""
    config_file = str(own_control_plane.kubeconfig("jm-3"))
    cluster = ClusterUnderTest(own_control_plane)
    settings = KubernetesSettings.of(cluster.config(K8S_CONFIG_FILE=config_file))
    client = KubernetesClient(settings)
    own_control_plane.kill("api")
    with ThreadPoolExecutor(1) as beside:
        restarted = beside.submit(own_control_plane.restart, "api")
        while not restarted.done():
            with contextlib.suppress(StoreUnavailableError):
                check_access(client, settings, JOB_MANAGER_VERBS)
        restarted.result()
    check_access(client, settings, JOB_MANAGER_VERBS)
    client.close()


def test_a_missing_right_is_waited_for_where_the_server_does_not_say_whether_it_is_ready(
    own_control_plane: ControlPlane,
) -> None:
    cluster, admin = ClusterUnderTest(own_control_plane), own_control_plane.admin
    config_file = str(own_control_plane.kubeconfig("jm-3"))
    bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    own_control_plane.revoke_right("jm-3", "patch")
    try:
        for name in ("system:discovery", "system:public-info-viewer"):
            admin.must("DELETE", f"{bindings}/{name}")  # the server makes them again when it starts

        def says() -> bool:
            with pytest.raises(HaworkError, match="may not patch configmaps") as caught:
                cluster.contender(K8S_CONFIG_FILE=config_file)
            return "does not tell us whether it has read its roles (403)" in str(caught.value)

        eventually(says)
        with pytest.raises(StoreUnavailableError):
            cluster.contender(K8S_CONFIG_FILE=config_file)
    finally:
        own_control_plane.kill("api")
        own_control_plane.restart("api")
        own_control_plane.grant_right("jm-3", "patch")
        cluster.close()


def test_a_task_manager_needs_no_right_to_write(cluster: ClusterUnderTest) -> None:
    backend = cluster.open(K8S_CONFIG_FILE=str(cluster.control_plane.kubeconfig("tm-1")))
    with pytest.raises(ConfigurationError, match="may not create, patch, delete configmaps"):
        backend.election_driver(ElectionListener())


def test_a_role_that_names_the_clusters_config_map_is_enough_for_an_election(
    own_control_plane: ControlPlane,
) -> None:
    """As the Roles of ingress-nginx and cert-manager do: only creating is not bound to a name."""
    cluster, admin = ClusterUnderTest(own_control_plane), own_control_plane.admin
    config_file = str(own_control_plane.kubeconfig("jm-3"))
    named = role("hawork-jm-3", ["create"])
    named["rules"] += role("", [*READING, "patch", "delete"])["rules"]
    named["rules"][1]["resourceNames"] = [cluster.names.cluster_map]
    roles = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{own_control_plane.namespace}/roles"
    try:
        admin.apply(roles, named)
        eventually(lambda: not own_control_plane.may("jm-3", "get"))
        leader = cluster.contender(K8S_CONFIG_FILE=config_file)
        leader.wait_for_grant()
        config = cluster.config(K8S_CONFIG_FILE=config_file)
        assert {row.name.split("/")[0] for row in store_rows(config, {})}
        found = probe(config, None)
        assert not found.rights["watch"] and found.only["watch"] == cluster.names.cluster_map
        assert "create" not in found.only
        with pytest.raises(
            NotAllowedError, match=r"may get, list, watch, patch, delete ConfigMap "
        ):
            leader.pointers(JOB_GRAPHS)  # jobs had waited for ever, and nothing was said

        named["rules"].pop(0)
        named["rules"][0]["verbs"].append("create")  # which never holds: it has no name then
        admin.apply(roles, named)
        eventually(lambda: not own_control_plane.may("jm-3", "create"))
        with pytest.raises(NotAllowedError, match=r"may not create configmaps .*without resourceN"):
            cluster.contender(K8S_CONFIG_FILE=config_file)
    finally:
        admin.apply(roles, role("hawork-jm-3", JOB_MANAGER_VERBS))
        eventually(lambda: own_control_plane.may("jm-3", "create"))
        cluster.close()


def test_a_namespace_that_is_not_there(own_control_plane: ControlPlane) -> None:
    cluster = ClusterUnderTest(own_control_plane)
    admin = str(own_control_plane.kubeconfig())
    try:
        contender = cluster.contender(K8S_CONFIG_FILE=admin, K8S_NAMESPACE="nowhere")
        contender.wait_until(lambda: bool(contender.of("error")), "an error")
        (_, error) = contender.of("error")[0]
        assert '"nowhere" not found' in str(error) and "create the namespace" in str(error)
    finally:
        cluster.close()


def test_a_right_taken_away_from_a_leader_is_told(own_control_plane: ControlPlane) -> None:
    cluster = ClusterUnderTest(own_control_plane)
    try:
        leader = cluster.contender(K8S_CONFIG_FILE=str(own_control_plane.kubeconfig("jm-3")))
        leader.wait_for_grant()
        own_control_plane.revoke_right("jm-3", "patch")
        leader.wait_until(lambda: bool(leader.of("error")), "an error")
        assert "we may not patch configmaps" in str(leader.of("error")[0][1])
        leader.wait_for_revoke()
    finally:
        own_control_plane.grant_right("jm-3", "patch")
        cluster.close()


def test_an_api_server_that_starts_again_is_no_error(own_control_plane: ControlPlane) -> None:
    """Behind a proxy it breaks off TLS; it refuses everybody until it has read the Roles."""
    cluster = ClusterUnderTest(own_control_plane)
    try:
        kubeconfig = own_control_plane.kubeconfig("jm-3", proxied=True)
        leader = cluster.contender(K8S_CONFIG_FILE=str(kubeconfig))
        leader.wait_for_grant()
        own_control_plane.kill("api")
        leader.wait_for_revoke()
        own_control_plane.restart("api")
        leader.wait_for_grant()
        assert not leader.of("error")
    finally:
        cluster.close()


def test_something_else_that_speaks_https(
    cluster: ClusterUnderTest, changed: Any, tmp_path: Path
) -> None:
    import http.server
    import ssl
    import threading

    class Greeting(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = b"<html>hello</html>"
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Greeting)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        file = changed("cluster", server=f"https://127.0.0.1:{server.server_address[1]}",
                       **{"certificate-authority": str(tmp_path / "ca.pem")})  # fmt: skip
        with pytest.raises(StoreUnavailableError, match="not a Kubernetes API server"):
            cluster.open(K8S_CONFIG_FILE=file)
    finally:
        server.shutdown()
        server.server_close()
