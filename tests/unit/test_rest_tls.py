"""REST behind TLS: what is trusted, what is said when it is not, and what a token is shown to."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

import hawork
from hawork.client.cluster_client import ClusterClient
from hawork.client.flink_rest import ask
from hawork.client.key_store import KeyStore
from hawork.client.tls import UNTRUSTED, RestTrust, server_context
from hawork.core import options
from hawork.core.errors import ConfigurationError, HaworkError, RestError
from hawork.core.options import checked
from hawork.lab.flink.attached import AttachedCluster

PASSWORD = "of the store"
TOKEN = "of-the-cluster-and-long-enough-not-to-be-guessed"
AUTHORITY = trustme.CA()
ELSEWHERE = trustme.CA()


class _Flink(BaseHTTPRequestHandler):
    """Answers as Flink does: no challenge, no token, JSON for every path of ``/team/orders``."""

    asked: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("Authorization")))
        found = self.path.startswith("/team/orders/v1/") and "challenge" not in self.path
        body = json.dumps({"jobs": [], "taskmanagers": []} if found else {"errors": ["no"]})
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test's output is for failures."""


@pytest.fixture
def flink() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Flink)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("localhost").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    _Flink.asked = []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"https://localhost:{server.server_port}/team/orders"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return path


def trusting(path: Path | str, password: str | None = None, **more: str) -> RestTrust:
    store = {"truststore": str(path), **({"truststore-password": password} if password else {})}
    values = {f"security.ssl.rest.{key}": value for key, value in (store | more).items()}
    return RestTrust(checked(values))


def keytool(*arguments: str) -> None:
    subprocess.run(
        ["keytool", *arguments, "-noprompt", "-storepass", PASSWORD],
        check=True,
        capture_output=True,
    )


@pytest.mark.parametrize("kind", ["PEM", "JKS", "PKCS12"])
def test_a_store_of_flink_says_what_is_trusted(
    kind: str, flink: str, authority: Path, tmp_path: Path
) -> None:
    store = authority
    if kind != "PEM":
        store = tmp_path / "trust.jks"  # Flink's users call both so
        keytool("-importcert", "-alias", "ca", "-file", str(authority), "-keystore", str(store),
                "-storetype", kind)  # fmt: skip
        for wrong in ("wrong", None) if kind == "PKCS12" else ("wrong",):
            with pytest.raises(ConfigurationError, match=r"truststore-password"):
                ask(flink, "/jobs/overview", trust=trusting(store, wrong))
    trust = trusting(store, None if kind == "PEM" else PASSWORD)
    assert ask(flink, "/jobs/overview", trust=trust)["jobs"] == []


def test_a_certificate_that_is_not_trusted_is_one_sentence(flink: str, tmp_path: Path) -> None:
    ELSEWHERE.cert_pem.write_to_path(str(tmp_path / "other.pem"))
    for trust in (RestTrust(), trusting(tmp_path / "other.pem")):
        with pytest.raises(RestError, match=r"not trusted .*security\.ssl\.rest\.truststore") as no:
            ask(flink, "/jobs/overview", trust=trust)
        assert no.value.status == UNTRUSTED
    assert _Flink.asked == []


def test_a_certificate_for_another_host(flink: str, authority: Path) -> None:
    address = flink.replace("localhost", "127.0.0.1")
    with pytest.raises(RestError, match=r"security\.ssl\.verify-hostname"):
        ask(address, "/overview", trust=trusting(authority))
    config = {
        options.SSL_REST_TRUSTSTORE.key: str(authority),
        "security.ssl.verify-hostname": False,
    }
    assert ask(address, "/overview", trust=RestTrust(checked(config)))


def test_a_renewed_file_is_read_after_a_refusal(flink: str, authority: Path) -> None:
    good = authority.read_bytes()
    ELSEWHERE.cert_pem.write_to_path(str(authority))
    trust = trusting(authority)
    with pytest.raises(RestError):
        ask(flink, "/overview", trust=trust)
    authority.write_bytes(good)
    assert ask(flink, "/overview", trust=trust)


def test_tls_where_nothing_speaks_it(authority: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Flink)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        with pytest.raises(RestError, match="does not speak TLS"):
            ask(f"https://localhost:{server.server_port}", "/overview", trust=trusting(authority))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file"),
        (b"hello", "not a PEM, PKCS12 or JKS file with a certificate"),
        (b"\xfe\xed\xfe\xed\0\0\0\2\0\0\0\1\0\0", "cut off"),
        (b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n", "no certificate that can"),
        (b"0\x82nonsense", "truststore"),
    ],
)
def test_a_store_that_is_of_no_use(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "store"
    if content is not None:
        path.write_bytes(content + bytes(20) if content.startswith(b"\xfe") else content)
    with pytest.raises(ConfigurationError, match=said) as refused:
        trusting(path).context()
    assert f"security.ssl.rest.truststore is {str(path)!r}" in str(refused.value)


def test_a_key_store_is_no_trust_store(tmp_path: Path) -> None:
    """Of a JKS with private keys alone there had been a ``ValueError``: Empty certificate data."""
    store = tmp_path / "keys.jks"
    keytool("-genkeypair", "-keystore", str(store), "-storetype", "JKS", "-alias", "rest",
            "-dname", "CN=x", "-keyalg", "EC", "-keypass", PASSWORD)  # fmt: skip
    for password in (PASSWORD, None):
        with pytest.raises(ConfigurationError, match="private keys and no certificate that is"):
            trusting(store, password).context()


def test_a_certificate_in_der_is_not_told_to_have_another_password(
    authority: Path, tmp_path: Path
) -> None:
    store = tmp_path / "ca.crt"
    store.write_bytes(ssl.PEM_cert_to_DER_cert(authority.read_text()))
    with pytest.raises(ConfigurationError, match=r"openssl x509 -inform der -in .*/ca.crt"):
        trusting(store, PASSWORD).context()


def test_a_key_cannot_be_read_where_no_file_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had been a ``FileNotFoundError``, as if the key store were missing."""
    pem = tmp_path / "rest.pem"
    AUTHORITY.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(pem))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: ["/proc"])
    config = checked({"security.ssl.rest.enabled": "true", "security.ssl.rest.keystore": str(pem)})
    with pytest.raises(ConfigurationError, match="no directory for temporary files"):
        server_context(config)


def test_what_python_cannot_read_comes_with_the_command_that_converts_it(tmp_path: Path) -> None:
    path = tmp_path / "key.jks"
    path.write_bytes(b"\xfe\xed\xfe\xed" + bytes(28))
    with pytest.raises(ConfigurationError, match=r"keytool -importkeystore .*PKCS12"):
        KeyStore("security.ssl.rest.keystore", path).key_and_certificates()


@pytest.mark.parametrize("kind", ["PEM", "PKCS12"])
def test_both_ends_show_a_certificate(kind: str, authority: Path, tmp_path: Path) -> None:
    issued = AUTHORITY.issue_cert("localhost")
    store = tmp_path / "both.pem"
    issued.private_key_and_cert_chain_pem.write_to_path(str(store))
    if kind == "PKCS12":
        pem, store = store, tmp_path / "both.p12"
        subprocess.run(
            ["openssl", "pkcs12", "-export", "-in", pem, "-out", store,
             "-passout", f"pass:{PASSWORD}"],
            check=True, capture_output=True,
        )  # fmt: skip
    config = checked(
        {
            "security.ssl.rest.enabled": True,
            "security.ssl.rest.authentication-enabled": True,
            "security.ssl.keystore": str(store),
            "security.ssl.keystore-password": PASSWORD,
            "security.ssl.truststore": str(authority),
        }
    )
    server, client = server_context(config), RestTrust(config).context()
    assert server is not None and server.verify_mode == ssl.CERT_REQUIRED
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for end in [*ends, *ends]:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert all(end.getpeercert() for end in ends)
    assert not list(Path(tmp_path).glob("hawork-key-*"))


class _Leader:
    """Publishes an address as the leader of a cluster on the embedded store."""

    def __init__(self, directory: Path, address: str, mode: int = 0o600, **more: str) -> None:
        (directory / "token").write_text(TOKEN)
        (directory / "token").chmod(mode)
        self.config = {
            "high-availability.type": "embedded",
            "high-availability.storageDir": f"{directory}/ha",
            "rest.await-leader-timeout": "1 s",
            "hawork.rest.token-file": f"{directory}/token",
            **{key.replace("_", "."): value for key, value in more.items()},
        }
        self._address = address
        self._granted = threading.Event()
        self._ha = hawork.open_ha_services(self.config)
        self._election = self._ha.leader_election("rest_server")
        self._election.start(self)
        assert self._granted.wait(10)

    def grant_leadership(self, session_id: object) -> None:
        self._election.confirm_leadership(session_id, self._address)  # type: ignore[arg-type]
        self._granted.set()

    def revoke_leadership(self) -> None:
        """Nothing is lost."""

    def handle_error(self, error: BaseException) -> None:
        raise error

    def close(self) -> None:
        self._ha.close()


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_flink_behind_tls_is_asked_without_the_token(
    mode: int, flink: str, authority: Path, tmp_path: Path
) -> None:
    leader = _Leader(tmp_path, flink, mode, security_ssl_rest_truststore=str(authority))
    try:
        with ClusterClient(leader.config) as client:
            assert client.jobs() == []
            refusal = "did not prove" if mode == 0o600 else "open to other users"
            with pytest.raises(HaworkError, match=refusal):
                client.request("POST", "/v1/jobs", b"{}")
    finally:
        leader.close()
    assert {given for _, given in _Flink.asked} == {None}
    asked = {path for path, _ in _Flink.asked}
    assert asked - {"/team/orders/v1/challenge"} == {"/team/orders/v1/jobs/overview"}


def test_nothing_is_sent_in_the_clear_to_a_cluster_that_should_speak_tls(tmp_path: Path) -> None:
    leader = _Leader(tmp_path, "http://127.0.0.1:9", security_ssl_rest_enabled="true")
    try:
        with (
            ClusterClient(leader.config) as client,
            pytest.raises(RestError, match=r"published without TLS"),
        ):
            client.jobs()
    finally:
        leader.close()


def test_a_view_of_a_cluster_below_a_path(
    flink: str, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    from hawork.client.tls import SYSTEM_TRUST

    monkeypatch.setattr(SYSTEM_TRUST, "_context", None)
    with AttachedCluster(f"{flink}/#/overview") as view:
        assert view.rest_address() == flink
        assert view.jobs() == view.taskmanagers() == []
    monkeypatch.setattr(SYSTEM_TRUST, "_context", None)
