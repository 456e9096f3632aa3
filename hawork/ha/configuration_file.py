"""Reading Flink's own configuration files, as ``GlobalConfiguration`` of Flink 1.20 does.

``config.yaml`` is YAML 1.2 with nested or flat keys; the older ``flink-conf.yaml`` has lines of
``key: value``. ``tests/unit/flink_values.tsv`` compares both with Flink, value by value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hawork.core.configuration import Configuration, flatten
from hawork.core.errors import ConfigurationError
from hawork.core.options import ALL_OPTIONS, NAMESPACES, checked
from hawork.core.units import JAVA_BLANKS
from hawork.core.user_files import NOTHING_THERE, is_directory, is_there, why_not_there
from hawork.ha import core_schema

LEGACY = "flink-conf.yaml"
STANDARD = "config.yaml"
_PLAIN_KEY = re.compile(r"(?i:(?!(?:null|true|false)\Z)[a-z][a-z0-9_.-]*)")
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


def load_configuration(path: Path | str) -> Configuration:
    """The checked configuration of a file, or of a directory as Flink's ``--configDir`` takes it.

    A word without quotes has YAML 1.2's meaning: ``off`` is a text, ``0123`` the number 123. A file
    named ``flink-conf.yaml`` is read line by line, and wins over ``config.yaml`` in a directory
    that has both. ``ConfigurationError`` names file and reason when it cannot be read or
    understood.
    """
    path = in_directory(Path(path))
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"configuration file {path} cannot be read: {error.strerror or error}"
        ) from error
    legacy = path.name == LEGACY
    encoding = next((name for mark, name in _MARKS if raw.startswith(mark)), "utf-8")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"configuration file {path} is not UTF-8 text: {error}") from error
    try:
        if legacy and encoding != "utf-8":
            raise ConfigurationError(
                f"it begins with a byte order mark, which Flink reads as a part of the first key: "
                f"save it as UTF-8 without one, or as {STANDARD}"
            )
        return checked(_parse_lines(text) if legacy else _parse_yaml(text))
    except ConfigurationError as error:
        raise ConfigurationError(f"configuration file {path}: {error}") from None


def in_directory(path: Path) -> Path:
    """The configuration file of a directory, of which Flink 1.20 takes the old one first."""
    if not is_directory(path):
        return path
    for name in (LEGACY, STANDARD):
        if is_there(path / name):
            return path / name
    reason = why_not_there(path / STANDARD)
    if reason not in (None, NOTHING_THERE):
        raise ConfigurationError(f"configuration directory {path}: {reason}")
    raise ConfigurationError(
        f"directory {path} has no configuration: write {STANDARD} there, or name a file"
    )


def configuration_text(values: Mapping[str, str]) -> str:
    """Values as a flat ``config.yaml`` that ``load_configuration`` and Flink read back."""
    return "".join(
        f"{key if _PLAIN_KEY.fullmatch(key) else _quoted(key)}: {_quoted(value)}\n"
        for key, value in sorted(values.items())
    )


def _quoted(text: str) -> str:
    """A text in JSON's quotes, which are YAML's, too; other scripts stay readable."""
    return "".join(
        c if c.isprintable() else f"\\u{ord(c):04x}" for c in json.dumps(text, ensure_ascii=False)
    )


def _parse_lines(text: str) -> dict[str, str]:
    """Source: ``GlobalConfiguration.loadLegacyYAMLResource``.

    As there, the last of equal keys wins, a ``#`` begins a comment wherever it stands, and a line
    that is not a pair is passed over. Here such a line is refused if it names one of our options.
    """
    values: dict[str, str] = {}
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        content = line.partition("#")[0].strip(JAVA_BLANKS)
        key, separator, value = content.partition(": ")
        key, value = key.strip(JAVA_BLANKS), value.strip(JAVA_BLANKS)
        if separator and key and value:
            values[key] = value
        elif content.startswith(NAMESPACES) or _SEPARATORS.split(content)[0] in ALL_OPTIONS:
            raise ConfigurationError(f"line {number} is {content!r}: write 'key: value'")
    return values


_SEPARATORS = re.compile(r"\s*[:=\s]")


def _parse_yaml(text: str) -> dict[str, str]:
    try:
        tree = core_schema.load(text)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        kind = "a list" if isinstance(tree, list) else "no mapping"
        raise ConfigurationError(f"the file is {kind}: write 'key: value' lines")
    flat: dict[str, Any] = {}
    for key, value in flatten(tree).items():
        flat |= _mapping_in_text(key, value) or {key: value}
    return {key: _text(key, value) for key, value in flat.items()}


def _mapping_in_text(key: str, value: Any) -> dict[str, Any]:
    """The keys of an option that is a map and was written as YAML's mapping in quotes."""
    option = ALL_OPTIONS.get(key)
    if option is None or option.of_parts is None or not isinstance(value, str):
        return {}
    try:
        tree = core_schema.load(value)
    except ValueError:
        return {}
    return flatten(tree, f"{key}.") if isinstance(tree, dict) else {}


def _text(key: str, value: Any) -> str:
    if value is None:
        raise ConfigurationError(f"option {key} has no value: write one, or remove the key")
    if isinstance(value, list) and (key in ALL_OPTIONS or key.startswith(NAMESPACES)):
        raise ConfigurationError(f"option {key} is a list: write one text instead")
    return core_schema.text_of(value)
