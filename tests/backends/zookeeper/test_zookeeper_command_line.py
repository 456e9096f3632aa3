"""What a user of the command line reads when something about ZooKeeper is wrong."""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.security import make_digest_acl

from hawork.cli.main import main
from hawork.core import options
from hawork.ha.configuration_file import configuration_text
from hawork.servers.zookeeper.ensemble import free_ports
from hawork.testing import eventually
from tests.backends.zookeeper.zookeeper_setup import ClusterUnderTest


@pytest.fixture
def config(cluster: ClusterUnderTest, tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    storage = {options.STORAGE_DIR.key: (tmp_path / "storage").as_uri()}
    path.write_text(configuration_text(options.checked({**cluster.values, **storage})))
    return path


def one_sentence(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    """What a failing command says: one line, nothing else."""
    assert main(list(command)) == 1
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    return line


@pytest.mark.parametrize("command", ["leader", "list"])
def test_an_unreachable_quorum(
    config: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    quorum = f"127.0.0.1:{free_ports(1)[0]}"
    changed = [f"{options.ZK_QUORUM.key}={quorum}", f"{options.ZK_CONNECTION_TIMEOUT.key}=300 ms"]
    line = one_sentence(
        capsys, command, "--config", str(config), *(f"-D{change}" for change in changed)
    )
    assert line.startswith(f"hawork: no ZooKeeper server of {quorum} answered within 0.3 s")


def test_nobody_leads(
    cluster: ClusterUnderTest, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = one_sentence(capsys, "leader", "--wait", "0.1", "--config", str(config))
    assert f"a JobManager of cluster-id {cluster.values[options.CLUSTER_ID.key]} is running" in line


def test_foreign_bytes_where_the_leader_should_be(
    cluster: ClusterUnderTest, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = cluster.paths.connection_info("rest_server")
    cluster.kazoo.create(path, b"http://here:1", makepath=True)
    line = one_sentence(capsys, "leader", "--config", str(config))
    assert f"znode {path}: 13 bytes" in line
    assert line.endswith(f"or correct option {options.ZK_ROOT.key} or {options.CLUSTER_ID.key}")


def test_no_rights_on_what_tells_the_leader(
    cluster: ClusterUnderTest, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = cluster.paths.connection_info("rest_server")
    cluster.kazoo.create(path, b"", makepath=True)
    cluster.kazoo.set_acls(path, [make_digest_acl("operator", "own", all=True)])
    line = one_sentence(capsys, "leader", "--config", str(config))
    assert f"no rights on {path}" in line
    assert options.ZK_AUTHORIZATION.key in line


@pytest.mark.parametrize("command", ["leader", "list"])
@pytest.mark.parametrize("closed", ["", "/leader", "/leader/latch", "/leader/rest_server"])
def test_no_rights_where_no_leader_is_published_yet(
    cluster: ClusterUnderTest,
    config: Path,
    capsys: pytest.CaptureFixture[str],
    closed: str,
    command: str,
) -> None:
    """ZooKeeper says of what a closed znode lacks that it is not there: it was *no leader*."""
    path = cluster.paths.cluster + closed
    cluster.kazoo.create(path, b"", makepath=True)
    cluster.kazoo.set_acls(path, [make_digest_acl("operator", "own", all=True)])
    wait = f"-D{options.REST_AWAIT_LEADER.key}=100 ms"
    more = ["--wait", "0.1"] if command == "leader" else []
    line = one_sentence(capsys, command, "--config", str(config), wait, *more)
    assert f"within 0.1 s: ZooKeeper gives us no rights on {path} (NoAuthError; we have" in line
    assert options.ZK_AUTHORIZATION.key in line
    # With the wrong password, which ZooKeeper takes, and gives no rights for.
    login = f"-D{options.ZK_AUTHORIZATION.key}=digest:operator:wrong"
    line = one_sentence(capsys, command, "--config", str(config), wait, login, *more)
    assert f"no rights on {path} (NoAuthError; scheme digest: a wrong password" in line
    right = f"-D{options.ZK_AUTHORIZATION.key}=digest:operator:own"
    line = one_sentence(capsys, command, "--config", str(config), wait, right, *more)
    assert "is running" in line


def test_a_closed_root_without_the_cluster(
    cluster: ClusterUnderTest, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = f"{cluster.paths.cluster}-root".replace("/flink", "")
    cluster.kazoo.create(root, b"", acl=[make_digest_acl("operator", "own", all=True)])
    elsewhere = f"-D{options.ZK_ROOT.key}={root}"
    line = one_sentence(capsys, "leader", "--wait", "0.1", "--config", str(config), elsewhere)
    assert f"no rights on {root} (" in line


LOGIN = (
    f"-D{options.ZK_SASL_MECHANISM.key}=digest-md5",
    f"-D{options.ZK_SASL_USERNAME.key}=flink",
    f"-D{options.ZK_SASL_PASSWORD.key}=wrong",
)


@pytest.mark.parametrize(
    ("login", "said"),
    [
        ((), f"serve no client that has not logged in: set option {options.ZK_SASL_MECHANISM.key}"),
        (
            (f"-D{options.ZK_AUTHORIZATION.key}=digest:me:secret",),
            f"refused our authentication (scheme digest): correct option "
            f"{options.ZK_AUTHORIZATION.key}, or set option {options.ZK_SASL_MECHANISM.key}",
        ),
        (LOGIN, "refused our authentication (SASL DIGEST-MD5 as 'flink'): correct option"),
    ],
)
def test_servers_that_serve_clients_only_that_log_in(
    config: Path, capsys: pytest.CaptureFixture[str], login: tuple[str, ...], said: str
) -> None:
    """``sessionRequireClientSASLAuth``, ``enforce.auth.enabled``: python-zk/kazoo 594 and 810."""
    with requiring_login() as quorum:
        line = one_sentence(
            capsys, "leader", "--config", str(config), f"-D{options.ZK_QUORUM.key}={quorum}", *login
        )
    assert f"hawork: the ZooKeeper servers of {quorum} {said}" in line


@contextlib.contextmanager
def requiring_login() -> Iterator[str]:
    """A server that answers as ZooKeeper does without the login that it requires: error -124."""

    def frame(content: bytes) -> bytes:
        return struct.pack(">i", len(content)) + content

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, connection.makefile("rb") as asked, contextlib.suppress(OSError):
                    # Its Connect, answered by a session; whatever is asked in it is refused.
                    asked.read(struct.unpack(">i", asked.read(4))[0])
                    session = struct.pack(">iiqi", 0, 4000, 7, 16) + bytes(16)
                    connection.sendall(frame(session + b"\0"))
                    request = asked.read(struct.unpack(">i", asked.read(4))[0])
                    connection.sendall(frame(request[:4] + struct.pack(">qi", 0, -124)))

    listener = socket.create_server(("127.0.0.1", 0))
    serving = threading.Thread(target=serve, daemon=True)
    serving.start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    serving.join()


def run_job_manager(config: Path, *changes: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "hawork", "jobmanager", "--config", str(config)]
    argv += [f"-D{change}" for change in changes]
    return subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("whose", ["a file of another user", "without rights"])
def test_a_job_manager_on_a_root_that_is_not_ours(
    cluster: ClusterUnderTest, config: Path, whose: str
) -> None:
    root = f"{cluster.paths.cluster}-root".replace("/flink", "")
    if whose == "without rights":
        acl = [make_digest_acl("operator", "own", all=True)]
        cluster.kazoo.create(root, b"", acl=acl)
        wanted = f"ZooKeeper gives us no rights on {root}"
    else:
        cluster.kazoo.create(root, b"something")
        wanted = f"znode {root} belongs to another process (it holds 9 bytes of data)"
    process = run_job_manager(config, f"{options.ZK_ROOT.key}={root}")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    (line,) = said.splitlines()
    assert line.startswith(f"hawork jobmanager: leader election failed: {wanted}")


def test_a_job_manager_says_which_session_timeout_it_got(
    cluster: ClusterUnderTest, config: Path
) -> None:
    process = run_job_manager(config, f"{options.ZK_SESSION_TIMEOUT.key}=100 ms")
    try:
        eventually(cluster.latch, timeout=60)
    finally:
        process.terminate()
        _, said = process.communicate(timeout=60)
    (line,) = said.splitlines()
    assert "granted a session timeout of 1 s, the least they allow, and not the 0.1 s" in line
    assert options.ZK_SESSION_TIMEOUT.key in line
