"""Reading JSON that another program may have written: each field with its type and its range."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

LARGEST = 2**63 - 1
"""The largest whole number of a field: what every store and every reader of JSON can hold."""
_DEEPEST = 500
"""Levels of lists and objects: Python 3.11 reads some 900 at most, other versions more."""
_SHOWN = 60  # characters of a refused value


def load_json(payload: bytes | str) -> Any:
    """What ``json.loads`` makes of it. ``ValueError`` also for NaN, infinities, and text that
    has no UTF-8 form: half a surrogate pair.
    """
    text = payload.decode() if isinstance(payload, bytes) else payload
    value = _DECODER.decode(text)
    if "\\u" in text:
        check_json(value)
    return value


def check_json(value: object) -> None:
    """``ValueError`` unless ``value`` can be stored as JSON, and be read again anywhere: numbers
    are finite, texts have a UTF-8 form, and it is not nested too deeply.

    >>> check_json({"name": "flights"})
    """
    check_depth(value)
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except TypeError as error:
        raise ValueError(str(error)) from None
    except UnicodeEncodeError as error:
        found = error.object[max(0, error.start - _SHOWN // 2) : error.end]
        raise ValueError(
            f"{found!r} holds half a surrogate pair, which is not a character: write whole ones"
        ) from None


def check_depth(value: object) -> None:
    """``ValueError`` for what is nested too deeply to be read again on every Python."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [child for each in level for child in _children(each)]
        if not level:
            return
    raise ValueError("it is nested too deeply")


def _children(value: object) -> Iterable[object]:
    if isinstance(value, (str, int, float)):  # most are; the general question takes longer
        return ()
    if isinstance(value, (list, tuple)):
        return value
    return value.values() if isinstance(value, Mapping) else ()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


class JsonFields:
    """The fields of one JSON object. ``ValueError`` names field and value when a type is wrong,
    ``KeyError`` the field that is missing; a field with a default may be missing.
    """

    def __init__(self, what: str, data: object) -> None:
        if type(data) is not dict and not isinstance(data, Mapping):
            raise ValueError(f"{what} is {_shown(data)}, not a JSON object")
        self._data = data

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self._data.get(name) is not None

    def any(self, name: str) -> Any:
        """The field, whatever it holds."""
        return self._data[name]

    def text(self, name: str, default: str | None = None) -> str:
        value: str = self._typed(name, default, str, "text")
        return value

    def flag(self, name: str, default: bool | None = None) -> bool:
        value: bool = self._typed(name, default, bool, "true or false")
        return value

    def object(self, name: str, default: dict[str, Any] | None = None) -> dict[str, Any]:
        value: dict[str, Any] = self._typed(name, default, dict, "a JSON object")
        return value

    def items(self, name: str, default: Sequence[Any] | None = None) -> Sequence[Any]:
        value: Sequence[Any] = self._typed(name, default, (list, tuple), "a list")
        return value

    def whole(
        self, name: str, default: int | None = None, *, least: int = 0, most: int = LARGEST
    ) -> int:
        """A whole number of at least ``least`` and at most ``most``."""
        value: int = self._typed(name, default, int, "a whole number")
        if not least <= value <= most:
            raise ValueError(f"{name} is {_shown(value)}, not from {least} to {most}")
        return value

    def number(
        self, name: str, default: float | None = None, *, least: float = 0.0, most: float = 1e18
    ) -> float:
        """A finite number in a range, as it is written: ``1`` stays whole."""
        value: float = self._typed(name, default, (int, float), "a number")
        if not (least <= value <= most and math.isfinite(value)):
            raise ValueError(f"{name} is {_shown(value)}, not from {least:g} to {most:g}")
        return value

    def _typed(self, name: str, default: Any, kind: type | tuple[type, ...], wanted: str) -> Any:
        value = self._data[name] if default is None else self._data.get(name, default)
        if type(value) is kind:
            return value
        # To Python a bool is a whole number, to JSON it is not.
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ValueError(f"{name} is {_shown(value)}, not {wanted}")
        return value


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, a deep structure
        text = f"a {type(value).__name__} too large to be shown"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
