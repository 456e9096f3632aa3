"""Real API servers for the Kubernetes tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hawork.servers.kubernetes.control_plane import ControlPlane
from tests.backends.kubernetes.kubernetes_setup import ClusterUnderTest
from tests.contract.kubernetes_server import USERS, shared_control_plane


@pytest.fixture
def control_plane() -> ControlPlane:
    """The one that all tests share, for those that leave it alone."""
    return shared_control_plane()


@pytest.fixture(scope="module")
def own_control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One for the tests of a module, to be paused and killed; each leaves it serving."""
    directory: Path = tmp_path_factory.mktemp("kubernetes")
    with ControlPlane(directory, USERS) as control_plane:
        yield control_plane


@pytest.fixture
def cluster(control_plane: ControlPlane) -> Iterator[ClusterUnderTest]:
    """A cluster-id of its own on the shared control plane."""
    cluster = ClusterUnderTest(control_plane)
    yield cluster
    cluster.close()


@pytest.fixture
def own_cluster(own_control_plane: ControlPlane) -> Iterator[ClusterUnderTest]:
    """A cluster-id on a control plane that may be paused and killed."""
    cluster = ClusterUnderTest(own_control_plane)
    yield cluster
    cluster.close()
