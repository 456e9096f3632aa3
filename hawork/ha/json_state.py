"""JSON files in storageDir: a value and the format it was written in."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from hawork.core.errors import ConfigurationError
from hawork.core.json_fields import check_depth, load_json
from hawork.ha.damage import of_entry

T = TypeVar("T")

FORMAT = 1


def encode_json(value: Mapping[str, Any]) -> bytes:
    """The same value always gives the same bytes.

    ``ConfigurationError`` when it holds something that is not JSON, or text that has no UTF-8
    form: what is stored can always be read again.
    """
    data = {"format": FORMAT, **value}
    try:
        check_depth(data)
        text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"a value cannot be stored ({type(error).__name__}: {error}): use texts of whole "
            "characters, finite numbers, lists and objects"
        ) from None


def decode_json(what: str, payload: bytes, read: Callable[[Mapping[str, Any]], T]) -> T:
    """``CorruptStateError`` names ``what`` and the reason when the bytes are not such a value."""
    with of_entry(what):
        data = load_json(payload)
        if not isinstance(data, dict):
            raise ValueError("it is not a JSON object")
        version = data.get("format")
        if version != FORMAT or isinstance(version, bool):
            raise ValueError(f"format {version!r:.60} is none this version reads")
        return read(data)
