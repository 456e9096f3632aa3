"""Snappy, as a ZooKeeper server packs its snapshots with it. Only unpacks.

Source: ``format_description.txt`` of Snappy, and ``SnappyOutputStream`` of snappy-java, whose
stream ZooKeeper writes: a header, then each block with its length before it.
"""

from __future__ import annotations

import struct
from typing import Final

__all__ = ["unpacked"]

_MAGIC: Final = b"\x82SNAPPY\x00"
_HEADER: Final = struct.Struct(">8sii")
_LENGTH: Final = struct.Struct(">i")
_LONG_LITERAL: Final = 60


def unpacked(stream: bytes, most: int) -> bytes:
    """The bytes of a stream. ``ValueError`` for another one, and beyond ``most`` bytes."""
    if len(stream) < _HEADER.size or not stream.startswith(_MAGIC):
        raise ValueError("it does not begin as a Snappy stream of Java's")
    out = bytearray()
    at = _HEADER.size
    while at < len(stream):
        if stream.startswith(_MAGIC, at):  # streams that were put behind each other
            at += _HEADER.size
            continue
        if at + _LENGTH.size > len(stream):
            raise ValueError(f"it is cut off at byte {at}")
        (length,) = _LENGTH.unpack_from(stream, at)
        at += _LENGTH.size
        if not 0 < length <= len(stream) - at:
            raise ValueError(f"a block of {length} bytes does not fit at byte {at}")
        try:
            out += _block(stream[at : at + length], most - len(out))
        except (IndexError, ValueError) as error:
            reason = str(error) if isinstance(error, ValueError) else "it is cut off"
            raise ValueError(f"the block at byte {at} is damaged: {reason}") from None
        at += length
    return bytes(out)


def _block(data: bytes, most: int) -> bytes:
    """``IndexError`` or ``ValueError`` for a block that is damaged."""
    length = shift = at = 0
    while True:
        byte = data[at]
        at += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
        if shift > 28:
            raise ValueError("its length has more than 32 bits")
    if length > most:
        raise ValueError("it unpacks to more bytes than are read")
    out = bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        kind, count = tag & 3, tag >> 2
        if kind == 0:
            if count >= _LONG_LITERAL:
                size = count - _LONG_LITERAL + 1
                if at + size > len(data):
                    raise ValueError("it is cut off")
                count = int.from_bytes(data[at : at + size], "little")
                at += size
            if at + count + 1 > len(data):
                raise ValueError("it is cut off")
            out += data[at : at + count + 1]
            at += count + 1
        else:
            if kind == 1:
                count, size, high = (count & 7) + 4, 1, (tag >> 5) << 8
            else:
                count, size, high = count + 1, 2 if kind == 2 else 4, 0
            if at + size > len(data):
                raise ValueError("it is cut off")
            offset = high | int.from_bytes(data[at : at + size], "little")
            at += size
            start = len(out) - offset
            if offset == 0 or start < 0:
                raise ValueError(f"it copies from {offset} bytes before, where nothing is")
            # What it copies may reach into what it writes: then it is repeated.
            out += (out[start : start + count] * (count // offset + 1))[:count]
        if len(out) > length:
            raise ValueError(f"it unpacks to more than {length} bytes")
    if len(out) != length:
        raise ValueError(f"it unpacks to {len(out)} bytes, not to {length}")
    return bytes(out)
