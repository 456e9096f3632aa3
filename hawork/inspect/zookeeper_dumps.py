"""Dumps of a ZooKeeper tree in JSON: our own list, zk-shell's, and the like.

::

    [{"path": "/flink", "data": "<base64>", "null": false, "ephemeralOwner": "0x1000...", ...}]
    {"/flink": {"content": "<base64>", "acls": []}}                          zk-shell, ``mirror``
    {"path": "/", "value": "...", "children": [{"path": "flink", ...}]}      nested

One znode a line is read as well, and facts that stand in a ``stat`` of their own, by ZooKeeper's
names or kazoo's (``ephemeral_owner``).

zk-shell says neither owners nor versions nor times: whether a znode is ephemeral is then not
known, and ``owners_known`` of the tree says so.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from hawork.inspect.entries import readable
from hawork.inspect.errors import UndecodableError
from hawork.inspect.znodes import ZNode, ZooKeeperTree, kind_of, session_text

__all__ = ["read_zookeeper_dump", "write_zookeeper_dump"]

_WHAT: Final = "ZooKeeper dump"
_NUMBERS: Final = {
    "version": "version",
    "cversion": "cversion",
    "aversion": "aversion",
    "czxid": "czxid",
    "mzxid": "mzxid",
    "pzxid": "pzxid",
    "ctime": "ctime",
    "mtime": "mtime",
    "numChildren": "num_children",
}
_OF_KAZOO: Final = {"ephemeral_owner": "ephemeralOwner", "owner_session_id": "ephemeralOwner",
                    "numberOfChildren": "numChildren", "num_children": "numChildren"}  # fmt: skip
_VALUES: Final = ("data", "content", "value")
_DEEPEST: Final = 200
_LARGEST: Final = 1 << 63
"""What is less fits in a Java ``long``, as all numbers of a znode do."""


def read_zookeeper_dump(data: bytes) -> ZooKeeperTree:
    """Read a dump of any of these forms; ``UndecodableError`` for anything else.

    A znode that cannot be read is left out, and ``notes`` name it.
    """
    try:
        dump = _parsed(data)
    except json.JSONDecodeError as error:
        raise UndecodableError(_WHAT, f"it is not JSON ({error.msg})", offset=error.pos) from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise UndecodableError(_WHAT, f"it is not JSON ({error})") from None
    if isinstance(dump, dict) and isinstance(dump.get("znodes"), list):
        dump = dump["znodes"]
    if isinstance(dump, list):
        rows: Iterable[tuple[object, Any]] = [
            (row.get("path") if isinstance(row, dict) else None, row) for row in dump
        ]
    elif isinstance(dump, dict) and "children" in dump:
        rows = _nested(dump, "", 0)
    elif isinstance(dump, dict):
        rows = dump.items()
    else:
        raise UndecodableError(_WHAT, "it is neither a list of znodes nor an object of paths")
    return _tree(rows)


def _parsed(data: bytes) -> Any:
    """The JSON in a file: one document, or one znode a line."""
    try:
        return json.loads(data)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise
        text = data.decode(json.detect_encoding(data))
        rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        if not all(isinstance(row, dict) and "path" in row for row in rows):
            raise
        return rows


def write_zookeeper_dump(znodes: Iterable[ZNode]) -> bytes:
    """The list form, one znode a line."""
    lines = [json.dumps(_row(znode), separators=(", ", ": ")) for znode in znodes]
    return ("[\n" + ",\n".join(lines) + "\n]\n").encode()


def _tree(rows: Iterable[tuple[object, Any]]) -> ZooKeeperTree:
    znodes: dict[str, ZNode] = {}
    notes: list[str] = []
    owners = False
    for path, row in rows:
        if not isinstance(path, str) or not (path.startswith("/") or path == ""):
            notes.append(f"a znode has no path but {str(path)[:80]!r}: it is left out")
            continue
        fields = _fields(row)
        owners = owners or "ephemeralOwner" in fields
        try:
            path = readable(path.rstrip("/") or "/")
            znodes[path] = _znode(path, fields)
        except ValueError as error:
            notes.append(f"znode {path} cannot be read: {error}")
    if rows and not znodes:
        raise UndecodableError(_WHAT, notes[0] if notes else "it has no znodes")
    moments = [max(znode.mtime, znode.ctime) for znode in znodes.values()]
    return ZooKeeperTree(
        tuple(znodes[path] for path in sorted(znodes)),
        max((max(znode.mzxid, znode.pzxid) for znode in znodes.values()), default=0) or None,
        (max(moments, default=0) / 1000) or None,
        owners or not znodes,
        tuple(notes),
    )


def _fields(row: Any) -> Mapping[str, Any]:
    """The facts of a znode by ZooKeeper's names, wherever they stand."""
    if not isinstance(row, dict):
        return {"value": row}
    stat = row.get("stat")
    found = {**row, **stat} if isinstance(stat, dict) else row
    return {_OF_KAZOO.get(key, key): value for key, value in found.items()}


def _znode(path: str, fields: Mapping[str, Any]) -> ZNode:
    numbers = {
        name: fields[key]
        for key, name in _NUMBERS.items()
        if isinstance(fields.get(key), int) and not isinstance(fields[key], bool)
    }
    for number in numbers.values():
        if not -_LARGEST <= number < _LARGEST:
            raise ValueError("a number of it is larger than ZooKeeper has any")
    kind, owner = kind_of(_owner(fields.get("ephemeralOwner")))
    value = next((fields[key] for key in _VALUES if key in fields), None)
    data = None if fields.get("null") is True or value is None else _bytes(value)
    return ZNode(path, data, owner, **numbers, kind=kind)


def _owner(value: object) -> int:
    """A session id: a number, hexadecimal text, or nothing, which is 0."""
    if isinstance(value, str) and value:
        value = int(value, 16)
    if not isinstance(value, int) or isinstance(value, bool):
        return 0
    if not -_LARGEST <= value < 2 * _LARGEST:
        raise ValueError("its owner is not a session id")
    return value - 2 * _LARGEST if value >= _LARGEST else value


def _bytes(value: object) -> bytes:
    """Base64, or the text itself where a tool writes text."""
    if not isinstance(value, str):
        raise ValueError(f"its data is {str(value)[:40]!r}, not a text")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return value.encode("utf-8", "surrogatepass")


def _nested(node: Mapping[str, Any], parent: str, depth: int) -> Iterator[tuple[object, Any]]:
    if depth > _DEEPEST:
        raise UndecodableError(_WHAT, f"more than {_DEEPEST} znodes lie inside each other")
    name = str(node.get("path", node.get("name", "")))
    path = name if name.startswith("/") else f"{parent.rstrip('/')}/{name}"
    yield path, node
    children = node.get("children")
    for child in children if isinstance(children, list) else ():
        if isinstance(child, dict):
            yield from _nested(child, path, depth + 1)


def _row(znode: ZNode) -> dict[str, Any]:
    owner = znode.ephemeral_owner
    return {
        "path": znode.path,
        "data": base64.b64encode(znode.data or b"").decode(),
        "null": znode.data is None,
        "ephemeralOwner": None if owner is None else session_text(owner),
        **{key: getattr(znode, name) for key, name in _NUMBERS.items()},
        "dataLength": znode.data_length,
    }
