"""Kubeconfigs and machines of other people: what is read, what is told, what stays secret."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hawork.backends.kubernetes.answers import AccessDeniedError
from hawork.core.errors import ConfigurationError
from tests.backends.kubernetes.fake_api_server import FakeApiServer, client, credential, settings
from tests.backends.kubernetes.test_kubernetes_credentials import sent, write_pair
from tests.locked_places import lock


@pytest.mark.parametrize(
    "line",
    [
        'token: "SECRET-of-us',
        "token:\tSECRET-of-us: x",
        "token: SECRET-of-us: x",
        "token: *SECRET-of-us",
        "token: !SECRET-of-us x",
        "token: [SECRET-of-us",
    ],
)
def test_what_is_not_yaml_is_not_quoted(server: FakeApiServer, line: str) -> None:
    """PyYAML's messages hold the line (jkreileder/cf-ips-to-hcloud-fw 1438, fabric8io 1525)."""
    file = server.kubeconfig({"token": "XX"})
    file.write_text(file.read_text().replace("token: XX", line))
    with pytest.raises(ConfigurationError, match=r"is not YAML: .* at line \d+") as caught:
        client(file)
    assert ("SECRET" not in str(caught.value) and "..." in str(caught.value)) or "*" not in line


def test_a_kubeconfig_that_is_nested_too_deeply(server: FakeApiServer) -> None:
    file = server.kubeconfig({"token": "t"})
    file.write_text("a: " + "[" * 5000)
    with pytest.raises(ConfigurationError, match="nested too deeply"):
        client(file)


@pytest.mark.parametrize("before", ["A new version is available.\n", "\ufeff", ""])
def test_a_token_in_an_answer_that_is_not_quite_one_is_not_told(
    server: FakeApiServer, before: str
) -> None:
    script = f"printf '%s' '{before}'\n{credential(token='SECRET')}\necho '}}'\n"
    with pytest.raises(AccessDeniedError, match="not an ExecCredential") as caught:
        client(server.kubeconfig(server.plugin(script))).may("get")
    assert "SECRET" not in str(caught.value)


def test_a_login_in_the_address_is_not_told(server: FakeApiServer) -> None:
    with pytest.raises(ConfigurationError, match="write https://host:port") as caught:
        client(server.kubeconfig(server="https://me:SECRET@127.0.0.1:1"))
    assert "SECRET" not in str(caught.value)


def test_a_scheme_in_capital_letters(server: FakeApiServer, open_client: Any) -> None:
    url = server.url.replace("https", "HTTPS")
    assert open_client(server.kubeconfig({"token": "t"}, server=url)).may("get")


def test_a_sandbox_without_files_in_memory(
    server: FakeApiServer, open_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NVIDIA/OpenShell 1427: a seccomp filter refuses ``memfd_create``."""

    def refuse(*_: object) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "memfd_create", refuse)
    user = write_pair(server, server.ca_file.parent, "me.example")
    assert open_client(server.kubeconfig(user)).may("get")
    assert server.asked[-1]["certificate"] == ["me.example"]


def test_a_pod_whose_home_is_roots(
    server: FakeApiServer,
    pod: Path,
    open_client: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """kubernetes/kubectl 1200: an image with HOME=/root that runs as another user."""
    (tmp_path / "root").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "root"))
    lock(tmp_path / "root", monkeypatch)
    (pod / "token").write_text("of-the-pod")
    (pod / "ca.crt").write_bytes(server.authority.cert_pem.bytes())
    assert open_client(None).may("get")
    assert sent(server) == "Bearer of-the-pod"


def test_places_that_we_may_not_look_at_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = tmp_path / "root"
    place.mkdir()
    lock(place, monkeypatch)
    denied = "we may not look there"
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigurationError, match=f"config.file is .*{denied}"):
        settings(place / "kubeconfig")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/none:{place}/kubeconfig")
    with pytest.raises(ConfigurationError, match=f"KUBECONFIG is .*{denied}"):
        settings(None)
    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.setenv("HOME", str(place))
    with pytest.raises(ConfigurationError, match=f"no kubeconfig was found .*{denied}"):
        settings(None)
