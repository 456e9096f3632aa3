"""``_metadata``: what a checkpoint or savepoint consists of, versions 2 to 6.

Source: ``MetadataV2V3SerializerBase`` and ``MetadataV2Serializer`` to ``MetadataV6Serializer``.
There is no checksum in it: a changed byte often leaves another file that is well-formed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NoReturn

from hawork.ha.java_serialization import decode_modified_utf8
from hawork.inspect.checkpoints import CheckpointProperties, checkpoint_properties
from hawork.inspect.errors import UndecodableError
from hawork.inspect.handles import OperatorFacts, StateHandle
from hawork.inspect.java import read_object
from hawork.inspect.versions import FlinkVersions

__all__ = ["MAGIC", "Metadata", "decode_metadata"]

MAGIC: Final = 0x4960672D
_HOOK: Final = 0xC96B1696
_WHAT: Final = "checkpoint metadata"
_DEEPEST: Final = 16
"""Keyed handles inside each other; Flink writes two."""

_WRITERS: Final = {
    2: FlinkVersions("1.3", "1.10"),
    3: FlinkVersions("1.11", "1.15"),
    4: FlinkVersions("1.16", "1.20"),
    5: FlinkVersions("2.0", "2.0"),
    6: FlinkVersions("2.1"),
}
_FIRST_RELEASE_OF_TAG: Final = (
    (15, "1.20"), (13, "1.16"), (11, "1.15"), (8, "1.14"), (7, "1.13"),
)  # fmt: skip

_INT, _LONG = struct.Struct(">i"), struct.Struct(">q")


@dataclass(frozen=True, slots=True)
class Metadata:
    """A snapshot as its ``_metadata`` describes it.

    ``properties`` are kept since version 4; ``hooks`` are the names of the coordinator's hooks
    that have state (``MasterTriggerRestoreHook``). ``flink_versions`` may have written it,
    from its version and the newest handle type in it.
    """

    version: int
    checkpoint_id: int
    operators: tuple[OperatorFacts, ...]
    properties: CheckpointProperties | None
    flink_versions: FlinkVersions
    hooks: tuple[str, ...] = ()

    @property
    def handles(self) -> tuple[StateHandle, ...]:
        return tuple(handle for operator in self.operators for handle in operator.handles)


def decode_metadata(data: bytes, directory: str) -> Metadata:
    """Read the bytes of a ``_metadata`` that lies in ``directory`` (a URL, for relative handles).

    ``UndecodableError`` for every other bytes, and for versions 1 (Flink 1.2 and before) and 7
    (after Flink 2.3).
    """
    reader = _Reader(data, directory.rstrip("/"))
    try:
        return reader.metadata()
    except struct.error:
        raise UndecodableError(_WHAT, "it ends too early", offset=len(data)) from None


class _Reader:
    """One file, from its first byte on; ``at`` is the offset of the next byte."""

    def __init__(self, data: bytes, directory: str) -> None:
        self._data = data
        self._directory = directory
        self._at = 0
        self._version = 0
        self._highest = 0
        self._found: list[StateHandle] = []
        self._directories: list[str] = []

    def metadata(self) -> Metadata:
        magic = self._int()
        if magic != MAGIC:
            self._at = 0
            self._fail(f"it begins with {self._data[:4].hex()}, not with {MAGIC:08x}")
        version = self._version = self._int()
        if version not in _WRITERS:
            self._at = 4
            whose = {1: ", of Flink 1.2 or before", 7: ", of a Flink after 2.3"}.get(version, "")
            self._fail(f"its version is {version}{whose}: 2 to 6 can be read")
        checkpoint_id = self._long()
        if checkpoint_id < 0:
            self._fail(f"its checkpoint id is {checkpoint_id}")
        hooks = tuple([self._hook() for _ in range(self._count())])
        operators = tuple([self._operator() for _ in range(self._count())])
        properties = None
        if version >= 4:
            properties = self._properties()
        elif self._at != len(self._data):
            self._fail("bytes follow its end")
        versions = _WRITERS[version]
        for tag, release in _FIRST_RELEASE_OF_TAG:
            if self._highest >= tag:
                versions &= FlinkVersions(release)
                break
        return Metadata(version, checkpoint_id, operators, properties, versions, hooks)

    def _properties(self) -> CheckpointProperties:
        start = self._at
        try:
            return _read_properties(self._data[start:])
        except UndecodableError as error:
            raise UndecodableError(
                _WHAT, error.reason, offset=start + error.offset, class_name=error.class_name
            ) from None

    def _hook(self) -> str:
        if self._int() & 0xFFFFFFFF != _HOOK:
            self._at -= 4
            self._fail("the state of a hook does not begin as one")
        length = self._int()
        end = self._at + length
        if not 0 <= length <= len(self._data) - self._at:
            self._fail(f"the state of a hook has {length} bytes")
        self._int()
        name = self._utf()
        self._skip(self._count())
        if self._at != end:
            self._fail("the state of a hook is not as long as it says")
        return name

    def _operator(self) -> OperatorFacts:
        self._found, self._directories = [], []
        name = uid = ""
        if self._version >= 5:
            name, uid = self._utf(), self._utf()
        lower, upper = self._long(), self._long()
        operator_id = f"{lower & (2**64 - 1):016x}{upper & (2**64 - 1):016x}"
        parallelism, max_parallelism = self._int(), self._int()
        if parallelism < 0:
            self._fail(f"the parallelism of operator {operator_id} is {parallelism}")
        if self._version == 2:
            self._int()
        else:
            self._stream("coordinator state")
        written = self._int()
        finished = written == -1 and self._version >= 3
        subtasks = 0 if finished else self._checked(written)
        for _ in range(subtasks):
            self._subtask()
        return OperatorFacts(
            operator_id, parallelism, max_parallelism, tuple(self._found), subtasks, finished,
            name or None, uid or None, tuple(dict.fromkeys(self._directories)),
        )  # fmt: skip

    def _subtask(self) -> None:
        if self._int() < 0 and self._version >= 3:
            return  # this subtask had finished
        if self._version == 2:
            self._long()
            self._int()
        for owner in ("managed operator state", "raw operator state"):
            if self._int():
                self._operator_handle(owner)
        self._keyed("managed keyed state")
        self._keyed("raw keyed state")
        if self._version >= 3:
            for owner in ("input channel state", "result subpartition state"):
                for _ in range(self._count()):
                    self._channel(owner)

    # --- handles -----------------------------------------------------------------------------

    def _operator_handle(self, owner: str) -> None:
        tag = self._tag()
        if tag == 0:
            return
        if tag not in (4, 17):
            self._unknown(tag, "an operator state handle")
        for _ in range(self._count()):
            self._utf()
            self._byte()
            self._longs(self._count())
        if tag == 17:
            self._directories += [self._utf(), self._utf()]
            self._byte()
        self._stream(owner)

    def _keyed(self, owner: str, depth: int = 0) -> None:
        tag = self._tag()
        if tag == 0:
            return
        if depth > _DEEPEST:
            self._fail(f"more than {_DEEPEST} keyed state handles lie inside each other")
        if tag in (3, 7, 12):
            self._key_groups()
            self._stream(owner)
            if tag == 12:
                self._utf()
        elif tag in (5, 11):
            self._incremental(tag, owner)
        elif tag in (8, 14):
            self._skip(16)  # range of key groups, size
            for _ in range(2):  # materialised, then changes
                for _ in range(self._count()):
                    self._keyed(owner, depth + 1)
            self._skip(8 if tag == 8 else 16)
            self._utf()
        elif tag == 9:
            self._skip(24)
            size = 0
            for _ in range(self._count()):
                self._int()
                length = self._count()
                self._at += length
                size += length
            self._utf()
            self._found.append(StateHandle("changes", None, size, owner=owner))
        elif tag in (10, 13):
            self._skip(8)
            for _ in range(self._count()):
                self._long()
                self._stream(owner, shared=True)
            self._skip(16)
            self._utf()
            if tag == 13:
                self._utf()
        else:
            self._unknown(tag, "a keyed state handle")

    def _incremental(self, tag: int, owner: str) -> None:
        self._long()
        self._utf()
        self._skip(8 if tag == 5 else 16)
        self._stream(owner)
        for shared in (True, False):
            for _ in range(self._count()):
                self._utf()
                self._stream(owner, shared)
        if tag == 11:
            self._utf()

    def _channel(self, owner: str) -> None:
        kind = self._byte() if self._version >= 6 else 1
        if kind in (1, 2):
            self._skip(12)
            self._longs(self._count())
            self._long()
            self._stream(owner)
        elif kind in (3, 4):
            self._skip(12)
            self._stream(owner)
            self._skip(self._count())
        else:
            self._unknown(kind, "a channel state handle")

    def _stream(self, owner: str, shared: bool = False) -> None:
        tag = self._tag()
        if tag == 0:
            return
        if tag == 1:
            self._utf()
            size = self._count()
            self._at += size
            handle = StateHandle("bytes", None, size, shared=shared, owner=owner)
        elif tag == 2:
            size = self._long()
            handle = StateHandle("file", self._utf(), size, shared=shared, owner=owner)
        elif tag == 3:
            self._key_groups()
            self._stream(owner, shared)
            return
        elif tag == 6:
            relative = self._utf()
            path = f"{self._directory}/{relative}"
            handle = StateHandle(
                "relative", path, self._long(), relative, shared=shared, owner=owner
            )
        elif tag == 15:
            start, size, scope = self._long(), self._long(), self._int()
            path = self._utf()
            self._utf()
            handle = StateHandle("segment", path, size, start=start, shared=scope == 1, owner=owner)
        elif tag == 16:
            handle = StateHandle("empty", None, 0, owner=owner)
        else:
            self._unknown(tag, "a state handle")
        if handle.size < 0 or handle.start < 0:
            self._fail(f"a state handle has {handle.size} bytes from {handle.start} on")
        self._found.append(handle)

    def _key_groups(self) -> None:
        self._int()
        self._longs(self._checked(self._int()))

    # --- numbers and texts -----------------------------------------------------------------

    def _tag(self) -> int:
        tag = self._byte()
        self._highest = max(self._highest, tag)
        return tag

    def _byte(self) -> int:
        at = self._at
        if at >= len(self._data):
            raise struct.error
        self._at = at + 1
        return self._data[at]

    def _int(self) -> int:
        (value,) = _INT.unpack_from(self._data, self._at)
        self._at += 4
        return int(value)

    def _long(self) -> int:
        (value,) = _LONG.unpack_from(self._data, self._at)
        self._at += 8
        return int(value)

    def _count(self) -> int:
        return self._checked(self._int())

    def _checked(self, count: int) -> int:
        """A number of things, each of at least a byte."""
        if not 0 <= count <= len(self._data) - self._at:
            self._at -= 4
            self._fail(f"{count} things do not fit in what is left")
        return count

    def _longs(self, count: int) -> None:
        self._skip(8 * count)

    def _skip(self, length: int) -> None:
        if length > len(self._data) - self._at:
            raise struct.error
        self._at += length

    def _utf(self) -> str:
        at = self._at
        if at + 2 > len(self._data):
            raise struct.error
        start = at + 2
        end = start + (self._data[at] << 8 | self._data[at + 1])
        raw = self._data[start:end]
        if len(raw) != end - start:
            raise struct.error
        self._at = end
        try:
            return raw.decode("ascii") if raw.isascii() else decode_modified_utf8(raw)
        except UnicodeDecodeError as error:
            self._at = start + error.start
            self._fail("a text is not modified UTF-8")

    def _unknown(self, tag: int, what: str) -> NoReturn:
        self._at -= 1
        self._fail(f"{tag} is not the type of {what} of Flink 1.3 to 2.3")

    def _fail(self, reason: str) -> NoReturn:
        raise UndecodableError(_WHAT, reason, offset=self._at)


@lru_cache(maxsize=64)
def _read_properties(data: bytes) -> CheckpointProperties:
    """The snapshots of a job end with the same bytes."""
    return checkpoint_properties(read_object(data, _WHAT), _WHAT)
