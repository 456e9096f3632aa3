"""JSON files in storageDir: a value and the format it was written in."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from hawork.core.errors import ConfigurationError, CorruptStateError

T = TypeVar("T")

FORMAT = 1


def encode_json(value: Mapping[str, Any]) -> bytes:
    """The same value always gives the same bytes.

    ``TypeError`` or ``ValueError`` when it holds something that is not JSON.
    """
    data = {"format": FORMAT, **value}
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def decode_json(what: str, payload: bytes, read: Callable[[Mapping[str, Any]], T]) -> T:
    """``CorruptStateError`` names ``what`` and the reason when the bytes are not such a value."""
    try:
        data = json.loads(payload)
        if not isinstance(data, dict):
            raise ValueError("it is no JSON object")
        if data.get("format") != FORMAT:
            raise ValueError(f"format {data.get('format')!r} is none this version reads")
        return read(data)
    except KeyError as error:
        raise CorruptStateError(f"{what} cannot be read: {error} is missing") from None
    except (
        ValueError,
        TypeError,
        AttributeError,
        RecursionError,
        ConfigurationError,
    ) as error:
        raise CorruptStateError(f"{what} cannot be read: {error}") from None
