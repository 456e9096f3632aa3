"""Who may do what: ACLs, digest and SASL authentication, TLS; on servers that ask for it."""

from __future__ import annotations

import socket
import ssl
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from kazoo.exceptions import AuthFailedError, ConnectionDropped
from kazoo.protocol.connection import ConnectionHandler
from kazoo.security import make_digest_acl

from hawork.backends.zookeeper.client import _Handler
from hawork.core import options
from hawork.core.errors import ConfigurationError, StoreUnavailableError
from hawork.core.types import REST_SERVER, LeaderInformation
from hawork.ha.pointer_store import JOB_GRAPHS
from hawork.lab import FlinkCluster
from hawork.servers.machine import HOST, free_ports
from hawork.servers.zookeeper.ensemble import ZooKeeperServers
from hawork.testing import eventually
from tests.backends.zookeeper.zookeeper_setup import ClusterUnderTest, Observer

PASSWORD = "server-store"


def test_creator_keeps_everybody_else_out(cluster: ClusterUnderTest) -> None:
    root = f"/private-{uuid.uuid4().hex[:8]}"
    ours = {"ZK_ROOT": root, "ZK_ACL": "creator", "ZK_AUTHORIZATION": "digest:flink:secret"}
    backend = cluster.open(**ours)
    contender = cluster.contend(backend, wait=False)
    session_id = contender.granted()
    contender.driver.publish_leader_information(
        "dispatcher", LeaderInformation(session_id, "http://here:1")
    )
    pointers = backend.pointers(JOB_GRAPHS)
    pointers.create("job", b"1", session_id)
    (acl,) = backend._session.read(lambda client: client.get_acls_async(root), root)[0]
    assert (acl.id.scheme, acl.id.id.partition(":")[0], acl.perms) == ("digest", "flink", 31)

    stranger = cluster.open(ZK_ROOT=root)
    with pytest.raises(StoreUnavailableError, match=r"no rights on .*authorization"):
        stranger.pointers(JOB_GRAPHS).read("job")
    observer = Observer()
    stranger.retrieval_driver("dispatcher", observer)
    eventually(lambda: observer.errors)
    assert observer.seen[-1] is None
    other = cluster.contend(stranger, wait=False)
    other.wait(lambda me: "error" in me.kinds())
    assert "no rights" in str(other.calls[0][1])
    # A view of it says so, of an address that is there and of one that is not; "no leader" would be
    # as good as a dead cluster.
    with FlinkCluster.attach(dict(cluster.config(ZK_ROOT=root))) as view:
        eventually(lambda: "ZooKeeper gives us no rights on" in view.silence())
    contender.driver.publish_leader_information(
        REST_SERVER, LeaderInformation(session_id, "http://127.0.0.1:1")
    )
    with FlinkCluster.attach(dict(cluster.config(ZK_ROOT=root))) as view:
        eventually(lambda: "ZooKeeper gives us no rights on" in view.silence())
    with FlinkCluster.attach(dict(cluster.config(**ours))) as view:
        eventually(lambda: "no rights" not in view.silence() and view._watch.looked.is_set())

    # A second member with the same credentials takes part.
    second = cluster.contend(cluster.open(**ours), wait=False)
    contender.driver.close()
    second.granted()


def test_missing_rights_on_one_znode_refuse_that_write(cluster: ClusterUnderTest) -> None:
    backend = cluster.open()
    contender = cluster.contend(backend)
    session_id = contender.granted()
    parent = f"{cluster.paths.cluster}/hawork/jobgraphs"
    readers = [make_digest_acl("operator", "own", read=True)]
    cluster.kazoo.ensure_path(parent)
    cluster.kazoo.set_acls(parent, readers)
    with pytest.raises(StoreUnavailableError, match=f"no rights on {parent}/job"):
        backend.pointers(JOB_GRAPHS).create("job", b"1", session_id)
    assert contender.leads


def test_unknown_authentication_is_refused(cluster: ClusterUnderTest) -> None:
    with pytest.raises(ConfigurationError, match=r"refused our authentication.*authorization"):
        cluster.open(ZK_AUTHORIZATION="nonsense:user")


def test_a_server_without_sasl_refuses_it_within_the_connection_timeout(
    cluster: ClusterUnderTest,
) -> None:
    with pytest.raises(
        (ConfigurationError, StoreUnavailableError), match=options.ZK_SASL_MECHANISM.key
    ):
        cluster.open(
            ZK_SASL_MECHANISM="digest-md5",
            ZK_SASL_USERNAME="flink",
            ZK_SASL_PASSWORD="secret",
            ZK_CONNECTION_TIMEOUT="500 ms",
            ZK_SESSION_TIMEOUT="1 h",  # must not be what is waited for
        )


# --- TLS --------------------------------------------------------------------------------


def write_pem(certificate: trustme.LeafCert, path: Path) -> None:
    """Key and chain in one file; the key as PKCS #8, the only form that ZooKeeper reads."""
    key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(pem + b"".join(blob.bytes() for blob in certificate.cert_chain_pems))


class SecureServer:
    """A server that speaks TLS on a second port, with certificates made for the occasion."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        self.ca_file = directory / "ca.pem"
        authority.cert_pem.write_to_path(self.ca_file)
        write_pem(authority.issue_cert(HOST, "localhost"), directory / "server.pem")
        self.client_file = directory / "client.pem"
        write_pem(authority.issue_cert("client@example.org"), self.client_file)
        (port,) = free_ports(1)
        self.quorum = f"{HOST}:{port}"
        self.servers = ZooKeeperServers(
            directory / "zookeeper",
            settings={
                "secureClientPort": str(port),
                "secureClientPortAddress": HOST,
                "serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory",
                "ssl.keyStore.location": str(directory / "server.pem"),
                "ssl.keyStore.type": "PEM",
                "ssl.trustStore.location": str(self.ca_file),
                "ssl.trustStore.type": "PEM",
                "ssl.clientAuth": "need",
                # The client's certificate carries a mail address, no host name.
                "ssl.clientHostnameVerification": "false",
                "ssl.hostnameVerification": "false",
            },
        )

    def options(self) -> dict[str, object]:
        return {
            "ZK_QUORUM": self.quorum,
            "ZK_SSL_ENABLED": True,
            "ZK_SSL_CA_FILE": str(self.ca_file),
            "ZK_SSL_CERT_FILE": str(self.client_file),
            "ZK_CONNECTION_TIMEOUT": "60 s",  # of a busy machine
        }


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureServer]:
    server = SecureServer(tmp_path_factory.mktemp("tls"))
    with server.servers:
        yield server


def test_everything_works_over_tls(secure: SecureServer) -> None:
    cluster = ClusterUnderTest(secure.servers)
    try:
        backend = cluster.open(**secure.options())
        contender = cluster.contend(backend)
        session_id = contender.granted()
        backend.pointers(JOB_GRAPHS).create("job", b"x" * 100_000, session_id)
        entry = backend.pointers(JOB_GRAPHS).read("job")
        assert entry is not None
        assert len(entry.value) == 100_000
        backend._session.drop()
        contender.granted(different_from=session_id)
    finally:
        cluster.close()


def test_what_tls_has_decrypted_counts_as_readable() -> None:
    """kazoo alone would wait for more bytes although an answer is there."""
    authority = trustme.CA()
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server_side)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)
    near, far = socket.socketpair()
    accepted: list[ssl.SSLSocket] = []
    server = threading.Thread(
        target=lambda: accepted.append(server_side.wrap_socket(far, server_side=True))
    )
    server.start()
    with client_side.wrap_socket(near, server_hostname="localhost") as connection:
        server.join()
        with accepted[0] as other:
            other.sendall(b"two answers")
            assert connection.recv(4) == b"two "
            # No limit of time: without what this tests it would wait for ever.
            assert _Handler(None).select([connection], [], [])[0] == [connection]
            assert connection.recv(20) == b"answers"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"ZK_SSL_CA_FILE": None, "ZK_CONNECTION_TIMEOUT": "10 s"},  # for a handshake
            f"certificate verify failed.*{options.ZK_SSL_CA_FILE.key}",
        ),
        ({"ZK_SSL_CERT_FILE": None}, "no ZooKeeper server of .* answered"),
        ({"ZK_SSL_ENABLED": False}, "no ZooKeeper server of .* answered"),
    ],
)
def test_tls_that_does_not_fit_is_a_clear_error(
    secure: SecureServer, change: dict[str, object], message: str
) -> None:
    cluster = ClusterUnderTest(secure.servers)
    values = {**secure.options(), "ZK_CONNECTION_TIMEOUT": "3 s", **change}
    given = {name: value for name, value in values.items() if value is not None}
    with pytest.raises(StoreUnavailableError, match=message):
        cluster.open(**given)


# --- SASL -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sasl_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeperServers]:
    directory = tmp_path_factory.mktemp("sasl")
    jaas = directory / "jaas.conf"
    jaas.write_text(
        "Server {\n"
        "  org.apache.zookeeper.server.auth.DigestLoginModule required\n"
        f'  user_flink="{PASSWORD}";\n'
        "};\n"
    )
    with ZooKeeperServers(
        directory / "zookeeper",
        settings={
            "authProvider.1": "org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
        },
        properties={"java.security.auth.login.config": str(jaas)},
    ) as servers:
        yield servers


def test_sasl_digest_authenticates(sasl_servers: ZooKeeperServers) -> None:
    cluster = ClusterUnderTest(sasl_servers)
    values = {
        "ZK_SASL_MECHANISM": "digest-md5",
        "ZK_SASL_USERNAME": "flink",
        "ZK_SASL_PASSWORD": PASSWORD,
        "ZK_ACL": "creator",
    }
    try:
        backend = cluster.open(**values)
        cluster.contend(backend, wait=False).granted()
        latch = cluster.paths.latch
        (acl,) = backend._session.read(lambda client: client.get_acls_async(latch), latch)[0]
        assert (acl.id.scheme, acl.id.id) == ("sasl", "flink")
        with pytest.raises(
            (ConfigurationError, StoreUnavailableError), match=options.ZK_QUORUM.key[:20]
        ):
            cluster.open(**{**values, "ZK_SASL_PASSWORD": "wrong", "ZK_CONNECTION_TIMEOUT": "2 s"})
    finally:
        cluster.close()


LOGIN = {
    "ZK_SASL_MECHANISM": "digest-md5",
    "ZK_SASL_USERNAME": "flink",
    "ZK_SASL_PASSWORD": PASSWORD,
}


class BrokenLogins:
    """The next logins break off, as when a server stops in the middle of one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = 0
        self.tried = 0
        self._log_in = ConnectionHandler._authenticate_with_sasl
        monkeypatch.setattr(
            ConnectionHandler, "_authenticate_with_sasl", lambda *given: self._try(*given)
        )

    def _try(self, connection: ConnectionHandler, host: str, timeout: float) -> None:
        self.tried += 1
        if self.left:
            self.left -= 1
            # As kazoo says it: to it, every connection that breaks here is a refusal.
            raise AuthFailedError("Connection dropped in SASL") from ConnectionDropped("reset")
        self._log_in(connection, host, timeout)


def test_a_login_that_breaks_off_is_tried_again(
    sasl_servers: ZooKeeperServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = ClusterUnderTest(sasl_servers)
    logins = BrokenLogins(monkeypatch)
    try:
        logins.left = 3
        backend = cluster.open(**LOGIN)
        session_id = cluster.contend(backend, wait=False).granted()
        assert logins.tried >= 4
        backend.pointers(JOB_GRAPHS).create("before", b"1", session_id)
        logins.left = 3
        backend._session.drop()
        eventually(lambda: logins.left == 0)
        # It connects again, in its session or in another one; kazoo alone never would.
        names = eventually(lambda: [name for name, _ in backend.pointers(JOB_GRAPHS).entries()])
        assert names == ["before"]
    finally:
        cluster.close()


def test_a_login_that_is_refused_again_and_again_is_refused(
    sasl_servers: ZooKeeperServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = ClusterUnderTest(sasl_servers)
    logins = BrokenLogins(monkeypatch)
    logins.left = 1000
    try:
        with pytest.raises(ConfigurationError, match=r"refused our authentication \(SASL"):
            cluster.open(**LOGIN, ZK_CONNECTION_TIMEOUT="30 s")
        assert logins.tried >= 5
    finally:
        cluster.close()
