"""What API servers from 1.21 on may answer, and 1.20, on which the other tests run, hardly does.

Sources: Kubernetes' API concepts (410, bookmarks, warnings), priority and fairness (429), KEP-1693
(warning headers), KEP-2885 (field validation); apiVersions of its deprecation guide.
"""

from __future__ import annotations

import http.server
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from hawork.backends.kubernetes import client as client_module
from hawork.backends.kubernetes.answers import BusyError, ConfigMap, ForbiddenError
from hawork.backends.kubernetes.client import KubernetesClient
from hawork.backends.kubernetes.layout import Names, encode_leader_information, leader_key
from hawork.client.cluster_client import ClusterClient
from hawork.core.errors import LeaderRetrievalError, StoreUnavailableError
from hawork.core.types import REST_SERVER, LeaderInformation, LeaderSessionID
from hawork.deploy.manifests import Manifests
from hawork.testing import eventually
from tests.unit.test_kubernetes_answers import client

LEADER = LeaderInformation(LeaderSessionID(int=7), "http://127.0.0.1:8081")
Answer = tuple[int, dict[str, str], Any]
"""Status, headers, and the body as JSON; a list is a stream of events."""


def status(code: int, reason: str, message: str) -> dict[str, Any]:
    return {"kind": "Status", "status": "Failure", "code": code, "reason": reason,
            "message": message}  # fmt: skip


def config_map(version: int, data: dict[str, str] | None = None) -> dict[str, Any]:
    name = Names("test").cluster_map
    return {"metadata": {"name": name, "uid": "u", "resourceVersion": str(version)},
            "data": data or {}}  # fmt: skip


def listed(version: int, *items: dict[str, Any], token: str = "") -> Answer:
    metadata = {"resourceVersion": str(version), "continue": token}
    return 200, {}, {"metadata": metadata, "items": list(items)}


def event(kind: str, what: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": what}


BUSY: Answer = (429, {"Retry-After": "1"}, status(429, "TooManyRequests", "please try again"))
PUBLISHED = {leader_key(REST_SERVER): encode_leader_information(LEADER)}


class Api:
    """An API server that is told what to answer to each kind of request, one after the other.

    ``asked`` holds kind and query of each request and when it came. What is asked more often than
    it was told gets the last answer again; a watch without one stays open.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {
            "review": [(201, {}, {"status": {"allowed": True}})]
        }
        self.asked: list[tuple[str, dict[str, list[str]], float]] = []
        self.ending = threading.Event()
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                url = urlsplit(self.path)
                query = parse_qs(url.query)
                kind = self.command.lower()
                if kind == "get":
                    kind = "watch" if "watch" in query else "list"
                if url.path.endswith("selfsubjectaccessreviews"):
                    kind = "review"
                api.asked.append((kind, query, time.monotonic()))
                told = api.answers.get(kind, [])
                code, headers, body = (told.pop(0) if len(told) > 1 else told[0]) if told else (
                    200, {}, [],
                )  # fmt: skip
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for each in body if isinstance(body, list) else [body]:
                    line = json.dumps(each).encode() + b"\n"
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                if kind == "watch" and not told:
                    api.ending.wait(30)
                self.wfile.write(b"0\r\n\r\n")

            do_GET = do_POST = do_PATCH = _answer

            def log_message(self, *_: object) -> None:
                return

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                return  # a client that hung up on a watch

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def count(self, kind: str) -> int:
        return sum(each == kind for each, _, _ in self.asked)

    def close(self) -> None:
        self.ending.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    monkeypatch.setattr(client_module, "_peace", in_hundredths(client_module._peace))
    found = Api()
    yield found
    found.close()


def in_hundredths(peace: Callable[[Any], float | None]) -> Callable[[Any], float | None]:
    """Seconds that a server asks for are hundredths in these tests."""

    def shortened(response: Any) -> float | None:
        asked = peace(response)
        return None if asked is None else asked / 100

    return shortened


@pytest.fixture
def asking(api: Api, tmp_path: Path) -> Iterator[KubernetesClient]:
    found = client(tmp_path, api.url)
    yield found
    found.close()


@pytest.fixture
def open_cluster(api: Api, tmp_path: Path) -> Iterator[Callable[[], ClusterClient]]:
    opened: list[ClusterClient] = []

    def open_it() -> ClusterClient:
        client(tmp_path, api.url).close()  # writes the kubeconfig
        opened.append(
            ClusterClient(
                {
                    "high-availability.type": "kubernetes",
                    "kubernetes.cluster-id": "test",
                    "kubernetes.config.file": str(tmp_path / "kubeconfig.yaml"),
                    "high-availability.storageDir": f"file://{tmp_path}",
                }
            )
        )
        return opened[-1]

    yield open_it
    for each in opened:
        each.close()


# --- 429, by priority and fairness ------------------------------------------------------------


def test_a_server_that_is_busy_is_asked_again_when_it_wants_it(
    api: Api, asking: KubernetesClient
) -> None:
    api.answers["list"] = [BUSY, BUSY, listed(7, config_map(7))]
    found, version = asking.list({})
    assert (len(found), version) == (1, "7")
    times = [when for kind, _, when in api.asked if kind == "list"]
    assert all(later - before >= 0.01 for before, later in itertools.pairwise(times))


@pytest.mark.parametrize("asks", ["1", "0", "a date"])
def test_a_write_that_was_not_taken_on_is_sent_again(
    api: Api, asking: KubernetesClient, asks: str
) -> None:
    if asks == "a date":  # not in the name of the test, which is the same in every worker
        asks = formatdate(time.time() + 1, usegmt=True)
    api.answers["patch"] = [(429, {"Retry-After": asks}, {}), (200, {}, config_map(8))]
    assert asking.patch(ConfigMap("m", "u", "7"), {"a": "b"}).resource_version == "8"
    assert api.count("patch") == 2


@pytest.mark.parametrize(
    ("headers", "kind"),
    [({"Retry-After": "900"}, BusyError), ({}, StoreUnavailableError),
     ({"Retry-After": "soon"}, StoreUnavailableError)],
)  # fmt: skip
def test_a_write_is_given_up_when_there_is_no_time_or_no_word_of_it(
    api: Api, asking: KubernetesClient, headers: dict[str, str], kind: type[Exception]
) -> None:
    """It changed nothing, as the caller is told at once."""
    api.answers["patch"] = [(429, headers, "Too many requests, please try again later.")]
    with pytest.raises(kind, match=r"Too many requests|busy"):
        asking.patch(ConfigMap("m", "u", "7"), {"a": "b"}, timeout=2.0)
    assert api.count("patch") == 1


def test_a_watch_is_asked_for_no_sooner_than_a_busy_server_wants(
    api: Api, open_cluster: Callable[[], ClusterClient]
) -> None:
    api.answers["list"] = [listed(7, config_map(7, PUBLISHED))]
    api.answers["watch"] = [(429, {"Retry-After": "150"}, {})]
    found = open_cluster()
    eventually(lambda: api.count("watch") > 1)
    first, second = [when for kind, _, when in api.asked if kind == "watch"][:2]
    assert second - first >= 1.5
    # What was listed before each of them is known all the same.
    assert found.current_leader() in (LEADER, None)


# --- watches and lists ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "end",
    [
        status(410, "Expired", "too old resource version: 7 (9)"),
        status(410, "Gone", "too old resource version: 7 (9)"),
        {"kind": "Status", "reason": "Expired"},
    ],
)
def test_a_watch_that_ends_with_a_status_of_410_is_followed_by_a_list(
    api: Api, open_cluster: Callable[[], ClusterClient], end: dict[str, Any]
) -> None:
    api.answers["list"] = [listed(7, config_map(7)), listed(9, config_map(9, PUBLISHED))]
    api.answers["watch"] = [(200, {}, [event("ERROR", end)]), (200, {}, [])]
    assert open_cluster().leader(10) == LEADER
    watched = [query["resourceVersion"] for kind, query, _ in api.asked if kind == "watch"]
    eventually(lambda: ["9"] in [q["resourceVersion"] for k, q, _ in api.asked if k == "watch"])
    assert watched[0] == ["7"]


def test_a_bookmark_moves_the_watch_on_and_is_no_change(
    api: Api, open_cluster: Callable[[], ClusterClient]
) -> None:
    """Not asked for; a server, or a gateway before it, may send them all the same."""
    bookmark = {"kind": "ConfigMap", "metadata": {"resourceVersion": "8"}}
    api.answers["list"] = [listed(7, config_map(7, PUBLISHED))]
    api.answers["watch"] = [(200, {}, [event("BOOKMARK", bookmark)]), (200, {}, [])]
    assert open_cluster().leader(10) == LEADER
    eventually(lambda: api.count("watch") > 1)
    versions = [query["resourceVersion"] for kind, query, _ in api.asked if kind == "watch"]
    assert versions[:2] == [["7"], ["8"]] and api.count("list") == 1


def test_no_watch_list_and_no_bookmarks_are_asked_for(
    api: Api, open_cluster: Callable[[], ClusterClient]
) -> None:
    """``sendInitialEvents`` (1.27; on in client-go since 1.35) is for clients that ask."""
    api.answers["list"] = [listed(7, config_map(7, PUBLISHED))]
    assert open_cluster().leader(10) == LEADER
    eventually(lambda: api.count("watch"))
    asked = next(query for kind, query, _ in api.asked if kind == "watch")
    assert set(asked) == {"fieldSelector", "resourceVersion", "watch", "timeoutSeconds"}


def test_pages_that_the_server_has_forgotten_are_asked_for_anew(
    api: Api, asking: KubernetesClient
) -> None:
    gone = (410, {}, status(410, "Expired", "The provided continue parameter is too old"))
    first, second = listed(7, config_map(1), token="next"), listed(9, config_map(2))
    api.answers["list"] = [first, gone, first, second]
    assert [each.resource_version for each in asking.list({})[0]] == ["1", "2"]
    api.answers["list"] = [first, gone] * 9
    with pytest.raises(StoreUnavailableError, match="forgets the ConfigMaps of namespace default"):
        asking.list({})


# --- what is new in headers and bodies ----------------------------------------------------------


def test_warnings_are_no_error(api: Api, asking: KubernetesClient) -> None:
    """KEP-1693: deprecations, and what field validation has to say, come as headers."""
    warning = {"Warning": '299 - "unknown field \\"data.x\\""'}
    api.answers["post"] = [(201, warning, config_map(3))]
    assert asking.create({"metadata": {"name": "m"}}).resource_version == "3"


def test_fields_that_are_new_in_an_answer_are_left_alone(
    api: Api, asking: KubernetesClient
) -> None:
    """``immutable``, ``binaryData``, ``managedFields``; ``remainingItemCount`` of a list."""
    more = config_map(3) | {"immutable": False, "binaryData": {"a": "AA=="}}
    more["metadata"] |= {"managedFields": [{"manager": "hawork"}], "selfLink": None}
    answer = listed(3, more)
    answer[2]["metadata"]["remainingItemCount"] = 0
    api.answers["list"] = [answer]
    assert asking.list({})[0][0].data == {}


def test_manifests_use_versions_that_are_still_served() -> None:
    """As the deprecation guide has it up to 1.34: no beta of what is printed is left."""
    versions = {(each["apiVersion"], each["kind"]) for each in printed_objects()}
    assert {version for version, _ in versions} == {"v1", "apps/v1", "rbac.authorization.k8s.io/v1"}


def printed_objects() -> list[dict[str, Any]]:
    return Manifests("hawork:1", "flights", "s3://bucket/ha").objects()


# --- rights that are taken away while a client waits -------------------------------------------


def test_a_right_that_was_taken_away_meanwhile_is_named(
    api: Api, open_cluster: Callable[[], ClusterClient], asking: KubernetesClient
) -> None:
    """It had been *no leader*."""
    message = 'configmaps is forbidden: User "me" cannot list resource "configmaps"'
    api.answers["list"] = [(403, {}, status(403, "Forbidden", message))]
    with pytest.raises(ForbiddenError):
        asking.list({})
    with pytest.raises(LeaderRetrievalError, match=r"within 0\.3 s: we may not list configmaps"):
        open_cluster().leader(0.3)


def test_a_server_that_has_not_answered_yet_is_named(
    api: Api, open_cluster: Callable[[], ClusterClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    going_on = threading.Event()
    listing = KubernetesClient.list

    def slowly(*arguments: Any) -> Any:
        assert going_on.wait(30)
        return listing(*arguments)

    monkeypatch.setattr(KubernetesClient, "list", slowly)
    found = open_cluster()
    with pytest.raises(LeaderRetrievalError, match=f"{api.url} has not answered yet"):
        found.leader(0.1)
    going_on.set()
