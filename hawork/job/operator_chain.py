"""Carries out a pipeline's operators for one subtask, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from hawork.core.errors import JobExecutionError
from hawork.job.keys import KeySelector, key_fields
from hawork.job.operators import (
    Aggregate,
    Filter,
    FlatMap,
    KeyBy,
    Map,
    Operator,
    Process,
    ProcessFunction,
)
from hawork.job.state import KeyedState, check_state
from hawork.job.user_code import calling, name_of

Records = list[Any]


class OperatorChain:
    """The operators between source and sink of one of ``parallelism`` subtasks.

    ``state`` is the keyed state of a snapshot to go on from. Without a ``key_by`` the
    record with number ``i`` belongs to subtask ``i % parallelism``; with one, a record
    belongs to the subtask of its key. ``records`` counts those that belonged to this one.
    """

    def __init__(
        self,
        operators: Sequence[Operator],
        index: int,
        parallelism: int,
        state: KeyedState | None = None,
        records: int = 0,
    ) -> None:
        self.records = records
        self._index = index
        self._parallelism = parallelism
        self._selector: KeySelector | None = None
        self._keyed: _KeyedStage | None = None
        self._before: list[Callable[[Records], Records]] = []
        self._after: list[Callable[[Records], Records]] = []
        names: tuple[str, ...] = ()
        for operator in operators:
            if isinstance(operator, KeyBy):
                self._selector = KeySelector(operator.function, index, parallelism)
                names = operator.names
            elif isinstance(operator, Aggregate):
                self._keyed = _Sums(operator, names, state)
            elif isinstance(operator, Process):
                self._keyed = _StatefulFunction(operator.function, state)
            else:
                stages = self._before if self._selector is None else self._after
                stages.append(_stateless(operator))

    def push(self, records: Sequence[Any], first: int) -> Records:
        """What comes out for the next records of the source; ``first`` is the first's number."""
        if self._selector is None:
            own = list(records[(self._index - first) % self._parallelism :: self._parallelism])
            self.records += len(own)
            return self._run(self._before, own)
        keyed = self._selector.select(self._run(self._before, list(records)))
        self.records += len(keyed)
        if self._keyed is not None:
            return self._run(self._after, self._keyed.push(keyed))
        return self._run(self._after, [record for _, record in keyed])

    def end_of_input(self) -> Records:
        """What comes out because the input has ended. To be called once."""
        return self._run(self._after, self._keyed.end_of_input()) if self._keyed else []

    def before_snapshot(self) -> Records:
        """What comes out because a snapshot is about to be taken."""
        return self._run(self._after, self._keyed.before_snapshot()) if self._keyed else []

    @property
    def state(self) -> KeyedState | None:
        """The live keyed state; ``None`` when the pipeline has none."""
        return self._keyed.state if self._keyed else None

    @staticmethod
    def _run(stages: list[Callable[[Records], Records]], records: Records) -> Records:
        for stage in stages:
            if not records:
                break
            records = stage(records)
        return records


def _stateless(operator: Map | Filter | FlatMap) -> Callable[[Records], Records]:
    # Comprehensions, not map() and filter(): those would take a StopIteration that a user's
    # function raises for the end of the batch, and lose records.
    function = operator.function

    def map_(records: Records) -> Records:
        with calling("map", function):
            return [function(record) for record in records]

    def filter_(records: Records) -> Records:
        with calling("filter", function):
            return [record for record in records if function(record)]

    def flat_map(records: Records) -> Records:
        with calling("flat_map", function):
            out: Records = []
            for record in records:
                out += _several("flat_map", function, function(record))
            return out

    if isinstance(operator, Map):
        return map_
    return filter_ if isinstance(operator, Filter) else flat_map


def _several(role: str, function: object, result: Any) -> Iterable[Any]:
    """The records of a result; a dict or a text is one record, surely meant as such."""
    if isinstance(result, dict | str | bytes) or not isinstance(result, Iterable):
        raise JobExecutionError(
            f"{role} {name_of(function)} returned {result!r:.80}: return a list of records, "
            "or make it a generator"
        )
    return result


class _KeyedStage(Protocol):
    state: KeyedState

    def push(self, keyed: Sequence[tuple[str, Any]]) -> Records: ...

    def end_of_input(self) -> Records: ...

    def before_snapshot(self) -> Records: ...


class _Sums:
    """``Aggregate``: per key a number for each name."""

    def __init__(
        self, aggregate: Aggregate, names: tuple[str, ...], state: KeyedState | None
    ) -> None:
        self.state: KeyedState = state if state is not None else {}
        self._names = names
        self._zero: dict[str, Any] = dict.fromkeys(aggregate.sums, 0)
        self._constants: list[tuple[str, Any]] = []
        self._functions: list[tuple[str, Any]] = []
        for name, what in aggregate.sums.items():
            (self._functions if callable(what) else self._constants).append((name, what))
        self._final = aggregate.emit == "final"
        self._changed: set[str] = set()

    def push(self, keyed: Sequence[tuple[str, Any]]) -> Records:
        state, constants = self.state, self._constants
        for text, _ in keyed:
            sums = state.get(text)
            if sums is None:
                sums = state[text] = self._zero.copy()
            for name, number in constants:
                sums[name] += number
        for name, function in self._functions:
            with calling(f"aggregate {name} =", function):
                for text, record in keyed:
                    state[text][name] += function(record)
        if not self._final:
            self._changed.update(text for text, _ in keyed)
        return []

    def end_of_input(self) -> Records:
        return self._rows(self.state) if self._final else []

    def before_snapshot(self) -> Records:
        rows = self._rows(self._changed)
        self._changed.clear()
        return rows

    def _rows(self, texts: Iterable[str]) -> Records:
        rows = []
        for text in sorted(texts):
            key, sums = key_fields(text, self._names), self.state[text]
            if key.keys() & sums.keys():
                both = ", ".join(sorted(key.keys() & sums.keys()))
                raise JobExecutionError(
                    f"{both} is both a part of the key and a sum: give the sum another name"
                )
            rows.append({**key, **sums})
        return rows


class _StatefulFunction:
    """``Process``: a function with the state of the record's key."""

    def __init__(self, function: ProcessFunction, state: KeyedState | None) -> None:
        self.state: KeyedState = state if state is not None else {}
        self._function = function
        self._changed: set[str] = set()

    def push(self, keyed: Sequence[tuple[str, Any]]) -> Records:
        state, function = self.state, self._function
        out: Records = []
        with calling("process", function):
            for text, record in keyed:
                own = state.setdefault(text, {})
                result = function(record, own)
                if result is not None:
                    out += _several("process", function, result)
                if not own:
                    del state[text]
        self._changed.update(text for text, _ in keyed)
        return out

    def end_of_input(self) -> Records:
        return []

    def before_snapshot(self) -> Records:
        for text in self._changed & self.state.keys():
            check_state(text, self.state[text])
        self._changed.clear()
        return []
