"""What a ZooKeeper server really did, read from its transaction log.

The last word on fencing: every accepted write is there, in the order in which the ensemble
decided it, with the checks that it carried.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hawork.backends.zookeeper.paths import ZNodePaths, in_latch_order

_CREATE, _DELETE, _SET, _CHECK, _MULTI, _CREATE2, _ERROR = 1, 2, 5, 13, 14, 15, -1
_CLOSE_SESSION, _CREATE_CONTAINER = -11, 19
_FILE_HEADER = 16
_RECORD_HEADER = struct.Struct(">qi")  # checksum, length
_TXN_HEADER = struct.Struct(">qiqqi")  # session, number in the session, zxid, time, type


@dataclass(frozen=True)
class Operation:
    """One change of one znode, or a check of one."""

    kind: int
    path: str
    empty: bool = True
    """Whether it writes no data."""


@dataclass(frozen=True)
class Transaction:
    zxid: int
    session: int
    operations: tuple[Operation, ...]
    closes_session: bool


def transactions(data: Path) -> Iterator[Transaction]:
    """All transactions below a server's data directory, in their order."""
    logs = sorted((data / "version-2").glob("log.*"), key=lambda log: int(log.suffix[1:], 16))
    for log in logs:
        content = log.read_bytes()
        offset = _FILE_HEADER
        while offset + _RECORD_HEADER.size <= len(content):
            _, length = _RECORD_HEADER.unpack_from(content, offset)
            if length == 0:
                break  # what is reserved for later
            offset += _RECORD_HEADER.size
            yield _transaction(content[offset : offset + length])
            offset += length + 1  # a mark of the record's end


def _transaction(record: bytes) -> Transaction:
    session, _, zxid, _, kind = _TXN_HEADER.unpack_from(record)
    body = record[_TXN_HEADER.size :]
    operations: tuple[Operation, ...] = ()
    if kind == _MULTI:
        operations = tuple(_parts(body))
    elif kind in (_CREATE, _CREATE2, _CREATE_CONTAINER, _DELETE, _SET):
        operations = (_operation(kind, body),)
    if any(operation.kind == _ERROR for operation in operations):
        operations = ()  # refused as a whole
    return Transaction(zxid, session, operations, kind == _CLOSE_SESSION)


def _parts(body: bytes) -> Iterator[Operation]:
    (count,) = struct.unpack_from(">i", body)
    offset = 4
    for _ in range(count):
        kind, length = struct.unpack_from(">ii", body, offset)
        offset += 8
        part = body[offset : offset + max(length, 0)]
        offset += max(length, 0)
        yield Operation(kind, "") if kind == _ERROR else _operation(kind, part)


def _operation(kind: int, body: bytes) -> Operation:
    (length,) = struct.unpack_from(">i", body)
    path = body[4 : 4 + length].decode()
    if kind not in (_CREATE, _CREATE2, _SET):
        return Operation(kind, path)
    (size,) = struct.unpack_from(">i", body, 4 + length)
    return Operation(kind, path, size <= 0)


def check_history(data: Path, paths: ZNodePaths) -> int:
    """Every pointer write was made by the first of the latch; how many there were.

    ``AssertionError`` names the transaction that was not.
    """
    latch: dict[str, int] = {}
    writes = 0
    for transaction in transactions(data):
        changes = [each for each in transaction.operations if each.kind != _CHECK]
        checked = [each.path for each in transaction.operations if each.kind == _CHECK]
        if any(each.path.startswith(f"{paths.pointers}/") for each in changes):
            if not checked and all(e.kind in (_CREATE, _CREATE2) and e.empty for e in changes):
                continue  # a parent
            names = in_latch_order([path.rpartition("/")[2] for path in latch])
            assert names and checked == [f"{paths.latch}/{names[0]}"], transaction
            assert latch[checked[0]] == transaction.session, transaction
            writes += 1
        for each in changes:
            if each.path.startswith(f"{paths.latch}/"):
                if each.kind == _DELETE:
                    latch.pop(each.path, None)
                else:
                    latch[each.path] = transaction.session
        if transaction.closes_session:
            latch = {p: owner for p, owner in latch.items() if owner != transaction.session}
    return writes
