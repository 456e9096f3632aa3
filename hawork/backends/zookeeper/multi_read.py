"""Hundreds of reads in one request, which ZooKeeper has since 3.6 and kazoo does not.

Source: ``MultiOperationRecord`` with ``OpCode.multiRead`` and ``zookeeper.jute``. An older server
answers that it knows no such request; then the reads are sent one by one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hawork.backends.zookeeper import client as zk
from hawork.backends.zookeeper.session import AccessDeniedError, Send, ZooKeeperSession

__all__ = [
    "GET_CHILDREN",
    "GET_DATA",
    "Denied",
    "MultiRead",
    "NodeRead",
    "Stat",
    "read_children",
    "read_nodes",
]

_TYPE: Final = 22
GET_DATA: Final = 4
GET_CHILDREN: Final = 8
_NO_NODE, _NO_AUTH = -101, -102
_HEADER = struct.Struct(">i?i")
_INT = struct.Struct(">i")
_STAT = struct.Struct(">qqqqiiiqiiq")
_BATCH: Final = 250
"""Reads of one request. A server holds all answers at once, and a znode may have a megabyte."""
_LONGEST: Final = 1 << 18
"""Bytes of paths in one request. Servers break off at a packet of four times as many."""
_WINDOW: Final = 100
"""Single reads under way at once: more, and kazoo's heartbeat waits behind them."""


@dataclass(frozen=True, slots=True)
class Stat:
    """ZooKeeper's ``Stat``, in its order."""

    czxid: int
    mzxid: int
    ctime: int
    mtime: int
    version: int
    cversion: int
    aversion: int
    ephemeral_owner: int
    data_length: int
    num_children: int
    pzxid: int


@dataclass(frozen=True, slots=True)
class Denied:
    """The answer for a znode that may not be read."""


NodeRead = tuple[bytes | None, Stat]
"""Data (``None``: null) and stat of a znode."""


def read_nodes(session: ZooKeeperSession, paths: Sequence[str]) -> list[NodeRead | Denied | None]:
    """Data and stat of each znode, ``None`` for one that is not there.

    ``StoreUnavailableError`` when the servers do not answer.
    """
    return _read(session, GET_DATA, paths)


def read_children(
    session: ZooKeeperSession, paths: Sequence[str]
) -> list[list[str] | Denied | None]:
    """The names of each znode's children, ``None`` for a znode that is not there."""
    return _read(session, GET_CHILDREN, paths)


def _read(session: ZooKeeperSession, kind: int, paths: Sequence[str]) -> list[Any]:
    found: list[Any] = []
    for batch in _batches(paths):
        try:
            what = f"{len(batch)} znodes" if len(batch) > 1 else f"znode {batch[0]}"
            found += session.read(_sent(kind, batch), what)
        except zk.UnimplementedError:
            found += _one_by_one(session, kind, batch)
    return found


def _batches(paths: Sequence[str]) -> Iterator[Sequence[str]]:
    batch, length = list[str](), 0
    for path in paths:
        size = len(path.encode())
        if batch and (len(batch) == _BATCH or length + size > _LONGEST):
            yield batch
            batch, length = [], 0
        batch.append(path)
        length += size
    if batch:
        yield batch


def _sent(kind: int, paths: Sequence[str]) -> Send:
    return lambda client: client.request_async(
        MultiRead(kind, [client.chroot + path for path in paths])
    )


def _one_by_one(session: ZooKeeperSession, kind: int, paths: Sequence[str]) -> list[Any]:
    answers: list[Any] = []
    for start in range(0, len(paths), _WINDOW):
        batch = paths[start : start + _WINDOW]
        sends = [_single(kind, path) for path in batch]
        try:
            found = session.read_all(sends, "znodes")
        except AccessDeniedError:
            pairs = zip(sends, batch, strict=True)
            found = [_or_denied(session, send, path) for send, path in pairs]
        answers += [_as_read(kind, each) for each in found]
    return answers


def _single(kind: int, path: str) -> Send:
    if kind == GET_DATA:
        return lambda client: client.get_async(path)
    return lambda client: client.get_children_async(path)


def _or_denied(session: ZooKeeperSession, send: Any, path: str) -> Any:
    try:
        return session.read_all([send], path)[0]
    except AccessDeniedError:
        return Denied()


def _as_read(kind: int, found: Any) -> Any:
    if kind == GET_CHILDREN or found is None or isinstance(found, Denied):
        return found
    data, stat = found
    return data, Stat(
        stat.czxid, stat.mzxid, stat.ctime, stat.mtime, stat.version, stat.cversion, stat.aversion,
        stat.ephemeralOwner, stat.dataLength, stat.numChildren, stat.pzxid,
    )  # fmt: skip


class MultiRead:
    """A request in kazoo's manner: ``GET_DATA`` or ``GET_CHILDREN`` of each path."""

    type = _TYPE

    def __init__(self, kind: int, paths: Sequence[str]) -> None:
        self.kind = kind
        self.paths = paths

    def serialize(self) -> bytes:
        header = _HEADER.pack(self.kind, False, -1)
        parts: list[bytes] = []
        for path in self.paths:
            written = (path or "/").encode()
            parts += (header, _INT.pack(len(written)), written, b"\x00")  # no watch
        return b"".join((*parts, _HEADER.pack(-1, True, -1)))

    @staticmethod
    def deserialize(buffer: bytes, offset: int) -> list[NodeRead | list[str] | Denied | None]:
        found: list[NodeRead | list[str] | Denied | None] = []
        while True:
            kind, done, _ = _HEADER.unpack_from(buffer, offset)
            offset += _HEADER.size
            if done:
                return found
            if kind == GET_DATA:
                data, offset = _buffer(buffer, offset)
                found.append((data, Stat(*_STAT.unpack_from(buffer, offset))))
                offset += _STAT.size
            elif kind == GET_CHILDREN:
                (count,) = _INT.unpack_from(buffer, offset)
                offset += _INT.size
                names = []
                for _ in range(count):
                    name, offset = _buffer(buffer, offset)
                    names.append((name or b"").decode())
                found.append(names)
            else:
                (error,) = _INT.unpack_from(buffer, offset)
                offset += _INT.size
                found.append(_failed(error))


def _failed(error: int) -> Denied | None:
    if error == _NO_AUTH:
        return Denied()
    if error == _NO_NODE:
        return None
    raise zk.ZookeeperError(f"a read in a multiple read failed with {error}")


def _buffer(buffer: bytes, offset: int) -> tuple[bytes | None, int]:
    (length,) = _INT.unpack_from(buffer, offset)
    start = offset + _INT.size
    if length < 0:
        return None, start
    return bytes(buffer[start : start + length]), start + length
