"""Real API servers for the Kubernetes tests, and one that is made up, for what comes before."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hawork.backends.kubernetes import credentials, kubeconfig
from hawork.backends.kubernetes.client import KubernetesClient
from hawork.servers.kubernetes.control_plane import ControlPlane
from tests.backends.kubernetes.fake_api_server import FakeApiServer, client
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


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApiServer]:
    for variable in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(variable)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    # Each look is a look at the disk.
    monkeypatch.setattr(credentials, "_GLANCE", 0.0)
    monkeypatch.setattr(credentials, "_FAILED_PAUSE", 0.0)
    with FakeApiServer(tmp_path) as server:
        yield server


@pytest.fixture
def open_client() -> Iterator[Any]:
    with contextlib.ExitStack() as stack:

        def opened(*args: Any, **named: Any) -> KubernetesClient:
            made = client(*args, **named)
            stack.callback(made.close)
            return made

        yield opened


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: FakeApiServer) -> Path:
    """A pod of the server's cluster; its service account's folder, without a token."""
    host, _, port = server.url.removeprefix("https://").partition(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    account, home = tmp_path / "account", tmp_path / "home"
    account.mkdir()
    (home / ".kube").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(kubeconfig, "SERVICE_ACCOUNT", account)
    return account
