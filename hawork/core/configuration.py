"""Options with Flink's names, and the configuration that holds their values.

``options.py`` lists the options; this module knows how one is read and checked.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from hawork.core.errors import ConfigurationError
from hawork.core.units import (
    JAVA_BLANKS,
    format_duration,
    parse_boolean,
    parse_duration,
    parse_integer,
    parse_map,
    parse_number,
    parse_ports,
    parse_size,
)

T = TypeVar("T")
# The default of an option: without one its value may be ``None``, and a checker knows.
F = TypeVar("F", float, None)
I = TypeVar("I", int, None)  # noqa: E741
S = TypeVar("S", str, None)


@dataclass(frozen=True, slots=True, eq=False)
class Option(Generic[T]):
    """One key: how its text is read, its default, its meaning and its older names."""

    key: str
    parse: Callable[[str], T]
    default: T
    meaning: str
    deprecated: tuple[str, ...] = ()
    show: Callable[[T], str] = str
    effective: bool = True
    """False for a key that Flink accepts and that has no effect here."""
    of_parts: Callable[[Mapping[str, str]], T] | None = None
    """How the value is made of keys below this one, for an option that may be written so."""

    def read(self, text: str) -> T:
        try:
            return self.parse(text)
        except ValueError as error:
            message = _shown(self.key, text, f"option {self.key} is {text!r}: {error}")
            raise ConfigurationError(message) from None


def duration(key: str, default: F, meaning: str, **more: Any) -> Option[float | F]:
    """An option in seconds, written as Flink writes durations."""
    show = lambda seconds: "-" if seconds is None else format_duration(seconds)  # noqa: E731
    return Option(key, parse_duration, default, meaning, show=show, **more)


def text(key: str, default: S, meaning: str, **more: Any) -> Option[str | S]:
    return Option(key, _nonempty, default, meaning, **more)


def location(key: str, meaning: str, **more: Any) -> Option[str | None]:
    """A path or URL of Flink's, without the blanks around it. Source: Flink's ``Path``."""
    return Option(key, _path, None, meaning, **more)


def integer(
    key: str, default: I, meaning: str, *, least: int = 0, most: int = 2**31 - 1, **more: Any
) -> Option[int | I]:  # fmt: skip
    def parse(value: str) -> int:
        number = parse_integer(value)
        if not least <= number <= most:
            raise ValueError(f"write a whole number from {least} to {most}")
        return number

    return Option(key, parse, default, meaning, **more)


def number(key: str, default: float, meaning: str, *, least: float = 0.0) -> Option[float]:
    def parse(value: str) -> float:
        result = parse_number(value)
        if not least <= result < float("inf"):
            raise ValueError(f"write a number of at least {least:g}")
        return result

    return Option(key, parse, default, meaning)


def boolean(key: str, default: bool, meaning: str, **more: Any) -> Option[bool]:
    show = lambda value: str(value).lower()  # noqa: E731
    return Option(key, parse_boolean, default, meaning, show=show, **more)


def size(key: str, default: int, meaning: str, **more: Any) -> Option[int]:
    return Option(key, parse_size, default, meaning, **more)


def ports(key: str, default: tuple[int, ...], meaning: str, **more: Any) -> Option[tuple[int, ...]]:
    show = lambda numbers: ",".join(map(str, numbers))  # noqa: E731
    return Option(key, parse_ports, default, meaning, show=show, **more)


def mapping(key: str, meaning: str) -> Option[dict[str, str]]:
    return Option(key, parse_map, {}, meaning, of_parts=dict)


def choice(
    key: str, default: S, meaning: str, choices: Mapping[str, str], **more: Any
) -> Option[str | S]:
    """One of several words in any case; ``choices`` maps each spelling to its meaning."""

    def parse(value: str) -> str:
        if value.lower() not in choices:
            raise ValueError(f"write one of {', '.join(dict.fromkeys(choices.values()))}")
        return choices[value.lower()]

    return Option(key, parse, default, meaning, **more)


def _nonempty(value: str) -> str:
    if not value.strip():
        raise ValueError("it is empty: write a value or leave the key out")
    return value


def _path(value: str) -> str:
    if "\0" in value:
        raise ValueError("it holds the character NUL, which no path can: remove it")
    return _nonempty(value).strip(JAVA_BLANKS)


class Configuration(Mapping[str, str]):
    """The texts of a configuration by key, as in Flink's ``config.yaml``.

    >>> from hawork.core import options
    >>> config = Configuration({"high-availability.type": "embedded"})
    >>> config.get_option(options.HA_TYPE)
    'embedded'
    """

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self._values = {key: _as_text(key, value) for key, value in (values or {}).items()}
        self._read: dict[Option[Any], Any] = {}
        """What was read already, of options whose values cannot be changed by who reads them."""

    def __getitem__(self, key: str) -> str:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        from hawork.core.redaction import Redaction

        return f"Configuration({Redaction.of(self._values).options(self._values)!r})"

    def get_option(self, option: Option[T]) -> T:
        """The option's value, under its own name first, then under a deprecated one.

        ``ConfigurationError`` names key, value and fix when the text cannot be read.
        """
        if option in self._read:
            value: T = self._read[option]
            return value
        if option.of_parts is None:
            value = self._read[option] = self._found(option)
            return value
        return self._found(option)

    def _found(self, option: Option[T]) -> T:
        for key in (option.key, *option.deprecated):
            if key in self._values:
                return option.read(self._values[key])
        if option.of_parts is not None and (parts := self._parts(option)):
            return option.of_parts(parts)
        return option.default

    def contains(self, option: Option[Any]) -> bool:
        return bool(self._parts(option)) or any(
            key in self._values for key in (option.key, *option.deprecated)
        )

    def _parts(self, option: Option[Any]) -> dict[str, str]:
        """What stands below the key of an option that may be written as several keys."""
        if option.of_parts is None:
            return {}
        prefix = f"{option.key}."
        return {
            key.removeprefix(prefix): value
            for key, value in self._values.items()
            if key.startswith(prefix)
        }

    def require(self, option: Option[T | None], why: str) -> T:
        """Like ``get_option``, but ``ConfigurationError`` when nothing is set."""
        value = self.get_option(option)
        if value is None:
            raise ConfigurationError(f"option {option.key} is not set: {why}")
        return value

    def with_values(self, values: Mapping[str, Any]) -> Configuration:
        """A copy in which ``values`` win."""
        return Configuration({**self._values, **values})

    def check(self, known: Mapping[str, Option[Any]], namespaces: tuple[str, ...]) -> None:
        """Read every known option once and refuse unknown keys in ``namespaces``.

        ``known`` holds every accepted key, the deprecated ones included. Keys outside the
        namespaces are another owner's (a Flink file has many) and are left alone.
        """
        prefixes = tuple(f"{key}." for key, option in known.items() if option.of_parts is not None)
        for key, value in self._values.items():
            option = known.get(key)
            if option is not None:
                option.read(value)
            elif key.startswith(namespaces) and not key.startswith(prefixes):
                near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
                hint = f"did you mean {near[0]}?" if near else "remove it"
                message = _shown(key, value, f"option {key} (= {value!r}) is unknown: {hint}")
                raise ConfigurationError(message)


def _as_text(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int, float)):
        return str(value)
    if isinstance(value, Mapping):
        return ",".join(f"{name}:{part}" for name, part in value.items())
    message = (
        f"option {key} is {value!r}: write text, a number, true or false, "
        f"not {type(value).__name__}"
    )
    raise ConfigurationError(_shown(key, str(value), message))


def _shown(key: str, value: str, message: str) -> str:
    """The message, without a value that must not be seen."""
    # Imported here: only an error needs it.
    from hawork.core.redaction import HIDDEN, is_sensitive

    if not is_sensitive(key):
        return message
    return message.replace(repr(value), HIDDEN).replace(value, HIDDEN) if value else message


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by dots, as in Flink 1.20's ``config.yaml``.

    Flat and nested spellings mix freely; ``ConfigurationError`` when the same key is given
    twice in both.
    """
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        key = f"{prefix}{name}"
        nested = flatten(value, f"{key}.") if isinstance(value, Mapping) else {key: value}
        for inner, leaf in nested.items():
            if inner in flat:
                raise ConfigurationError(f"option {inner} is given twice: keep one of them")
            flat[inner] = leaf
    return flat
