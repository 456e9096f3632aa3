"""HA data for the eye: bytes as text that is cut, and a pointer of Flink in words."""

from __future__ import annotations

from hawork.ha.java_serialization import FlinkStateHandle
from hawork.ha.storage import local_path


def flink_pointer(handle: FlinkStateHandle, *, marked: bool = False) -> str:
    """The file, its size, and what is wrong; ``marked``: Flink is about to delete it."""
    told = "; marked for deletion" if marked else ""
    return f"{handle.uri} ({handle.size} bytes, of Flink{told}{_missing(handle)})"


def _missing(handle: FlinkStateHandle) -> str:
    """Flink ends when it recovers a pointer whose file is gone; look before it does."""
    path = local_path(handle.uri)
    if path is None:
        return ""
    try:
        size = path.stat().st_size
    except OSError:
        return "; the file is MISSING"
    return "" if size == handle.size else f"; the file has {size} bytes"


SHOWN = 400
"""Characters of a file or value that are shown."""


def as_text(value: bytes) -> str:
    """Bytes for the eye: JSON and text as they are, shortened."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return f"{len(value)} bytes"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
