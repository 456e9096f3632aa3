"""Snappy as Java writes it: read to the byte, and every damage is the one error."""

from __future__ import annotations

import base64
import contextlib
import random

import pytest

from hawork.story.snappy import unpacked

HEADER = b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"
PACKED = base64.b64decode(
    "glNOQVBQWQAAAAABAAAAAQAAALfABPBhL2ZsaW5rL3Byb2Qvam9icy8wL2NoZWNrcG9pbnRzmRcPuxg0d6NalMm/OQt3"
    "AgnTKlldSph9QfSz5ZJHGr4FGUu1XcqzkQAWF1qhR+Hz6Y7oHt9/rkC/55PZ/O1SsgLjL2Y6YAAAMS5gAAgAAABCgQAA"
    "MjohAE4kAAAzRiQATicAADRSJwAMAAAAmf7YAEbYAAA1XmwATpkAADZqLQBOMAAAN3YwAE4zAAA4gjMA/ggBJQg="
)
"""What ``SnappyOutputStream`` of snappy-java 1.1.8 made of ``PLAIN``."""
NOISE = base64.b64decode(
    "mRcPuxg0d6NalMm/OQt3AgnTKlldSph9QfSz5ZJHGr4FGUu1XcqzkQAWF1qhR+Hz6Y7oHt9/rkC/55PZ/O1SsgLj"
)
PLAIN = b"".join(
    b"/flink/prod/jobs/%d/checkpoints" % number + b"\0" * 3 * number + NOISE * (number % 4 == 0)
    for number in range(9)
)


def block(*parts: bytes, length: int) -> bytes:
    packed = bytes([length]) + b"".join(parts)
    return len(packed).to_bytes(4, "big") + packed


def test_what_java_has_packed_is_read() -> None:
    assert unpacked(PACKED, len(PLAIN)) == PLAIN
    assert unpacked(PACKED + PACKED, 1 << 20) == PLAIN * 2, "streams behind each other"
    assert unpacked(HEADER, 0) == b""


@pytest.mark.parametrize(("parts", "length", "plain"), [
    ((b"\x08abc", b"\x01\x03"), 7, b"abcabca"),  # four bytes, one byte of an offset
    ((b"\x00a", b"\x1e\x01\x00"), 9, b"a" * 9),  # two bytes of an offset
    ((b"\x04ab", b"\x0f\x02\x00\x00\x00"), 6, b"ababab"),  # four
    ((b"\xf0\x01ab",), 2, b"ab"),  # a literal whose length has a byte of its own
    ((b"\xfc\x01\x00\x00\x00ab",), 2, b"ab"),  # and four
])  # fmt: skip
def test_each_kind_of_element(parts: tuple[bytes, ...], length: int, plain: bytes) -> None:
    assert unpacked(HEADER + block(*parts, length=length), 100) == plain


@pytest.mark.parametrize(("stream", "reason"), [
    (b"PK\x03\x04", "does not begin as a Snappy stream"),
    (HEADER + b"\0\0", "cut off at byte 16"),
    (HEADER + b"\0\0\0\x09ab", "a block of 9 bytes does not fit at byte 20"),
    (HEADER + b"\xff\xff\xff\xffab", "a block of -1 bytes does not fit"),
    (HEADER + block(b"\x08ab", length=3), "cut off"),
    (HEADER + block(b"\x04ab", b"\x01\x03", length=6), "copies from 3 bytes before"),
    (HEADER + block(b"\x04ab", b"\x01\x00", length=6), "copies from 0 bytes before"),
    (HEADER + block(b"\x04ab", length=1), "more than 1 bytes"),
    (HEADER + block(b"\x04ab", length=3), "to 2 bytes, not to 3"),
    (HEADER + block(length=101), "more bytes than are read"),
    (HEADER + b"\0\0\0\x06\xff\xff\xff\xff\xff\x01", "more than 32 bits"),
])  # fmt: skip
def test_damage_is_named(stream: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        unpacked(stream, 100)


def test_every_truncation_and_mutation_ends_in_bytes_or_in_the_one_error() -> None:
    chance = random.Random(7)
    broken = [PACKED[:end] for end in range(len(PACKED))]
    for _ in range(5000):
        data = bytearray(PACKED)
        data[chance.randrange(len(data))] = chance.randrange(256)
        broken.append(bytes(data))
    for data in broken:
        with contextlib.suppress(ValueError):
            assert len(unpacked(data, 10_000)) <= 10_000
