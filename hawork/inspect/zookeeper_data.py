"""A ZooKeeper server's own data: ``version-2/`` with its snapshots and transaction logs.

The newest valid snapshot is read and every later transaction done again, as a server does when
it starts. Source: ``FileTxnSnapLog``, ``FileSnap``, ``FileTxnLog``, ``SerializeUtils`` and
``zookeeper.jute`` of ZooKeeper 3.4 to 3.9.
"""

from __future__ import annotations

import gzip
import posixpath
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NoReturn

from hawork.core.errors import ConfigurationError, StoreUnavailableError
from hawork.inspect.errors import UndecodableError
from hawork.inspect.storage import LARGEST_FILE, Storage, archive_in
from hawork.inspect.znodes import CONTAINER, DataTree, StoredNode, ZooKeeperTree
from hawork.story import snappy

__all__ = ["is_server_file", "read_zookeeper_data"]

_SNAPSHOT_MAGIC, _LOG_MAGIC = b"ZKSN", b"ZKLG"
_NAME: Final = re.compile(r"(snapshot|log)\.([0-9a-f]{1,16})(\.gz|\.snappy)?")
_PERSISTED: Final = struct.Struct(">qqqqiiiqq")
_HEADER: Final = struct.Struct(">qiqqi")
_FIRST_ZXID: Final = struct.Struct(">40xq")  # behind a log's header, a checksum and a length
_LONGEST: Final = 64 << 20
"""Bytes of one transaction; ``jute.maxbuffer`` is 1 MB unless it was raised."""

_CREATE, _DELETE, _SET_DATA, _SET_ACL, _CHECK, _MULTI, _CREATE2 = 1, 2, 5, 7, 13, 14, 15
_RECONFIG, _CREATE_CONTAINER, _DELETE_CONTAINER, _CREATE_TTL = 16, 19, 20, 21
_CREATE_SESSION, _CLOSE_SESSION, _ERROR = -10, -11, -1


def is_server_file(path: Path) -> bool:
    """Whether it is one file of a server by itself, as the command ``snapshot`` of its admin server
    writes one, under any name.
    """
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(4) in (_SNAPSHOT_MAGIC, _LOG_MAGIC) or bool(_NAME.fullmatch(path.name))
    except OSError:
        return False


def read_zookeeper_data(storage: Storage) -> ZooKeeperTree:
    """The tree in a server's data directory, or in an archive of it.

    ``ConfigurationError`` when there is neither a snapshot nor a log; ``UndecodableError`` when
    none of them can be read.
    """
    snapshots: dict[int, str] = {}
    logs: dict[int, str] = {}
    of_snapshots: set[str] = set()
    of_logs: set[str] = set()
    listing = storage.listing()
    if len(listing) == 1 and not _NAME.fullmatch(posixpath.basename(listing[0].name)):
        name = listing[0].name
        with storage.open(name) as opened:
            head = opened.read(_FIRST_ZXID.size)
        if head.startswith(_SNAPSHOT_MAGIC):
            snapshots[0] = name
        elif head.startswith(_LOG_MAGIC) and len(head) == _FIRST_ZXID.size:
            logs[_FIRST_ZXID.unpack(head)[0]] = name
    for file in listing:
        folder, base = posixpath.split(file.name)
        match = _NAME.fullmatch(base)
        if match:
            is_log = match[1] == "log"
            (logs if is_log else snapshots)[int(match[2], 16)] = file.name
            (of_logs if is_log else of_snapshots).add(folder)
    for servers in (of_snapshots, of_logs):
        if len(servers) > 1:
            some = ", ".join(sorted(each or "." for each in servers)[:3])
            raise ConfigurationError(
                f"there is the data of {len(servers)} ZooKeeper servers ({some}), which may be of "
                "several ensembles: name the directory of one"
            )
    if not snapshots and not logs:
        raise ConfigurationError(
            "there is no data of a ZooKeeper server: name the directory that has version-2/ "
            f"with snapshot.* and log.* in it.{archive_in(file.name for file in listing)}"
        )
    return _Replay(storage).tree(snapshots, logs)


class _Replay:
    """What a server does when it starts."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._tree = DataTree()
        self._zxid = 0
        self._moment: float | None = None
        self._notes: list[str] = list(storage.notes)

    def tree(self, snapshots: dict[int, str], logs: dict[int, str]) -> ZooKeeperTree:
        begun = self._snapshot(snapshots)
        if begun is None:
            if not logs:
                raise UndecodableError("ZooKeeper's data", "; ".join(self._notes[:3]))
            self._empty_tree()
            first = "no snapshot can be read" if snapshots else "there is no snapshot"
            if min(logs) > 1:
                self._notes.append(
                    f"{first}: what was made before transaction {min(logs):#x} is not seen"
                )
        self._zxid = begun or 0
        if begun == 0:  # its name does not tell; that of a server's first one is right
            changes = (max(node.mzxid, node.pzxid) for node in self._tree.znodes())
            self._zxid = max(changes, default=0)
        if not logs:
            self._notes.append(
                "there is no transaction log: what was written after "
                f"transaction {self._zxid:#x} is not seen"
            )
        for first_zxid, name in self._needed(logs):
            if not self._log(name, first_zxid):
                later = [each for number, each in sorted(logs.items()) if number > first_zxid]
                if later:
                    self._notes.append(f"{len(later)} later logs are not looked at")
                break
        return ZooKeeperTree(
            tuple(self._tree.znodes()), self._zxid, self._moment, notes=tuple(self._notes)
        )

    def _empty_tree(self) -> None:
        for path in ("", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"):
            self._tree.put(path, StoredNode(b"", 0, 0, 0, 0, 0, 0, 0, 0, 0))
        self._tree.nodes[""].creates = -1  # as DataTree's constructor leaves it
        self._tree.link()

    def _needed(self, logs: dict[int, str]) -> Sequence[tuple[int, str]]:
        """The logs with transactions after the snapshot: one that began before it, too."""
        before = [number for number in logs if number <= self._zxid]
        first = max(before, default=0)
        needed = sorted((number, name) for number, name in logs.items() if number >= first)
        if needed and not before and self._zxid and needed[0][0] > self._zxid + 1:
            self._gap(self._zxid, needed[0][0])
        return needed

    def _gap(self, last: int, first: int) -> None:
        if last >> 32 == first >> 32:  # a new leader's transactions begin at another number
            self._notes.append(
                f"the transactions between {last:#x} and {first:#x} are missing: "
                "what they wrote is not seen"
            )

    # --- snapshots ---------------------------------------------------------------------------

    def _snapshot(self, snapshots: dict[int, str]) -> int | None:
        """Read the newest one that is whole; its number is the transaction it began after."""
        for zxid, name in sorted(snapshots.items(), reverse=True):
            try:
                self._tree = _read_snapshot(name, self._bytes(name))
                return zxid
            except UndecodableError as error:
                self._notes.append(f"{name}: {error}")
            except StoreUnavailableError as error:
                self._notes.append(str(error))
        return None

    def _bytes(self, name: str) -> bytes:
        with self._storage.open(name) as file:
            source = gzip.GzipFile(fileobj=file) if name.endswith(".gz") else file
            try:
                data = source.read(LARGEST_FILE + 1)
            except (OSError, EOFError, zlib.error) as error:
                raise StoreUnavailableError(f"{name} cannot be read: {error}") from None
        if name.endswith(".snappy"):
            try:
                data = snappy.unpacked(data, LARGEST_FILE)
            except ValueError as error:
                raise UndecodableError("snapshot", f"it cannot be unpacked: {error}") from None
        if len(data) > LARGEST_FILE:
            raise StoreUnavailableError(f"{name} has more than {LARGEST_FILE} bytes: not read")
        return data

    # --- logs ----------------------------------------------------------------------------------

    def _log(self, name: str, first_zxid: int) -> bool:
        """Do a log's transactions; whether it could be read to its end."""
        empty = True
        try:
            with self._storage.open(name) as file:
                for body in _transactions(name, file):
                    empty = False
                    zxid = _HEADER.unpack_from(body)[2] if len(body) >= _HEADER.size else 0
                    if zxid > self._zxid:
                        if self._zxid and zxid != self._zxid + 1:
                            self._gap(self._zxid, zxid)
                        self._transaction(body)
        except (UndecodableError, StoreUnavailableError) as error:
            self._notes.append(f"{name}: {error}")
            return False
        except (OSError, EOFError, zlib.error) as error:
            self._notes.append(f"{name} cannot be read: {error}")
            return False
        if empty and first_zxid > self._zxid:  # a server makes the file for this transaction
            self._notes.append(
                f"{name} has no transactions: what was written after {self._zxid:#x} is not seen"
            )
        return True

    def _transaction(self, body: bytes) -> None:
        reader = _Jute("transaction", body)
        session, _, zxid, time, kind = reader.unpack(_HEADER)
        self._do(kind, reader, session, zxid, time)
        self._zxid, self._moment = zxid, time / 1000

    def _do(self, kind: int, reader: _Jute, session: int, zxid: int, time: int) -> None:
        tree = self._tree
        if kind in (_CREATE, _CREATE2):
            path, data = reader.text(), reader.buffer()
            reader.acl()
            owner = session if reader.boolean() else 0
            # Before ZooKeeper 3.4 the parent's count was not written.
            tree.create(path, data, owner, reader.take_int() if reader.left else -1, zxid, time)
        elif kind in (_CREATE_CONTAINER, _CREATE_TTL):
            path, data = reader.text(), reader.buffer()
            reader.acl()
            creates = reader.take_int()
            owner = CONTAINER if kind == _CREATE_CONTAINER else reader.take_long() | -(1 << 56)
            tree.create(path, data, owner, creates, zxid, time)
        elif kind in (_DELETE, _DELETE_CONTAINER):
            tree.delete(reader.text(), zxid)
        elif kind in (_SET_DATA, _RECONFIG):
            path, data = reader.text(), reader.buffer()
            tree.set_data(path, data, reader.take_int(), zxid, time)
        elif kind == _SET_ACL:
            path = reader.text()
            reader.acl()
            tree.set_acl(path, reader.take_int())
        elif kind == _CLOSE_SESSION:
            tree.close_session(session, zxid)
        elif kind == _MULTI:
            self._multi(reader, session, zxid, time)
        elif kind not in (_CREATE_SESSION, _ERROR, _CHECK):
            self._notes.append(f"transaction {zxid:#x} is of the unknown type {kind}: passed over")

    def _multi(self, reader: _Jute, session: int, zxid: int, time: int) -> None:
        parts = [(reader.take_int(), reader.buffer() or b"") for _ in range(reader.count())]
        if any(kind == _ERROR for kind, _ in parts):
            return  # one of them failed: none of them was done
        for kind, body in parts:
            if kind == _MULTI:
                reader.fail("transactions lie inside each other")
            self._do(kind, _Jute("transaction", body), session, zxid, time)


def _read_snapshot(name: str, data: bytes) -> DataTree:
    """``FileSnap``: header, sessions, access lists, nodes, and the checksum behind them."""
    what = f"snapshot {posixpath.basename(name)}"
    reader = _Jute(what, data)
    if data[:4] != _SNAPSHOT_MAGIC:
        reader.fail(f"it begins with {data[:4].hex()}, not with ZKSN" if data else "it is empty")
    reader.skip(16)
    for _ in range(reader.count()):
        reader.skip(12)  # session, timeout
    for _ in range(reader.count()):
        reader.take_long()
        reader.acl()
    tree = DataTree()
    while (path := reader.text()) != "/":
        content = reader.buffer()
        reader.take_long()
        czxid, mzxid, ctime, mtime, version, creates, aversion, owner, pzxid = reader.unpack(
            _PERSISTED
        )
        tree.put(
            path,
            StoredNode(
                content, owner, czxid, mzxid, ctime, mtime, version, creates, aversion, pzxid
            ),
        )
    _check_sum(reader, data)
    tree.link()
    return tree


def _check_sum(reader: _Jute, data: bytes) -> None:
    """An Adler-32 of all before it, and the path "/"; what follows is a digest (3.6 and later)."""
    at = reader.at
    if data[at + 8 : at + 13] == b"\x00\x00\x00\x01/":
        (written,) = struct.unpack_from(">q", data, at)
        if written == zlib.adler32(data[:at]):
            return
    reader.fail("its checksum does not fit its bytes")


def _transactions(name: str, file: BinaryIO) -> Iterator[bytes]:
    """The transactions of a log, each checked; zeros are what a server allocates ahead."""
    what = f"log {posixpath.basename(name)}"
    head = file.read(16)
    if head[:4] != _LOG_MAGIC:
        if not any(head):
            return  # made, and not yet written
        raise UndecodableError(what, f"it begins with {head[:4].hex()}, not with ZKLG")
    at = 16
    while True:
        start = file.read(12)
        if len(start) < 12 or not any(start):
            if any(start):
                raise UndecodableError(what, "its last transaction is cut off", offset=at)
            return
        written, length = struct.unpack(">qi", start)
        if length <= 0:
            if not written:
                return
            raise UndecodableError(what, f"a transaction has {length} bytes", offset=at)
        if length > _LONGEST:
            raise UndecodableError(what, f"a transaction has {length} bytes", offset=at)
        body = file.read(length + 1)
        if len(body) < length + 1 or body[-1:] != b"B":
            raise UndecodableError(what, "its last transaction is cut off", offset=at)
        body = body[:-1]
        if written != zlib.adler32(body):
            raise UndecodableError(what, "the checksum of a transaction does not fit", offset=at)
        yield body
        at += 12 + length + 1


class _Jute:
    """ZooKeeper's serialisation (``BinaryInputArchive``)."""

    def __init__(self, what: str, data: bytes) -> None:
        self._what = what
        self._data = data
        self.at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self.at

    def fail(self, reason: str) -> NoReturn:
        raise UndecodableError(self._what, reason, offset=self.at)

    def unpack(self, structure: struct.Struct) -> tuple[int, ...]:
        if self.left < structure.size:
            self.fail("it ends too early")
        found = structure.unpack_from(self._data, self.at)
        self.at += structure.size
        return found

    def take_int(self) -> int:
        return self.unpack(_INT)[0]

    def take_long(self) -> int:
        return self.unpack(_LONG)[0]

    def boolean(self) -> bool:
        return self.unpack(_BYTE)[0] != 0

    def skip(self, length: int) -> None:
        if length > self.left:
            self.fail("it ends too early")
        self.at += length

    def count(self) -> int:
        """The length of a vector; -1 is null."""
        count = self.take_int()
        if not -1 <= count <= self.left:
            self.fail(f"{count} things do not fit in what is left")
        return max(count, 0)

    def buffer(self) -> bytes | None:
        length = self.take_int()
        if length == -1:
            return None
        if not 0 <= length <= self.left:
            self.fail(f"{length} bytes do not fit in what is left")
        self.at += length
        return self._data[self.at - length : self.at]

    def text(self) -> str:
        raw = self.buffer() or b""
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            self.fail("a text is not UTF-8")

    def acl(self) -> None:
        for _ in range(self.count()):
            self.take_int()
            self.text()
            self.text()


_INT, _LONG, _BYTE = struct.Struct(">i"), struct.Struct(">q"), struct.Struct(">b")
