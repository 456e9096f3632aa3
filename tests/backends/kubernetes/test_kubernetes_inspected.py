"""The inspector on a real API server: every ConfigMap, and the rights that are missing."""

from __future__ import annotations

import pytest

from hawork.core.errors import StoreUnavailableError
from hawork.inspect.live_kubernetes import read_live_kubernetes
from tests.backends.kubernetes.kubernetes_setup import ClusterUnderTest

JOB = "00000000000000000000000000000007"
OTHER = "00000000000000000000000000000008"


def fill(cluster: ClusterUnderTest) -> None:
    names = cluster.names
    for name, data in (
        (names.cluster_map, {f"jobGraph-{JOB}": "x"}),
        (f"{cluster.cluster_id}-{JOB}-config-map", {"counter": "3"}),
        (f"{cluster.cluster_id}-{OTHER}-config-map", {"counter": "4"}),
    ):
        body = {"metadata": {"name": name, "labels": names.labels}, "data": data}
        status, _ = cluster.control_plane.admin.call("POST", cluster._path, body)
        assert status == 201


def found(cluster: ClusterUnderTest) -> dict[str, dict[str, str]]:
    dump = read_live_kubernetes(cluster.config())
    ours = [each for each in dump.maps if each.name.startswith(cluster.cluster_id)]
    assert all(each.created and each.resource_version for each in ours)
    assert all(each.labels == cluster.names.labels for each in ours)
    return {each.name.removeprefix(cluster.cluster_id): dict(each.data) for each in ours}


def test_every_config_map_is_read(cluster: ClusterUnderTest) -> None:
    fill(cluster)
    assert found(cluster) == {
        "-cluster-config-map": {f"jobGraph-{JOB}": "x"},
        f"-{JOB}-config-map": {"counter": "3"},
        f"-{OTHER}-config-map": {"counter": "4"},
    }
    assert read_live_kubernetes(cluster.config()).problems == ()


def test_without_the_right_to_list_it_says_so_and_reads_what_it_can(
    own_cluster: ClusterUnderTest,
) -> None:
    fill(own_cluster)
    plane = own_cluster.control_plane
    plane.revoke_right("jm-1", "list")
    try:
        assert set(found(own_cluster)) == {"-cluster-config-map", f"-{JOB}-config-map"}
        (problem,) = read_live_kubernetes(own_cluster.config()).problems
        assert "we may not list configmaps" in problem and "add the verb list" in problem
        plane.revoke_right("jm-1", "get")
        with pytest.raises(StoreUnavailableError, match=r"the verb list .* and .*the verb get"):
            read_live_kubernetes(own_cluster.config())
    finally:
        plane.grant_right("jm-1", "get")
        plane.grant_right("jm-1", "list")
