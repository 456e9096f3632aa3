"""Keyed state: per key a JSON object, and its text in a snapshot."""

from __future__ import annotations

import json
from typing import Any

from hawork.core.errors import JobExecutionError
from hawork.core.json_fields import check_json

KeyedState = dict[str, dict[str, Any]]
"""A JSON object per key; keys by their canonical text (see ``keys.py``)."""

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def encode_state(state: KeyedState | None) -> bytes:
    """The state as JSON; ``JobExecutionError`` names the first key whose state is not JSON."""
    try:
        encoded = _encode(state)
        if "\\ud" in encoded:  # half of a surrogate pair is not a character
            check_json(state)
        return encoded.encode()
    except (TypeError, ValueError, RecursionError):
        for text, value in (state or {}).items():
            try:
                _encode(value)
                check_json(value)
            except (TypeError, ValueError, RecursionError) as error:
                raise _not_json(text, value, str(error)) from None
        raise


def check_state(text: str, state: Any) -> None:
    """``JobExecutionError`` unless a snapshot brings back exactly this state of key ``text``.

    Stricter than the JSON module, which writes tuples as lists and turns the keys of dicts
    into texts: after a recovery the user's function would meet other values than before.
    """
    if type(state) is not dict:
        raise _not_json(text, state, "the state of a key is a dict")
    todo: list[Any] = [state]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            for name, part in value.items():
                if not isinstance(name, str):
                    raise _not_json(text, state, f"{name!r} names a value and is not text")
                todo.append(part)
        elif isinstance(value, list):
            todo.extend(value)
        elif value is not None and not isinstance(value, str | int | float):
            raise _not_json(text, state, f"{value!r} is of type {type(value).__name__}")


def _not_json(text: str, value: Any, why: str) -> JobExecutionError:
    shown = repr(value)
    if len(shown) > 80:
        shown = shown[:77] + "..."
    return JobExecutionError(
        f"state {shown} of key {text} cannot be kept in a checkpoint ({why}): "
        "keep texts, finite numbers, lists, and dicts with text keys"
    )
