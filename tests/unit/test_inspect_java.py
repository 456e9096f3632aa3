"""The Java Object Serialization Stream Protocol: streams that Java wrote, and hostile ones."""

from __future__ import annotations

import random
import struct
import time
import tracemalloc

import pytest

from hawork.inspect import java, java_known, java_reader
from hawork.inspect.collections import elements, entries, is_collection, unboxed
from hawork.inspect.errors import UndecodableError
from hawork.inspect.java import (
    BlockData,
    Described,
    JavaArray,
    JavaClass,
    JavaEnum,
    JavaObject,
    read_object,
    read_stream,
)
from hawork.inspect.java_reader import HEADER
from tests.flink_vectors import vector


@pytest.fixture(autouse=True, params=[0, 2, java.SHALLOW])
def shallow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies deeper than this is read without Python's own stack: every test holds for both."""
    monkeypatch.setattr(java, "SHALLOW", request.param)


def test_everything_that_java_writes_is_read() -> None:
    values = read_stream(vector("grammar.everything"))
    blocks, one, again, written, own, enum, described, long_text, proxy, base, last = values
    assert blocks == BlockData(struct.pack(">iH", 1, 2000) + b"x" * 2000)
    assert isinstance(one, JavaObject) and again is one
    assert one.class_name == "Grammar$Primitives"
    fields = one.fields
    assert {name: fields[name] for name in "bcdfijsz"} == {
        "b": -1, "c": "ä", "d": 1.5, "f": -0.25, "i": -(2**31), "j": 2**63 - 1, "s": -300,
        "z": True,
    }  # fmt: skip
    arrays = {name: list(fields[name].values) for name in ("ints", "longs", "chars", "doubles")}
    assert arrays == {
        "ints": [1, -2, 3],
        "longs": [-(2**63)],
        "chars": [97, 8364],
        "doubles": [0.5],
    }
    assert (fields["bytes"], fields["flags"]) == (b"\0\xff", b"\1\0")
    assert [part and list(part.values) for part in fields["nested"].values] == [[1], None, []]
    assert fields["mixed"].values[:2] == ["x", None]
    assert fields["self"] is one and fields["nothing"] is None
    assert fields["texts"] == "a\0ä€😀"
    assert (fields["number"], fields["shared"]) == (7, "mine")
    assert fields["colour"] == JavaEnum("Grammar$Colour", "GREEN")
    assert isinstance(fields["type"], JavaClass) and fields["type"].name == "Grammar$Colour"
    assert "left" not in fields
    first, middle, rest = written.annotations["Grammar$Written"]
    assert (first, middle) == (b"\0\0\0\x2a\0\4data", "object")
    assert rest == (7).to_bytes(8, "big") + bytes(2000)
    assert own.annotations["Grammar$Own"][0] == b"\0\0\0\x09"
    assert enum == JavaEnum("Grammar$Colour", "RED")
    assert isinstance(described, JavaClass) and described.name == "Grammar$Base"
    assert long_text == "l" * 70_000
    assert proxy.class_name == "proxy(java.lang.Runnable, java.lang.Comparable)"
    assert base.fields == {"number": 7, "shared": "base"}
    assert last == b"\5\6"


def test_the_collections_of_java_are_known() -> None:
    parts: list[list[object]] = [[]]
    for value in read_stream(vector("grammar.collections")):
        if isinstance(value, BlockData):
            parts.append([])
        elif is_collection(value):
            parts[-1].append(elements(value, "x"))
        else:
            parts[-1].append([(key, unboxed(each)) for key, each in entries(value, "x")])
    assert parts == [[["a", "b"]] * 12, [[]] * 4, [["a"]] * 3, [[("k", 1)]] * 8]


def test_what_a_subclass_of_the_stream_adds_to_a_class_is_passed_over() -> None:
    (value,) = read_stream(vector("grammar.annotated"))
    assert value.fields == {"number": 7, "shared": "base"}


def test_no_depth_of_objects_ends_the_reader() -> None:
    link, depth = read_object(vector("grammar.deep")), 0
    while link is not None:
        link, depth = link.fields["next"], depth + 1
    assert depth == 5000


def test_a_writer_that_failed_is_named() -> None:
    with pytest.raises(UndecodableError, match="its writer failed") as caught:
        read_stream(vector("grammar.failed"))
    assert caught.value.class_name == "java.io.IOException"
    assert caught.value.offset == 84


def described(name: str, fields: bytes = b"\0\0", flags: int = 2, parent: bytes = b"p") -> bytes:
    return (
        b"r"
        + struct.pack(">H", len(name))
        + name.encode()
        + bytes(8)
        + bytes((flags,))
        + (fields + b"x" + parent)
    )


@pytest.mark.parametrize(
    ("data", "reason", "offset"),
    [
        (b"", "it is empty", 0),
        (b"PK\3\4", "it begins with 504b0304", 0),
        (HEADER, "ends too early", 4),
        (HEADER + b"\x42", "type code 0x42", 4),
        (HEADER + b"q\0~\0\0", "a reference leads to 0x7e0000", 5),
        (HEADER + b"st\0\1a", "a value stands where its class should", 9),
        (HEADER + b"s" + described("A", flags=4), "Externalizable of protocol 1", 22),
        (HEADER + b"t\0\2\xf0\x9f", "not modified UTF-8", 7),
        (HEADER + b"|" + b"\xff" * 8, "a text has the length -1", 5),
        (HEADER + b"u" + described("[J") + b"\x7f\xff\xff\xff", "does not fit", 23),
        (HEADER + b"s" + described("A", parent=b"q\0~\0\0"), "where its class should", 26),
        (HEADER + b"s" + described("A", fields=b"\0\1Q\0\1b"), "has the type 'Q'", 24),
    ],
)  # fmt: skip
def test_an_error_says_what_and_where(data: bytes, reason: str, offset: int) -> None:
    with pytest.raises(UndecodableError) as caught:
        read_object(data)
    assert reason in str(caught.value)
    assert caught.value.offset == offset


def test_hostile_streams_cost_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few bytes that stand for many values, and chains that would be walked again and again."""
    monkeypatch.setattr(java_reader, "MAX_VALUES", 100_000)
    many_fields = struct.pack(">H", 5000) + b"".join(b"I" + struct.pack(">H4s", 4, b"%04d" % i)
                                                     for i in range(5000))  # fmt: skip
    wide = HEADER + b"s" + described("A", many_fields) + bytes(20_000)
    wide += (b"sq\0~\0\0" + bytes(20_000)) * 50
    parent = b"p"
    for number in range(70):
        parent = described(f"C{number}", parent=parent)
    deep = HEADER + b"ur\0\x13[Ljava.lang.Object;" + bytes(8) + b"\2\0\0xp\0\1\x86\xa0"
    deep += (b"ur\0\2[A" + bytes(8) + b"\2\0\0xp\0\0\0\1") * 30_000
    for data in (wide, HEADER + b"s" + parent, deep):
        tracemalloc.start()
        started = time.perf_counter()
        with pytest.raises(UndecodableError):
            read_stream(data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 100 << 20 and time.perf_counter() - started < 10


def test_a_class_that_was_read_before_is_read_again_by_what_it_refers_to() -> None:
    """Descriptions are remembered, and the same bytes may mean another thing elsewhere."""
    refers = described("Remembered", fields=b"\0\1L\0\1bq\0~\0\0")
    sound = HEADER + b"t\0\1L" + b"s" + refers + b"t\0\1v"
    for _ in range(2):
        first, value = read_stream(sound)
        assert value.fields == {"b": "v"}
        assert value.description.fields[0].type_name == first == "L"
    moved = read_stream(HEADER + b"t\0\3LLL" + b"s" + refers + b"t\0\1v")[1]
    assert moved.description.fields[0].type_name == "LLL"
    enum = b"~" + described("E", flags=18) + b"t\0\1C"
    with pytest.raises(UndecodableError, match="the type of field 'b' is not a text"):
        read_stream(HEADER + enum + b"s" + refers + b"t\0\1v")


@pytest.mark.parametrize("name", ["1.20.5.jobgraph", "2.1.1.completedCheckpoint"])
def test_reading_again_gives_the_same(name: str) -> None:
    java_known._known.clear()
    first: list[Described] = []
    again: list[Described] = []
    moved: list[Described] = []
    data = vector(name)
    assert shape(read_object(data, classes=first)) == shape(read_object(data, classes=again))
    assert first == again and len(first) > 20
    read_object(data[:4] + RESET + data[4:], classes=moved)
    assert moved == [(offset + 1, each) for offset, each in first]


RESET = b"y"


def shape(value: object) -> list[object]:
    """Every object that can be reached, with its class, where that is described, and its parts."""
    found: list[object] = []
    waiting, seen = [value], set[int]()
    while waiting:
        each = waiting.pop()
        if isinstance(each, JavaObject) and id(each) not in seen:
            seen.add(id(each))
            description = each.description
            parent = description.superclass
            found.append((each.class_name, each.offset, sorted(each.fields)))
            found.append(parent and parent.name)
            waiting += each.fields.values()
            waiting += [part for parts in each.annotations.values() for part in parts]
        elif isinstance(each, JavaArray) and isinstance(each.values, list):
            waiting += each.values
        elif not isinstance(each, JavaObject):
            found.append(str(each))
    return found


def test_arrays_of_numbers_take_no_more_than_their_bytes() -> None:
    data = HEADER + b"u" + described("[S") + struct.pack(">i", 500_000) + bytes(1_000_000)
    tracemalloc.start()
    value = read_object(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(value, JavaArray) and len(value.values) == 500_000
    assert peak < 5 << 20


def test_random_bytes_end_in_the_one_error_or_a_value() -> None:
    generator = random.Random(7)
    for _ in range(300):
        try:
            read_stream(HEADER + generator.randbytes(generator.randrange(200)))
        except UndecodableError as error:
            assert error.offset >= 0
