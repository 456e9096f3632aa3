"""Refusals of a real API server that no Role mends, and objects that others have hold of."""

from __future__ import annotations

import uuid

import pytest

from hawork.core.errors import StoreUnavailableError
from hawork.core.types import DISPATCHER, LeaderInformation
from hawork.servers.kubernetes.control_plane import ControlPlane
from tests.backends.kubernetes.kubernetes_setup import ClusterUnderTest, Contender


@pytest.fixture
def namespace(own_control_plane: ControlPlane) -> str:
    name = f"n-{uuid.uuid4().hex[:8]}"
    thing = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    own_control_plane.admin.must("POST", "/api/v1/namespaces", thing)
    return name


def told(contender: Contender) -> str:
    contender.wait_until(lambda: bool(contender.of("error")), "an error")
    return str(contender.of("error")[0][1])


def contender(own_cluster: ClusterUnderTest, namespace: str) -> Contender:
    admin = str(own_cluster.control_plane.kubeconfig())
    return own_cluster.contender(K8S_CONFIG_FILE=admin, K8S_NAMESPACE=namespace)


def test_a_namespace_that_is_being_removed(own_cluster: ClusterUnderTest, namespace: str) -> None:
    """A finalizer keeps one for days; the API server says 403, as for a missing right."""
    own_cluster.control_plane.admin.must("DELETE", f"/api/v1/namespaces/{namespace}")
    message = told(contender(own_cluster, namespace))
    assert f"namespace {namespace} is being removed" in message and "Role" not in message


def test_a_quota_that_is_used_up(own_cluster: ClusterUnderTest, namespace: str) -> None:
    admin = own_cluster.control_plane.admin
    quota = {
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"},
        "spec": {"hard": {"configmaps": "0"}},
    }  # fmt: skip
    path = f"/api/v1/namespaces/{namespace}/resourcequotas"
    made = admin.must("POST", path, quota)
    made["status"] = {"hard": {"configmaps": "0"}, "used": {"configmaps": "0"}}
    admin.must("PUT", f"{path}/few/status", made)
    message = told(contender(own_cluster, namespace))
    assert "raise its ResourceQuota" in message and "Role" not in message


def test_a_map_that_was_made_immutable(own_cluster: ClusterUnderTest, namespace: str) -> None:
    admin = own_cluster.control_plane.admin
    leader = contender(own_cluster, namespace)
    leader.wait_for_grant()
    leader.driver.close()
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    (found,) = admin.must("GET", path)["items"]
    name = found["metadata"]["name"]
    admin.must("PUT", f"{path}/{name}", {**found, "immutable": True})
    next_one = contender(own_cluster, namespace)
    session_id = next_one.wait_for_grant()  # annotations can be changed all the same
    information = LeaderInformation(session_id, "http://127.0.0.1:1")
    with pytest.raises(StoreUnavailableError, match=f"ConfigMap {name} .* is immutable"):
        next_one.driver.publish_leader_information(DISPATCHER, information)


def test_an_etcd_that_is_full(own_cluster: ClusterUnderTest, namespace: str) -> None:
    """Known at once to have changed nothing; with room again the same leader goes on."""
    admin = str(own_cluster.control_plane.kubeconfig())
    leader = own_cluster.contender(
        K8S_CONFIG_FILE=admin, K8S_NAMESPACE=namespace,
        K8S_LEASE_DURATION="60 s", K8S_RENEW_DEADLINE="60 s", K8S_RETRY_PERIOD="5 s",
    )  # fmt: skip
    session_id = leader.wait_for_grant()
    information = LeaderInformation(session_id, "http://127.0.0.1:1")
    refused = pytest.raises(StoreUnavailableError, match=r"etcd is used up .*etcdctl alarm disarm")
    with own_cluster.control_plane.full(), refused:
        leader.driver.publish_leader_information(DISPATCHER, information)
    leader.driver.publish_leader_information(DISPATCHER, information)
    assert leader.leads and not leader.of("revoke")
