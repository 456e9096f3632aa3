"""No address sees the token before it has proved that it belongs to the cluster."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hawork.client.proof import (
    CHALLENGE,
    MISDIRECTED,
    PATH,
    PROOF,
    Challenge,
    ChallengeAnswer,
    check_connection,
    places_of,
)
from hawork.core.errors import RestError

TOKEN = "a-token-that-is-long-enough"
HERE = ("127.0.0.1", 8081)


def answer(challenge: Challenge, *places: str, token: str = TOKEN) -> ChallengeAnswer:
    return ChallengeAnswer(token, challenge.nonce, places or ("127.0.0.1:8081",))


def test_who_knows_the_token_is_believed_both_ways() -> None:
    challenge = Challenge(TOKEN, "http://127.0.0.1:8081")
    answered = answer(challenge)
    nonce = challenge.check(answered.header, HERE)
    assert answered.accepts(challenge.proof(nonce))
    assert TOKEN not in answered.header + str(challenge.headers) + challenge.proof(nonce)


@pytest.mark.parametrize(
    "given",
    [
        lambda challenge: None,
        lambda challenge: "",
        lambda challenge: "nonce 127.0.0.1:8081=",
        lambda challenge: "nonce 127.0.0.1:8081=é",
        lambda challenge: answer(challenge, token="another").header,
        lambda challenge: answer(challenge, "127.0.0.1:8082").header,
        lambda challenge: answer(challenge, "127.0.0.1:8082").header.replace("8082", "8081"),
        lambda challenge: answer(Challenge(TOKEN, challenge.address)).header,
        lambda challenge: "x" + answer(challenge).header,
        lambda challenge: f"n 127.0.0.1:8081={challenge.proof('n')}",
    ],
    ids=[
        "silent", "empty", "no proof", "no ascii", "another token", "relayed", "renamed",
        "replayed", "another nonce", "the client's own proof",
    ],
)  # fmt: skip
def test_what_is_no_proof(given: Any) -> None:
    challenge = Challenge(TOKEN, "http://127.0.0.1:8081")
    with pytest.raises(RestError, match="did not prove") as caught:
        challenge.check(given(challenge), HERE)
    assert caught.value.status == MISDIRECTED
    assert TOKEN not in str(caught.value)


def test_a_client_that_does_not_know_the_token_is_not_believed() -> None:
    challenge = Challenge("another", "http://127.0.0.1:8081")
    answered = answer(challenge)
    assert not answered.accepts(challenge.proof(answered.nonce))
    assert not answered.accepts("é")
    known = Challenge(TOKEN, "http://127.0.0.1:8081")
    assert not answer(known).accepts(known.proof(answer(known).nonce)), "a proof of another time"


@pytest.mark.parametrize("nonce", ["", "short", "x" * 129, "a b" * 10, "é" * 30, "x\n" * 20])
def test_what_is_no_nonce(nonce: str) -> None:
    with pytest.raises(ValueError, match="nonce"):
        ChallengeAnswer(TOKEN, nonce, ["127.0.0.1:8081"])


@pytest.mark.parametrize(
    ("address", "name", "places"),
    [
        ("http://127.0.0.1:8081", ("127.0.0.1", 8081), {"127.0.0.1:8081"}),
        ("http://127.0.0.1:8081", ("127.0.0.2", 8081), {"127.0.0.2:8081", "127.0.0.1:8081"}),
        ("http://[::1]:9000", ("127.0.0.1", 8081), {"127.0.0.1:8081", "[::1]:9000"}),
        ("http://localhost:8081", ("127.0.0.1", 8081), {"127.0.0.1:8081", "localhost:8081"}),
        ("http://localhost:8081", ("::1", 8081, 0, 0), {"[::1]:8081", "localhost:8081"}),
        ("http://[::1]:8081", ("0:0:0:0:0:0:0:1", 8081, 0, 0), {"[::1]:8081"}),
        ("http://x:8081", ("::ffff:127.0.0.1", 8081, 0, 0), {"127.0.0.1:8081", "x:8081"}),
        (
            "http://ключ:8081",
            ("127.0.0.1", 8081),
            {"127.0.0.1:8081", "%D0%BA%D0%BB%D1%8E%D1%87:8081"},
        ),
        ("http://JM.example.:80", ("10.0.0.7", 8081), {"10.0.0.7:8081", "jm.example:80"}),
        ("http://10.9.9.9:8081", ("fe80::1%eth0", 8081, 0, 2), {"[fe80::1]:8081", "10.9.9.9:8081"}),
    ],
)
def test_the_places_of_a_job_manager(address: str, name: tuple[Any, ...], places: set[str]) -> None:
    assert set(places_of(address, name)) == places


@pytest.mark.parametrize(
    ("address", "peer", "place", "believed"),
    [
        ("http://localhost:8081", ("127.0.0.1", 8081), "127.0.0.1:8081", True),
        ("http://localhost:8081", ("::1", 8081, 0, 0), "127.0.0.1:8081", False),
        ("http://localhost:8081", ("127.0.0.1", 8081), "localhost:8081", False),
        ("http://127.0.0.1:8081", ("127.0.0.2", 8081), "127.0.0.1:8081", False),
        ("http://jm:8081", ("127.0.0.1", 8081), "jm:8081", False),
        ("http://jm:8081", ("10.0.0.7", 8081), "jm:8081", True),
        ("http://jm:8081", ("10.0.0.7", 8081), "10.0.0.7:8081", True),
        ("http://jm:8081", ("10.0.0.7", 8081), "10.0.0.8:8081", False),
    ],
)
def test_which_places_a_client_believes(
    address: str, peer: tuple[Any, ...], place: str, believed: bool
) -> None:
    challenge = Challenge(TOKEN, address)
    with nullcontext() if believed else pytest.raises(RestError, match="another address"):
        challenge.check(answer(challenge, place).header, peer)


# --- over HTTP ----------------------------------------------------------------------------


class _Recorder(ThreadingHTTPServer):
    """A program on some port; ``answers`` says what it tells to a challenge."""

    def __init__(self, answers: Any) -> None:
        self.answers, self.seen = answers, bytearray()
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Recorder

    def do_GET(self) -> None:
        self.server.seen += f"{self.requestline}\n{self.headers}".encode()
        told = self.server.answers(self.headers[CHALLENGE]) if self.path == PATH else None
        self.send_response(200)
        if told is not None:
            self.send_header(PROOF, told)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def listen() -> Iterator[Any]:
    servers: list[_Recorder] = []

    def start(answers: Any) -> _Recorder:
        server = _Recorder(answers)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def connected(server: _Recorder) -> tuple[http.client.HTTPConnection, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5)
    connection.connect()
    return connection, f"http://127.0.0.1:{server.server_port}"


def job_manager(listen: Any, published: str = "") -> _Recorder:
    """Answers as a JobManager that publishes an address, by itself its own."""

    def answers(nonce: str) -> str:
        here = server.server_address
        places = places_of(published or f"http://127.0.0.1:{here[1]}", here)
        return ChallengeAnswer(TOKEN, nonce, places).header

    server: _Recorder = listen(answers)
    return server


def relayed(target: _Recorder, nonce: str) -> str | None:
    """What ``target`` answers to a challenge that another program passes on."""
    through = http.client.HTTPConnection("127.0.0.1", target.server_port, timeout=5)
    through.request("GET", PATH, headers={CHALLENGE: nonce})
    response = through.getresponse()
    response.read()
    through.close()
    return response.getheader(PROOF)


def test_a_job_manager_is_believed(listen: Any) -> None:
    connection, address = connected(job_manager(listen))
    check_connection(connection, address, TOKEN)
    connection.request("GET", "/v1/jobs")
    assert connection.getresponse().read() == b"{}"
    connection.close()


@pytest.mark.parametrize("published", ["", "http://localhost:1", "http://127.0.0.1:1"])
@pytest.mark.parametrize("forged", ["", "http://localhost:1", "http://127.0.0.1:1"])
def test_a_relay_to_a_job_manager_is_not_believed(listen: Any, published: str, forged: str) -> None:
    """Whatever the JobManager publishes, and under whatever address the relay is reached."""
    real = job_manager(listen, published)
    relay = listen(lambda nonce: relayed(real, nonce))
    connection, address = connected(relay)
    address = forged or address
    with pytest.raises(RestError, match="answered for another address"):
        check_connection(connection, address, TOKEN)
    connection.close()
    assert TOKEN.encode() not in relay.seen + real.seen


def test_a_proxy_at_the_address_that_a_job_manager_publishes_is_believed(listen: Any) -> None:
    targets: list[_Recorder] = []
    proxy = listen(lambda nonce: relayed(targets[0], nonce))
    address = f"http://127.0.0.1:{proxy.server_port}"
    targets.append(job_manager(listen, published=address))
    connection, _ = connected(proxy)
    check_connection(connection, address, TOKEN)
    connection.close()


def test_the_token_goes_to_nobody_who_takes_the_port_meanwhile(listen: Any) -> None:
    server = job_manager(listen)
    connection, address = connected(server)
    check_connection(connection, address, TOKEN)
    connection.sock.shutdown(socket.SHUT_RDWR)
    connection.close()
    with pytest.raises(http.client.NotConnected):
        connection.request("GET", "/v1/jobs", headers={"Authorization": f"Bearer {TOKEN}"})


def test_the_client_shows_the_token_to_a_proved_leader_only(listen: Any, tmp_path: Path) -> None:
    import hawork
    from hawork.client.cluster_client import ClusterClient
    from hawork.core.types import REST_SERVER
    from hawork.testing import eventually

    stranger = listen(lambda nonce: None)
    config = {
        "high-availability.type": "embedded",
        "high-availability.storageDir": str(tmp_path / "ha"),
        "rest.await-leader-timeout": "1 s",
    }

    class Forger:
        def grant_leadership(self, session_id: Any) -> None:
            election.confirm_leadership(session_id, f"http://127.0.0.1:{stranger.server_port}")

        def revoke_leadership(self) -> None: ...

        def handle_error(self, error: Exception) -> None: ...

    with hawork.open_ha_services(config) as ha:
        election = ha.leader_election(REST_SERVER)
        election.start(Forger())
        with ClusterClient(config, token=TOKEN) as client:
            eventually(lambda: client.current_leader() is not None)
            unanswered: list[RestError] = []
            with pytest.raises(RestError, match="did not prove"):
                client.request("POST", "/v1/jobs", b"the job", unanswered=unanswered.append)
    assert stranger.seen and not unanswered, "what was not sent needs no second try"
    assert TOKEN.encode() not in stranger.seen and b"/v1/jobs" not in stranger.seen


def test_a_proof_holds_for_its_connection_and_is_not_asked_for_again(
    listen: Any, tmp_path: Path
) -> None:
    import hawork
    from hawork.client.cluster_client import ClusterClient
    from hawork.core.types import REST_SERVER

    server = job_manager(listen)
    config = {
        "high-availability.type": "embedded",
        "high-availability.storageDir": str(tmp_path / "ha"),
    }

    class Leader:
        def grant_leadership(self, session_id: Any) -> None:
            election.confirm_leadership(session_id, f"http://127.0.0.1:{server.server_port}")

        def revoke_leadership(self) -> None: ...

        def handle_error(self, error: Exception) -> None: ...

    with hawork.open_ha_services(config) as ha:
        election = ha.leader_election(REST_SERVER)
        election.start(Leader())
        with ClusterClient(config, token=TOKEN) as client:
            for _ in range(3):
                assert client.overview() == {}
            assert server.seen.count(PATH.encode()) == 1
            assert server.seen.count(b"GET /v1/overview") == 3
            for _, _, connection in client._idle:
                connection.sock.shutdown(socket.SHUT_RDWR)  # as a leader that ends
            assert client.overview() == {}
            assert server.seen.count(PATH.encode()) == 2, "a new connection, a new proof"
