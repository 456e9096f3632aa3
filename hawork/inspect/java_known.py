"""Class descriptions that were read before: most streams of Flink's begin with the same ones.

Reading one takes ten times as long as finding it again. A description is found by its bytes; what
it refers to in its stream must be the same, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hawork.inspect.java_values import JavaClass, JavaValue

__all__ = ["Known", "find", "remember"]

_KEY: Final = 48
"""Bytes that tell most descriptions apart: a length, a name and what follows."""
_LONGEST: Final = 4096
_MOST: Final = 4096

Outside = tuple[int, JavaValue]
"""A handle, and what it stands for."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """A description at offset ``start`` of some stream.

    ``made`` are the values that it defines, itself first, and ``outside`` those before it that it
    refers to.
    """

    written: bytes
    start: int
    made: tuple[JavaValue, ...]
    outside: tuple[Outside, ...]

    def fits(self, handles: list[JavaValue]) -> bool:
        """Whether what it refers to is the same in another stream."""
        for index, value in self.outside:
            found = handles[index]
            if isinstance(value, JavaClass):
                if not isinstance(found, JavaClass) or found.plan is not value.plan:
                    return False
            elif found != value or found.__class__ is not value.__class__:
                return False
        return True

    def values(self, start: int, handles: list[JavaValue]) -> list[JavaValue]:
        """The same values in another stream, where the description begins at ``start``."""
        classes = {
            id(value): handles[index]
            for index, value in self.outside
            if isinstance(value, JavaClass)
        }
        values: list[JavaValue] = []
        for value in self.made:
            if isinstance(value, JavaClass):
                classes[id(value)] = value = JavaClass(
                    value.name, value.serial_version_uid, value.offset + start - self.start,
                    value.flags, value.fields, value.superclass, value.plan, value.cost,
                )  # fmt: skip
            values.append(value)
        for value in values:
            if isinstance(value, JavaClass) and value.superclass is not None:
                value.superclass = classes[id(value.superclass)]
        return values


_known: dict[tuple[int, int, bytes], list[Known]] = {}


def find(tag: int, data: bytes, start: int, handles: list[JavaValue]) -> Known | None:
    """The description at ``start``, when it was read before as this one would be."""
    for known in _known.get((tag, len(handles), data[start : start + _KEY]), ()):
        if data.startswith(known.written, start) and known.fits(handles):
            return known
    return None


def remember(
    tag: int, data: bytes, start: int, end: int, made: list[JavaValue], first: int,
    outside: list[Outside],
) -> None:  # fmt: skip
    """Keep a description of which the first value has the handle ``first``."""
    # Anything but texts and classes was added by a subclass of ObjectOutputStream.
    if end - start > _LONGEST or not all(isinstance(each, str | JavaClass) for each in made):
        return
    if len(_known) >= _MOST:
        _known.clear()
    key = (tag, first, data[start : start + _KEY])
    known = Known(data[start:end], start, tuple(made), tuple(outside))
    _known[key] = [*_known.get(key, ())[-3:], known]
