"""What a ZooKeeper server really did, read from its transaction log.

The last word on fencing: every accepted write is there, in the order in which the ensemble
decided it, with the checks that it carried.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
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


class ZNodeHistory:
    """The transactions of all servers with ``datas``, as far as they concern one cluster.

    Flink's own pointers (``flink``) are written without a check of the latch: of these it is judged
    who wrote, and not what the transaction would have refused.
    """

    def __init__(self, datas: Sequence[Path], paths: ZNodePaths, *, flink: bool = False) -> None:
        self._datas = datas
        self._paths = paths
        self._flink = flink
        own = (f"{paths.cluster}{paths.job_graphs}/", f"{paths.cluster}/jobs/")
        self._pointers = own if flink else (f"{paths.pointers}/",)

    def judge(self) -> tuple[int, list[str]]:
        """How many pointer writes there were, and those that no leader made.

        A leader is the first of the latch; its transactions check that it is.
        """
        latch: dict[str, int] = {}
        writes, broken = 0, list[str]()
        for transaction in self._all():
            if self._is_pointer_write(transaction):
                writes += 1
                if wrong := self._wrong(transaction, latch):
                    broken.append(f"{transaction}: {wrong}")
            for each in transaction.operations:
                if each.path.startswith(f"{self._paths.latch}/") and each.kind != _CHECK:
                    if each.kind == _DELETE:
                        latch.pop(each.path, None)
                    else:
                        latch[each.path] = transaction.session
            if transaction.closes_session:
                latch = {p: owner for p, owner in latch.items() if owner != transaction.session}
        return writes, broken

    def check(self) -> int:
        """``AssertionError`` names the transactions that were not a leader's."""
        writes, broken = self.judge()
        assert not broken, "\n".join(broken)
        return writes

    def _all(self) -> list[Transaction]:
        """In the order in which they were decided; a server that was away may lack some."""
        found = {each.zxid: each for data in self._datas for each in transactions(data)}
        return [found[zxid] for zxid in sorted(found)]

    def _is_pointer_write(self, transaction: Transaction) -> bool:
        changes = [
            each for each in transaction.operations
            if each.kind != _CHECK and not (self._flink and each.path.count("/locks"))
        ]  # fmt: skip
        if not any(each.path.startswith(self._pointers) for each in changes):
            return False
        parents = all(each.kind in (_CREATE, _CREATE2) and each.empty for each in changes)
        return len(changes) < len(transaction.operations) or not parents

    def _wrong(self, transaction: Transaction, latch: dict[str, int]) -> str:
        checked = [each.path for each in transaction.operations if each.kind == _CHECK]
        names = in_latch_order([path.rpartition("/")[2] for path in latch])
        if self._flink:
            leads = bool(names) and latch[f"{self._paths.latch}/{names[0]}"] == transaction.session
            return (
                "" if leads else f"written by session {transaction.session:#x}, which did not lead"
            )
        if not names or checked != [f"{self._paths.latch}/{names[0]}"]:
            return f"it checks {checked}, and the latch was {names}"
        if latch[checked[0]] != transaction.session:
            return f"it checks a node of session {latch[checked[0]]:#x}"
        return ""


def check_history(data: Path, paths: ZNodePaths) -> int:
    """Every pointer write on one server was made by the first of the latch; how many there were."""
    return ZNodeHistory([data], paths).check()
