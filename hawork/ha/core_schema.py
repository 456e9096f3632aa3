"""YAML with the core schema of version 1.2, as Flink 1.20's parser (snakeyaml-engine) reads it.

PyYAML scans the text; what a word without quotes means is decided here: ``yes`` is a text, ``0123``
a number, and ``1.20`` is the number 1.2. Differs from Flink where ``tests/unit/flink_values.tsv``
says so.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from hawork.ha.flow_text import Pairs, flow_text

_TAG = "tag:yaml.org,2002:"
_DEEPEST = 50
"""Flink's limit, too: of nesting, which also ends an alias that holds itself."""
_MOST_VALUES = 100_000
"""A file of aliases of aliases could otherwise stand for any number of values."""


_BLANKS = "\0 \t\r\n\x85\u2028\u2029"
_INDICATORS = "-?:,[]{}#&*!|>'\"%@`"


class _Loader(yaml.BaseLoader):
    """PyYAML's scanner with the words of YAML 1.2, and with tabs between words.

    Between brackets, too, a word may hold a question mark, as an address does; and an anchor may
    have any letters.
    """

    def check_key(self) -> bool:
        return self.peek(1) in _BLANKS

    def check_plain(self) -> bool:
        first, second = self.peek(), self.peek(1)
        if first not in _BLANKS + _INDICATORS:
            return True
        if self.flow_level:
            return first in "-?" and second not in _BLANKS + ",]"
        return first in "-?:" and second not in _BLANKS

    def scan_plain(self) -> yaml.ScalarToken:
        start = end = self.get_mark()
        indent = self.indent + 1
        ends, ends_key = (",[]{}", ",[]{}") if self.flow_level else ("", "")
        words: list[str] = []
        spaces: list[str] | None = []
        while self.peek() != "#":
            length = 0
            while (c := self.peek(length)) not in _BLANKS + ends and not (
                c == ":" and self.peek(length + 1) in _BLANKS + ends_key
            ):
                length += 1
            if not length:
                break
            self.allow_simple_key = False
            words += [*(spaces or ()), self.prefix(length)]
            self.forward(length)
            end = self.get_mark()
            spaces = self.scan_plain_spaces(indent, start)
            if not spaces or (not self.flow_level and self.column < indent):
                break
        return yaml.ScalarToken("".join(words), True, start, end)

    def scan_anchor(self, kind: Any) -> Any:
        start = self.get_mark()
        self.forward()
        length = 0
        while self.peek(length) not in _BLANKS + ",[]{}/.*&":
            length += 1
        name = self.prefix(length)
        self.forward(length)
        if not name or self.peek() not in _BLANKS + "?:,]}%@`":
            raise yaml.scanner.ScannerError(
                "while scanning an anchor or an alias", start, "a letter does not fit",
                self.get_mark(),
            )  # fmt: skip
        return kind(name, start, self.get_mark())

    def scan_plain_spaces(self, indent: int, start_mark: Any) -> list[str] | None:
        """What separates two words of a text without quotes, or ends it."""
        length = 0
        while self.peek(length) in " \t":
            length += 1
        blanks = self.prefix(length)
        if "\t" not in blanks:
            return super().scan_plain_spaces(indent, start_mark)
        self.forward(length)
        if self.peek() in "\r\n":
            return super().scan_plain_spaces(indent, start_mark)
        return [blanks]

    def compose_node(self, parent: Any, index: Any) -> Any:
        """An anchor that is given again stands for the later node from there on."""
        if not self.check_event(yaml.AliasEvent):
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]
            self.anchors.pop(event.anchor, None)
            if isinstance(event, yaml.ScalarEvent) and event.tag == "!":
                event.tag = f"{_TAG}str"  # what would be a number is a text by that
        return super().compose_node(parent, index)


_NOT_TEXT: list[re.Pattern[str]] = []

for _kind, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
):
    _NOT_TEXT.append(re.compile(rf"(?:{_pattern})\Z"))
    _Loader.add_implicit_resolver(_TAG + _kind, _NOT_TEXT[-1], _first)


def _is_text(word: str) -> bool:
    """Whether a word without quotes is neither a number, a boolean nor null."""
    return not any(pattern.match(word) for pattern in _NOT_TEXT)


def load(text: str) -> Any:
    """The value of one document: mappings, lists, texts, numbers, booleans and None.

    ``ValueError`` says in one line what is wrong, without the values of the text.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"it is not valid YAML: {reason_of(error)}") from None
    return None if node is None else _Reading().value(node, "", 0)


def reason_of(error: Exception) -> str:
    """What a YAML parser did not take and where, in one line, without the values of the text.

    PyYAML's own words quote the line, and the names of aliases and tags, which a secret with a
    ``*``, ``&`` or ``!`` before it is taken for.
    """
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if not isinstance(error, yaml.MarkedYAMLError):
        return _unquoted(" ".join(str(error).split()))  # a character, and its position
    mark = error.problem_mark or error.context_mark
    where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    reason = ", ".join(filter(None, (error.context, error.problem)))
    return _unquoted(reason) + where


def _unquoted(text: str) -> str:
    """Without what is quoted, but for single characters and PyYAML's names for tokens."""
    return _QUOTED.sub(lambda found: found[0] if _HARMLESS.fullmatch(found[0]) else "...", text)


_SURROGATE = re.compile("[\ud800-\udfff]")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_HARMLESS = re.compile(r".(?:.|\\.|<[a-z ]+>).")


def text_of(value: Any) -> str:
    """A value as Flink's configuration keeps it as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return _as_java(value)
    if isinstance(value, list):
        return flow_text(value, _is_text, text_of)
    return str(value)


class _Reading:
    """One pass over the nodes of a document; paths are for messages only."""

    def __init__(self) -> None:
        self._left = _MOST_VALUES

    def value(self, node: Any, path: str, depth: int, listed: bool = False) -> Any:
        """``listed``: it is a part of a list."""
        self._left -= 1
        if depth > _DEEPEST or self._left < 0:
            raise ValueError(f"{path or 'it'} is nested too deeply, or an alias holds itself")
        if isinstance(node, yaml.MappingNode):
            if node.tag != f"{_TAG}map":
                raise _unknown_tag(node, path)
            return (self._pairs if listed else self._mapping)(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            if node.tag != f"{_TAG}seq":
                raise _unknown_tag(node, path)
            return [self.value(item, path, depth + 1, True) for item in node.value]
        return _scalar(node, path)

    def _pairs(self, node: Any, path: str, depth: int) -> Pairs:
        found, keys = Pairs(), set[str]()
        for key_node, value_node in node.value:
            key = self.value(key_node, path, depth + 1, True)
            shown = text_of([key])
            if shown in keys:
                raise ValueError(f"a key within {path} is given twice: keep one of them")
            keys.add(shown)
            found.append((key, self.value(value_node, path, depth + 1, True)))
        return found

    def _mapping(self, node: Any, path: str, depth: int) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for key_node, value_node in node.value:
            where = path or "the top"
            key = _scalar(key_node, path) if isinstance(key_node, yaml.ScalarNode) else key_node
            if key is None:
                key = "null"
            if not isinstance(key, str):
                raise ValueError(f"a key below {where} is not text: write a name, or quote it")
            below = f"{path}.{key}" if path else key
            if key in tree:
                raise ValueError(f"option {below} is given twice: keep one of them")
            tree[key] = self.value(value_node, below, depth + 1)
        return tree


def _scalar(node: Any, path: str) -> Any:
    text = _whole(node.value, path)
    kind = node.tag.removeprefix(_TAG)
    try:
        match kind:
            case "str" | "!":
                return text
            case "null" if text in ("", "~") or text.lower() == "null":
                return None
            case "bool" if text.lower() in ("true", "false"):
                return text.lower() == "true"
            case "int":
                base = {"0o": 8, "0x": 16}.get(text[:2], 10)
                return int(text, base)
            case "float" if not text.startswith("+.i") and not text.startswith("+.I"):
                return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        pass
    raise _unknown_tag(node, path)


def _whole(text: str, path: str) -> str:
    """With the characters that JSON writes as two escapes put together."""
    if not _SURROGATE.search(text):
        return text
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise ValueError(f"{path or 'a key'} holds half a character: write both escapes") from None


def _unknown_tag(node: Any, path: str) -> ValueError:
    tag = node.tag.replace(_TAG, "!!")
    return ValueError(f"{path or 'it'} has the tag {tag}, which does not fit: remove the tag")


def _as_java(value: float) -> str:
    """A double as Java prints it, from the fewest digits that tell it from any other double.

    Java before 19 prints one digit more for a few of them.
    """
    if value != value:
        return ".nan"
    if value in (float("inf"), float("-inf")):
        return f"{'-' if value < 0 else ''}.inf"
    from decimal import Decimal  # 0.3 MB in each process, and few files have such a number

    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    written = "".join(map(str, digits))
    point = len(written) + exponent  # of the decimal point, from the first digit
    minus = "-" if sign else ""
    if value == 0:
        return f"{minus}0.0"
    if not -2 <= point <= 7:
        return f"{minus}{written[0]}.{written[1:] or '0'}E{point - 1}"
    if point <= 0:
        return f"{minus}0.{'0' * -point}{written}"
    padded = written.ljust(point, "0")
    return f"{minus}{padded[:point]}.{padded[point:] or '0'}"
