"""The builder with which a job is written: source, functions, sink."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

from hawork.core.errors import ConfigurationError
from hawork.job.keys import field_names
from hawork.job.operators import (
    EMIT,
    Aggregate,
    Filter,
    FlatMap,
    Function,
    KeyBy,
    Map,
    Operator,
    Process,
    ProcessFunction,
)
from hawork.job.sinks import Sink
from hawork.job.sources import Source


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A parallel pipeline. Immutable: each call returns a longer one, nothing is executed.

    A wrong call raises ``ConfigurationError`` at once, in one sentence. Functions are
    called with one record at a time, and must not depend on anything but it.

    >>> from hawork.job import FileSink, Pipeline, SequenceSource
    >>> squares = (
    ...     Pipeline("squares")
    ...     .source(SequenceSource(end=10))
    ...     .map(lambda number: {"number": number, "square": number * number})
    ...     .sink(FileSink("/tmp/squares"))
    ... )
    >>> squares.complete().name
    'squares'
    """

    name: str
    input: Source | None = None
    operators: tuple[Operator, ...] = ()
    output: Sink | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise ConfigurationError(
                f"pipeline name {self.name!r} is not a name: write a short text"
            )

    def source(self, source: Source) -> Pipeline:
        """Read records from ``source``; the first call of every pipeline."""
        if self.input is not None:
            raise self._wrong("has a second source: a pipeline reads exactly one")
        if not callable(getattr(source, "open", None)):
            raise self._wrong(f"has {source!r} as its source: write a source such as CsvSource")
        return replace(self, input=source)

    def map(self, function: Function) -> Pipeline:
        """Each record becomes ``function(record)``."""
        return self._with(Map(self._callable("map", function)))

    def filter(self, function: Function) -> Pipeline:
        """Only records for which ``function(record)`` is true stay."""
        return self._with(Filter(self._callable("filter", function)))

    def flat_map(self, function: Function) -> Pipeline:
        """Each record becomes the records of the iterable ``function(record)``."""
        return self._with(FlatMap(self._callable("flat_map", function)))

    def key_by(self, *key: Function | str) -> Pipeline:
        """Give each record a key, and each key to one subtask.

        ``key`` is a function that returns JSON (a text, a number, a tuple of them, a dict),
        or the names of the record's fields. In output rows fields keep their names, also
        when the function does nothing but put fields into a tuple; the parts of any other
        tuple are called ``key_0``, ``key_1``, ..., another value ``key``.
        """
        if any(isinstance(step, KeyBy) for step in self.operators):
            raise self._wrong("has a second key_by: there is no shuffle, so only one is possible")
        if len(key) == 1 and callable(key[0]):
            return self._with(KeyBy(key[0], field_names(key[0])))
        if not key or not all(isinstance(name, str) for name in key):
            raise self._wrong("has a key_by without key: write one function, or names of fields")
        names = cast(tuple[str, ...], key)
        return self._with(KeyBy(operator.itemgetter(*names), names))

    def aggregate(self, *, emit: str = "final", **sums: int | float | Function) -> Pipeline:
        """Sum numbers per key; directly after ``key_by``.

        Each keyword names a column: ``count=1`` adds one per record, a function adds what
        it returns. Whole numbers stay whole and exact; floats are added in the order of the
        input, so a run with crashes gives the bits of a run without. ``emit`` is ``final``
        (rows when the input ends) or ``checkpoint`` (changed keys at each checkpoint).
        """
        self._follows_key_by("aggregate")
        if emit not in EMIT:
            raise self._wrong(f"aggregates with emit={emit!r}: write one of {', '.join(EMIT)}")
        if not sums:
            raise self._wrong("aggregates nothing: name a sum, such as aggregate(count=1)")
        for name, what in sums.items():
            if not callable(what) and (isinstance(what, bool) or not isinstance(what, int | float)):
                raise self._wrong(f"aggregates {name}={what!r}: write a number or a function")
        if emit == "final" and not getattr(self.input, "bounded", True):
            raise self._wrong(
                f"aggregates with emit='final' and {self.input!r} never ends: "
                "write emit='checkpoint'"
            )
        return self._with(Aggregate(sums, emit))

    def process(self, function: ProcessFunction) -> Pipeline:
        """Call ``function(record, state)``; directly after ``key_by``.

        ``state`` is the key's own dict, kept in checkpoints: texts, numbers, lists and
        dicts with text keys; a dict that is empty afterwards is forgotten. The function
        returns an iterable of records (it may be a generator), or ``None`` for none.
        """
        self._follows_key_by("process")
        return self._with(Process(cast(ProcessFunction, self._callable("process", function))))

    def sink(self, sink: Sink) -> Pipeline:
        """Write what comes out; the last call of every pipeline."""
        if not callable(getattr(sink, "open", None)):
            raise self._wrong(f"has {sink!r} as its sink: write a sink such as FileSink")
        if self.input is None:
            raise self._wrong("has no source: begin with .source(...)")
        if self.output is not None:
            raise self._wrong("has a second sink: a pipeline writes exactly one")
        return replace(self, output=sink)

    def complete(self) -> Pipeline:
        """The pipeline itself; ``ConfigurationError`` unless it has a source and a sink."""
        if self.input is None:
            raise self._wrong("has no source: begin with .source(...)")
        if self.output is None:
            raise self._wrong("has no sink: end with .sink(...)")
        return self

    def _with(self, step: Operator) -> Pipeline:
        if self.input is None:
            raise self._wrong("has no source: begin with .source(...)")
        if self.output is not None:
            raise self._wrong("goes on behind its sink: .sink(...) is the last call")
        return replace(self, operators=(*self.operators, step))

    def _callable(self, role: str, function: object) -> Callable[..., Any]:
        if not callable(function):
            raise self._wrong(f"has {role}({function!r}): write a function")
        return function

    def _follows_key_by(self, role: str) -> None:
        if not self.operators or not isinstance(self.operators[-1], KeyBy):
            raise self._wrong(f"has {role} without key_by directly before it: add .key_by(...)")

    def _wrong(self, what: str) -> ConfigurationError:
        return ConfigurationError(f"pipeline {self.name!r} {what}")
