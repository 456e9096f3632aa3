"""A ZooKeeper that is there and does not answer: told soon, by its name, with the seconds."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from hawork.backends.zookeeper.multi_read import read_children
from hawork.backends.zookeeper.session import ZooKeeperSession
from hawork.core.configuration import Configuration
from hawork.core.errors import PossibleInconsistentStateError, StoreUnavailableError
from hawork.inspect import zookeeper_session
from hawork.inspect.finding import Object
from hawork.inspect.repair.changes import Change
from hawork.inspect.repair.writers import open_writer
from hawork.inspect.store import read_entries
from hawork.inspect.zookeeper_session import open_to_look

SECONDS = 0.6
ACCEPTED = struct.pack(">iiqi16s?", 0, 40_000, 7, 16, b"p" * 16, False)
"""A server's answer to a connection: a session of 40 s."""
ROOT = struct.pack(">iqi", 1, 1, 0) + b"\0" * 68
"""And to whether there is a root."""


@contextlib.contextmanager
def served(*answers: bytes, cut: int | None = None, once: bytes = b"") -> Iterator[str]:
    """A server that gives each connection these answers, the last one up to byte ``cut``, and the
    first connection ``once`` behind them, and then is silent; its address.
    """
    connections: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connections.append(connection)
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        def answer(connection: socket.socket) -> None:
            with contextlib.suppress(OSError, struct.error):
                more = (once,) if once and connection is connections[0] else ()
                for number, each in enumerate((*answers, *more), 1):
                    (length,) = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))
                    connection.recv(length, socket.MSG_WAITALL)
                    whole = struct.pack(">i", len(each)) + each
                    connection.sendall(whole if number < len(answers) else whole[:cut])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in connections:
                connection.close()


def config(quorum: str, **options: str) -> Configuration:
    return Configuration({
        "high-availability.type": "zookeeper", "high-availability.storageDir": "file:///ha",
        "high-availability.zookeeper.quorum": quorum, **options,
    })  # fmt: skip


@pytest.mark.parametrize(("answers", "cut", "said"), [
    ((), None, "the connection was taken, but nothing answered"),
    ((ACCEPTED,), 9, "the connection was taken, but nothing answered"),
    ((ACCEPTED,), None, "a session was opened, but then nothing answered"),
    ((ACCEPTED, ROOT), 30, "a session was opened, but then nothing answered"),
])  # fmt: skip
def test_a_silent_server_is_named_with_the_seconds_that_were_waited(
    answers: tuple[bytes, ...], cut: int | None, said: str
) -> None:
    with served(*answers, cut=cut) as server, pytest.raises(StoreUnavailableError) as caught:
        open_to_look(config(server), seconds=SECONDS)
    assert f"no ZooKeeper server of {server} answered within 0.6 s ({said})" in str(caught.value)


def test_one_that_falls_silent_later_is_not_waited_for_as_long_as_its_session() -> None:
    """The session lasts 40 s, and a request may go unanswered for two thirds of that."""
    with served(ACCEPTED, once=ROOT) as server:
        session = open_to_look(config(server), seconds=SECONDS)
        try:
            with pytest.raises(StoreUnavailableError) as caught:
                read_children(session, ["/flink"])
        finally:
            session.close()
    waited = re.search(rf"{server} did not answer within (\d+\.\d) s", str(caught.value))
    assert waited is not None, caught.value
    assert session.patience < SECONDS


def test_a_repair_waits_for_a_silent_server_as_long_as_a_look_at_it() -> None:
    """It waited for the connection timeout, 15 s, and then told of kazoo's last failure only."""
    with served() as server, pytest.raises(StoreUnavailableError) as caught:
        open_writer(config(server), SECONDS).__enter__()
    assert f"no ZooKeeper server of {server} answered within 0.6 s" in str(caught.value)


def test_a_repair_whose_answer_does_not_come_is_in_doubt() -> None:
    """It was waited for as long as the session lasts, which is 40 s here."""
    change = Change(Object("znode", "/flink/c/jobs"), b"a", b"b", 1)
    with (
        served(ACCEPTED, once=ROOT) as server,
        open_writer(config(server), SECONDS) as writer,
        pytest.raises(PossibleInconsistentStateError) as caught,
    ):
        writer.write([change])
    assert "whether znode /flink/c/jobs changed, because no answer came" in str(caught.value)
    assert "no answer within 0.6 s): call again, which looks first" in str(caught.value)


def test_each_of_several_servers_is_named() -> None:
    """Of those that there was time for: a busy machine comes to the third one in 1.5 s or not."""
    with served() as silent, served(ACCEPTED) as later:
        for seconds in (1.5, 6.0, 24.0):
            with pytest.raises(StoreUnavailableError) as caught:
                open_to_look(config(f"{silent},{later},127.0.0.1:1"), seconds=seconds)
            said = str(caught.value)
            if said.count("nothing answered") == 2:
                break
    assert f"{silent}: the connection was taken, but nothing answered" in said
    assert f"{later}: a session was opened, but then nothing answered" in said
    assert "127.0.0.1:1: [Errno" in said


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Callable[[Configuration], tuple[float, float]]:
    """Connection timeout and limit of refusals that a look at a configuration is opened with."""
    seen: list[tuple[float, float]] = []

    def note(session: ZooKeeperSession, timeout: None = None, refused: float = 0) -> None:
        seen.append((session.settings.connection_timeout, refused))
        raise StoreUnavailableError("noted")

    monkeypatch.setattr(ZooKeeperSession, "open", note)

    def look(given: Configuration) -> tuple[float, float]:
        with pytest.raises(StoreUnavailableError, match="noted"):
            open_to_look(given)
        with pytest.raises(StoreUnavailableError, match="noted"):
            read_entries(given)
        with pytest.raises(StoreUnavailableError, match="noted"):
            open_writer(given).__enter__()
        assert seen[-1] == seen[-3]
        return seen[-3][0], seen[-2][0]

    return look


def test_a_person_waits_five_seconds_and_a_lab_as_long_as_its_option_says(
    opened: Callable[[Configuration], tuple[float, float]],
) -> None:
    timeout = "high-availability.zookeeper.client.connection-timeout"
    assert opened(config("a:1")) == (zookeeper_session.SILENT, 15.0)
    assert opened(config("a:1", **{timeout: "40 s"})) == (40.0, 40.0)
    assert opened(config("a:1", **{timeout: "1 s"})) == (1.0, 1.0)
