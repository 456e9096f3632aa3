"""The operator id that follows from a uid.

Source: ``StreamGraphHasherV2.generateUserSpecifiedHash``: MurmurHash3 x64 128 with seed 0 of the
uid's UTF-8 bytes (Guava's ``Hashing.murmur3_128``).
"""

from __future__ import annotations

__all__ = ["operator_id_of_uid"]

_MASK = (1 << 64) - 1
_C1, _C2 = 0x87C37B91114253D5, 0x4CF5AD432745937F


def operator_id_of_uid(uid: str) -> str:
    """The 32 hexadecimal digits that Flink prints for the operator with this uid.

    >>> operator_id_of_uid("the-source")
    'ce28b3b02afea92a4019de0880ff3414'
    """
    data = uid.encode("utf-8", "replace")
    first = second = 0
    whole = len(data) // 16 * 16
    for start in range(0, whole, 16):
        low = int.from_bytes(data[start : start + 8], "little")
        high = int.from_bytes(data[start + 8 : start + 16], "little")
        first ^= _mixed_low(low)
        first = (_rotated(first, 27) + second) * 5 + 0x52DCE729 & _MASK
        second ^= _mixed_high(high)
        second = (_rotated(second, 31) + first) * 5 + 0x38495AB5 & _MASK
    rest = data[whole:]
    second ^= _mixed_high(int.from_bytes(rest[8:], "little"))
    first ^= _mixed_low(int.from_bytes(rest[:8], "little"))
    first ^= len(data)
    second ^= len(data)
    first = first + second & _MASK
    second = second + first & _MASK
    first, second = _finished(first), _finished(second)
    first = first + second & _MASK
    second = second + first & _MASK
    return (first.to_bytes(8, "little") + second.to_bytes(8, "little")).hex()


def _mixed_low(value: int) -> int:
    return _rotated(value * _C1 & _MASK, 31) * _C2 & _MASK


def _mixed_high(value: int) -> int:
    return _rotated(value * _C2 & _MASK, 33) * _C1 & _MASK


def _rotated(value: int, by: int) -> int:
    return (value << by | value >> 64 - by) & _MASK


def _finished(value: int) -> int:
    value = (value ^ value >> 33) * 0xFF51AFD7ED558CCD & _MASK
    value = (value ^ value >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
    return value ^ value >> 33
