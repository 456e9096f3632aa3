"""Text of Flink's configuration into values: durations, sizes, booleans, maps."""

from __future__ import annotations

import re

_DURATION_UNITS = {
    "d": 86400.0, "day": 86400.0, "days": 86400.0,
    "h": 3600.0, "hour": 3600.0, "hours": 3600.0,
    "m": 60.0, "min": 60.0, "minute": 60.0, "minutes": 60.0,
    "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0,
    "ms": 1e-3, "milli": 1e-3, "millis": 1e-3, "millisecond": 1e-3, "milliseconds": 1e-3,
    "µs": 1e-6, "us": 1e-6, "micro": 1e-6, "micros": 1e-6,
    "microsecond": 1e-6, "microseconds": 1e-6,
    "ns": 1e-9, "nano": 1e-9, "nanos": 1e-9, "nanosecond": 1e-9, "nanoseconds": 1e-9,
}  # fmt: skip

_SIZE_UNITS = {
    "": 1, "b": 1, "bytes": 1,
    "k": 1 << 10, "kb": 1 << 10, "kibibytes": 1 << 10,
    "m": 1 << 20, "mb": 1 << 20, "mebibytes": 1 << 20,
    "g": 1 << 30, "gb": 1 << 30, "gibibytes": 1 << 30,
    "t": 1 << 40, "tb": 1 << 40, "tebibytes": 1 << 40,
}  # fmt: skip


def parse_duration(text: str) -> float:
    """Seconds of a duration such as ``15 s``; without a unit it means milliseconds.

    ``ValueError`` says what is wrong. Source: ``org.apache.flink.util.TimeUtils``.

    >>> parse_duration("500 ms")
    0.5
    """
    match = re.fullmatch(r"\s*(\d+)\s*([a-zµ]*)\s*", text.lower())
    if match is None:
        raise ValueError("it is no duration: write a whole number and a unit, such as '15 s'")
    number, unit = match.groups()
    if unit and unit not in _DURATION_UNITS:
        raise ValueError(f"unit {unit!r} is unknown: write ms, s, min, h or d")
    seconds = int(number) * _DURATION_UNITS[unit or "ms"]
    if seconds > 365 * 86400 * 100:
        raise ValueError("it is longer than a century")
    return seconds


def format_duration(seconds: float) -> str:
    """The shortest text that ``parse_duration`` reads back, down to milliseconds.

    >>> format_duration(90)
    '90 s'
    """
    milliseconds = round(seconds * 1000)
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size} {unit}"
    return f"{milliseconds} ms"


def parse_size(text: str) -> int:
    """Bytes of a size such as ``64 mb``. Source: ``MemorySize``; units are powers of 1024."""
    match = re.fullmatch(r"\s*(\d+)\s*([a-z]*)\s*", text.lower())
    if match is None or match[2] not in _SIZE_UNITS:
        raise ValueError("it is no size: write a whole number and a unit, such as '64 mb'")
    return int(match[1]) * _SIZE_UNITS[match[2]]


def parse_boolean(text: str) -> bool:
    """``true`` or ``false`` in any case, as in Flink; ``ValueError`` otherwise."""
    if text.lower() not in ("true", "false"):
        raise ValueError("it is neither true nor false")
    return text.lower() == "true"


def parse_map(text: str) -> dict[str, str]:
    """Pairs of ``key:value,key:value``; ``ValueError`` for a part without a colon."""
    pairs: dict[str, str] = {}
    for part in text.split(","):
        if not part.strip():
            continue
        key, colon, value = part.partition(":")
        if not colon or not key.strip():
            raise ValueError(f"{part.strip()!r} is no pair: write key:value,key:value")
        pairs[key.strip()] = value.strip()
    return pairs
