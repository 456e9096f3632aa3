"""Who may call REST without the cluster's token: nobody, unless the option says so."""

from __future__ import annotations

import pytest
import tornado.httputil

from hawork.core.errors import ConfigurationError
from hawork.core.options import checked
from hawork.runtime.rest_access import CANCEL, READ, RestAccess

TOKEN = "secret"


def access(without_token: str = "none") -> RestAccess:
    config = checked({"hawork.rest.without-token": without_token, "rest.address": "flink-1"})
    return RestAccess.of(config, TOKEN)


def request(
    remote: str = "127.0.0.1", host: str = "127.0.0.1:8081", **headers: str
) -> tornado.httputil.HTTPServerRequest:
    class Connection:
        class context:
            remote_ip = remote
            protocol = "http"

    return tornado.httputil.HTTPServerRequest(
        start_line=tornado.httputil.RequestStartLine("GET", "/", "HTTP/1.1"),
        headers=tornado.httputil.HTTPHeaders({"Host": host, **headers}),
        connection=Connection(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("without_token", "rights"),
    [("none", set()), ("read", {READ}), ("cancel", {READ, CANCEL}), ("Cancel", {READ, CANCEL})],
)
def test_what_is_allowed_without_a_token(without_token: str, rights: set[str]) -> None:
    allowed = {
        right for right in (READ, CANCEL, None) if access(without_token).allows(request(), right)
    }
    assert allowed == rights, "what needs the token, such as a submission, has no right"


@pytest.mark.parametrize("right", [READ, CANCEL, None])
def test_the_token_opens_everything(right: str | None) -> None:
    assert access().allows(request(Authorization=f"Bearer {TOKEN}"), right)


@pytest.mark.parametrize(
    "unwelcome",
    [
        request(remote="192.0.2.1"),
        request(Origin="http://evil.example"),
        request(host="evil.example"),
        request(host="127.0.0.1.evil.example:8081"),
        request(Authorization="Bearer wrong"),
    ],
    ids=["another machine", "a browser's page", "rebound name", "like ours", "wrong token"],
)
def test_others_need_the_token_all_the_same(unwelcome: tornado.httputil.HTTPServerRequest) -> None:
    assert not access("cancel").allows(unwelcome, READ)


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost", "[::1]:1", "flink-1:8081"])
def test_names_of_this_machine(host: str) -> None:
    assert access("read").allows(request(host=host), READ)


def test_another_word_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"without-token.*none, read, cancel"):
        access("everything")
