"""Text of Flink's configuration into values: durations, sizes, booleans, maps."""

from __future__ import annotations

import re

_DURATION_UNITS = {
    "d": 86400.0, "day": 86400.0, "days": 86400.0,
    "h": 3600.0, "hour": 3600.0, "hours": 3600.0,
    "m": 60.0, "min": 60.0, "minute": 60.0, "minutes": 60.0,
    "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0,
    "ms": 1e-3, "milli": 1e-3, "millis": 1e-3, "millisecond": 1e-3, "milliseconds": 1e-3,
    "µs": 1e-6, "micro": 1e-6, "micros": 1e-6,
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


JAVA_BLANKS = "".join(map(chr, range(33)))
"""What Java's ``String.trim`` takes away."""
_LONG = 2**63 - 1


def parse_duration(text: str) -> float:
    """Seconds of a duration such as ``15 s``; without a unit it means milliseconds.

    ``ValueError`` says what is wrong. Source: ``org.apache.flink.util.TimeUtils``.

    >>> parse_duration("500 ms")
    0.5
    """
    found = _number_and_unit(text)
    if found is None:
        raise ValueError("it is not a duration: write a whole number and a unit, such as '15 s'")
    number, unit = found
    if unit and unit not in _DURATION_UNITS:
        raise ValueError(f"unit {unit!r} is unknown: write ms, s, min, h or d")
    seconds = number * _DURATION_UNITS[unit or "ms"]
    if seconds > 365 * 86400 * 100:
        raise ValueError("it is longer than a century")
    return seconds


def _number_and_unit(text: str) -> tuple[int, str] | None:
    match = re.fullmatch(r"([0-9]+)(.*)", text.strip(JAVA_BLANKS), re.DOTALL)
    return None if match is None else (int(match[1]), match[2].strip(JAVA_BLANKS).lower())


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
    found = _number_and_unit(text)
    if found is None or found[1] not in _SIZE_UNITS:
        raise ValueError("it is not a size: write a whole number and a unit, such as '64 mb'")
    size = found[0] * _SIZE_UNITS[found[1]]
    if size > _LONG:
        raise ValueError("it is more than 64 bits can count")
    return size


def parse_integer(text: str) -> int:
    """A whole number as Java's ``Integer.parseInt`` reads it: no blanks, no underscores."""
    if re.fullmatch(r"[-+]?\d+", text) is None:
        raise ValueError("it is not a whole number")
    return int(text)


def parse_number(text: str) -> float:
    """A number as Java's ``Double.parseDouble`` reads it, without its hexadecimal form."""
    match = re.fullmatch(
        r"([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)[fFdD]?", text.strip(JAVA_BLANKS)
    )
    if match is None:
        raise ValueError("it is not a number")
    return float(match[1])


def parse_ports(text: str) -> tuple[int, ...]:
    """Ports of ``8081``, ``50100-50200`` or a list of both, in the order to try them.

    Source: ``org.apache.flink.util.NetUtils.getPortRangeFromString``.
    """
    ports: list[int] = []
    for part in text.strip(JAVA_BLANKS).rstrip(",").split(","):
        first, dash, last = part.strip(JAVA_BLANKS).partition("-")
        low, high = (_port(first), _port(last if dash else first))
        if dash and low >= high:
            raise ValueError(f"the range {part.strip()!r} is empty: write the lower port first")
        ports += range(low, high + 1)
    return tuple(ports)


def _port(text: str) -> int:
    try:
        port = parse_integer(text)
    except ValueError:
        port = -1
    if not 0 <= port <= 65535:
        raise ValueError(f"{text!r} is not a port: write ports and ranges such as 8081,9000-9010")
    return port


def parse_boolean(text: str) -> bool:
    """``true`` or ``false`` in any case, as in Flink; ``ValueError`` otherwise."""
    if text.lower() not in ("true", "false"):
        raise ValueError("it is neither true nor false")
    return text.lower() == "true"


def parse_map(text: str) -> dict[str, str]:
    """Pairs of ``key:value,key:value``, with quotes around what holds a comma.

    A value with colons needs no quotes here, unlike in Flink. ``ValueError`` for a part without a
    colon and for a key given twice. Source: ``ConfigurationUtils.convertToProperties``.
    """
    if text.lstrip().startswith("{"):
        raise ValueError("it is YAML's mapping: write key:value,key:value")
    pairs: dict[str, str] = {}
    for part in _split(text, ","):
        key, *values = _split(part, ":") or [""]
        if not key or not values:
            raise ValueError(f"{part!r} is not a pair: write key:value,key:value")
        if key in pairs:
            raise ValueError(f"{key!r} is given twice: keep one of them")
        pairs[key] = ":".join(values)
    return pairs


def _split(text: str, separator: str) -> list[str]:
    """The trimmed parts; one in quotes may hold the separator, and its quotes are doubled.

    Source: ``StructuredOptionsSplitter``.
    """
    part = re.compile(
        rf"""\s*(?:'((?:[^']|'')*)'|"((?:[^"]|"")*)"|((?!['"])[^{separator}]*?))\s*(?:{separator}|\Z)"""
    )
    parts: list[str] = []
    position = 0
    while position < len(text):
        found = part.match(text, position)
        if found is None:
            raise ValueError(f"a quote in {text[position:]!r} is not closed where the part ends")
        single, double, plain = found.groups()
        parts.append(
            single.replace("''", "'") if single is not None
            else double.replace('""', '"') if double is not None else plain
        )  # fmt: skip
        position = found.end()
    return parts
