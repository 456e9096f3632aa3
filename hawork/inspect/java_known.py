"""Class descriptions that were read before: most streams of Flink's begin with the same ones.

Reading one takes ten times as long as finding it again. A description is found by its bytes; what
it refers to in its stream must be the same, too: then both streams share the class itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hawork.inspect.java_values import Described, JavaClass, JavaValue

__all__ = ["Known", "find", "remember"]

_KEY: Final = 48
"""Bytes that tell most descriptions apart: a length, a name and what follows."""
_LONGEST: Final = 4096
_MOST: Final = 4096

Outside = tuple[int, JavaValue]
"""A handle, and what it stands for."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """A description that stood at ``start`` in some stream.

    ``made`` are the values that it defines, itself first, ``described`` the classes among them
    with their offsets, and ``outside`` the values before it that it refers to.
    """

    written: bytes
    start: int
    made: tuple[JavaValue, ...]
    described: tuple[Described, ...]
    outside: tuple[Outside, ...]

    @property
    def description(self) -> JavaClass:
        found: JavaClass = self.made[0]
        return found

    def fits(self, handles: list[JavaValue]) -> bool:
        """Whether what it refers to is the same in another stream."""
        for index, value in self.outside:
            found = handles[index]
            if found is not value and not (found.__class__ is str and found == value):
                return False
        return True

    def classes(self, start: int) -> Sequence[Described]:
        """The classes, and where they are described when the first is so at ``start``."""
        if start == self.start:
            return self.described
        return [(offset + start - self.start, each) for offset, each in self.described]


_known: dict[tuple[int, int, bytes], list[Known]] = {}


def find(tag: int, data: bytes, start: int, handles: list[JavaValue]) -> Known | None:
    """The description at ``start``, when it was read before as this one would be."""
    for known in _known.get((tag, len(handles), data[start : start + _KEY]), ()):
        if data.startswith(known.written, start) and known.fits(handles):
            return known
    return None


def remember(
    tag: int, data: bytes, start: int, end: int, made: list[JavaValue],
    classes: list[Described], first: int, outside: list[Outside],
) -> None:  # fmt: skip
    """Keep a description of which the first value has the handle ``first``."""
    # Anything but texts and classes was added by a subclass of ObjectOutputStream.
    if end - start > _LONGEST or not all(isinstance(each, str | JavaClass) for each in made):
        return
    if len(_known) >= _MOST:
        _known.clear()
    key = (tag, first, data[start : start + _KEY])
    known = Known(data[start:end], start, tuple(made), tuple(classes), tuple(outside))
    _known[key] = [*_known.get(key, ())[-3:], known]
