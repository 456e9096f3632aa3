"""What Java's collections hold, from how their classes write themselves."""

from __future__ import annotations

from hawork.inspect.errors import UndecodableError
from hawork.inspect.java import BlockData, JavaArray, JavaObject, JavaValue

__all__ = ["elements", "entries", "is_collection", "is_map", "unboxed"]

_WRAPPED = {
    "java.util.Arrays$ArrayList": "a",
    **{f"java.util.Collections${name}": "c" for name in (
        "UnmodifiableCollection", "UnmodifiableList", "UnmodifiableRandomAccessList",
        "UnmodifiableSet", "UnmodifiableSortedSet", "SynchronizedCollection", "SynchronizedList",
        "SynchronizedRandomAccessList", "SynchronizedSet", "CheckedCollection",
    )},
    "org.apache.flink.runtime.checkpoint.StateObjectCollection": "stateObjects",
}  # fmt: skip
_SIZED = {"java.util.Vector", "java.util.Stack"}
_SINGLE = {"java.util.Collections$SingletonList", "java.util.Collections$SingletonSet"}
_EMPTY = {"java.util.Collections$EmptyList", "java.util.Collections$EmptySet"}
_WRITTEN = {f"java.util.{name}" for name in (
    "ArrayList", "LinkedList", "HashSet", "LinkedHashSet", "ArrayDeque",
    "concurrent.CopyOnWriteArrayList",
)}  # fmt: skip
_SORTED = {"java.util.TreeSet"}
_COLLECTIONS = {*_WRITTEN, *_WRAPPED, *_SIZED, *_SINGLE, *_EMPTY, *_SORTED}
_IMMUTABLE = "java.util.CollSer"
"""``List.of``, ``Set.of`` and ``Map.of`` (``ImmutableCollections``)."""
_GUAVA_ELEMENTS = "ImmutableList$SerializedForm"

_WRAPPED_MAPS = {f"java.util.Collections${name}": "m" for name in (
    "UnmodifiableMap", "UnmodifiableSortedMap", "SynchronizedMap", "SynchronizedSortedMap",
)}  # fmt: skip
_WRITTEN_MAPS = {f"java.util.{name}" for name in (
    "HashMap", "LinkedHashMap", "Hashtable", "IdentityHashMap", "EnumMap", "TreeMap",
    "concurrent.ConcurrentHashMap",
)}  # fmt: skip
_BOXES = {f"java.lang.{name}" for name in (
    "Boolean", "Byte", "Character", "Double", "Float", "Integer", "Long", "Short",
)}  # fmt: skip
_DEEPEST = 32


def is_collection(value: JavaValue) -> bool:
    """Whether ``elements`` knows the class."""
    if not isinstance(value, JavaObject):
        return isinstance(value, JavaArray)
    name = value.class_name
    return (
        name in _COLLECTIONS
        or name.endswith(_GUAVA_ELEMENTS)
        or (name == _IMMUTABLE and not is_map(value))
    )


def is_map(value: JavaValue) -> bool:
    """Whether ``entries`` knows the class."""
    if not isinstance(value, JavaObject):
        return False
    name = value.class_name
    return (
        name in _WRITTEN_MAPS
        or name in _WRAPPED_MAPS
        or name in ("java.util.Collections$SingletonMap", "java.util.Collections$EmptyMap")
        or (name == _IMMUTABLE and isinstance(tag := value.fields.get("tag"), int)
            and tag & 0xFF == 3)
    )  # fmt: skip


def elements(value: JavaValue, what: str) -> list[JavaValue]:
    """The elements of a list, a set or an array; none for ``null``.

    ``UndecodableError`` for a class that is none of those that are known.
    """
    for _ in range(_DEEPEST):
        if value is None:
            return []
        if isinstance(value, JavaArray):
            return list(value.values)
        if not isinstance(value, JavaObject):
            break
        name = value.class_name
        if name in _WRITTEN or name in _SORTED or (name == _IMMUTABLE and not is_map(value)):
            written = _written(value)
            return written[1:] if name in _SORTED else written
        if name in _WRAPPED:
            value = value.fields.get(_WRAPPED[name])
        elif name in _SIZED:
            array, count = value.fields.get("elementData"), value.fields.get("elementCount")
            if not isinstance(array, JavaArray) or not isinstance(count, int):
                break
            return list(array.values)[:count]
        elif name in _SINGLE:
            return [value.fields.get("element")]
        elif name in _EMPTY:
            return []
        elif name.endswith(_GUAVA_ELEMENTS):
            value = value.fields.get("elements")
        else:
            break
    raise _unknown(value, "collection", what)


def entries(value: JavaValue, what: str) -> list[tuple[JavaValue, JavaValue]]:
    """Keys and values of a map, in the order written; none for ``null``.

    ``UndecodableError`` for a class that is none of those that are known.
    """
    for _ in range(_DEEPEST):
        if value is None:
            return []
        if not is_map(value):
            break
        name = value.class_name
        if name in _WRAPPED_MAPS:
            value = value.fields.get("m")
        elif name.endswith("SingletonMap"):
            return [(value.fields.get("k"), value.fields.get("v"))]
        elif name.endswith("EmptyMap"):
            return []
        else:
            written = _written(value)
            if name.endswith("ConcurrentHashMap"):
                written = written[:-2]  # null, null: the end
            return list(zip(written[::2], written[1::2], strict=len(written) % 2 == 0))
    raise _unknown(value, "map", what)


def unboxed(value: JavaValue) -> JavaValue:
    """The number or truth in a ``java.lang.Integer`` and the like; other values as they are."""
    if isinstance(value, JavaObject) and value.class_name in _BOXES:
        return value.fields.get("value")
    return value


def _written(value: JavaObject) -> list[JavaValue]:
    """The objects that a class wrote besides its fields; sizes and capacities are numbers."""
    return [
        each
        for values in value.annotations.values()
        for each in values
        if not isinstance(each, BlockData)
    ]


def _unknown(value: JavaValue, kind: str, what: str) -> UndecodableError:
    if isinstance(value, JavaObject):
        return UndecodableError(
            what, f"this {kind} is unknown", offset=value.offset, class_name=value.class_name
        )
    return UndecodableError(what, f"a {type(value).__name__} stands where a {kind} should")
