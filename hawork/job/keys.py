"""Keys of records: their canonical text, and which subtask a key belongs to."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from hawork.core.errors import JobExecutionError
from hawork.job.user_code import calling, describe

_LARGEST_CACHE = 1 << 16
_ELSEWHERE = ""

_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode


def key_text(key: Any) -> str:
    """The key as canonical JSON: equal keys have equal texts, in every process.

    ``JobExecutionError`` when it is not JSON.

    >>> key_text(("AA", "JFK"))
    '["AA","JFK"]'
    """
    try:
        text = _encode(key)
        text.encode()  # half a surrogate pair is not a character, and could not be stored
        return text
    except (TypeError, ValueError, RecursionError) as error:
        raise JobExecutionError(
            f"key {key!r:.200} is not JSON ({describe(error)}): make key_by return texts of whole "
            "characters, numbers, or a tuple of them"
        ) from None


def subtask_of(text: str, parallelism: int) -> int:
    """The subtask a key belongs to. Not Python's ``hash``, which differs between processes."""
    return zlib.crc32(text.encode("utf-8", "surrogatepass")) % parallelism


def key_fields(text: str, names: Sequence[str] = ()) -> dict[str, Any]:
    """The key's columns in an output row: as named, else ``key``, or ``key_0``, ``key_1``, ..."""
    key = json.loads(text)
    if isinstance(key, dict):
        return key
    if names:
        return dict(zip(names, key if len(names) > 1 else [key], strict=True))
    if isinstance(key, list):
        return {f"key_{place}": part for place, part in enumerate(key)}
    return {"key": key}


class _Probe:
    """Stands for a record of which only the names of its fields are asked."""

    def __getitem__(self, name: Any) -> _Field:
        return _Field(name)


class _Field:
    """Stands for the value of a field; anything done with it fails."""

    def __init__(self, name: Any) -> None:
        self.name = name


def field_names(function: Callable[[Any], Any]) -> tuple[str, ...]:
    """The fields a key consists of, found by calling the function with a stand-in record.

    Nothing when the key is more than fields: computed, or not of a dict.

    >>> field_names(lambda flight: (flight["carrier"], flight["origin"]))
    ('carrier', 'origin')
    >>> field_names(lambda number: number % 2)
    ()
    """
    try:
        key = function(_Probe())
    except Exception:  # noqa: BLE001 - a function of more than fields; it says so when it runs
        return ()
    parts = key if isinstance(key, tuple) else (key,)
    names = tuple(part.name for part in parts if isinstance(part, _Field))
    if len(names) != len(parts) or len(set(names)) != len(names):
        return ()
    return names if all(isinstance(name, str) for name in names) else ()


class KeySelector:
    """Gives each record its key's text, and keeps the records of one subtask."""

    def __init__(self, function: Callable[[Any], Any], index: int, parallelism: int) -> None:
        self._function = function
        self._index = index
        self._parallelism = parallelism
        self._cache: dict[Any, str] = {}

    def select(self, records: Sequence[Any]) -> list[tuple[str, Any]]:
        """The subtask's own records in order, each with the text of its key."""
        own = []
        function, known = self._function, self._cache
        with calling("key_by", function):
            for record in records:
                key = function(record)
                try:
                    text = known.get(key)
                except TypeError:  # a key that cannot be hashed, such as a dict
                    text = None
                if text is None:
                    text = self._look_up(key)
                if text:
                    own.append((text, record))
        return own

    def _look_up(self, key: Any) -> str:
        """The key's text, or ``_ELSEWHERE`` when it belongs to another subtask."""
        text = key_text(key)
        if subtask_of(text, self._parallelism) != self._index:
            text = _ELSEWHERE
        # Only texts: 1, 1.0 and True are one key of a dict, but three of JSON.
        parts = key if type(key) is tuple else (key,)
        if all(type(part) is str for part in parts):
            if len(self._cache) >= _LARGEST_CACHE:
                self._cache.clear()
            self._cache[key] = text
        return text
