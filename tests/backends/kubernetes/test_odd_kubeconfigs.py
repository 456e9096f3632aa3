"""Kubeconfigs and machines of other people: what is read, what is told, what stays secret."""

from __future__ import annotations

import base64
import json
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml

from hawork.backends.kubernetes import credentials
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


# --- exec plugins, as kubectl takes them ----------------------------------------------------------


@pytest.mark.parametrize("api", ["v1alpha1", "v1beta1", "v1"])
@pytest.mark.parametrize("mode", ["Never", "IfAvailable", None])
def test_versions_and_modes_of_plugins(
    server: FakeApiServer, open_client: Any, api: str, mode: str | None
) -> None:
    version = f"client.authentication.k8s.io/{api}"
    user = server.plugin(credential(version, token="t"), apiVersion=version, interactiveMode=mode)
    assert open_client(server.kubeconfig(user)).may("get")


def test_a_plugin_without_a_version_is_told_which_to_write(server: FakeApiServer) -> None:
    user = server.plugin(credential(token="t"))
    del user["exec"]["apiVersion"]
    with pytest.raises(AccessDeniedError, match=r"names no apiVersion: write client\.auth.*/v1;"):
        client(server.kubeconfig(user))


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", None])
def test_a_plugin_in_go_that_sets_no_end_is_asked_once(
    server: FakeApiServer, open_client: Any, monkeypatch: pytest.MonkeyPatch, moment: str | None
) -> None:
    """The zero moment passed for one long ago: the plugin ran every ten seconds."""
    monkeypatch.setattr(credentials, "_AGAIN", 0.0)
    monkeypatch.setattr(credentials, "_GLANCE", 0.0)
    runs = server.ca_file.parent / "runs"
    script = f"echo x >>{runs}\n{credential(token='t', expirationTimestamp=moment)}"
    found = open_client(server.kubeconfig(server.plugin(script)))
    assert [found.may("get") for _ in range(3)] == [True] * 3
    assert runs.read_text() == "x\n"


def test_a_plugin_that_answers_in_yaml_beside_much_noise(
    server: FakeApiServer, open_client: Any
) -> None:
    answer = (
        "cat <<'END'\napiVersion: client.authentication.k8s.io/v1\nkind: ExecCredential\n"
        "status:\n  token: of-yaml\n  expirationTimestamp: 2099-01-01T00:00:00Z\nEND\n"
    )
    noise = "head -c 300000 /dev/zero | tr '\\0' x >&2\n"
    assert open_client(server.kubeconfig(server.plugin(noise + answer))).may("get")
    assert sent(server) == "Bearer of-yaml"


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("kill -9 $$\n", "it ended by signal 9"),
        ("echo 'token: SECRET'; exit 1\n", "ended with status 1 and said: token:"),
        (
            credential().replace(', "status": {}', ""),
            "neither a token nor a certificate",
        ),
    ],
)
def test_what_became_of_a_plugin(server: FakeApiServer, script: str, says: str) -> None:
    with pytest.raises(AccessDeniedError) as caught:
        client(server.kubeconfig(server.plugin(script)))
    assert says in str(caught.value) and "SECRET" not in str(caught.value)


def test_a_plugin_is_looked_for_in_our_path_and_gets_that_of_env(
    server: FakeApiServer, open_client: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    user = server.plugin(
        f'echo "$PATH$EMPTY" >{tmp_path}/path\n{credential(token="t")}',
        env=[{"name": "PATH", "value": "/usr/bin:/bin"}, {"name": "EMPTY", "value": None}],
    )
    user["exec"]["command"] = "plugin"
    monkeypatch.setenv("PATH", f"{server.ca_file.parent}:{os.environ['PATH']}")
    assert open_client(server.kubeconfig(user)).may("get")
    assert (tmp_path / "path").read_text() == "/usr/bin:/bin\n"


def test_a_plugin_is_told_the_authority_and_not_the_path_of_its_file(
    server: FakeApiServer, open_client: Any, tmp_path: Path
) -> None:
    """Source: client-go's ``ConfigToExecCluster``: a relative path would lead it astray."""
    script = f'echo "$KUBERNETES_EXEC_INFO" >{tmp_path}/info\n{credential(token="t")}'
    user = server.plugin(script, provideClusterInfo=True)
    open_client(server.kubeconfig(user, certificate_authority="ca.crt"))
    cluster = json.loads((tmp_path / "info").read_text())["spec"]["cluster"]
    data = base64.b64decode(cluster["certificate-authority-data"])
    assert data == server.ca_file.read_bytes() and "certificate-authority" not in cluster


# --- files ------------------------------------------------------------------------------------


def test_what_context_cluster_and_user_say_is_put_together_from_several_files(
    server: FakeApiServer, open_client: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first file that has an entry has it whole: of a user there, nothing else is added."""
    whole = yaml.safe_load(server.kubeconfig({"token": "mine"}).read_text())
    parts: list[dict[str, Any]] = [
        {"current-context": "", "contexts": whole["contexts"], "clusters": None},
        {"users": whole["users"], "current-context": "it"},
        {"users": [{"name": "me", "user": {"token": "other", "as": "boss"}}]},
        {"clusters": whole["clusters"], "current-context": "never"},
    ]
    files = [tmp_path / f"part-{number}" for number in range(len(parts))]
    for file, part in zip(files, parts, strict=True):
        file.write_text(yaml.safe_dump(part))
    monkeypatch.setenv("KUBECONFIG", f":/nowhere::{':'.join(map(str, files))}:")
    assert open_client(None).may("get")
    assert sent(server) == "Bearer mine" and "Impersonate-User" not in server.asked[-1]


def as_json_with_tabs(content: dict[str, Any]) -> str:
    return json.dumps(content, indent="\t")


def with_another_document(content: dict[str, Any]) -> str:
    return f"---\n{yaml.safe_dump(content)}---\nkind: List\n"


def with_a_mark(content: dict[str, Any]) -> str:
    return "\ufeff" + yaml.safe_dump(content).replace("\n", "\r\n")


@pytest.mark.parametrize("write", [as_json_with_tabs, with_another_document, with_a_mark])
def test_files_that_kubectl_reads(server: FakeApiServer, open_client: Any, write: Any) -> None:
    file = server.kubeconfig({"token": "t"})
    file.write_text(write(yaml.safe_load(file.read_text())))
    assert open_client(file).may("get")


@pytest.mark.parametrize("token", ["123456.0123456789012340", "0123_456", "1e5", "2024-01-01"])
def test_a_token_that_looks_like_a_number_is_sent_as_it_stands(
    server: FakeApiServer, open_client: Any, token: str
) -> None:
    """kubeadm's tokens are ``[a-z0-9]{6}.[a-z0-9]{16}``, and may be digits alone."""
    file = server.kubeconfig({"token": "XX"})
    file.write_text(file.read_text().replace("token: XX", f"token: {token}"))
    assert open_client(file).may("get") and sent(server) == f"Bearer {token}"


def test_a_certificate_that_nobody_looks_at_is_no_warning(
    server: FakeApiServer, open_client: Any
) -> None:
    """urllib3 warns of each request, and ends it where warnings are errors (PYTHONWARNINGS)."""
    file = server.kubeconfig({"token": "t"}, insecure_skip_tls_verify=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_client(file).may("get")


@pytest.mark.parametrize("name", ["a..b", "https://api.example", "a b", "a" * 64])
def test_a_tls_server_name_that_is_none(server: FakeApiServer, name: str) -> None:
    with pytest.raises(ConfigurationError, match="tls-server-name is '"):
        client(server.kubeconfig(tls_server_name=name))


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (credential(token=["SECRET"]), "it answered a token that is not a text"),
        (credential(token={"a": "SECRET"}), "it answered a token that is not a text"),
        (credential("client.authentication.k8s.io/v1beta1", token="SECRET"), "answered ExecCred"),
        ("printf '\\033]0;x\\007\\033[31mno\\r\\n' >&2; exit 1\n", r"said: \x1b]0;x\x07\x1b[31mno"),
    ],
)
def test_what_a_plugin_answers_is_a_text(server: FakeApiServer, script: str, says: str) -> None:
    with pytest.raises(AccessDeniedError) as caught:
        client(server.kubeconfig(server.plugin(script)))
    assert says in str(caught.value) and "SECRET" not in str(caught.value)


def test_a_plugin_whose_first_line_ends_as_on_windows(server: FakeApiServer) -> None:
    """It had been *not installed, or not in PATH*."""
    user = server.plugin("exit 0\n")
    Path(user["exec"]["command"]).write_bytes(b"#!/bin/sh\r\nexit 0\r\n")
    with pytest.raises(AccessDeniedError, match="its first line names is not there"):
        client(server.kubeconfig(user))
