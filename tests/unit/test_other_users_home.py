"""A home, or any other place, that another user keeps to himself."""

from __future__ import annotations

from pathlib import Path

import pytest

from hawork.backends.zookeeper.settings import ZooKeeperSettings
from hawork.client.submission import find_file
from hawork.core import options, user_files
from hawork.core.errors import ArtifactError, ConfigurationError, LabError, StoreUnavailableError
from hawork.core.options import checked
from hawork.ha.configuration_file import load_configuration
from hawork.inspect.archive import open_storage
from hawork.inspect.embedded import read_entries
from hawork.lab import open_bundle
from hawork.lab.flights import cache_directory
from hawork.servers.kubernetes.program import KubernetesPrograms
from hawork.story.ring import is_ring
from tests.locked_places import lock


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of another user, as ``HOME=/root`` of an image that runs as one that is not."""
    place = tmp_path / "root"
    place.mkdir()
    monkeypatch.setenv("HOME", str(place))
    for name in ("KUBEBUILDER_ASSETS", "KUBE_ASSETS_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    lock(place, monkeypatch)
    return place


def test_a_home_that_is_another_users(locked: Path) -> None:
    """kubernetes/kubectl 1200, bitnami/containers 2453."""
    assert not user_files.is_writable(locked / ".cache/hawork")
    assert not user_files.is_there(locked / "x") and not user_files.is_file(locked / "x")
    assert user_files.why_not_a_file(locked / "x") == "we may not look there (Permission denied)"
    assert not is_ring(locked / "run.zip")
    assert not cache_directory().is_relative_to(locked)
    with pytest.raises(LabError, match="no Kubernetes"):
        KubernetesPrograms.find()


def test_what_is_named_there_is_refused_in_a_sentence(locked: Path) -> None:
    """No path of a user's ends in ``PermissionError``, and none is *not there* for no reason."""
    denied = "Permission denied"
    with pytest.raises(ConfigurationError, match=denied):
        load_configuration(locked / "config.yaml")
    with pytest.raises(ConfigurationError, match=denied):
        load_configuration(locked)
    with pytest.raises(ConfigurationError, match=denied):
        open_storage(str(locked / "ha.tar"))
    with pytest.raises(ArtifactError, match=denied):
        find_file(str(locked / "job.py"))
    with pytest.raises(LabError, match=denied):
        open_bundle(locked / "run.zip")
    config = checked(
        {"high-availability.type": "embedded", "high-availability.storageDir": str(locked)}
    )
    with pytest.raises(StoreUnavailableError, match=denied):
        read_entries(config)
    tls = {
        options.ZK_QUORUM.key: "a:2181",
        options.ZK_SSL_ENABLED.key: "true",
        options.ZK_SSL_CA_FILE.key: str(locked / "ca.pem"),
    }
    with pytest.raises(ConfigurationError, match=denied):
        ZooKeeperSettings.of(checked(tls))
