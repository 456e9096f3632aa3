"""A write that the API server may have made is in doubt, however its answer was lost."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hawork.backends.kubernetes.answers import ConfigMap, OutcomeUnknownError
from hawork.backends.kubernetes.client import KubernetesClient, Watch
from hawork.backends.kubernetes.settings import KubernetesSettings
from hawork.core.errors import StoreUnavailableError
from hawork.core.options import checked

ELSEWHERE = "http://192.0.2.1"  # which is only reached through the proxy
BEFORE = ConfigMap("m", "uid", "7")


class Answering(http.server.BaseHTTPRequestHandler):
    """Takes a write, and answers with ``said``; ``None``: hangs up without a word."""

    said: bytes | None = None

    def do_PATCH(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.said is not None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.said)
        self.close_connection = True

    do_POST = do_PATCH

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.said or b"")
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[http.server.HTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("It", (Answering,), {})) as found:
        threading.Thread(target=found.serve_forever, args=(0.02,), daemon=True).start()
        yield found
        found.shutdown()


def client(directory: Path, server: str, proxy: str | None = None) -> KubernetesClient:
    cluster = {"server": server, **({} if proxy is None else {"proxy-url": proxy})}
    path = directory / "kubeconfig.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "current-context": "it",
                "contexts": [{"name": "it", "context": {"cluster": "it"}}],
                "clusters": [{"name": "it", "cluster": cluster}],
            }
        )
    )
    config = {
        "high-availability.type": "kubernetes",
        "kubernetes.cluster-id": "test",
        "kubernetes.config.file": str(path),
    }
    return KubernetesClient(KubernetesSettings.of(checked(config)))


def address(server: http.server.HTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def test_a_proxy_that_hangs_up_after_a_write(
    server: http.server.HTTPServer, tmp_path: Path
) -> None:
    """It passed for one that was surely not sent, and the file behind the pointer was removed."""
    found = client(tmp_path, ELSEWHERE, address(server))
    with pytest.raises(OutcomeUnknownError, match="did not answer"):
        found.patch(BEFORE, {"key": "value"})


def test_a_proxy_that_is_not_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with pytest.raises(StoreUnavailableError, match="does not lead to"):
        client(tmp_path, ELSEWHERE, url).patch(BEFORE, {"key": "value"})


@pytest.mark.parametrize("said", [b'{"kind": "ConfigMap", "meta', b"", b"[]", b"{}"])
def test_an_answer_that_is_cut_off(
    server: http.server.HTTPServer, tmp_path: Path, said: bytes
) -> None:
    """With status 200 the write was made, whatever came of the rest."""
    server.RequestHandlerClass.said = said  # type: ignore[attr-defined]
    found = client(tmp_path, address(server))
    with pytest.raises(OutcomeUnknownError):
        found.patch(BEFORE, {"key": "value"})


class Said:
    """An answer that was read as far as its body."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        return iter(self.chunks)


@pytest.mark.parametrize("line", [b"{}", b"[]", b'{"type": "ADDED"}', b"<html>", b"[" * 5000])
def test_a_watch_that_another_program_answers_breaks(line: bytes) -> None:
    """A gateway's page, say: the thread that watches lives on, and asks again."""
    said: Any = Said(line + b"\n")
    with pytest.raises(OutcomeUnknownError, match="the watch broke"):
        list(Watch(said))


@pytest.mark.parametrize("said", [b"{}", b'{"items": []}', b"[]", b'{"metadata": 1, "items": []}'])
def test_a_list_that_is_none_is_told(
    server: http.server.HTTPServer, tmp_path: Path, said: bytes
) -> None:
    server.RequestHandlerClass.said = said  # type: ignore[attr-defined]
    with pytest.raises(StoreUnavailableError, match="is not a Kubernetes API server"):
        client(tmp_path, address(server)).list({})


def test_a_list_of_nothing_may_be_null(server: http.server.HTTPServer, tmp_path: Path) -> None:
    said = b'{"metadata": {"resourceVersion": "5"}, "items": null}'
    server.RequestHandlerClass.said = said  # type: ignore[attr-defined]
    assert client(tmp_path, address(server)).list({}) == ([], "5")
