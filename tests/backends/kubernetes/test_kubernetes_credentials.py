"""As whom we come to an API server: exec plugins, renewed files, pods, and what is said."""

from __future__ import annotations

import base64
import datetime
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from hawork.backends.kubernetes import credentials, exec_plugin
from hawork.backends.kubernetes.answers import AccessDeniedError
from hawork.core.errors import ConfigurationError, HaworkError, StoreUnavailableError
from hawork.testing import eventually
from tests.backends.kubernetes.fake_api_server import FakeApiServer, client, credential, settings


def sent(server: FakeApiServer) -> str:
    """What the last request had to say for itself."""
    return str(server.asked[-1].get("Authorization"))


# --- exec plugins -----------------------------------------------------------------------------


def test_a_plugin_gives_the_token(server: FakeApiServer, open_client: Any) -> None:
    found = open_client(server.kubeconfig(server.plugin(credential(token="t-1"))))
    assert found.may("get") and sent(server) == "Bearer t-1"


def test_what_a_plugin_is_told(server: FakeApiServer, open_client: Any, tmp_path: Path) -> None:
    """Source: Kubernetes' documentation of ``client.authentication.k8s.io``."""
    script = f'echo "$KUBERNETES_EXEC_INFO" >{tmp_path}/info; echo "$REGION $1" >{tmp_path}/rest\n'
    user = server.plugin(
        script + credential(token="t"),
        args=["token"], env=[{"name": "REGION", "value": "north"}], provideClusterInfo=True,
    )  # fmt: skip
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "us"}}
    open_client(server.kubeconfig(user, extensions=[extension]))
    told = json.loads((tmp_path / "info").read_text())
    assert (tmp_path / "rest").read_text() == "north token\n"
    assert told["spec"]["interactive"] is False
    assert told["spec"]["cluster"]["server"] == server.url
    assert told["spec"]["cluster"]["config"] == {"audience": "us"}


def test_a_plugin_beside_the_kubeconfig(server: FakeApiServer, open_client: Any) -> None:
    user = server.plugin(credential(token="beside"))
    user["exec"]["command"] = "./plugin"
    assert open_client(server.kubeconfig(user)).may("get")
    assert sent(server) == "Bearer beside"


def test_a_plugin_that_gives_a_certificate(server: FakeApiServer, open_client: Any) -> None:
    issued = server.authority.issue_cert("me.example")
    script = credential(
        clientCertificateData=b"".join(c.bytes() for c in issued.cert_chain_pems).decode(),
        clientKeyData=issued.private_key_pem.bytes().decode(),
    )
    assert open_client(server.kubeconfig(server.plugin(script))).may("get")
    assert server.asked[-1]["certificate"] == ["me.example"]


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo 'session expired: run login' >&2; exit 1\n", "session expired: run login"),
        ("exit 7\n", "ended with status 7"),
        ("echo hello\n", "not an ExecCredential and said: hello"),
        ("echo '[1]'\n", "not an ExecCredential"),
        ("true\n", "not an ExecCredential"),
        (credential(), "neither a token nor a certificate"),
        (credential("client.authentication.k8s.io/v1beta1", token="t"), "not of"),
        (credential(token="t", expirationTimestamp="soon"), "'soon' as expirationTimestamp"),
        ("head -c 3000000 /dev/zero\n", "not an ExecCredential"),
        # What it left running holds its pipes.
        ("sleep 30 & echo broken >&2; exit 1\n", "broken"),
    ],
)
def test_what_a_plugin_said_is_told(server: FakeApiServer, script: str, says: str) -> None:
    file = server.kubeconfig(server.plugin(script))
    with pytest.raises(AccessDeniedError) as caught:
        client(file)
    text = str(caught.value)
    assert says in text and "/plugin of kubeconfig" in text and "exec plugin" in text
    assert "Role" not in text and "\n" not in text and len(text) < 700


@pytest.mark.parametrize("closed", [False, True])
def test_a_plugin_that_is_not_there(
    server: FakeApiServer, monkeypatch: pytest.MonkeyPatch, closed: bool
) -> None:
    """Where PATH has a directory that is closed to us the system says *denied* of every name."""

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    user = server.plugin("")
    user["exec"].update(command="authenticator-not-installed", installHint="brew install it")
    kubeconfig = server.kubeconfig(user)
    if closed:
        monkeypatch.setattr(exec_plugin.subprocess, "Popen", denied)
    with pytest.raises(
        AccessDeniedError, match=r"authenticator-not-installed .*it is not installed.*brew install"
    ):
        client(kubeconfig)


def test_a_plugin_that_hangs(server: FakeApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is ended with all that it started, and what it said by then is told."""
    monkeypatch.setattr(exec_plugin, "PATIENCE", 0.5)
    monkeypatch.setattr(exec_plugin.run, "__defaults__", (0.5,))
    user = server.plugin("echo 'open https://login.example/device' >&2; sleep 60 & wait\n")
    with pytest.raises(AccessDeniedError, match=r"within 0\.5 s and said: open https://login"):
        client(server.kubeconfig(user))


def test_what_looks_like_a_secret_is_not_repeated(server: FakeApiServer) -> None:
    secret = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEyMzQ1Njc4OTAifQ"
    with pytest.raises(AccessDeniedError) as caught:
        client(server.kubeconfig(server.plugin(f"echo {secret}\n")))
    assert secret not in str(caught.value)


def counting(tmp_path: Path, **status: Any) -> str:
    """A plugin's script: each run gives another token, and ``status`` besides."""
    count = f"n=$(($(cat {tmp_path}/n 2>/dev/null)+1)); echo $n >{tmp_path}/n\n"
    answer = credential(token="t-$n", **status).replace("'END'", "END")
    return count + answer


def at(seconds: float) -> str:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_plugin_is_asked_once_for_what_lasts(
    server: FakeApiServer, open_client: Any, tmp_path: Path
) -> None:
    user = server.plugin(counting(tmp_path, expirationTimestamp=at(3600)))
    found = open_client(server.kubeconfig(user))
    assert [found.may("get") for _ in range(3)] == [True] * 3
    assert sent(server) == "Bearer t-1"


def test_an_exec_token_that_ends_is_renewed_before(
    server: FakeApiServer, open_client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "_AGAIN", 0.0)
    user = server.plugin(counting(tmp_path, expirationTimestamp=at(30)))
    found = open_client(server.kubeconfig(user))
    assert found.may("get") and sent(server) == "Bearer t-1"
    monkeypatch.setattr(credentials, "_SHARE", 1.0)  # as if the last minute had come
    eventually(lambda: found.may("get") and sent(server) != "Bearer t-1")


def test_a_refused_exec_token_is_renewed(
    server: FakeApiServer, open_client: Any, tmp_path: Path
) -> None:
    found = open_client(server.kubeconfig(server.plugin(counting(tmp_path))))
    assert found.may("get")
    server.tokens = {"t-2"}
    assert found.may("get") and sent(server) == "Bearer t-2"


def test_a_login_that_ends_while_we_work_is_told_and_comes_back(
    server: FakeApiServer, open_client: Any
) -> None:
    found = open_client(server.kubeconfig(server.plugin(credential(token="old"))))
    assert found.may("get")
    server.plugin("echo logged out >&2; exit 1\n")
    server.tokens = {"new"}
    with pytest.raises(AccessDeniedError, match="said: logged out"):
        found.may("get")
    server.plugin(credential(token="new"))
    assert eventually(lambda: found.may("get"))


# --- what is renewed on disk ------------------------------------------------------------------


def replace(path: Path, text: bytes) -> None:
    """As kubelet and careful people do it."""
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(text)
    new.replace(path)


def test_a_token_file_is_read_again(
    server: FakeApiServer, open_client: Any, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("one\n")
    found = open_client(server.kubeconfig({"tokenFile": "token", "token": "static"}))
    assert found.may("get") and sent(server) == "Bearer one"
    replace(tmp_path / "token", b"two\n")
    assert found.may("get") and sent(server) == "Bearer two"


def test_a_token_file_that_is_away_for_a_moment(
    server: FakeApiServer, open_client: Any, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("one")
    found = open_client(server.kubeconfig({"tokenFile": str(tmp_path / "token")}))
    (tmp_path / "token").unlink()
    assert found.may("get") and sent(server) == "Bearer one"


def test_a_kubeconfig_that_is_written_anew(server: FakeApiServer, open_client: Any) -> None:
    path = server.kubeconfig({"token": "one"})
    found = open_client(path)
    replace(path, b"half: [writ")
    assert found.may("get") and sent(server) == "Bearer one"
    server.kubeconfig({"token": "two"})
    assert found.may("get") and sent(server) == "Bearer two"


def write_pair(server: FakeApiServer, directory: Path, name: str) -> dict[str, str]:
    issued = server.authority.issue_cert(name)
    chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
    replace(directory / "me.key", issued.private_key_pem.bytes())
    replace(directory / "me.crt", chain)
    return {"client-certificate": "me.crt", "client-key": "me.key"}


def test_a_client_certificate_is_read_again(
    server: FakeApiServer, open_client: Any, tmp_path: Path
) -> None:
    found = open_client(server.kubeconfig(write_pair(server, tmp_path, "old.example")))
    assert found.may("get") and server.asked[-1]["certificate"] == ["old.example"]
    write_pair(server, tmp_path, "new.example")
    assert found.may("get") and server.asked[-1]["certificate"] == ["new.example"]


def test_an_authority_is_read_again(
    server: FakeApiServer, open_client: Any, tmp_path: Path
) -> None:
    found = open_client(server.kubeconfig({"token": "t"}))
    assert found.may("get")
    replace(server.ca_file, trustme.CA().cert_pem.bytes())
    with pytest.raises(AccessDeniedError, match="cannot be trusted"):
        found.may("get")
    replace(server.ca_file, server.authority.cert_pem.bytes())
    assert eventually(lambda: found.may("get"))


def test_nothing_lies_in_the_temporary_directory(
    server: FakeApiServer, open_client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cleaner removes there after ten days what a leader needs for its next connection."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    issued = server.authority.issue_cert("me.example")
    chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
    inline = {
        "client-certificate-data": base64.b64encode(chain).decode(),
        "client-key-data": base64.b64encode(issued.private_key_pem.bytes()).decode(),
    }
    data = base64.b64encode(server.authority.cert_pem.bytes()).decode()
    found = open_client(
        server.kubeconfig(inline, certificate_authority=None, certificate_authority_data=data)
    )
    assert found.may("get") and server.asked[-1]["certificate"] == ["me.example"]
    assert not list(scratch.iterdir())
    shutil.rmtree(scratch)
    found._transport._credentials._session.pool.clear()  # every connection breaks
    assert found.may("get") and server.asked[-1]["certificate"] == ["me.example"]


# --- where the kubeconfig is --------------------------------------------------------------------


def test_a_pod_with_a_token(server: FakeApiServer, pod: Path, open_client: Any) -> None:
    (pod / "token").write_text("bound-1")
    (pod / "ca.crt").write_bytes(server.authority.cert_pem.bytes())
    found = open_client(None)
    assert found.may("get") and sent(server) == "Bearer bound-1"
    replace(pod / "token", b"bound-2")  # each hour
    assert found.may("get") and sent(server) == "Bearer bound-2"


def test_a_pod_without_a_token_uses_the_kubeconfig_at_home(
    server: FakeApiServer, pod: Path, tmp_path: Path, open_client: Any
) -> None:
    shutil.copy(server.kubeconfig({"token": "home"}), tmp_path / "home/.kube/config")
    assert open_client(None).may("get") and sent(server) == "Bearer home"


def test_kubectls_order_in_a_pod(
    server: FakeApiServer, pod: Path, tmp_path: Path, open_client: Any
) -> None:
    (pod / "token").write_text("pod")
    (pod / "ca.crt").write_bytes(server.authority.cert_pem.bytes())
    home = tmp_path / "home/.kube/config"
    home.write_text("apiVersion: v1\nkind: Config\n")  # left behind by a tool
    assert open_client(None).may("get") and sent(server) == "Bearer pod"
    shutil.copy(server.kubeconfig({"token": "home"}), home)
    assert open_client(None).may("get") and sent(server) == "Bearer home"


def test_a_pod_with_nothing(pod: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no token of a service account.*set the option"):
        settings(None)


def test_no_home_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user id without an entry in the password file, and no ``HOME``."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="no kubeconfig was found"):
        settings(None)


def test_several_files(
    server: FakeApiServer, open_client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one that says something has it; paths are relative to the file that names them."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/token").write_text("of-sub")
    first = server.kubeconfig({"tokenFile": "token"}, name="sub/first.yaml")
    second = server.kubeconfig({"token": "second"}, name="second.yaml", server="https://192.0.2.1")
    content = yaml.safe_load(second.read_text())
    content["current-context"] = "elsewhere"
    second.write_text(yaml.safe_dump(content))
    monkeypatch.setenv("KUBECONFIG", f"{first}:/nowhere:{second}")
    assert open_client(None).may("get") and sent(server) == "Bearer of-sub"


def test_a_kubeconfig_without_a_current_context(server: FakeApiServer) -> None:
    path = server.kubeconfig({"token": "t"})
    content = yaml.safe_load(path.read_text())
    del content["current-context"]
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigurationError, match=r"no current-context\): .*kubernetes\.context to"):
        client(path)
    assert client(path, **{"kubernetes.context": "it"}).may("get")


# --- the rest of a kubeconfig --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "header", "value"),
    [
        ({"username": "u", "password": "p"}, "Authorization", "Basic dTpw"),
        ({"token": "t", "as": "other"}, "Impersonate-User", "other"),
        ({"token": "first", "exec": {"command": "never-run"}}, "Authorization", "Bearer first"),
    ],
)
def test_users(
    server: FakeApiServer, open_client: Any, user: dict[str, Any], header: str, value: str
) -> None:
    assert open_client(server.kubeconfig(user)).may("get")
    assert server.asked[-1][header] == value


def token_until(seconds: float) -> str:
    parts = [{"alg": "none"}, {"exp": int(time.time() + seconds)}]
    encoded = [base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=") for each in parts]
    return b".".join([*encoded, b"sig"]).decode()


def test_an_oidc_user(server: FakeApiServer, open_client: Any) -> None:
    token = token_until(3600)
    provider = {"auth-provider": {"name": "oidc", "config": {"id-token": token}}}
    assert open_client(server.kubeconfig(provider)).may("get")
    assert sent(server) == f"Bearer {token}"


def test_an_auth_provider_that_is_gone_says_so(server: FakeApiServer) -> None:
    with pytest.raises(ConfigurationError, match=r"auth-provider azure gave no token.*exec plugin"):
        client(server.kubeconfig({"auth-provider": {"name": "azure"}}))


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
@pytest.mark.parametrize(
    "cluster",
    [
        {"insecure_skip_tls_verify": True, "certificate_authority": None},
        {"certificate_authority": "ca.crt"},
        {"tls_server_name": "api.example"},
    ],
)
def test_clusters(server: FakeApiServer, open_client: Any, cluster: dict[str, Any]) -> None:
    assert open_client(server.kubeconfig({"token": "t"}, **cluster)).may("get")


@pytest.mark.parametrize(
    ("user", "cluster", "says"),
    [
        ({}, {"tls_server_name": "other.example"}, "cannot be trusted"),
        ({}, {"certificate_authority": "gone.crt"}, "gone.crt: No such file"),
        (
            {},
            {"insecure_skip_tls_verify": "false", "certificate_authority": None},
            "cannot be trusted",
        ),
        ({}, {"certificate_authority": None, "certificate_authority_data": "%"}, "is not base64"),
        ({"client-certificate": "ca.crt", "client-key": "ca.crt"}, {}, "cannot be used"),
        ({"tokenFile": "gone"}, {}, "gone: No such file"),
        ({"tokenFile": "ca.crt"}, {}, "holds characters that no token has"),
        ({"token": "a b"}, {}, "holds characters that no token has"),
        ({"token": "t", "as": "J\u00e9r\u00f4me \u4e00"}, {}, "no request can be made"),
        ({}, {"server": "https://host:port"}, "write https://host:port"),
        ({}, {"server": None}, "write https://host:port"),
        ({"exec": "kubelogin"}, {}, "exec holds no mapping"),
        ({"exec": {"command": "true", "env": ["A=B"]}}, {}, "env not one of name and value"),
        ({"exec": {"command": "true", "args": "get-token"}}, {}, "args is not a list"),
        ({"token": "t", "as": "me", "as-groups": "devs"}, {}, "as-groups is not a list"),
        ({"token": "t", "as": "me", "as-user-extra": {"a": "b"}}, {}, "a is not a list"),
        ({"client-certificate": "ca.crt"}, {}, "without client-key"),
        ({}, {"server": " https://127.0.0.1:1"}, "write https://host:port"),
        ({}, {"server": "https://a..b"}, "write https://host:port"),
        ({}, {"server": f"https://{'a' * 300}.example"}, "write https://host:port"),
    ],
)
def test_what_cannot_be_used_is_named(
    server: FakeApiServer, user: dict[str, Any], cluster: dict[str, Any], says: str
) -> None:
    with pytest.raises(HaworkError) as caught:
        client(server.kubeconfig(user, **cluster)).may("get")
    assert says in str(caught.value) and "\n" not in str(caught.value)
    assert isinstance(caught.value, (ConfigurationError, StoreUnavailableError))
