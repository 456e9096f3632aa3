"""Requests that are wrong: one clear sentence each, and the cluster goes on."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tornado.httpclient
import tornado.websocket

from hawork.client.proof import Challenge
from hawork.client.token import read_token
from hawork.core.errors import ConfigurationError, LabError
from hawork.lab import LabCluster
from hawork.testing import eventually
from tests.faults.scenario import PATIENT

LIMIT = 200_000


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabCluster]:
    directory = tmp_path_factory.mktemp("bad-requests") / "lab"
    options = {**PATIENT, "rest.server.max-content-length": LIMIT}
    with LabCluster(2, 1, directory=directory, options=options, keep=True) as cluster:
        session_id = cluster.leader_information()
        yield cluster
        assert cluster.leader_information() == session_id, "no request took the leader down"


def ask(
    address: str,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, Any, http.client.HTTPResponse]:
    url = urllib.parse.urlsplit(address)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=60)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"null"), response
    finally:
        connection.close()


def leader(lab: LabCluster) -> str:
    information = lab.leader_information()
    assert information is not None
    return information.address


def with_token(lab: LabCluster, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {read_token(lab.config)}", **more}


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}]
)
@pytest.mark.parametrize("path", ["/v1/overview", "/v1/jobs", "/v1/nothing", "/jobs/overview"])
def test_every_request_needs_the_token(lab: LabCluster, path: str, headers: dict[str, str]) -> None:
    status, answer, _ = ask(leader(lab), "GET", path, headers=headers)
    assert status == 401
    assert "no valid token" in answer["errors"][0]


def test_a_submission_without_token_is_refused_before_its_body_is_read(lab: LabCluster) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    status, answer, _ = ask(leader(lab), "POST", "/v1/jobs", b"x" * 10_000, headers)
    assert (status, list(answer)) == (401, ["errors"])
    assert lab.client.jobs() == []


def test_a_taskmanagers_connection_needs_the_token(lab: LabCluster) -> None:
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    status, _, _ = ask(leader(lab), "GET", "/v1/taskmanagers/connection", headers=headers)
    assert status == 401


@pytest.mark.parametrize(
    "first", ['{"type": "register"}', "0" * 64, "x" * 2000, "é"],
    ids=["a message", "a wrong proof", "a large message", "no ascii"],
)  # fmt: skip
def test_a_taskmanager_that_proves_nothing_is_hung_up_on(lab: LabCluster, first: str) -> None:
    async def talk() -> tuple[str | None, int | None]:
        challenge = Challenge("another token", leader(lab))
        connection = await tornado.websocket.websocket_connect(
            tornado.httpclient.HTTPRequest(
                leader(lab).replace("http", "ws", 1) + "/v1/taskmanagers/connection",
                headers=challenge.headers,
            )
        )
        session_id = str(lab.leader_information().session_id)  # type: ignore[union-attr]
        await connection.write_message(first)
        with contextlib.suppress(tornado.websocket.WebSocketClosedError):
            await connection.write_message(
                json.dumps({"type": "register", "session_id": session_id,
                            "taskmanager_id": "evil", "slots": 9, "pid": 1})
            )  # fmt: skip
        answer = await connection.read_message()
        connection.close()
        return answer, connection.close_code  # type: ignore[return-value]

    answer, code = asyncio.run(talk())
    assert answer is None and code in (1008, 1009)
    assert [each["id"] for each in lab.client.taskmanagers()] == ["tm-1"]


def test_a_request_that_is_too_large(lab: LabCluster) -> None:
    url = urllib.parse.urlsplit(leader(lab))
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=60)
    connection.putrequest("POST", "/v1/jobs")
    for name, value in with_token(lab, **{"Content-Length": str(10 * LIMIT)}).items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    assert response.status == 413
    assert "rest.server.max-content-length" in answer["errors"][0]
    assert str(LIMIT) in answer["errors"][0]


@pytest.mark.parametrize("operation", ["savepoints", "stop"])
def test_savepoints_are_not_to_be_had(lab: LabCluster, operation: str) -> None:
    path = f"/v1/jobs/{'0' * 32}/{operation}"
    status, answer, _ = ask(leader(lab), "POST", path, b"{}", with_token(lab))
    assert status == 400
    assert "hawork has no savepoints" in answer["errors"][0]


@pytest.mark.parametrize(
    ("body", "content_type", "part"),
    [
        (b"{}", "application/json", "multipart/form-data, not 'application/json'"),
        (b"", "multipart/form-data; boundary=x", "part 'request' of the submission is missing"),
        (
            b'--x\r\nContent-Disposition: form-data; name="request"\r\n\r\nno json\r\n'
            b'--x\r\nContent-Disposition: form-data; name="artifact"\r\n\r\n\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
            "part 'request' is not JSON",
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="request"\r\n\r\n[1]\r\n'
            b'--x\r\nContent-Disposition: form-data; name="artifact"\r\n\r\n\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
            "is not a JSON object: send {...}",
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="request"\r\n\r\n'
            b'{"jobGraphFileName": "graph.bin"}\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
            "a job graph of Flink's is Java",
        ),
    ],
)
def test_a_submission_that_is_none(
    lab: LabCluster, body: bytes, content_type: str, part: str
) -> None:
    headers = with_token(lab, **{"Content-Type": content_type})
    status, answer, _ = ask(leader(lab), "POST", "/v1/jobs", body, headers)
    assert status == 400
    assert part in answer["errors"][0]


@pytest.mark.parametrize(
    ("method", "path", "status", "part"),
    [
        ("GET", "/v1/nothing", 404, "there is nothing at /v1/nothing"),
        ("GET", f"/v1/jobs/{'0' * 32}", 404, "is not known"),
        ("PATCH", f"/v1/jobs/{'0' * 32}?mode=cancel", 404, "is not known"),
        ("PATCH", f"/v1/jobs/{'0' * 32}?mode=stop", 400, "mode 'stop' is unknown"),
        ("GET", "/v1/jobs/nonsense", 404, "there is nothing at"),
        ("DELETE", "/v1/jobs", 405, "Method Not Allowed"),
    ],
)
def test_errors_are_json_as_flinks(
    lab: LabCluster, method: str, path: str, status: int, part: str
) -> None:
    found, answer, _ = ask(leader(lab), method, path, headers=with_token(lab))
    assert found == status
    assert part in answer["errors"][0]


def test_flinks_paths_answer_with_flinks_fields(lab: LabCluster) -> None:
    for path, field in (
        ("/v1/overview", "slots-total"),
        ("/overview", "flink-version"),
        ("/v1/config", "refresh-interval"),
        ("/v1/jobs", "jobs"),
        ("/v1/jobs/overview", "jobs"),
        ("/v1/taskmanagers", "taskmanagers"),
    ):
        status, answer, response = ask(leader(lab), "GET", path, headers=with_token(lab))
        assert status == 200
        assert field in answer, path
        assert response.headers["Content-Type"] == "application/json; charset=UTF-8"


def test_a_standby_sends_clients_on_to_the_leader(lab: LabCluster) -> None:
    addresses = {event.facts["address"] for event in lab.event_list() if event.facts.get("address")}
    assert addresses == {leader(lab)}, "only the leader's address is published"
    started = [process for process in lab.processes.values() if process.name.startswith("jm")]
    (standby,) = [state for state in started if state.name != lab.leader()]
    port = listening_port(standby.pid)
    status, answer, response = ask(
        f"http://127.0.0.1:{port}", "GET", "/v1/jobs/overview", headers=with_token(lab)
    )
    assert status == 307
    assert response.headers["Location"] == f"{leader(lab)}/v1/jobs/overview"
    assert leader(lab) in answer["errors"][0]


def listening_port(pid: int) -> int:
    import psutil

    (connection,) = eventually(
        lambda: [
            each
            for each in psutil.Process(pid).net_connections(kind="tcp")
            if each.status == psutil.CONN_LISTEN
        ]
    )
    assert connection.laddr.ip == "127.0.0.1", "loopback only"
    return int(connection.laddr.port)


def test_a_port_in_use_is_named(lab: LabCluster, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = start_jobmanager(lab, tmp_path, f"rest.port: {port}")
    assert f"REST cannot listen on 127.0.0.1:{port}" in message
    assert "rest.port" in message
    assert "Traceback" not in message


def test_a_second_lab_in_the_same_directory_is_refused(lab: LabCluster) -> None:
    with pytest.raises(LabError, match="another lab") as caught:
        LabCluster(1, 1, directory=lab.directory)
    assert str(lab.directory) in str(caught.value)


def test_a_missing_token_file_is_named(lab: LabCluster, tmp_path: Path) -> None:
    config = lab.config.with_values({"hawork.rest.token-file": str(tmp_path / "none")})
    with pytest.raises(ConfigurationError, match=r"hawork\.rest\.token-file"):
        read_token(config)


def start_jobmanager(lab: LabCluster, directory: Path, line: str) -> str:
    """Start one more JobManager with one more option; what it says when it ends."""
    key = line.partition(":")[0]
    path = directory / "config.yaml"
    lines = [f"{name}: {value}" for name, value in lab.config.items() if name != key]
    path.write_text("\n".join([*lines, line]) + "\n")
    done = subprocess.run(
        [sys.executable, "-m", "hawork.runtime", "jobmanager", "--config", path, "--name", "jm-x"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    return done.stderr
