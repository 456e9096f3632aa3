"""What stands between us and an API server: proxies, name services, and answers that do not end."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hawork.backends.kubernetes import transport
from hawork.backends.kubernetes.answers import OutcomeUnknownError
from hawork.backends.kubernetes.client import KubernetesClient
from hawork.backends.kubernetes.proxies import Proxy, UnusableProxyError, proxy_for
from hawork.core.errors import ConfigurationError, StoreUnavailableError
from hawork.testing import eventually
from tests.backends.kubernetes.fake_api_server import FakeApiServer, client

REMOTE = "https://api.corp.example:6443"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(variable)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeApiServer]:
    with FakeApiServer(tmp_path) as server:
        yield server


# --- which proxy ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "server", "used"),
    [
        ({"HTTPS_PROXY": "http://p:3128"}, REMOTE, "http://p:3128"),
        ({"https_proxy": "http://p:3128"}, REMOTE, "http://p:3128"),
        ({"HTTPS_PROXY": "p:3128"}, REMOTE, "http://p:3128"),
        ({"HTTPS_PROXY": "https://p"}, REMOTE, "https://p:443"),
        ({"HTTPS_PROXY": "http://[2001:db8::1]:3128"}, REMOTE, "http://[2001:db8::1]:3128"),
        ({"ALL_PROXY": "http://p:1"}, REMOTE, "http://p:1"),
        ({"all_proxy": "http://p:1", "HTTPS_PROXY": "http://q:2"}, REMOTE, "http://q:2"),
        ({"HTTPS_PROXY": "", "ALL_PROXY": "http://p:1"}, REMOTE, "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, REMOTE, None),
        ({"HTTP_PROXY": "http://p:1"}, "http://api.corp.example", "http://p:1"),
        ({}, REMOTE, None),
    ],
)
def test_the_environment_names_a_proxy(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], server: str, used: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = proxy_for(server, None, "kubeconfig x")
    assert (found and found.url) == used


@pytest.mark.parametrize(
    ("no_proxy", "server", "spared"),
    [
        ("api.corp.example", REMOTE, True),
        ("API.Corp.Example", REMOTE, True),
        ("corp.example", REMOTE, True),
        (".corp.example", REMOTE, True),
        ("*.corp.example", REMOTE, True),
        ("a, corp.example ,b", REMOTE, True),
        ("a corp.example", REMOTE, True),
        ("*", REMOTE, True),
        ("corp.example:6443", REMOTE, True),
        ("corp.example:443", REMOTE, False),
        (".api.corp.example", REMOTE, False),  # only what is below it, as Go has it
        ("orp.example", REMOTE, False),
        ("", REMOTE, False),
        ("10.0.0.0/8", "https://10.1.2.3", True),
        ("10.1.2.3", "https://10.1.2.3:6443", True),
        ("10.1.2.3:6443", "https://10.1.2.3:6443", True),
        ("10.1.2.3:443", "https://10.1.2.3:6443", False),
        ("10.0.0.0/8", "https://11.1.2.3", False),
        ("10.0.0.0/8", "https://10.example", False),
        ("nonsense/8", "https://10.1.2.3", False),
        ("2001:db8::/32", "https://[2001:db8::5]:6443", True),
        ("2001:db8::5", "https://[2001:db8::5]:6443", True),
        ("[2001:db8::5]:6443", "https://[2001:db8::5]:6443", True),
        ("[2001:db8::5]:443", "https://[2001:db8::5]:6443", False),
        ("2001:DB8:0:0::5", "https://[2001:db8::5]", True),
        ("10.0.0.0/8", "https://[::ffff:10.1.2.3]", True),
        ("fe80::1", "https://[fe80::1%25eth0]:6443", True),
        ("fe80::/10", "https://[fe80::1%25eth0]:6443", True),
        ("fe80::1%eth0", "https://[fe80::1%25eth0]:6443", True),
        ("fe80::2", "https://[fe80::1%25eth0]:6443", False),
        (".corp.example.", "https://api.corp.example.:6443", True),
        (",.,", REMOTE, False),
        # This machine itself never is behind a proxy.
        ("", "https://127.0.0.1:6443", True),
        ("", "https://127.9.9.9", True),
        ("", "https://localhost:6443", True),
        ("", "https://[::1]:6443", True),
        ("", "https://[::ffff:127.0.0.1]:6443", True),
        ("", "https://0.0.0.0:6443", True),
    ],
)
@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_no_proxy(
    monkeypatch: pytest.MonkeyPatch, variable: str, no_proxy: str, server: str, spared: bool
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://p:3128")
    monkeypatch.setenv(variable, no_proxy)
    assert (proxy_for(server, None, "kubeconfig x") is None) == spared


def test_the_kubeconfig_names_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """As kubectl has it: for this server, whatever the environment says."""
    monkeypatch.setenv("NO_PROXY", "*")
    found = proxy_for("https://127.0.0.1:1", "http://me:p%40ss@p:3128", "kubeconfig x")
    assert found == Proxy("http://p:3128", "proxy-url in kubeconfig x", "me:p@ss")
    assert "p@ss" not in str(found)


@pytest.mark.parametrize(
    "url",
    [
        "socks5://p:1080",
        "socks5h://p",
        "ftp://p",
        "http://",
        "http://p:x",
        "http://[::1:3128",
        "http://u:SECRET@[::1:3128",
        "http://p:0",
        "http://p:99999",
        "http:/p:3128",
        "http//p:3128",
        "//p:3128",
        '"http://p:3128"',
        "http://p .example:3128",
        "http://p..example:3128",
        "http://$PROXY:3128",
        "http://u:S#ECRET@p:3128",
        "http://p:3128,http://q:3128",
        "2001:db8::1",
        "''",
        f"http://{'p' * 64}:3128",
    ],
)
@pytest.mark.parametrize("place", ["proxy-url in kubeconfig x", "HTTPS_PROXY"])
def test_proxies_that_cannot_be_used(url: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of brackets that do not close there had been a ``ValueError`` (python/cpython 103848)."""
    monkeypatch.setenv("HTTPS_PROXY", url)
    given = None if place == "HTTPS_PROXY" else url
    with pytest.raises(UnusableProxyError, match=rf"^{place} (names a|is not a)") as caught:
        proxy_for(REMOTE, given, "kubeconfig x")
    assert "ECRET" not in str(caught.value) and "kind ," not in str(caught.value)


def test_a_proxy_at_a_link_local_address() -> None:
    found = proxy_for(REMOTE, "http://[fe80::1%25eth0]:3128/", "kubeconfig x")
    assert found is not None and found.url == "http://[fe80::1%25eth0]:3128"


# --- through a proxy ------------------------------------------------------------------------------


class ConnectProxy:
    """Leads every name to one server, and remembers what it was asked. Refuses with a status."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("https://").partition(":")
        self._target = host, int(port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.asked: list[str] = []
        self.status = "200 OK"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += connection.recv(4096)
            self.asked.append(head.decode())
            connection.sendall(f"HTTP/1.1 {self.status}\r\nContent-Length: 0\r\n\r\n".encode())
            if not self.status.startswith("200"):
                return
            with socket.create_connection(self._target) as server:
                there = threading.Thread(target=_copy, args=(connection, server), daemon=True)
                there.start()
                _copy(server, connection)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


@pytest.fixture
def proxy(server: FakeApiServer) -> Iterator[ConnectProxy]:
    proxy = ConnectProxy(server.url)
    yield proxy
    with contextlib.suppress(OSError):
        proxy.close()


def test_requests_go_through_proxy_url(server: FakeApiServer, proxy: ConnectProxy) -> None:
    url = proxy.url.replace("http://", "http://me:secret@")
    found = client(server.kubeconfig({"token": "t"}, proxy_url=url))
    assert found.may("get")
    assert proxy.asked[0].startswith(f"CONNECT {server.url.removeprefix('https://')} ")
    assert "Basic bWU6c2VjcmV0" in proxy.asked[0]
    # What is for the server is not for the proxy, and the other way round.
    assert "Bearer t" not in proxy.asked[0]
    assert "Proxy-Authorization" not in server.asked[0]
    found.close()


def test_requests_go_through_the_environments_proxy(
    server: FakeApiServer, proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    found = client(server.kubeconfig({"token": "t"}, server="https://api.example"))
    assert found.may("get") and proxy.asked[0].startswith("CONNECT api.example:443 ")
    found.close()


def test_a_proxy_of_the_environment_is_not_for_loopback(
    server: FakeApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    found = client(server.kubeconfig({"token": "t"}))
    assert found.may("get")
    found.close()


@pytest.mark.parametrize("status", ["403 Forbidden", "407 Proxy Authentication Required", None])
def test_a_proxy_that_does_not_lead_there_is_named(
    server: FakeApiServer, proxy: ConnectProxy, status: str | None
) -> None:
    if status is None:
        proxy.close()
    proxy.status = status or ""
    found = client(server.kubeconfig({"token": "t"}, proxy_url=proxy.url))
    with pytest.raises(
        StoreUnavailableError, match=rf"proxy {proxy.url} \(of proxy-url in"
    ) as caught:
        found.may("get")
    assert status is None or status in str(caught.value)
    found.close()


def test_a_socks_proxy_is_refused_in_one_sentence(
    server: FakeApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://p:1080")
    with pytest.raises(ConfigurationError, match=r"ALL_PROXY names a proxy of the kind socks5"):
        client(server.kubeconfig({"token": "t"}, server=REMOTE))


# --- nothing takes longer than it may -----------------------------------------------------------


_ELECTION = "high-availability.kubernetes.leader-election"
HASTY = {f"{_ELECTION}.renew-deadline": "1 s", f"{_ELECTION}.retry-period": "200 ms"}
"""A request may take a second then."""


@pytest.fixture
def found(server: FakeApiServer) -> Iterator[KubernetesClient]:
    found = client(server.kubeconfig({"token": "t"}), **HASTY)
    yield found
    found.close()


class NameService:
    """Resolves nothing until it is ``back``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.back = threading.Event()
        self.asked = threading.Event()
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._resolve)

    def _resolve(self, *args: Any, **named: Any) -> Any:
        self.asked.set()
        assert self.back.wait(60)
        return self._real(*args, **named)


def test_a_name_that_is_not_resolved(
    server: FakeApiServer, found: KubernetesClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request is given up on, and never sent when the name is known after all."""
    names = NameService(monkeypatch)
    with pytest.raises(StoreUnavailableError, match="cannot be reached, which is being resolved"):
        found.may("get")
    assert names.asked.is_set()
    names.back.set()
    assert found.may("get")
    calls = found._transport._calls
    eventually(lambda: not calls._given_up)
    assert len(server.asked) == 1


def test_a_server_that_does_not_answer(server: FakeApiServer, found: KubernetesClient) -> None:
    going_on = threading.Event()
    server.before_answer = lambda: going_on.wait(60)
    with pytest.raises(OutcomeUnknownError, match="did not answer"):
        found.may("get")
    going_on.set()


def test_an_answer_that_comes_byte_by_byte(server: FakeApiServer, tmp_path: Path) -> None:
    """Each byte is in time for a socket's time limit, which begins anew with it."""
    enough = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while not enough.wait(0.1):
                connection.sendall(b" ")

    serving = threading.Thread(target=serve, daemon=True)
    serving.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    slow = client(server.kubeconfig({"token": "t"}, server=url), **HASTY)
    began = time.monotonic()
    with pytest.raises(OutcomeUnknownError, match="did not answer"):
        slow.may("get")
    assert time.monotonic() - began < 20
    enough.set()
    serving.join()
    listener.close()
    slow.close()


def test_requests_that_hang_are_not_piled_up(
    found: KubernetesClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found._transport._calls, "_most_hanging", 2)
    names = NameService(monkeypatch)
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match="took longer"):
            found._call("GET", "/api", timeout=0.05)
    with pytest.raises(StoreUnavailableError, match="2 earlier ones have not returned"):
        found._call("GET", "/api", timeout=60)
    names.back.set()
    eventually(lambda: not found._transport._calls._given_up)
    assert found.may("get")


def test_no_time_is_no_request(server: FakeApiServer, found: KubernetesClient) -> None:
    with pytest.raises(StoreUnavailableError, match="no time was left"):
        found._call("GET", "/api", timeout=0.0)
    assert not server.asked


def test_the_connection_class_is_the_one_that_asks_before_it_sends() -> None:
    """By urllib3's own extension point; a version that loses it must not go unnoticed."""
    for proxy in (None, Proxy("http://p:1", "test")):
        pool = transport._make_pool(None, None, proxy)
        assert isinstance(pool.connection_from_url("http://a"), transport._Pool)
