"""Another user of the machine attacks a lab: no secret is seen, nothing is read or written."""

from __future__ import annotations

import http.client
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest

from hawork.backends.zookeeper.paths import ZNodePaths
from hawork.client.token import read_token
from hawork.core.events import EventKind
from hawork.core.types import RESOURCE_MANAGER, LeaderInformation
from hawork.ha.java_serialization import encode_leader_information
from hawork.lab import LabCluster
from hawork.lessons.class_folder import ClassFolder
from hawork.servers.zookeeper.ensemble import ZooKeeperServers
from hawork.servers.zookeeper.login import DigestLogin
from hawork.servers.zookeeper.program import ZooKeeperProgram
from hawork.testing import eventually
from tests.contract.zookeeper_harness import shared_servers
from tests.faults.scenario import PATIENT
from tests.faults.stores import on_shared_zookeeper
from tests.neighbour import as_neighbour, let_in, needs_root

BACKENDS = ("embedded", "zookeeper", "kubernetes")

CONNECT = """
def ask(port, request, tls=False):
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as plain:
            talk = plain
            if tls:
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                talk = context.wrap_socket(plain)
            talk.settimeout(5)
            talk.sendall(request)
            return talk.recv(1 << 16).decode(errors="replace")
    except OSError as error:
        return repr(error)

def http(port, method, path, body="", tls=False):
    request = (f"{method} {path} HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\n"
               f"Content-Length: {len(body)}\\r\\nConnection: close\\r\\n\\r\\n{body}")
    return ask(port, request.encode(), tls)

# ZooKeeper: open a session, then create a node at the root.
session = struct.pack(">i", 44) + struct.pack(">iqiqi16s", 0, 0, 4000, 0, 16, bytes(16))
def zookeeper(port):
    path, data = b"/evil", b"x"
    create = struct.pack(">ii", 1, 1) + struct.pack(">i", len(path)) + path
    create += struct.pack(">i", len(data)) + data
    create += struct.pack(">ii", 1, 31) + struct.pack(">i", 5) + b"world"
    create += struct.pack(">i", 6) + b"anyone" + struct.pack(">i", 0)
    with socket.create_connection(("127.0.0.1", port), 5) as talk:
        talk.settimeout(5)
        talk.sendall(session)
        talk.recv(1024)
        talk.sendall(struct.pack(">i", len(create)) + create)
        try:
            answer = talk.recv(1024)
        except OSError as error:
            return repr(error)
    return struct.unpack(">iiqi", answer[:20])[3] if len(answer) >= 20 else "hung up"

def tried(port):
    return {
        "overview": http(port, "GET", "/v1/overview"),
        "submit": http(port, "POST", "/v1/jobs", "x"),
        "cancel": http(port, "PATCH", "/v1/jobs/" + "0" * 32),
        "etcd": http(port, "POST", "/v3/kv/range", '{"key": "AA==", "range_end": "AA=="}'),
        "kubernetes": http(port, "GET", "/api/v1/namespaces/hawork/configmaps", tls=True),
        "dump": ask(port, b"dump"),
        "session": zookeeper(port) if port in given["zookeeper"] else None,
    }

with ThreadPoolExecutor(len(given["ports"])) as pool:  # a port that says nothing takes seconds
    tell(dict(zip(map(str, given["ports"]), pool.map(tried, given["ports"]))))
"""
CLOSED = -124
"""ZooKeeper's ``SESSIONCLOSEDREQUIRESASLAUTH``."""

LOOK = """
seen = {"commands": [], "readable": [], "environments": 0}
for process in Path("/proc").glob("[0-9]*"):
    try:
        seen["commands"].append((process / "cmdline").read_bytes().decode(errors="replace"))
    except OSError:
        continue
for pid in given["pids"]:
    try:
        Path(f"/proc/{pid}/environ").read_bytes()
        seen["environments"] += 1
    except OSError:
        pass
for path in given["paths"]:
    try:
        os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(1)
        seen["readable"].append(path)
    except OSError:
        pass
tell(seen)
"""


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def others(backend: str) -> set[int]:
    """Ports of what other tests keep in this process: servers that they share, without a login."""
    return listening()


@pytest.fixture(scope="module")
def lab(backend: str, others: set[int]) -> Iterator[LabCluster]:
    with LabCluster(2, 1, ha=backend, options=PATIENT) as cluster:
        yield cluster


def secrets_of(lab: LabCluster) -> list[str]:
    found = [read_token(lab.config)]
    found += [value for key, value in lab.config.items() if key.endswith("sasl.password")]
    tokens = lab.directory / "kubernetes" / "tokens.csv"
    if tokens.exists():
        found += [line.partition(",")[0] for line in tokens.read_text().splitlines()]
    return found


def processes() -> list[psutil.Process]:
    """All that the lab has started, and this process, which has its proxies."""
    return [psutil.Process(), *psutil.Process().children(recursive=True)]


def listening() -> set[int]:
    return {
        each.laddr.port
        for process in processes()
        for each in process.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN
    }


@needs_root
def test_no_port_lets_a_neighbour_in(lab: LabCluster, others: set[int]) -> None:
    ports = listening() - others
    quorum = lab.config.get("high-availability.zookeeper.quorum", "")
    clients = [int(each.rpartition(":")[2]) for each in quorum.split(",") if each]
    assert set(clients) <= ports and ports
    given = {"ports": sorted(ports), "zookeeper": clients}
    answers = as_neighbour(CONNECT, given)
    secrets = secrets_of(lab)
    for port, told in answers.items():
        text = str(told)
        assert not [each for each in secrets if each in text], port
        for attempt in ("overview", "submit", "cancel", "etcd", "kubernetes"):
            first = told[attempt].partition("\r\n")[0]
            assert " 20" not in first, f"{attempt} on port {port}: {told[attempt][:200]}"
        assert "Session" not in told["dump"] and "ephemeral" not in told["dump"]
        assert told["session"] in (None, CLOSED, "hung up"), port
    assert "evil" not in str(lab.store_rows())
    assert not lab.jobs


@needs_root
def test_a_neighbour_sees_no_secret(lab: LabCluster) -> None:
    paths = [lab.directory, *lab.directory.rglob("*")]
    given = {
        "pids": [process.pid for process in processes()],
        "paths": [str(path) for path in paths],
    }
    seen = as_neighbour(LOOK, given)
    assert len(seen["commands"]) > 5
    for secret in secrets_of(lab):
        assert not [command for command in seen["commands"] if secret in command]
    assert (seen["readable"], seen["environments"]) == ([], 0)
    sockets = [path for path in paths if path.is_socket()]
    assert bool(sockets) == (lab.config["high-availability.type"] == "kubernetes")


def test_what_the_lab_keeps_is_its_users_alone(lab: LabCluster) -> None:
    assert stat.S_IMODE(lab.directory.stat().st_mode) == 0o700
    secrets = secrets_of(lab)
    assert len(secrets) == len(set(secrets)) and all(len(each) >= 32 for each in secrets)
    for path in lab.directory.rglob("*"):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            if any(secret.encode() in data for secret in secrets):
                assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
                assert path.suffix not in (".log", ".jsonl"), f"{path} tells a secret"


def test_a_bundle_of_the_lab_holds_no_secret(lab: LabCluster, tmp_path: Path) -> None:
    secrets = secrets_of(lab)
    lab._events.emit(EventKind.ERROR, message=f"a program said {' '.join(secrets)}")
    with zipfile.ZipFile(lab.export_bundle(tmp_path / "run.zip")) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert b"a program said" in members["events.jsonl"]
    for name, data in members.items():
        for secret in secrets:
            for form in (secret, quote(secret), secret.encode().hex(), secret[:20], secret[-20:]):
                assert form.encode() not in data, name


# --- the store's own doors ----------------------------------------------------------------


# kazoo's own thread ends with the error that the server gives.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("program", [ZooKeeperProgram.find, ZooKeeperProgram.of_flink])
def test_zookeeper_takes_no_session_without_login(tmp_path: Path, program: Any) -> None:
    from kazoo.client import KazooClient
    from kazoo.exceptions import KazooException
    from kazoo.handlers.threading import KazooTimeoutError

    login = DigestLogin()
    with ZooKeeperServers(tmp_path, login=login, program=program()) as servers:
        for options in (None, {"mechanism": "DIGEST-MD5", "username": "lab", "password": "x"}):
            stranger = KazooClient(
                servers.quorum, timeout=4, sasl_options=options,
                auth_data=[("digest", "lab:x")], connection_retry={"max_tries": 0},
            )  # fmt: skip
            with pytest.raises((KazooException, KazooTimeoutError)):
                stranger.start(3)
                stranger.get_children("/")
            stranger.stop()
            stranger.close()
        known = {"mechanism": "DIGEST-MD5", "username": login.user, "password": login.password}
        client = KazooClient(servers.quorum, timeout=4, sasl_options=known)
        client.start(10)
        assert client.get_children("/") == ["zookeeper"]
        client.stop()
        client.close()


def test_a_peer_of_an_ensemble_has_to_log_in(tmp_path: Path) -> None:
    """A server that knows the addresses, but not the password, gets no data and no vote."""
    login = DigestLogin()
    with ZooKeeperServers(tmp_path / "own", 3, login=login) as servers:
        victim = next(name for name in servers.names if servers.role(name) == "follower")
        servers.kill(victim)
        text = (tmp_path / "own" / victim / "zoo.cfg").read_text()
        data = tmp_path / "evil" / "data"
        data.mkdir(parents=True)
        (data / "myid").write_text((tmp_path / "own" / victim / "data" / "myid").read_text())
        lines = [line for line in text.splitlines() if "auth" not in line.lower()]
        lines = [f"dataDir={data}" if line.startswith("dataDir") else line for line in lines]
        config = tmp_path / "evil" / "zoo.cfg"
        config.write_text("\n".join(lines) + "\n")
        argv = ZooKeeperProgram.find().command(
            {"zookeeper.4lw.commands.whitelist": "*", "zookeeper.admin.enableServer": "false"},
            "48m", config,
        )  # fmt: skip
        log = tmp_path / "evil" / "log"
        with log.open("wb") as output:
            evil = subprocess.Popen(argv, stdout=output, stderr=output)
        try:
            others = [name for name in servers.names if name != victim]
            eventually(
                lambda: any(
                    "SASL" in (tmp_path / "own" / "logs" / f"{name}.log").read_text()
                    or "auth" in (tmp_path / "own" / "logs" / f"{name}.log").read_text().lower()
                    for name in others
                ),
                timeout=60,
            )
            assert servers.role(victim) is None, "it serves nobody"
            assert not list(data.glob("version-2/snapshot.1*"))
        finally:
            evil.kill()
            evil.wait()


# --- a forged leader ----------------------------------------------------------------------


class Listener:
    """A program of a neighbour, which keeps every byte that it is sent."""

    def __init__(self) -> None:
        self.seen = bytearray()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                talk, _ = self._socket.accept()
            except OSError:
                return
            with talk:
                talk.settimeout(1)
                try:
                    self.seen += talk.recv(1 << 16)
                    talk.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nHawork-Proof: x 127.0.0.1:1=y"
                        b"\r\n\r\n{}"
                    )
                    self.seen += talk.recv(1 << 16)
                except OSError:
                    continue

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


def test_a_forged_leader_gets_no_token(tmp_path: Path) -> None:
    """Where ZooKeeper lets others write: neither a TaskManager nor a client shows the token."""
    from kazoo.client import KazooClient

    # It must not lead anew, and put right what is forged, while its token is asked for.
    options = {**on_shared_zookeeper(), **PATIENT}
    zookeeper = KazooClient(shared_servers().quorum, timeout=10)
    zookeeper.start()
    forger = Listener()
    try:
        with LabCluster(1, 1, ha="zookeeper", directory=tmp_path / "lab", options=options) as lab:
            token = read_token(lab.config)
            leader = lab.leader()
            lab.pause(leader)  # it would put right what is forged
            forged = LeaderInformation(uuid.uuid4(), f"http://127.0.0.1:{forger.port}")
            paths = ZNodePaths.of(lab.config)
            for component in (RESOURCE_MANAGER, "rest_server"):
                zookeeper.set(paths.connection_info(component), encode_leader_information(forged))
            eventually(lambda: b"/v1/taskmanagers/connection" in forger.seen)
            told = lambda: [  # noqa: E731
                event
                for event in lab.event_list()
                if event.kind is EventKind.ERROR and event.process == "tm-1"
            ]
            eventually(lambda: any(str(forger.port) in str(each.facts) for each in told()))
            lab.resume(leader)
            lab.wait_for_leader().wait()
            eventually(lambda: len(lab.client.taskmanagers()) == 1)
    finally:
        forger.close()
        zookeeper.stop()
        zookeeper.close()
    assert forger.seen and token.encode() not in forger.seen


@pytest.mark.parametrize("forged", [False, True])
def test_a_standby_sends_on_to_a_proved_leader_only(tmp_path: Path, forged: bool) -> None:
    """A client that follows a redirection may take the token along."""
    from kazoo.client import KazooClient

    # The standby must not lead itself before it has asked the forged one.
    options = {**on_shared_zookeeper(), **PATIENT}
    zookeeper = KazooClient(shared_servers().quorum, timeout=10)
    zookeeper.start()
    forger = Listener()
    try:
        with LabCluster(2, 0, ha="zookeeper", directory=tmp_path / "lab", options=options) as lab:
            token = read_token(lab.config)
            leader = lab.leader()
            published = lab.leader_information()
            assert published is not None
            standby = next(name for name in lab.processes if name != leader)
            process = psutil.Process(lab.processes[standby].pid)
            (port,) = eventually(
                lambda: [
                    each.laddr.port
                    for each in process.net_connections("tcp")
                    if each.status == psutil.CONN_LISTEN
                ]
            )
            if forged:
                lab.pause(leader)
                path = ZNodePaths.of(lab.config).connection_info("rest_server")
                address = f"http://127.0.0.1:{forger.port}"
                information = LeaderInformation(uuid.uuid4(), address)
                zookeeper.set(path, encode_leader_information(information))
                eventually(lambda: lab.client.current_leader() == information)

            def asked() -> tuple[int, str | None]:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                headers = {"Authorization": f"Bearer {token}"}
                connection.request("GET", "/v1/jobs/overview", headers=headers)
                response = connection.getresponse()
                response.read()
                connection.close()
                return response.status, response.getheader("Location")

            if forged:
                eventually(lambda: asked() and b"/v1/challenge" in forger.seen)
                assert asked() == (503, None)
            else:
                expected = f"{published.address}/v1/jobs/overview"
                eventually(lambda: asked() == (307, expected))
    finally:
        forger.close()
        zookeeper.stop()
        zookeeper.close()
    assert token.encode() not in forger.seen


LEARNER = """
def tried(what):
    try:
        return what()
    except OSError as error:
        return error.strerror
folder, theirs = given["folder"], given["theirs"]
path, forged = os.path.join(folder, given["name"]), b'{"format": 1}'
handed_in = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
os.write(handed_in, given["result"].encode())
tell({
    "list": tried(lambda: os.listdir(folder)),
    "remove": tried(lambda: os.unlink(theirs)),
    "rename": tried(lambda: os.rename(theirs, theirs + "x")),
    "overwrite": tried(lambda: os.replace(path, theirs)),
    "write": tried(lambda: os.open(theirs, os.O_WRONLY)),
    "link": tried(lambda: os.symlink("/etc/passwd", path.replace("2-", "3-"))),
})
"""


@needs_root
def test_another_learner_of_a_class_hands_in_and_does_nothing_else(tmp_path: Path) -> None:
    """One name is forged; the table says whose file it is."""
    folder = ClassFolder(let_in(tmp_path) / "class")
    folder.create()
    names = [f"{number}-{number:032x}.json" for number in (1, 2)]
    result = {
        "format": 1, "name": "ada", "lesson": "00_tour", "check": "check_it", "solved": True,
        "kept": 1, "points": 1, "says": "", "time": time.time(),
    }  # fmt: skip
    theirs = folder.path / names[0]
    theirs.write_text(json.dumps(result))
    given = {
        "folder": str(folder.path), "theirs": str(theirs), "name": names[1],
        "result": json.dumps({**result, "solved": False, "kept": 0}),
    }  # fmt: skip
    told = as_neighbour(LEARNER, given)
    denied = ("Operation not permitted", "Permission denied")
    assert {what for what, said in told.items() if said not in denied} == {"link"}
    forged, ada = folder.look()
    assert (ada.name, ada.lessons) == ("ada (root)", {"00": (1, 1)})
    assert forged.name == "ada (nobody)" and not forged.last.solved
    assert "1 that cannot be opened" in folder.trouble


@needs_root
def test_the_tests_made_a_neighbour() -> None:
    assert as_neighbour("tell([os.getuid(), os.geteuid(), os.getgroups()])") == [65534, 65534, []]
    assert os.geteuid() == 0 and sys.platform == "linux"
