"""Damaged bytes of every kind that the inspector decodes: each ends in a value or in one error."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from io import BytesIO
from typing import BinaryIO
from uuid import UUID

from hawork.core.types import LeaderInformation, StateHandle
from hawork.ha.state_handle_store import encode_handle
from hawork.inspect import pointers
from hawork.inspect.checkpoints import decode_completed_checkpoint
from hawork.inspect.errors import UndecodableError
from hawork.inspect.java import read_stream
from hawork.inspect.job_graphs import decode_job_graph
from hawork.inspect.metadata import decode_metadata
from hawork.inspect.results import decode_own_pointer, decode_result
from hawork.inspect.storage import StoredFile
from hawork.inspect.zookeeper_data import read_zookeeper_data
from hawork.inspect.zookeeper_dumps import read_zookeeper_dump
from tests.flink_vectors import member, vector

Decode = Callable[[bytes], object]

_LEADER = LeaderInformation(UUID(int=5 << 70), "pekko.tcp://flink@10.0.0.7:6123/user/rpc/x")
_RESULT = (
    b'{"result":{"id":"0000000000000000000000000000000d","application-status":"FAILED","accu'
    b'mulator-results":{"n":"rO0ABXA="},"net-runtime":42},"version":1}'
)
_LOCK = (
    b'{"holderIdentity":"a","leaseDuration":"PT15S","acquireTime":"2026-11-22T20:28:30.360776Z",'
    b'"renewTime":"2026-11-22T20:28:40.428418Z","leaderTransitions":3}'
)


def kinds() -> dict[str, tuple[bytes, Decode]]:
    """Sound bytes of each kind, and what decodes them."""
    return {
        "pointer, ZooKeeper": (
            pointers.encode_pointer("file:/ha/x", 7, "zookeeper"),
            lambda data: pointers.decode_pointer(data, "zookeeper"),
        ),
        "pointer, Kubernetes": (
            pointers.encode_pointer("file:/ha/x", 7, "kubernetes"),
            lambda data: pointers.decode_pointer(data, "kubernetes"),
        ),
        "connection_info": (
            pointers.encode_connection_info(_LEADER),
            pointers.decode_connection_info,
        ),
        "leader text": (
            pointers.encode_leader_text(_LEADER).encode(),
            lambda data: pointers.decode_leader_text(data.decode("utf-8", "surrogateescape")),
        ),
        "counter, ZooKeeper": (
            b"\0\0\0\7",
            lambda data: pointers.decode_counter(data, "zookeeper"),
        ),
        "counter, Kubernetes": (b"123", lambda data: pointers.decode_counter(data, "kubernetes")),
        "lock record": (
            _LOCK,
            lambda data: pointers.decode_lock_record(data.decode("utf-8", "surrogateescape")),
        ),
        **{
            f"completed checkpoint {release}": (
                vector(f"{release}.completedCheckpoint"),
                decode_completed_checkpoint,
            )
            for release in ("1.18.1", "1.20.5", "2.1.1")
        },
        **{
            f"metadata {name}": (
                vector(f"{name}._metadata"),
                lambda data: decode_metadata(data, "file:/c"),
            )
            for name in ("1.20.5", "2.1.1.v3", "2.1.1.v5", "2.1.1.v6")
        },
        "job graph": (vector("1.20.5.jobgraph"), decode_job_graph),
        "execution plan": (vector("2.1.1.streamgraph"), decode_job_graph),
        "Java stream": (vector("grammar.collections"), read_stream),
        "job result": (_RESULT, decode_result),
        "pointer of hawork": (
            encode_handle(StateHandle("jobs/x", 3, "00" * 32)),
            decode_own_pointer,
        ),
        "ZooKeeper snapshot": (member("version-2/snapshot.3c"), _server_data("snapshot.3c")),
        "ZooKeeper log": (member("version-2/log.1d").rstrip(b"\0"), _server_data("log.1")),
        "ZooKeeper dump": (vector("zookeeper-dump.json"), read_zookeeper_dump),
    }


class _OneFile:
    """A storage of a single file."""

    def __init__(self, name: str, data: bytes) -> None:
        self._name = name
        self._data = data
        self.notes: Sequence[str] = ()
        self.folders: Set[str] = frozenset()
        self.unseen: Set[str] = frozenset()
        self.whole = True

    def listing(self) -> Sequence[StoredFile]:
        return [StoredFile(self._name, len(self._data))]

    def open(self, name: str) -> BinaryIO:
        return BytesIO(self._data)


def _server_data(name: str) -> Decode:
    return lambda data: read_zookeeper_data(_OneFile(name, data))


def truncations(data: bytes, most: int) -> Iterator[bytes]:
    """Every beginning of the bytes, or ``most`` of them from all over."""
    step = max(1, len(data) // most)
    return (data[:end] for end in range(0, len(data), step))


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Bytes changed, put in, taken out, doubled, and numbers made huge."""
    generator = random.Random(seed)
    for _ in range(count):
        damaged = bytearray(data)
        for _ in range(generator.choice((1, 1, 1, 2, 5))):
            at = generator.randrange(len(damaged) or 1)
            way = generator.randrange(6)
            if way == 0:
                damaged[at : at + 1] = bytes((generator.randrange(256),))
            elif way == 1:
                damaged[at : at + 1] = bytes((damaged[at] ^ 1 << generator.randrange(8),))
            elif way == 2:
                damaged[at:at] = generator.randbytes(generator.randrange(1, 9))
            elif way == 3:
                del damaged[at : at + generator.randrange(1, 9)]
            elif way == 4:
                damaged[at : at + 4] = generator.choice(
                    (b"\x7f\xff\xff\xff", b"\xff" * 4, bytes(4))
                )
            else:
                other = generator.randrange(len(damaged) or 1)
                damaged[at:at] = damaged[other : other + generator.randrange(1, 40)]
            if not damaged:
                break
        yield bytes(damaged)


def outcomes(decode: Decode, damaged: Iterable[bytes]) -> tuple[int, int]:
    """How many were values, and how many the one error; any other exception is raised."""
    values = errors = 0
    for data in damaged:
        try:
            decode(data)
            values += 1
        except UndecodableError as error:
            assert 0 <= error.offset <= 2 * len(data) + 100, (error, len(data))
            assert len(str(error)) < 2000
            errors += 1
    return values, errors
