"""The proxy passes on what it should, and breaks what it is told to."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from hawork.core.configuration import Configuration
from hawork.lab.stores.zookeeper import ZooKeeperStore
from hawork.servers.tcp_proxy import TcpProxy
from hawork.testing import eventually


class EchoServer:
    """Sends back what it gets, and remembers it."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self.got = b""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(65536):
                self.got += data
                connection.sendall(data)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[EchoServer]:
    server = EchoServer()
    yield server
    server.close()


@pytest.fixture
def proxy(server: EchoServer) -> Iterator[TcpProxy]:
    with TcpProxy(server.address) as proxy:
        yield proxy


def connect(proxy: TcpProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def ask(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    answer = b""
    while len(answer) < len(data):
        part = connection.recv(65536)
        if not part:
            raise ConnectionResetError
        answer += part
    return answer


def test_everything_passes_both_ways(proxy: TcpProxy) -> None:
    with connect(proxy) as first, connect(proxy) as second:
        assert ask(first, b"x" * 1_000_000) == b"x" * 1_000_000
        assert ask(second, b"second") == b"second"


def test_cut_breaks_open_connections_and_refuses_new_ones(proxy: TcpProxy) -> None:
    with connect(proxy) as before:
        assert ask(before, b"a") == b"a"
        proxy.cut()
        assert before.recv(1) == b""
        with connect(proxy) as during:
            assert during.recv(1) == b""
    proxy.heal()
    with connect(proxy) as after:
        assert ask(after, b"b") == b"b"


def test_drop_lets_new_connections_through(proxy: TcpProxy) -> None:
    with connect(proxy) as before:
        ask(before, b"a")
        proxy.drop()
        assert before.recv(1) == b""
        with connect(proxy) as after:
            assert ask(after, b"b") == b"b"


def test_severed_lets_nothing_through_and_is_then_as_before(proxy: TcpProxy) -> None:
    with connect(proxy) as before, proxy.severed():
        assert before.recv(1) == b""  # broken already: nothing of what comes now is told first
        with connect(proxy) as during:
            assert during.recv(1) == b""
    with connect(proxy) as after:
        assert ask(after, b"b") == b"b"
    proxy.cut()
    with proxy.severed():
        pass
    with connect(proxy) as still_cut:
        assert still_cut.recv(1) == b""


def test_two_that_sever_at_once_leave_it_as_it_was(proxy: TcpProxy) -> None:
    first, second = proxy.severed(), proxy.severed()
    with contextlib.ExitStack() as other:
        with first:
            other.enter_context(second)
        with connect(proxy) as during:
            assert during.recv(1) == b""
    with connect(proxy) as after:
        assert ask(after, b"b") == b"b"


def test_what_is_done_meanwhile_stays(proxy: TcpProxy) -> None:
    with proxy.severed():
        proxy.heal()
        with connect(proxy) as during:
            assert during.recv(1) == b""
        proxy.cut()
    with connect(proxy) as still_cut:
        assert still_cut.recv(1) == b""


def test_severed_breaks_what_only_the_client_hears_on(proxy: TcpProxy) -> None:
    with connect(proxy) as connection:
        ask(connection, b"a")
        proxy.one_way(blocked="upstream")
        with proxy.severed():
            assert connection.recv(1) == b""


def test_severed_tells_a_client_nothing_that_hears_nothing(proxy: TcpProxy) -> None:
    with connect(proxy) as connection:
        ask(connection, b"a")
        proxy.blackhole()
        with proxy.severed():
            pass
        proxy.heal()
        assert ask(connection, b"c") == b"c"


def test_a_process_is_away_while_its_session_ends(
    proxy: TcpProxy, server: EchoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at a timeout. A leader of Flink that heard on an open connection that its znodes go
    published them again on the thread that should have heard of the end: by hand only.
    """
    ended: list[bytes] = []
    store = object.__new__(ZooKeeperStore)
    with TcpProxy(server.address) as other:
        store._proxies = {"jm-1": [proxy], "jm-2": [other]}
        with connect(proxy) as its_own, connect(other) as of_another:
            ask(its_own, b"a")
            ask(of_another, b"a")
            monkeypatch.setattr(
                "hawork.backends.zookeeper.supervision.release_leadership",
                lambda config, ticket: ended.append(
                    ask(its_own, b"d") if by_hand else its_own.recv(1)
                ),
            )
            by_hand = True
            store.expire_session("jm-1", Configuration({}), "0x2a", connected=True)
            assert ended.pop() == b"d", "its connection is open all the time"
            by_hand = False
            store.expire_session("jm-1", Configuration({}), "0x2a")
            assert ended == [b""]
            assert ask(of_another, b"b") == b"b"
        with connect(proxy) as again:
            assert ask(again, b"c") == b"c"


def test_blackhole_holds_everything_back_until_it_is_healed(
    proxy: TcpProxy, server: EchoServer
) -> None:
    with connect(proxy) as connection:
        ask(connection, b"a")
        proxy.blackhole()
        connection.sendall(b"bcd")
        eventually(lambda: proxy.held_back("upstream") == 3)
        assert server.got == b"a"
        proxy.heal()
        assert connection.recv(10) == b"bcd"


def test_one_way(proxy: TcpProxy, server: EchoServer) -> None:
    with connect(proxy) as connection:
        ask(connection, b"a")
        proxy.one_way(blocked="downstream")
        connection.sendall(b"b")
        eventually(lambda: proxy.held_back("downstream") == 1)
        assert server.got == b"ab"
        proxy.heal()
        assert connection.recv(1) == b"b"
        proxy.one_way(blocked="upstream")
        connection.sendall(b"c")
        eventually(lambda: proxy.held_back("upstream") == 1)
        assert server.got == b"ab"
    with pytest.raises(ValueError, match="say 'upstream' or 'downstream'"):
        proxy.one_way(blocked="sideways")


def test_delay(proxy: TcpProxy) -> None:
    with connect(proxy) as connection:
        ask(connection, b"a")
        proxy.delay(3600)
        connection.sendall(b"b")
        eventually(lambda: proxy.held_back("upstream") == 1)
        proxy.heal()
        proxy.delay(0.01)
        assert ask(connection, b"c")


def test_a_server_that_is_not_there_refuses(server: EchoServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = gone.getsockname()
    with TcpProxy(address) as proxy, connect(proxy) as connection:
        assert connection.recv(1) == b""
