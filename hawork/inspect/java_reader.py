"""The grammar of a Java object stream; ``java`` is the way in.

The reader keeps a stack of its own, so that no depth of objects ends Python's, and every
cost is bounded by the number of bytes and by the limits below.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Generator, Mapping
from types import GeneratorType, MappingProxyType
from typing import Any, Final, NoReturn, TypeAlias

from hawork.ha.java_serialization import decode_modified_utf8
from hawork.inspect import java_known
from hawork.inspect.errors import UndecodableError
from hawork.inspect.java_values import (
    FORMATS,
    BlockData,
    Described,
    JavaArray,
    JavaClass,
    JavaEnum,
    JavaField,
    JavaObject,
    JavaValue,
    steps_of,
)

__all__ = [
    "BLOCKS", "ENDBLOCKDATA", "EXTERNALIZABLE", "HEADER", "NONE", "NOTHING", "WRITE_METHOD",
    "Reader",
]  # fmt: skip

MAX_DEPTH: Final = 20_000
"""Objects inside each other; Java's own stack ends earlier."""
MAX_VALUES: Final = 2_000_000
"""Objects, fields and elements in one stream: some 300 MB."""
MAX_SUPERCLASSES: Final = 64

HEADER: Final = b"\xac\xed\x00\x05"
_NULL, _REFERENCE, _CLASSDESC, _OBJECT, _STRING, _ARRAY, _CLASS, _BLOCKDATA = range(0x70, 0x78)
ENDBLOCKDATA, _RESET, _BLOCKDATALONG, _EXCEPTION, _LONGSTRING, _PROXYCLASSDESC, _ENUM = range(
    0x78, 0x7F
)
BLOCKS = (_BLOCKDATA, _BLOCKDATALONG)
_FIRST_HANDLE = 0x7E0000
WRITE_METHOD, _SERIALIZABLE, EXTERNALIZABLE, _BLOCK_DATA = 1, 2, 4, 8

NONE: Final[Mapping[str, list[JavaValue]]] = MappingProxyType({})
"""What a class wrote besides its fields, when it did not."""

_ARRAYS = {"C": "H", "D": "d", "F": "f", "I": "i", "J": "q", "S": "h"}
_SHORT, _INT, _LONG = struct.Struct(">H"), struct.Struct(">i"), struct.Struct(">q")


Reading: TypeAlias = Generator[Any, Any, Any]
"""A value being read: yields the reading of a value inside it and is sent that value."""


NOTHING: Final = object()


class Reader:
    """One stream, from its header on. ``at`` is the offset of the next byte."""

    def __init__(self, data: bytes, what: str) -> None:
        self.data = data
        self.at = 4
        self._what = what
        self.classes: list[Described] = []
        self._handles: list[JavaValue] = []
        self._left = MAX_VALUES
        self._outside: list[tuple[int, list[tuple[int, JavaValue]]]] = []
        if not data.startswith(HEADER):
            shown = f"it begins with {data[:4].hex()}, not with aced0005" if data else "it is empty"
            raise UndecodableError(what, f"{shown}: no Java object stream")

    def top_level(self) -> JavaValue:
        """The next value, or ``NOTHING`` after a reset."""
        try:
            if self.data[self.at] == _RESET:
                self.at += 1
                self._handles.clear()
                return NOTHING
            return self._run(self._begin(blocks=True))
        except (IndexError, struct.error):
            raise self._ended(None) from None

    def _run(self, value: Any) -> JavaValue:
        """Finish a value whose reading has begun."""
        if value.__class__ is not GeneratorType:
            return value
        reading: Reading = value
        around: list[Reading] = []
        value = None
        while True:
            try:
                inside = reading.send(value)
            except StopIteration as done:
                value = done.value
                if not around:
                    return value
                reading = around.pop()
            else:
                around.append(reading)
                if len(around) >= MAX_DEPTH:
                    self._fail(f"more than {MAX_DEPTH} objects lie inside each other")
                reading, value = inside, None

    def _begin(self, blocks: bool = False) -> Any:
        """The next value when it is a simple one, otherwise the reading of it."""
        data, at = self.data, self.at
        tag = data[at]
        self.at = at + 1
        if tag == _OBJECT:
            return self._object()
        if tag == _STRING:
            start = at + 3
            end = self.at = start + (data[at + 1] << 8 | data[at + 2])
            text = self._text(start, end)
            self._handles.append(text)
            return text
        if tag == _REFERENCE:
            self.at = at + 5
            return self._referred(_INT.unpack_from(data, at + 1)[0] - _FIRST_HANDLE)
        if tag == _NULL:
            return None
        if tag == _ARRAY:
            return self._array()
        if tag == _ENUM:
            return self._enum()
        if tag in (_CLASSDESC, _PROXYCLASSDESC):
            return self._description(tag)
        if tag == _CLASS:
            return self._class()
        if tag == _LONGSTRING:
            return self._long_string()
        if tag == _EXCEPTION:
            return self._exception()
        if blocks and tag in BLOCKS:
            return self._block(tag)
        self.at = at
        return self._fail(f"type code {tag:#04x} stands where a value should")

    # --- simple values -------------------------------------------------------------------

    def _text(self, start: int, end: int) -> str:
        raw = self.data[start:end]
        if len(raw) != end - start:
            raise self._ended(None)
        if raw.isascii():
            return raw.decode("ascii")
        try:
            return decode_modified_utf8(raw)
        except UnicodeDecodeError as error:
            raise UndecodableError(
                self._what, "a text is not modified UTF-8", offset=start + error.start
            ) from None

    def _utf(self) -> str:
        start = self.at + 2
        end = self.at = start + _SHORT.unpack_from(self.data, self.at)[0]
        return self._text(start, end)

    def _long_string(self) -> str:
        start = self.at + 8
        (length,) = _LONG.unpack_from(self.data, self.at)
        if length < 0:
            self._fail(f"a text has the length {length}")
        end = self.at = start + length
        text = self._text(start, end)
        self._handles.append(text)
        return text

    def _referred(self, index: int) -> JavaValue:
        if not 0 <= index < len(self._handles):
            self.at -= 4
            where = index + _FIRST_HANDLE
            self._fail(f"a reference leads to {where:#x}, where there is nothing")
        if self._outside:
            self._note(index)
        return self._handles[index]

    def _block(self, tag: int) -> BlockData:
        if tag == _BLOCKDATA:
            length = self.data[self.at]
            start = self.at + 1
        else:
            (length,) = _INT.unpack_from(self.data, self.at)
            start = self.at + 4
        if not 0 <= length <= len(self.data) - start:
            self._fail(f"a block has the length {length}")
        self.at = start + length
        return BlockData(self.data[start : self.at])

    # --- values with values inside -------------------------------------------------------

    def _object(self) -> Any:
        return self._object_of(self.at - 1, self._begin())

    def _object_of(self, offset: int, description: Any) -> Reading:
        """An object of which the class, or the reading of it, is there already."""
        if description.__class__ is GeneratorType:
            description = yield description
        instance = JavaObject(self._checked_class(description), offset, {}, NONE)
        self._handles.append(instance)
        self._count(description.cost)
        fields, data = instance.fields, self.data
        if description.flags & EXTERNALIZABLE:
            if not description.flags & _BLOCK_DATA:
                self._fail("an Externalizable of protocol 1 can only be read by its class",
                           description.name)  # fmt: skip
            instance.annotations = {description.name: (yield self._annotation(description.name))}
            return instance
        for level, steps in description.plan:
            try:
                for names, structure, chars in steps:
                    if structure is None:
                        value = self._begin()
                        if value.__class__ is GeneratorType:
                            value = yield value
                        fields[names[0]] = value
                    else:
                        fields.update(zip(names, structure.unpack_from(data, self.at), strict=True))
                        self.at += structure.size
                        for name in chars:
                            fields[name] = chr(fields[name])
            except (IndexError, struct.error):
                raise self._ended(level.name) from None
            if level.flags & WRITE_METHOD:
                written = yield self._annotation(level.name)
                instance.annotations = {**instance.annotations, level.name: written}
        return instance

    def _annotation(self, class_name: str) -> Reading:
        """What a class wrote by itself, up to the end of it."""
        values: list[JavaValue] = []
        data = self.data
        try:
            while (tag := data[self.at]) != ENDBLOCKDATA:
                value = self._begin(blocks=True)
                if value.__class__ is GeneratorType:
                    value = yield value
                elif tag in BLOCKS and values and isinstance(values[-1], BlockData):
                    value = BlockData(values.pop() + value)
                self._count(1)
                values.append(value)
        except (IndexError, struct.error):
            raise self._ended(class_name) from None
        self.at += 1
        return values

    def _array(self) -> Reading:
        offset = self.at - 1
        description = self._begin()
        if description.__class__ is GeneratorType:
            description = yield description
        name = self._checked_class(description).name
        index = len(self._handles)
        self._handles.append(None)
        try:
            (length,) = _INT.unpack_from(self.data, self.at)
            code = name[1:2]
            width = struct.calcsize(f">{FORMATS[code]}") if code in FORMATS else 1
            left = len(self.data) - self.at - 4
            if not name.startswith("[") or not 0 <= length <= left // width:
                self._fail(f"an array of {length} elements does not fit in {left} bytes", name)
            self.at += 4
            if code in FORMATS:
                end = self.at + length * width
                value = self._primitives(name, code, offset, self.data[self.at : end])
                self._handles[index] = value
                self.at = end
                return value
            self._count(length)
            elements: list[JavaValue] = []
            self._handles[index] = instance = JavaArray(name, offset, elements)
            for _ in range(length):
                element = self._begin()
                if element.__class__ is GeneratorType:
                    element = yield element
                elements.append(element)
            return instance
        except (IndexError, struct.error):
            raise self._ended(name) from None

    def _primitives(self, name: str, code: str, offset: int, raw: bytes) -> JavaValue:
        if code not in _ARRAYS:
            return raw
        values: array[Any] = array(_ARRAYS[code])
        values.frombytes(raw)
        if sys.byteorder == "little":
            values.byteswap()
        return JavaArray(name, offset, values)

    def _enum(self) -> Reading:
        description = self._begin()
        if description.__class__ is GeneratorType:
            description = yield description
        name = self._checked_class(description).name
        index = len(self._handles)
        self._handles.append(None)
        constant = self._begin()
        if not isinstance(constant, str):
            self._fail("the constant of an enum is not a text", name)
        self._handles[index] = value = JavaEnum(name, constant)
        return value

    def _class(self) -> Reading:
        description = self._begin()
        if description.__class__ is GeneratorType:
            description = yield description
        if not isinstance(description, JavaClass):
            self._fail("no class follows the type code of one")
        self._handles.append(description)
        return description

    def _exception(self) -> Reading:
        """Writing failed here: the exception stands instead of the rest."""
        offset = self.at - 1
        self._handles.clear()
        value = self._begin()
        if value.__class__ is GeneratorType:
            value = yield value
        name = value.class_name if isinstance(value, JavaObject) else None
        raise UndecodableError(
            self._what, "the stream says that its writer failed", offset=offset, class_name=name
        )

    def _description(self, tag: int) -> JavaClass | Reading:
        known = java_known.find(tag, self.data, self.at, self._handles)
        if known is None:
            return self._unknown_description(tag)
        self.classes += known.classes(self.at)
        if self._outside:
            for index, _ in known.outside:
                self._note(index)
        self._handles += known.made
        self._count(known.description.cost)
        self.at += len(known.written)
        return known.description

    def _unknown_description(self, tag: int) -> Reading:
        start, first, before = self.at, len(self._handles), len(self.classes)
        self._outside.append((first, []))
        description = yield self._new_description(tag)
        _, outside = self._outside.pop()
        for index, _ in outside:
            self._note(index)
        made, classes = self._handles[first:], self.classes[before:]
        java_known.remember(tag, self.data, start, self.at, made, classes, first, outside)
        return description

    def _note(self, index: int) -> None:
        """Keep in mind what a description refers to that was there before it."""
        if self._outside and index < self._outside[-1][0]:
            self._outside[-1][1].append((index, self._handles[index]))

    def _new_description(self, tag: int) -> Reading:
        offset = self.at - 1
        if tag == _CLASSDESC:
            name = self._utf()
            (uid,) = _LONG.unpack_from(self.data, self.at)
            self.at += 8
            description = JavaClass(name, uid)
            self.classes.append((offset, description))
            self._handles.append(description)
        else:
            description = JavaClass("", 0)
            self._handles.append(description)
        try:
            if tag == _CLASSDESC:
                description.flags = self.data[self.at]
                count: int = _SHORT.unpack_from(self.data, self.at + 1)[0]
                self.at += 3
                if count > len(self.data) - self.at:
                    self._fail(f"a class has {count} fields", description.name)
                description.fields = tuple([self._field(description) for _ in range(count)])
            else:
                (count,) = _INT.unpack_from(self.data, self.at)
                self.at += 4
                if not 0 <= count <= 0xFFFF:
                    self._fail(f"a proxy class has {count} interfaces")
                names = [self._utf() for _ in range(count)]
                description.name = f"proxy({', '.join(names)})"
                description.flags = _SERIALIZABLE
            if self.data[self.at] == ENDBLOCKDATA:
                self.at += 1
            else:
                yield self._annotation(description.name)
            superclass = self._begin()
            if superclass.__class__ is GeneratorType:
                superclass = yield superclass
        except (IndexError, struct.error):
            raise self._ended(description.name) from None
        if superclass is not None:
            description.superclass = self._checked_class(superclass)
        self._complete(description)
        return description

    def _field(self, description: JavaClass) -> JavaField:
        code = chr(self.data[self.at])
        self.at += 1
        name = self._utf()
        if code in FORMATS:
            return JavaField(name, code, code)
        if code not in "L[":
            self._fail(f"a field has the type {code!r}", description.name)
        type_name = self._begin()
        if not isinstance(type_name, str):
            self._fail(f"the type of field {name!r} is not a text", description.name)
        return JavaField(name, code, type_name)

    def _complete(self, description: JavaClass) -> None:
        """Say how objects of the class are read, now that its superclasses are known."""
        inherited = () if description.superclass is None else description.superclass.plan
        assert inherited is not None  # _checked_class lets no class pass that is being read
        if len(inherited) >= MAX_SUPERCLASSES:
            self._fail(f"a class has more than {MAX_SUPERCLASSES} superclasses", description.name)
        description.plan = inherited
        if description.flags & _SERIALIZABLE:
            description.plan = (*inherited, (description, steps_of(description.fields)))
        description.cost = 1 + sum(1 + len(level.fields) for level, _ in description.plan)
        self._count(description.cost)

    # --- limits and errors -----------------------------------------------------------------

    def _checked_class(self, value: JavaValue) -> JavaClass:
        if not isinstance(value, JavaClass) or value.plan is None:
            self._fail("a value stands where its class should")
        return value

    def _count(self, values: int) -> None:
        self._left -= values
        if self._left < 0:
            self._fail(f"it holds more than {MAX_VALUES} values")

    def _fail(self, reason: str, class_name: str | None = None) -> NoReturn:
        raise UndecodableError(self._what, reason, offset=self.at, class_name=class_name)

    def _ended(self, class_name: str | None) -> UndecodableError:
        return UndecodableError(
            self._what, "it ends too early", offset=len(self.data), class_name=class_name
        )
