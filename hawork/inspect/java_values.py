"""What a Java object stream holds, as values of Python."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

__all__ = [
    "FORMATS",
    "BlockData",
    "Described",
    "JavaArray",
    "JavaClass",
    "JavaEnum",
    "JavaField",
    "JavaObject",
    "JavaValue",
    "Step",
    "steps_of",
]

JavaValue: TypeAlias = Any
"""``None``, ``bool``, ``int``, ``float``, ``str``, ``bytes`` (a ``byte[]`` or ``BlockData``),
``JavaObject``, ``JavaArray``, ``JavaEnum`` or ``JavaClass``. Objects may form circles."""


FORMATS: Final = {
    "B": "b", "C": "H", "D": "d", "F": "f", "I": "i", "J": "q", "S": "h", "Z": "?"
}  # fmt: skip
"""Formats of ``struct`` by the code of a primitive type."""

Step: TypeAlias = tuple[tuple[str, ...], struct.Struct | None, tuple[str, ...]]
"""Names of fields, and how their bytes are read (``None``: one object); those of chars."""


class BlockData(bytes):
    """Primitive data that a class wrote by itself; consecutive blocks are one."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class JavaField:
    """A field as a class describes it; ``code`` is the first letter of its type."""

    name: str
    code: str
    type_name: str


@dataclass(slots=True, eq=False)
class JavaClass:
    """A class as a stream describes it (``ObjectStreamClass``). ``flags``: ``SC_*``.

    Streams that describe it by the same bytes share it: it does not change once it was read.
    """

    name: str
    serial_version_uid: int
    flags: int = 0
    fields: tuple[JavaField, ...] = ()
    superclass: JavaClass | None = field(default=None, repr=False)
    plan: tuple[tuple[JavaClass, tuple[Step, ...]], ...] | None = field(default=None, repr=False)
    """How an object's bytes follow each other, superclasses first; ``None`` while it is read."""
    cost: int = 1


Described: TypeAlias = tuple[int, JavaClass]
"""Where a stream describes a class, and what it says."""


@dataclass(slots=True, eq=False, repr=False)
class JavaObject:
    """An object: its fields, and what its classes wrote besides, by class name.

    A field of a subclass hides one of the same name. ``offset`` is where it begins.
    """

    description: JavaClass
    offset: int
    fields: dict[str, JavaValue]
    annotations: Mapping[str, list[JavaValue]]

    @property
    def class_name(self) -> str:
        return self.description.name

    @property
    def serial_version_uid(self) -> int:
        return self.description.serial_version_uid

    def __repr__(self) -> str:
        return f"<{self.class_name} at {self.offset}: {', '.join(self.fields)}>"


@dataclass(slots=True, eq=False, repr=False)
class JavaArray:
    """An array of anything but bytes, which are ``bytes``; booleans are bytes, too."""

    class_name: str
    offset: int
    values: list[JavaValue] | array[Any]

    def __repr__(self) -> str:
        return f"<{self.class_name} at {self.offset}: {len(self.values)} elements>"


@dataclass(frozen=True, slots=True)
class JavaEnum:
    """A constant of an enum."""

    class_name: str
    constant: str


def steps_of(fields: tuple[JavaField, ...]) -> tuple[Step, ...]:
    """Runs of primitive fields at once, objects one by one."""
    steps: list[Step] = []
    run: list[JavaField] = []
    for each in (*fields, None):
        if each is not None and each.code in FORMATS:
            run.append(each)
            continue
        if run:
            structure = struct.Struct(">" + "".join(FORMATS[part.code] for part in run))
            chars = tuple(part.name for part in run if part.code == "C")
            steps.append((tuple(part.name for part in run), structure, chars))
            run = []
        if each is not None:
            steps.append(((each.name,), None, ()))
    return tuple(steps)
