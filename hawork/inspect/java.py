"""The Java Object Serialization Stream Protocol, read without Java.

Source: chapter 6 of the "Java Object Serialization Specification" and ``ObjectInputStream``.
Objects become values: names, numbers, texts. No class is looked up and nothing is executed.
"""

from __future__ import annotations

import struct
from types import GeneratorType
from typing import Any, Final

from hawork.inspect.java_reader import (
    BLOCKS,
    ENDBLOCKDATA,
    EXTERNALIZABLE,
    HEADER,
    NONE,
    NOTHING,
    WRITE_METHOD,
    Reader,
)
from hawork.inspect.java_values import (
    BlockData,
    Described,
    JavaArray,
    JavaClass,
    JavaEnum,
    JavaField,
    JavaObject,
    JavaValue,
)

__all__ = [
    "BlockData",
    "Described",
    "JavaArray",
    "JavaClass",
    "JavaEnum",
    "JavaField",
    "JavaObject",
    "JavaValue",
    "is_java_stream",
    "read_object",
    "read_stream",
]

SHALLOW: Final = 32
"""Objects inside each other that are read on Python's own stack."""


def is_java_stream(data: bytes) -> bool:
    """Whether the bytes begin as ``ObjectOutputStream`` does."""
    return data.startswith(HEADER)


def read_stream(data: bytes, what: str = "Java object stream") -> list[JavaValue]:
    """Every value of a stream, to its last byte. ``UndecodableError`` for anything else."""
    reader = _ShallowReader(data, what)
    values: list[JavaValue] = []
    while reader.at < len(data):
        value = reader.top_level()
        if isinstance(value, BlockData) and values and isinstance(values[-1], BlockData):
            values[-1] = BlockData(values[-1] + value)
        elif value is not NOTHING:
            values.append(value)
    return values


def read_object(
    data: bytes, what: str = "Java object stream", classes: list[Described] | None = None
) -> JavaValue:
    """The first value, as ``ObjectInputStream.readObject``: what follows it is not looked at.

    ``classes`` takes every class that the stream describes, in its order, and where it does so.
    """
    reader = _ShallowReader(data, what)
    value = NOTHING
    while value is NOTHING:
        value = reader.top_level()
    if classes is not None:
        classes += reader.classes
    return value


class _ShallowReader(Reader):
    """Reads what does not lie deep on Python's own stack, which takes a quarter less time."""

    def __init__(self, data: bytes, what: str) -> None:
        super().__init__(data, what)
        self._depth = 0

    def _object(self) -> Any:
        offset, description = self.at - 1, self._begin()
        if description.__class__ is GeneratorType:
            description = self._run(description)
        if description.__class__ is not JavaClass or description.plan is None:
            self._checked_class(description)
        if self._depth >= SHALLOW or description.flags & EXTERNALIZABLE:
            return self._object_of(offset, description)
        self._depth += 1
        fields: dict[str, JavaValue] = {}
        instance = JavaObject(description, offset, fields, NONE)
        self._handles.append(instance)
        self._left -= description.cost
        if self._left < 0:
            self._count(0)
        data = self.data
        for level, steps in description.plan:
            try:
                for names, structure, chars in steps:
                    if structure is None:
                        value = self._begin()
                        if value.__class__ is GeneratorType:
                            value = self._run(value)
                        fields[names[0]] = value
                    else:
                        found = structure.unpack_from(data, self.at)
                        self.at += structure.size
                        if len(names) == 1:
                            fields[names[0]] = found[0]
                        else:
                            fields.update(zip(names, found, strict=True))
                        for name in chars:
                            fields[name] = chr(fields[name])
            except (IndexError, struct.error):
                raise self._ended(level.name) from None
            if level.flags & WRITE_METHOD:
                written = self._written(level.name)
                before = instance.annotations
                instance.annotations = (
                    {**before, level.name: written} if before else {level.name: written}
                )
        self._depth -= 1
        return instance

    def _written(self, class_name: str) -> list[JavaValue]:
        """What ``_annotation`` reads."""
        values: list[JavaValue] = []
        data = self.data
        try:
            while (tag := data[self.at]) != ENDBLOCKDATA:
                value = self._begin(blocks=True)
                if value.__class__ is GeneratorType:
                    value = self._run(value)
                elif tag in BLOCKS and values and isinstance(values[-1], BlockData):
                    value = BlockData(values.pop() + value)
                self._left -= 1
                values.append(value)
        except (IndexError, struct.error):
            raise self._ended(class_name) from None
        self._count(0)
        self.at += 1
        return values
