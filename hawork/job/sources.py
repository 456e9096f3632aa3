"""Where records come from: the contract of replayable sources, and a source of numbers.

Every subtask reads the whole input, in the same order, and keeps the records that belong to
it. So a source knows nothing of parallelism; it only has to give the same records again
from a position it has given before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from hawork.core.errors import ConfigurationError


class SourceReader(Protocol):
    """An opened source. Used by one thread."""

    def read(self, limit: int) -> Sequence[Any] | None:
        """At most ``limit`` next records, in order.

        An empty sequence means that there is nothing at the moment (it is asked again
        soon), ``None`` that the input has ended. Must not wait for records to come.
        """

    def position(self) -> Any:
        """A JSON value that stands for the place behind the records read so far."""

    def close(self) -> None:
        """Free what the reader holds."""


class Source(Protocol):
    """Replayable input; users may write their own with these three members.

    ``records_per_second`` limits how fast the job as a whole reads, ``None`` does not;
    ``bounded`` says whether the input ends.
    """

    @property
    def records_per_second(self) -> float | None: ...

    @property
    def bounded(self) -> bool: ...

    def open(self, position: Any) -> SourceReader:
        """Read from ``position`` on, exactly; ``None`` is the beginning.

        Raises ``JobExecutionError`` when the input is gone or is not the input it was.
        """


def check_rate(source: str, records_per_second: float | None) -> float | None:
    """The rate itself; ``ConfigurationError`` unless it is above zero or ``None``."""
    if records_per_second is not None and not 0 < records_per_second < float("inf"):
        raise ConfigurationError(
            f"records_per_second of {source} is {records_per_second!r}: "
            "write a number above 0, or None for no limit"
        )
    return records_per_second


class SequenceSource:
    """The whole numbers from ``start`` up to but not including ``end``; for ever without one.

    >>> reader = SequenceSource(end=5).open(None)
    >>> reader.read(3), reader.position(), reader.read(3), reader.read(3)
    ([0, 1, 2], 3, [3, 4], None)
    """

    def __init__(
        self, start: int = 0, end: int | None = None, records_per_second: float | None = None
    ) -> None:
        if end is not None and end < start:
            raise ConfigurationError(
                f"SequenceSource ends at {end}, before its start {start}: write a larger end"
            )
        self.start = start
        self.end = end
        self.records_per_second = check_rate("SequenceSource", records_per_second)

    @property
    def bounded(self) -> bool:
        return self.end is not None

    def open(self, position: Any) -> SourceReader:
        return _SequenceReader(self.start if position is None else int(position), self.end)

    def __repr__(self) -> str:
        return f"SequenceSource({self.start}, {self.end})"


class _SequenceReader:
    def __init__(self, start: int, end: int | None) -> None:
        self._next = start
        self._end = end

    def read(self, limit: int) -> list[int] | None:
        stop = self._next + limit
        if self._end is not None:
            if self._next >= self._end:
                return None
            stop = min(stop, self._end)
        records = list(range(self._next, stop))
        self._next = stop
        return records

    def position(self) -> int:
        return self._next

    def close(self) -> None:
        """Nothing is held."""
