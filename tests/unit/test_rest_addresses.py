"""Where REST listens, what is published of it, and that clients find it there."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator

import pytest

from hawork.client.tls import SYSTEM_TRUST
from hawork.core.addresses import RestAddress, rest_address, why_not_a_host
from hawork.core.errors import ConfigurationError, RestError
from hawork.core.options import checked
from hawork.runtime.rest_endpoint import RestEndpoint


@pytest.fixture
def taken() -> Iterator[int]:
    """A port at which something listens, with a free one after it."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            try:
                socket.create_server(("127.0.0.1", port + 1)).close()
            except OSError:
                continue
            yield port
            return


def endpoint(**rest: object) -> RestEndpoint:
    return RestEndpoint(
        checked({f"rest.{key.replace('_', '-')}": value for key, value in rest.items()})
    )


@pytest.mark.parametrize(
    ("bind", "address", "published"),
    [
        ("::1", None, "http://[::1]"),
        ("::1", "::1", "http://[::1]"),
        ("::", None, "http://127.0.0.1"),
        ("::", "::1", "http://[::1]"),
        ("::", "::ffff:127.0.0.1", "http://[::ffff:127.0.0.1]"),
        ("::ffff:127.0.0.1", None, "http://[::ffff:127.0.0.1]"),
        ("0.0.0.0", "[::ffff:127.0.0.1]", "http://[::ffff:127.0.0.1]"),
        ("127.0.0.2", None, "http://127.0.0.2"),
        ("localhost", "localhost", "http://localhost"),
    ],
)
def test_what_is_published_leads_to_the_socket(
    bind: str, address: str | None, published: str
) -> None:
    rest = endpoint(bind_address=bind, **({"address": address} if address else {}))
    try:
        assert rest.address == f"{published}:{rest.port}"
        connection = SYSTEM_TRUST.connection(rest.address, timeout=5)
        connection.connect()
        connection.close()
    finally:
        rest._socket.close()


def test_the_first_free_port_of_a_range_is_taken_and_published(taken: int) -> None:
    rest = endpoint(bind_port=f"{taken},{taken}-{taken + 1}", port=9)
    rest._socket.close()
    assert rest.address == f"http://127.0.0.1:{taken + 1}"
    with pytest.raises(ConfigurationError, match=rf"127.0.0.1:{taken} \(Address already in use\)"):
        endpoint(port=taken)
    with pytest.raises(ConfigurationError, match=r"or any other of 2 ports .*rest\.bind-port"):
        endpoint(bind_port=f"{taken},{taken}")


def test_an_address_of_another_machine_is_one_sentence() -> None:
    with pytest.raises(ConfigurationError, match=r"on \[2001:db8::1\]:0 .*rest\.bind-address"):
        endpoint(bind_address="2001:db8::1")


@pytest.mark.parametrize(
    "typed",
    [
        "https://gateway/team/orders",
        "https://gateway/team/orders/",
        "https://gateway/team/orders/#/overview",
        "https://gateway:443/team/orders/?x=y#/job/running",
    ],
)
def test_a_cluster_may_be_below_a_path(typed: str) -> None:
    assert rest_address(typed) == RestAddress("https", "gateway", 443, "/team/orders")
    assert rest_address(typed).url == "https://gateway:443/team/orders"


@pytest.mark.parametrize("address", ["http://[::1]:8081/", "http://[::ffff:10.0.0.1]:1"])
def test_an_ipv6_address_keeps_its_brackets(address: str) -> None:
    assert rest_address(address).url == address.rstrip("/")
    assert isinstance(SYSTEM_TRUST.connection(address, 1), http.client.HTTPConnection)


@pytest.mark.parametrize("written", ["%25eth0", "%eth0"])
def test_the_zone_of_a_link_local_address(written: str) -> None:
    """RFC 6874; the resolver had been asked for an address that holds ``%25``."""
    known = rest_address(f"http://[fe80::5{written}]:8081")
    assert known.host == "fe80::5%eth0" and rest_address(known.url) == known
    assert SYSTEM_TRUST.connection(known.url, 1).host == "fe80::5%eth0"


@pytest.mark.parametrize(
    "address",
    [
        "gateway:8081",
        "http://gateway:0",
        "http://::1:8081",
        "http://",
        "ftp://gateway:1",
        "http://a b:1",
        "http://a..b:1",
        f"http://{'a' * 64}:1",
        "http://$HOST:1",
        "http://gateway: 8081",
        "http://[::1",
        "https://me:SECRET@a b:1",
        "https://me:SECRET@[::1",
    ],
)
def test_what_is_no_address_is_one_sentence(address: str) -> None:
    with pytest.raises(RestError, match="write http://host:port") as caught:
        rest_address(address)
    assert "SECRET" not in str(caught.value)


def test_a_login_in_an_address_is_told_and_not_dropped() -> None:
    """It had been left out silently, and the gateway answered 401."""
    with pytest.raises(RestError, match="https://gateway:443 holds a login") as caught:
        rest_address("https://me:SECRET@gateway/team")
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "sent"), [("/é", "/%C3%A9"), ("/a b", "/a%20b"), ("/%20", "/%20")]
)
def test_a_path_that_http_does_not_take_as_it_is(path: str, sent: str) -> None:
    """It had been "answered with no JSON" without having been asked."""
    assert rest_address(f"http://gateway{path}").path == sent


@pytest.mark.parametrize("option", ["rest.address", "rest.bind-address"])
@pytest.mark.parametrize("host", ["http://x", "x:8081", "a b", "a..b", "$POD_IP", "*", "[a]:1"])
def test_a_host_that_is_none_is_refused(option: str, host: str) -> None:
    """It was published, for clients to fail at; of ``a..b`` there was a ``UnicodeError``."""
    with pytest.raises(ConfigurationError, match=rf"option {option} is '.*; write a host name"):
        RestEndpoint(checked({option: host}))


@pytest.mark.parametrize(
    ("host", "may_be"),
    [("job_manager", True), ("é.example", True), ("gateway.", True), ("fe80::1%eth0", True),
     ("127.1", True), ("::ffff:10.0.0.1", True), ("", False), ("[::1]", False), ("a\tb", False)],
)  # fmt: skip
def test_what_may_be_a_host(host: str, may_be: bool) -> None:
    assert (why_not_a_host(host) is None) == may_be
