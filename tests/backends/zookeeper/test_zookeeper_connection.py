"""The connection itself: opening, refusals, what was negotiated, chroots, lost sessions."""

from __future__ import annotations

import socket
import threading
import time
import uuid
from typing import Any

import pytest
from kazoo.protocol.connection import ConnectionHandler

from hawork.backends.zookeeper.client import ZooKeeperClient
from hawork.backends.zookeeper.session import OutcomeUnknownError, ZooKeeperSession
from hawork.backends.zookeeper.settings import ZooKeeperSettings
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.connection import ConnectionState
from hawork.core.errors import ConfigurationError, StoreUnavailableError
from hawork.core.events import EventKind
from hawork.ha.pointer_store import JOB_GRAPHS
from hawork.servers.machine import free_ports
from hawork.servers.tcp_proxy import TcpProxy
from hawork.testing import eventually
from tests.backends.zookeeper.zookeeper_setup import ClusterUnderTest, Observer


def session(cluster: ClusterUnderTest, **values: object) -> ZooKeeperSession:
    opened = ZooKeeperSession(
        ZooKeeperSettings.of(cluster.config(**values)), SYSTEM_CLOCK, cluster.events
    )
    opened.open()
    cluster._closing.append(opened.close)
    return opened


def test_an_unreachable_quorum_is_named_after_the_connection_timeout(
    cluster: ClusterUnderTest,
) -> None:
    first, second = free_ports(2)
    quorum = f"127.0.0.1:{first},127.0.0.1:{second}"
    with pytest.raises(StoreUnavailableError, match=rf"{quorum} answered within 0.3 s.*quorum"):
        cluster.open(ZK_QUORUM=quorum, ZK_CONNECTION_TIMEOUT="300 ms")


def test_a_server_that_swallows_everything_is_unreachable(cluster: ClusterUnderTest) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        quorum = f"127.0.0.1:{silent.getsockname()[1]}"
        reason = rf"{quorum} answered .*\(the connection was taken, but nothing answered\)"
        with pytest.raises(StoreUnavailableError, match=reason):
            cluster.open(ZK_QUORUM=quorum, ZK_CONNECTION_TIMEOUT="2 s")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\4abcd", b""])
def test_what_answers_and_is_no_zookeeper_server_is_unreachable(
    cluster: ClusterUnderTest, answer: bytes
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as foreign:

        def serve() -> None:
            while True:
                try:
                    connection, _ = foreign.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(100)
                    connection.sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        try:
            quorum = f"127.0.0.1:{foreign.getsockname()[1]}"
            with pytest.raises(StoreUnavailableError, match=rf"{quorum} .*\(what answered is no"):
                cluster.open(ZK_QUORUM=quorum, ZK_CONNECTION_TIMEOUT="500 ms")
        finally:
            foreign.shutdown(socket.SHUT_RDWR)
            server.join()


def test_unknown_hosts_are_unreachable(cluster: ClusterUnderTest) -> None:
    reason = r"\(no address is known for no-such-host\.invalid\)"
    with pytest.raises(StoreUnavailableError, match=reason):
        cluster.open(ZK_QUORUM="no-such-host.invalid:2181", ZK_CONNECTION_TIMEOUT="2 s")


def test_of_two_servers_a_dead_one_does_not_matter(cluster: ClusterUnderTest) -> None:
    quorum = f"127.0.0.1:{free_ports(1)[0]},{cluster.servers.quorum}"
    assert cluster.open(ZK_QUORUM=quorum).pointers(JOB_GRAPHS).entries() == []


@pytest.mark.parametrize(("asked", "granted"), [("10 ms", 1.0), ("4 s", 4.0), ("1 h", 120.0)])
def test_the_negotiated_session_timeout_is_used_and_told(
    cluster: ClusterUnderTest, asked: str, granted: float
) -> None:
    opened = session(cluster, ZK_SESSION_TIMEOUT=asked)
    assert opened.timeout == granted
    told = cluster.events.recent()[-1]
    assert told.kind == EventKind.STORE_CONNECTION
    assert told.facts["session_timeout"] == granted
    assert told.facts["state"] == "CONNECTED"
    note = told.facts.get("note", "")
    assert (f"granted a session timeout of {granted:g} s" in note) is (granted != 4.0)


def test_everything_stands_below_the_chroot(cluster: ClusterUnderTest) -> None:
    chroot = f"/chroot-{uuid.uuid4().hex[:8]}/deep"
    quorum = cluster.servers.quorum + chroot
    with pytest.raises(ConfigurationError, match=f"chroot {chroot} .* does not exist"):
        cluster.open(ZK_QUORUM=quorum)
    cluster.kazoo.ensure_path(chroot)
    backend = cluster.open(ZK_QUORUM=quorum)
    contender = cluster.contend(backend, wait=False)
    session_id = contender.granted()
    backend.pointers(JOB_GRAPHS).create("job", b"1", session_id)
    assert cluster.kazoo.exists(f"{chroot}{cluster.paths.latch}")
    assert [name for name, _ in backend.pointers(JOB_GRAPHS).entries()] == ["job"]
    second = cluster.contend(cluster.open(ZK_QUORUM=quorum), wait=False)
    contender.driver.close()
    second.granted()


def test_states_of_a_connection(cluster: ClusterUnderTest) -> None:
    proxy = cluster.proxy()
    states: list[ConnectionState] = []
    opened = session(cluster, ZK_QUORUM=proxy.address, ZK_SESSION_TIMEOUT="2 s")
    opened.add_listener(states.append)
    identity = opened.identity
    proxy.drop()
    eventually(lambda: states == [ConnectionState.SUSPENDED, ConnectionState.RECONNECTED])
    assert opened.identity == identity
    proxy.cut()
    eventually(lambda: states[2:] == [ConnectionState.SUSPENDED, ConnectionState.LOST])
    proxy.heal()
    eventually(lambda: states[4:] == [ConnectionState.RECONNECTED])
    assert opened.identity is not None


def test_an_expiry_that_comes_just_too_late_says_nothing(cluster: ClusterUnderTest) -> None:
    """Its timer had gone off, and waited for its turn, when the connection was there again."""
    opened = session(cluster)
    states: list[ConnectionState] = []
    opened.add_listener(states.append)
    opened._change(ConnectionState.SUSPENDED)
    expiry = opened._expiry
    assert expiry is not None
    opened._change(ConnectionState.RECONNECTED)
    expiry.function()
    assert states == [ConnectionState.SUSPENDED, ConnectionState.RECONNECTED]
    assert opened.state == ConnectionState.RECONNECTED


def test_a_session_can_count_as_lost_earlier(cluster: ClusterUnderTest) -> None:
    proxy = cluster.proxy()
    states: list[ConnectionState] = []
    opened = session(
        cluster, ZK_QUORUM=proxy.address, ZK_SESSION_TIMEOUT="60 s", ZK_SIMULATED_EXPIRATION=1
    )
    opened.add_listener(states.append)
    proxy.cut()
    eventually(lambda: states == [ConnectionState.SUSPENDED, ConnectionState.LOST])


def test_reads_are_repeated_over_a_broken_connection(cluster: ClusterUnderTest) -> None:
    proxy = cluster.proxy()
    pointers = cluster.open(ZK_QUORUM=proxy.address).pointers(JOB_GRAPHS)
    for _ in range(3):
        proxy.drop()
        assert pointers.entries() == []


@pytest.mark.parametrize("unreadable", [False, True])
def test_an_answer_that_does_not_fit_leaves_the_outcome_open(
    cluster: ClusterUnderTest, monkeypatch: pytest.MonkeyPatch, *, unreadable: bool
) -> None:
    """kazoo's RuntimeError *xids do not match* says nothing of whether a write was made."""
    opened = session(cluster)
    before, read = opened.identity, ConnectionHandler._read_header
    odd = threading.Event()

    def read_oddly(self: ConnectionHandler, timeout: float) -> Any:
        header, buffer, offset = read(self, timeout)
        if header.xid > 0 and odd.is_set():
            odd.clear()
            if unreadable:
                return header, b"", 1
            return header._replace(xid=header.xid + 1), buffer, offset
        return header, buffer, offset

    monkeypatch.setattr(ConnectionHandler, "_read_header", read_oddly)
    path = f"/odd-{uuid.uuid4().hex}"
    odd.set()
    with pytest.raises(OutcomeUnknownError):
        opened.perform(lambda client: client.create_async(path, b"made"), path)
    odd.set()
    assert opened.read(lambda client: client.get_async(path), path)[0] == b"made"
    assert opened.read_all([lambda client: client.get_async(path)] * 2, path)[1][0] == b"made"
    odd.set()
    assert opened.read_all([lambda client: client.get_async(path)] * 2, path)[0][0] == b"made"
    assert opened.identity == before, "the session lives on"


def test_an_outage_is_a_clear_error_and_not_a_hang(own_cluster: ClusterUnderTest) -> None:
    pointers = own_cluster.open(ZK_CONNECTION_TIMEOUT="1 s").pointers(JOB_GRAPHS)
    own_cluster.servers.kill()
    with pytest.raises(StoreUnavailableError, match="ZooKeeper cannot be read"):
        pointers.entries()
    own_cluster.servers.restart()

    def serves() -> bool:
        try:
            return pointers.entries() == []
        except StoreUnavailableError:
            return False

    eventually(serves)


def test_a_stopped_server_is_noticed_even_while_requests_are_sent(
    own_cluster: ClusterUnderTest,
) -> None:
    """kazoo alone would send no pings then, and wait for ever."""
    opened = session(own_cluster, ZK_SESSION_TIMEOUT="2 s")
    states: list[ConnectionState] = []
    opened.add_listener(states.append)
    own_cluster.servers.pause()
    end = time.monotonic() + 10
    while ConnectionState.SUSPENDED not in states and time.monotonic() < end:
        with pytest.raises(Exception, match=r"."):
            opened.perform(lambda client: client.exists_async("/"), "the root")
    assert states[0] == ConnectionState.SUSPENDED
    own_cluster.servers.resume()


def test_closing_is_bounded_and_final(cluster: ClusterUnderTest) -> None:
    proxy = cluster.proxy()
    backend = cluster.open(ZK_QUORUM=proxy.address, ZK_MAX_CLOSE_WAIT="500 ms")
    observer = Observer()
    backend.retrieval_driver("dispatcher", observer)
    observer.wait_for(None)
    proxy.blackhole()
    backend.close()
    backend.close()
    with pytest.raises(StoreUnavailableError, match="closed"):
        backend.pointers(JOB_GRAPHS).read("job")
    proxy.heal()


def test_kazoos_internals_are_those_we_build_on(cluster: ClusterUnderTest) -> None:
    """What ``client.py`` changes in kazoo is not public there."""
    client = ZooKeeperClient(ZooKeeperSettings.of(cluster.config()))
    client.start(timeout=10)
    try:
        assert client.negotiated_timeout == 4.0
        assert client._connection._socket is not None
        states: list[str] = []
        client.add_listener(states.append)
        client.drop_connection()
        eventually(lambda: states == ["SUSPENDED", "CONNECTED"])
    finally:
        client.stop()
        client.close()


def test_what_was_asked_of_a_connection_that_broke_is_not_sent_on_the_next_one(
    cluster: ClusterUnderTest,
) -> None:
    """The caller has given it up by then, and taken it for not done."""
    proxy = cluster.proxy()
    opened = session(cluster, ZK_QUORUM=proxy.address)
    path = f"/given-up-{uuid.uuid4().hex}"

    def just_after_the_break(client: ZooKeeperClient) -> object:
        proxy.cut()
        eventually(lambda: not opened.state.usable)
        return client.create_async(path, b"")

    with pytest.raises(OutcomeUnknownError, match="no answer"):
        opened.perform(just_after_the_break, path, 0.1)
    proxy.heal()
    opened.wait_connected(20.0)
    assert opened.read_back(lambda client: client.exists_async(path), path) is None


def test_a_server_at_an_ipv6_address(cluster: ClusterUnderTest) -> None:
    """Among empty parts and spaces, which mean nothing to ZooKeeper's own client either."""
    host, _, port = cluster.servers.quorum.partition(":")
    with TcpProxy((host, int(port)), listen="::1") as proxy:
        contender = cluster.contender(ZK_QUORUM=f" [::1]:{proxy.port} ,, ")
        assert contender.granted()
        contender.driver.close()
