"""What a failed handshake is told as: each kind with what mends it, on either end."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from hawork.backends.kubernetes.client import KubernetesClient
from hawork.backends.kubernetes.settings import KubernetesSettings
from hawork.client.tls import UNTRUSTED, RestTrust
from hawork.core import options
from hawork.core.errors import RestError, StoreUnavailableError
from hawork.core.options import checked
from hawork.core.tls_failures import Trouble, trouble_of

ROOT = trustme.CA()
MIDDLE = ROOT.create_child_ca()
NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
_OTHER = trustme.CA()
SELF_SIGNED = trustme.LeafCert(_OTHER.private_key_pem.bytes(), _OTHER.cert_pem.bytes(), [])


def served(certificate: trustme.LeafCert, *, chain: bool = True) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with certificate.private_key_and_cert_chain_pem.tempfile() as whole:
        if not chain:
            leaf = certificate.private_key_pem.bytes() + certificate.cert_chain_pems[0].bytes()
            Path(whole).write_bytes(leaf)
        context.load_cert_chain(whole)
    return context


def wanting_a_certificate() -> ssl.SSLContext:
    context = served(ROOT.issue_cert("127.0.0.1"))
    context.verify_mode = ssl.CERT_REQUIRED
    # With 1.3 what it says of our certificate may be lost with the connection.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    ROOT.configure_trust(context)
    return context


@contextlib.contextmanager
def listening(context: ssl.SSLContext | None) -> Iterator[int]:
    """A server that shakes hands; without TLS it answers as an HTTP server does."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                if context is None:
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                else:
                    context.wrap_socket(connection, server_side=True).recv(4096)

    listener = socket.create_server(("127.0.0.1", 0))
    serving = threading.Thread(target=serve, daemon=True)
    serving.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    serving.join()


CASES: dict[str, tuple[ssl.SSLContext | None, Trouble, str, str]] = {
    "another name": (
        served(ROOT.issue_cert("other.example")), Trouble.NAME,
        "tls-server-name", options.SSL_VERIFY_HOSTNAME.key,
    ),
    "expired": (
        served(ROOT.issue_cert("127.0.0.1", not_after=NOW - DAY)), Trouble.DATE,
        "have it renewed", "have it renewed",
    ),
    "not yet": (
        served(ROOT.issue_cert("127.0.0.1", not_before=NOW + DAY, not_after=NOW + 3 * DAY)),
        Trouble.DATE, "set the clock", "set the clock",
    ),
    "nothing in between": (
        served(MIDDLE.issue_cert("127.0.0.1"), chain=False), Trouble.CHAIN,
        "in between", "in between",
    ),
    "another authority": (
        served(SELF_SIGNED), Trouble.AUTHORITY,
        "correct certificate-authority", options.SSL_REST_TRUSTSTORE.key,
    ),
    "wants ours": (
        wanting_a_certificate(), Trouble.OURS,
        "client-certificate and client-key", options.SSL_REST_AUTHENTICATION.key,
    ),
    "no TLS": (None, Trouble.PLAIN, "does not speak TLS", "does not speak TLS"),
}  # fmt: skip


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    ROOT.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return tmp_path / "ca.pem"


@pytest.mark.parametrize("kind", CASES)
def test_kinds(kind: str, authority: Path) -> None:
    context, trouble, *_ = CASES[kind]
    ours = ssl.create_default_context(cafile=str(authority))
    with (
        listening(context) as port,
        socket.create_connection(("127.0.0.1", port)) as connection,
        pytest.raises(ssl.SSLError) as caught,
    ):
        ours.wrap_socket(connection, server_hostname="127.0.0.1").recv(10)
    assert trouble_of(caught.value) is trouble


@pytest.mark.parametrize("kind", CASES)
def test_an_api_server(kind: str, authority: Path, tmp_path: Path) -> None:
    """It had always been *correct certificate-authority*, or an answer that was lost."""
    context, _, fix, _ = CASES[kind]
    with listening(context) as port:
        cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(authority)}
        kubeconfig = tmp_path / "kubeconfig"
        entry: dict[str, Any] = {
            "current-context": "it",
            "contexts": [{"name": "it", "context": {"cluster": "it"}}],
            "clusters": [{"name": "it", "cluster": cluster}],
        }
        kubeconfig.write_text(yaml.safe_dump(entry))
        values = {
            "high-availability.type": "kubernetes",
            options.K8S_CLUSTER_ID.key: "test",
            options.K8S_CONFIG_FILE.key: str(kubeconfig),
        }
        client = KubernetesClient(KubernetesSettings.of(checked(values)))
        with pytest.raises(StoreUnavailableError) as caught:
            client.may("get")
        client.close()
    said = str(caught.value)
    assert fix in said and str(port) in said and "\n" not in said and "_ssl.c" not in said
    assert ("correct certificate-authority" in said) == (kind in _OF_AUTHORITIES)


_OF_AUTHORITIES = ("another authority", "nothing in between")


@pytest.mark.parametrize("kind", CASES)
def test_a_job_manager(kind: str, authority: Path) -> None:
    context, _, _, fix = CASES[kind]
    trust = RestTrust(checked({options.SSL_REST_TRUSTSTORE.key: str(authority)}))
    with listening(context) as port:
        address = f"https://127.0.0.1:{port}"
        with pytest.raises(ssl.SSLError) as caught:
            trust.connection(address, 10).connect()
        error = trust.refused(address, caught.value)
    assert isinstance(error, RestError) and error.status == UNTRUSTED and fix in str(error)
    assert (options.SSL_REST_TRUSTSTORE.key in str(error)) == (kind in _OF_AUTHORITIES)


def test_what_tls_1_3_says_of_a_missing_certificate() -> None:
    error = ssl.SSLError(1, "alert")
    error.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    assert trouble_of(error) is Trouble.OURS
    error.reason = "TLSV1_ALERT_PROTOCOL_VERSION"
    assert trouble_of(error) is None
