"""What a pipeline does to its records, as values; ``operator_chain.py`` carries it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Function = Callable[[Any], Any]
ProcessFunction = Callable[[Any, dict[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Map:
    """Each record becomes ``function(record)``."""

    function: Function


@dataclass(frozen=True, slots=True)
class Filter:
    """A record stays when ``function(record)`` is true."""

    function: Function


@dataclass(frozen=True, slots=True)
class FlatMap:
    """Each record becomes the records of the iterable ``function(record)``."""

    function: Function


@dataclass(frozen=True, slots=True)
class KeyBy:
    """From here on a record belongs to the subtask of its key ``function(record)``.

    ``names`` are those of the key's columns in output rows, if they are known.
    """

    function: Function
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Sums per key: each of ``sums`` is a number, or a function of the record to one.

    ``emit`` is ``final`` (one row per key when the input ends) or ``checkpoint`` (at each
    snapshot a row for every key that changed since the one before).
    """

    sums: Mapping[str, int | float | Function]
    emit: str = "final"


@dataclass(frozen=True, slots=True)
class Process:
    """``function(record, state)`` with the key's own state; returns an iterable or ``None``."""

    function: ProcessFunction


Operator = Map | Filter | FlatMap | KeyBy | Aggregate | Process
StatelessOperator = Map | Filter | FlatMap
EMIT = ("final", "checkpoint")
