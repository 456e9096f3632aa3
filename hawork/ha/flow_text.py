"""A list of a configuration as one line of YAML, which is what Flink 1.20 keeps of it.

Source: ``YamlParserUtils.toYAMLString``, by snakeyaml-engine: a word stands without quotes where it
can and is read back as text, else in single quotes, and with a line break or what cannot be
printed in double ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

_INDENT = 2
_WIDTH = 80  # beyond it the value of a complex key comes on a line of its own
_LONGEST_KEY = 122
"""Characters: a longer key, an empty one, or one that is not a word, stands behind ``?``."""
_NOT_FIRST = "#,[]{}&*!|>'\"%@`?:"
_NOT_WITHIN = ",?[]{}:"
_ESCAPES = {
    "\0": "0", "\a": "a", "\b": "b", "\t": "t", "\n": "n", "\v": "v", "\f": "f", "\r": "r",
    "\x1b": "e", '"': '"', "\\": "\\", "\x85": "N", "\xa0": "_", "\u2028": "L", "\u2029": "P",
}  # fmt: skip
_UNPRINTABLE = re.compile("[^ -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPED = re.compile('["\\\\\xa0]|' + _UNPRINTABLE.pattern)


class Pairs(list[tuple[Any, Any]]):
    """A mapping within a list, where a key may be anything."""


def flow_text(value: Any, is_text: Callable[[str], bool], plain: Callable[[Any], str]) -> str:
    """``is_text`` says whether a word without quotes is read as text, ``plain`` writes what is
    neither text, list nor ``Pairs``.

    >>> flow_text(["a b", "1", "x: y"], lambda word: word != "1", str)
    "[a b, '1', 'x: y']"
    """
    return _Line(is_text, plain).wrote(value)


class _Line:
    def __init__(self, is_text: Callable[[str], bool], plain: Callable[[Any], str]) -> None:
        self._is_text, self._plain = is_text, plain
        self._text = ""

    def wrote(self, value: Any) -> str:
        self._write(value, 0)
        return self._text

    def _write(self, value: Any, depth: int) -> None:
        if isinstance(value, Pairs):
            self._text += "{"
            for index, (key, item) in enumerate(value):
                self._text += ", " if index else ""
                self._pair(key, item, depth + 1)
            self._text += "}"
        elif isinstance(value, list):
            self._text += "["
            for index, item in enumerate(value):
                self._text += ", " if index else ""
                self._write(item, depth + 1)
            self._text += "]"
        else:
            self._text += self._word(value)

    def _pair(self, key: Any, item: Any, depth: int) -> None:
        if _is_simple(key):
            self._write(key, depth)
            self._text += ": "
        else:
            self._text += "? "
            self._write(key, depth)
            column = len(self._text) - 1 - self._text.rfind("\n")
            self._text += "\n" + " " * (_INDENT * depth) if column > _WIDTH else " "
            self._text += ": "
        self._write(item, depth)

    def _word(self, value: Any) -> str:
        if not isinstance(value, str):
            return "null" if value is None else self._plain(value)
        if _UNPRINTABLE.search(value):
            return '"' + _ESCAPED.sub(_escape, value) + '"'
        if _is_plain(value) and self._is_text(value):
            return value
        return "'" + value.replace("'", "''") + "'"


def _is_simple(key: Any) -> bool:
    if isinstance(key, list):
        return not key
    return not isinstance(key, str) or (0 < len(key) <= _LONGEST_KEY and "\n" not in key)


def _is_plain(word: str) -> bool:
    """Whether it can stand without quotes between brackets."""
    if not word or word != word.strip(" ") or word[0] in _NOT_FIRST:
        return False
    if word.startswith(("---", "...", "- ")) or word == "-":
        return False
    return not any(c in _NOT_WITHIN for c in word) and " #" not in word


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    if character in _ESCAPES:
        return f"\\{_ESCAPES[character]}"
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
