"""State handles: what a checkpoint says of its files, and what it holds itself.

Source: the implementations of ``StreamStateHandle`` and ``KeyedStateHandle`` in Flink 1.13 to
2.3. A handle of a class that is none of theirs is reported, never passed over.
"""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass, field
from typing import Final

from hawork.inspect.collections import elements, entries, is_collection, is_map
from hawork.inspect.errors import UndecodableError
from hawork.inspect.java import JavaEnum, JavaObject, JavaValue

__all__ = [
    "CANONICAL",
    "INCREMENTAL",
    "HandleWalk",
    "OperatorFacts",
    "StateHandle",
    "abstract_id",
    "path_of_uri",
    "stream_handle",
    "uri_of_path",
]

_STATE = "org.apache.flink.runtime.state."
CANONICAL: Final = "KeyGroupsSavepointStateHandle"
INCREMENTAL: Final = "IncrementalRemoteKeyedStateHandle"
"""Keyed state in the one form that every state backend reads."""


@dataclass(frozen=True, slots=True)
class StateHandle:
    """Where bytes of state lie.

    ``kind`` is ``bytes`` or ``changes`` (inline: no file), ``file``, ``relative`` (below the
    directory of its ``_metadata``), ``segment`` (a part of a file) or ``empty`` (a segment of
    nothing).
    ``path`` is the file as Flink's ``Path.toString`` writes it, ``None`` when inline; ``relative``
    is what a relative handle says itself. ``size`` is in bytes, from ``start`` on.
    ``owner`` says what the state is, such as ``managed keyed state``.
    """

    kind: str
    path: str | None
    size: int
    relative: str | None = None
    start: int = 0
    shared: bool = False
    owner: str = ""

    @property
    def inline(self) -> bool:
        """Whether there is no file to look for."""
        return self.path is None


@dataclass(frozen=True, slots=True)
class OperatorFacts:
    """An operator of a checkpoint (``OperatorState``).

    ``subtasks`` have state; ``finished`` says that the whole operator had ended
    (``FullyFinishedOperatorState``). ``name`` and ``uid`` are kept since Flink 2.0.
    ``directories`` are those of merged files (Flink 1.20 and later). ``keyed`` are the classes of
    the handles of managed keyed state, without their packages: each state backend has its own.
    """

    operator_id: str
    parallelism: int
    max_parallelism: int
    handles: tuple[StateHandle, ...]
    subtasks: int = 0
    finished: bool = False
    name: str | None = None
    uid: str | None = None
    directories: tuple[str, ...] = ()
    keyed: frozenset[str] = field(default=frozenset(), compare=False)


# --- names -----------------------------------------------------------------------------------


def abstract_id(value: JavaValue, what: str) -> str:
    """The 32 hexadecimal digits of an ``AbstractID``: the lower half first, as Flink prints it."""
    if isinstance(value, JavaObject):
        lower, upper = value.fields.get("lowerPart"), value.fields.get("upperPart")
        if isinstance(lower, int) and isinstance(upper, int):
            return f"{lower & (2**64 - 1):016x}{upper & (2**64 - 1):016x}"
    raise _misplaced(value, "an AbstractID", what)


_LEGAL = "/;:@&=+$,-_.!~*'()"


def path_of_uri(uri: str) -> str:
    """The text of a ``java.net.URI`` as ``Path.toString`` writes it: nothing is escaped.

    >>> path_of_uri("file:/srv/my%20ha/x")
    'file:/srv/my ha/x'
    """
    return urllib.parse.unquote(uri, errors="surrogateescape") if "%" in uri else uri


def uri_of_path(path: str) -> str:
    """The inverse: what ``java.net.URI`` escapes is escaped, other letters than ASCII are not.

    >>> uri_of_path("file:/srv/my ha/\\u00e4")
    'file:/srv/my%20ha/\\u00e4'
    """
    scheme, colon, rest = path.partition(":")
    if not colon or "/" in scheme:
        scheme, colon, rest = "", "", path
    quoted = re.sub(
        r"[^\x21-\x7e]|[^/;:@&=+$,\-_.!~*'()0-9A-Za-z]",
        lambda found: found[0] if _stays(found[0]) else urllib.parse.quote(
            found[0], safe=_LEGAL, errors="surrogateescape"),
        rest,
    )  # fmt: skip
    return f"{scheme}{colon}{quoted}"


def _stays(letter: str) -> bool:
    return letter > "\x9f" and not letter.isspace() and not "\udc80" <= letter <= "\udcff"


def _path(value: JavaValue, what: str) -> str:
    """The text of a ``Path``."""
    uri = value.fields.get("uri") if isinstance(value, JavaObject) else None
    text = uri.fields.get("string") if isinstance(uri, JavaObject) else None
    if not isinstance(text, str):
        raise _misplaced(value, "a Path", what)
    return path_of_uri(text)


# --- objects -----------------------------------------------------------------------------------

_BYTES: Final = _STATE + "memory.ByteStreamStateHandle"
_FILE: Final = _STATE + "filesystem.FileStateHandle"
_RELATIVE: Final = _STATE + "filesystem.RelativeFileStateHandle"
_SEGMENT: Final = _STATE + "filemerging.SegmentFileStateHandle"
_EMPTY_SEGMENT: Final = _STATE + "filemerging.EmptySegmentFileStateHandle"
_STREAMS: Final = {_BYTES, _FILE, _RELATIVE, _SEGMENT, _EMPTY_SEGMENT}
_DIRECTORIES: Final = {
    _STATE + "filemerging.DirectoryStreamStateHandle",
    _STATE + "DirectoryStateHandle",
}

_INSIDE: Final = {
    _STATE + name: fields
    for name, fields in {
        "RetrievableStreamStateHandle": ("wrappedStreamStateHandle",),
        "OperatorStreamStateHandle": ("delegateStateHandle",),
        "filemerging.FileMergingOperatorStreamStateHandle": (
            "delegateStateHandle", "taskOwnedDirHandle", "sharedDirHandle",
        ),
        "filemerging.EmptyFileMergingOperatorStreamStateHandle": (
            "delegateStateHandle", "taskOwnedDirHandle", "sharedDirHandle",
        ),
        "KeyGroupsStateHandle": ("stateHandle",),
        "KeyGroupsSavepointStateHandle": ("stateHandle",),
        "IncrementalRemoteKeyedStateHandle": ("metaStateHandle", "sharedState", "privateState"),
        "IncrementalKeyedStateHandle$HandleAndLocalPath": ("handle",),
        "changelog.ChangelogStateBackendHandle$ChangelogStateBackendHandleImpl": (
            "materialized", "nonMaterialized",
        ),
        "changelog.ChangelogStateHandleStreamImpl": ("handlesAndOffsets",),
        "InputChannelStateHandle": ("delegate",),
        "ResultSubpartitionStateHandle": ("delegate",),
        "MergedInputChannelStateHandle": ("delegate",),
        "MergedResultSubpartitionStateHandle": ("delegate",),
    }.items()
}  # fmt: skip
_INSIDE["org.apache.flink.api.java.tuple.Tuple2"] = ("f0",)
_IN_MEMORY: Final = _STATE + "changelog.inmemory.InMemoryChangelogStateHandle"
_SHARED: Final = {"sharedState", "handlesAndOffsets"}


def stream_handle(value: JavaValue, what: str) -> StateHandle:
    """One ``StreamStateHandle``; ``UndecodableError`` for another object."""
    if not isinstance(value, JavaObject) or value.class_name not in _STREAMS:
        raise _misplaced(value, "a StreamStateHandle", what)
    return _stream(value, what, "", False)


def _stream(value: JavaObject, what: str, owner: str, shared: bool) -> StateHandle:
    name, fields = value.class_name, value.fields
    if name == _BYTES:
        data = fields.get("data")
        if not isinstance(data, bytes):
            raise _misplaced(value, "bytes of a ByteStreamStateHandle", what)
        return StateHandle("bytes", None, len(data), owner=owner, shared=shared)
    size = fields.get("stateSize")
    if not isinstance(size, int):
        raise _misplaced(value, "the size of a state handle", what)
    if name == _EMPTY_SEGMENT:
        return StateHandle("empty", None, 0, owner=owner)
    path = _path(fields.get("filePath"), what)
    if name == _SEGMENT:
        scope, start = fields.get("scope"), fields.get("startPos")
        is_shared = isinstance(scope, JavaEnum) and scope.constant == "SHARED"
        if not isinstance(start, int):
            raise _misplaced(value, "the start of a segment", what)
        return StateHandle("segment", path, size, start=start, owner=owner, shared=is_shared)
    if name == _RELATIVE:
        relative = fields.get("relativePath")
        if not isinstance(relative, str):
            raise _misplaced(value, "a relative path", what)
        return StateHandle("relative", path, size, relative, owner=owner, shared=shared)
    return StateHandle("file", path, size, owner=owner, shared=shared)


@dataclass(slots=True)
class HandleWalk:
    """Finds the state handles in objects; each object is looked at once, however often it occurs
    (but ``EmptySegmentFileStateHandle.INSTANCE``, of which there is one for all subtasks).

    ``unknown`` are classes that stand where handles do and are none that is known: their
    files, if any, were not seen.
    """

    what: str
    unknown: set[str] = field(default_factory=set)
    directories: list[str] = field(default_factory=list)
    class_names: set[str] = field(default_factory=set)
    _seen: set[int] = field(default_factory=set)

    def handles(self, value: JavaValue, owner: str) -> list[StateHandle]:
        """The handles in a value, in the order written."""
        if value is None or id(value) in self._seen:
            return []
        found: list[StateHandle] = []
        waiting: list[tuple[JavaValue, bool]] = [(value, False)]
        while waiting:
            value, shared = waiting.pop()
            if value is None or id(value) in self._seen:
                continue
            name = value.class_name if isinstance(value, JavaObject) else ""
            if name != _EMPTY_SEGMENT:  # one object, which stands in many places
                self._seen.add(id(value))
            if name in _STREAMS:
                self.class_names.add(name)
                found.append(_stream(value, self.what, owner, shared))
            elif name in _INSIDE:
                self.class_names.add(name)
                if value.description.superclass is not None:
                    self.class_names.add(value.description.superclass.name)
                inside = [
                    (value.fields.get(part), shared or part in _SHARED) for part in _INSIDE[name]
                ]
                waiting.extend(reversed(inside))
            elif is_collection(value):
                waiting.extend((each, shared) for each in reversed(elements(value, self.what)))
            elif is_map(value):
                pairs = entries(value, self.what)
                waiting.extend((each, shared) for _, each in reversed(pairs))
            elif name in _DIRECTORIES:
                self.directories.append(_directory(value, self.what))
            elif name == _IN_MEMORY:
                self.class_names.add(name)
                found.append(_changes(value, self.what, owner))
            else:
                self.unknown.add(name or type(value).__name__)
        return found


def _directory(value: JavaObject, what: str) -> str:
    """The path of a ``DirectoryStreamStateHandle``: text since Flink 1.20, else a ``Path``."""
    for part in ("directoryString", "directory"):
        found = value.fields.get(part)
        if isinstance(found, str):
            return found
        if found is not None:
            return _path(found, what)
    raise _misplaced(value, "a directory", what)


def _changes(value: JavaObject, what: str, owner: str) -> StateHandle:
    """``InMemoryChangelogStateHandle``: changes that are kept inline."""
    size = 0
    for change in elements(value.fields.get("changes"), what):
        data = change.fields.get("change") if isinstance(change, JavaObject) else None
        size += len(data) if isinstance(data, bytes) else 0
    return StateHandle("changes", None, size, owner=owner)


def _misplaced(value: JavaValue, wanted: str, what: str) -> UndecodableError:
    if isinstance(value, JavaObject):
        return UndecodableError(
            what, f"{wanted} was expected", offset=value.offset, class_name=value.class_name
        )
    return UndecodableError(what, f"{wanted} was expected, not {str(value)[:40]!r}")
