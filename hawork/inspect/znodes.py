"""Znodes, as a server keeps them and as a client sees them."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = [
    "CONTAINER", "DataTree", "StoredNode", "ZNode", "ZooKeeperTree", "is_ttl", "kind_of",
    "session_text",
]  # fmt: skip

CONTAINER = -(1 << 63)
"""Owner of a container node: the server removes it when its last child is gone."""


@dataclass(slots=True)
class ZNode:
    """A znode with all of ``Stat``, in ZooKeeper's terms; times in milliseconds since 1970.

    ``ephemeral_owner`` is the session that it lives as long as (``None``: it is persistent);
    ``kind`` is ``persistent``, ``ephemeral``, ``container`` or ``ttl``. ``data`` is ``None`` when
    the server holds null.
    """

    path: str
    data: bytes | None
    ephemeral_owner: int | None = None
    version: int = 0
    cversion: int = 0
    aversion: int = 0
    czxid: int = 0
    mzxid: int = 0
    pzxid: int = 0
    ctime: int = 0
    mtime: int = 0
    num_children: int = 0
    kind: str = "persistent"

    @property
    def data_length(self) -> int:
        return len(self.data or b"")


@dataclass(frozen=True, slots=True)
class ZooKeeperTree:
    """All znodes but those of the servers, at one moment.

    ``zxid`` is the last transaction that was seen and ``moment`` its time, in seconds since 1970
    (``None``: not known). ``owners_known`` says whether the source tells ephemeral znodes from
    persistent ones. ``notes`` say what could not be looked at, a sentence each.
    """

    znodes: tuple[ZNode, ...]
    zxid: int | None = None
    moment: float | None = None
    owners_known: bool = True
    notes: tuple[str, ...] = ()


def is_ttl(owner: int) -> bool:
    """Whether an owner is a time to live (``EphemeralType.TTL``), not a session."""
    return (owner >> 40) & 0xFFFFFF == 0xFF0000


@dataclass(slots=True)
class StoredNode:
    """A node in a server's memory: ``owner`` as stored, ``creates`` the children ever made."""

    data: bytes | None
    owner: int
    czxid: int
    mzxid: int
    ctime: int
    mtime: int
    version: int
    creates: int
    aversion: int
    pzxid: int
    children: set[str] = field(default_factory=set)


class DataTree:
    """What a server makes of its snapshot and its transactions.

    Source: ZooKeeper's ``DataTree`` (``createNode``, ``deleteNode``, ``setData``, ``killSession``,
    ``processTxn``). A snapshot is taken while the server goes on, so that transactions may meet
    nodes that are there already, or gone: those are passed over, as the server does.
    """

    def __init__(self) -> None:
        self.nodes: dict[str, StoredNode] = {}
        self._ephemerals: dict[int, set[str]] = {}

    def put(self, path: str, node: StoredNode) -> None:
        """A node of a snapshot."""
        self.nodes[path] = node
        if node.owner > 0 or (
            node.owner < 0 and node.owner != CONTAINER and not is_ttl(node.owner)
        ):
            self._ephemerals.setdefault(node.owner, set()).add(path)

    def link(self) -> None:
        """Tell every node of a snapshot its children."""
        for path in self.nodes:
            parent = self.nodes.get(_parent(path)) if path else None
            if parent is not None:
                parent.children.add(path.rpartition("/")[2])

    def create(
        self, path: str, data: bytes | None, owner: int, creates: int, zxid: int, time: int
    ) -> None:
        """``creates`` is the parent's count with this child, -1: one more than it is."""
        parent = self.nodes.get(_parent(path))
        if parent is None or not path.startswith("/"):
            return
        if creates == -1:
            creates = parent.creates + 1
        if creates > parent.creates:
            parent.creates = creates
            parent.pzxid = zxid
        if path in self.nodes:
            return
        parent.children.add(path.rpartition("/")[2])
        self.put(path, StoredNode(data, owner, zxid, zxid, time, time, 0, 0, 0, zxid))

    def delete(self, path: str, zxid: int) -> None:
        node = self.nodes.pop(path, None)
        if node is None:
            return
        self._ephemerals.get(node.owner, set()).discard(path)
        parent = self.nodes.get(_parent(path))
        if parent is not None:
            parent.children.discard(path.rpartition("/")[2])
            parent.pzxid = max(parent.pzxid, zxid)

    def set_data(self, path: str, data: bytes | None, version: int, zxid: int, time: int) -> None:
        node = self.nodes.get(path)
        if node is not None:
            node.data, node.version, node.mzxid, node.mtime = data, version, zxid, time

    def set_acl(self, path: str, version: int) -> None:
        node = self.nodes.get(path)
        if node is not None:
            node.aversion = version

    def close_session(self, session: int, zxid: int) -> None:
        for path in self._ephemerals.pop(session, ()):
            self.delete(path, zxid)

    def znodes(self) -> list[ZNode]:
        """The nodes as a client sees them, parents first, without those of the servers."""
        return [
            _seen(path or "/", node)
            for path, node in sorted(self.nodes.items())
            if path != "/" and path != "/zookeeper" and not path.startswith("/zookeeper/")
        ]


def kind_of(owner: int) -> tuple[str, int | None]:
    """What ``Stat.ephemeralOwner`` means: the kind of a znode, and its session if it has one.

    >>> kind_of(0), kind_of(CONTAINER), kind_of(7)
    (('persistent', None), ('container', None), ('ephemeral', 7))
    """
    if owner == CONTAINER:
        return "container", None
    if is_ttl(owner):
        return "ttl", None
    return ("ephemeral", owner) if owner else ("persistent", None)


def session_text(session: int) -> str:
    """A session id as ZooKeeper writes it: hexadecimal, without a sign.

    >>> session_text(-1), session_text(7)
    ('0xffffffffffffffff', '0x7')
    """
    return f"0x{session & (1 << 64) - 1:x}"


def _seen(path: str, node: StoredNode) -> ZNode:
    kind, owner = kind_of(node.owner)
    count = len(node.children)
    return ZNode(
        path, node.data, owner, node.version,
        2 * node.creates - count,  # a client counts deleted children, too (DataNode.copyStat)
        node.aversion, node.czxid, node.mzxid, node.pzxid, node.ctime, node.mtime, count, kind,
    )  # fmt: skip


def _parent(path: str) -> str:
    return path.rpartition("/")[0]
