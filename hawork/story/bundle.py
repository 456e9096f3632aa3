"""A run that was recorded, as a value: what ``open_bundle`` gives, of whatever form."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from hawork.core.events import Event
from hawork.core.options import HA_TYPE
from hawork.story.job_manager_log import aligned, read_logs
from hawork.story.recorded import Recorded

if TYPE_CHECKING:
    import pandas

LARGEST = 256 << 20
"""Bytes of a bundle's contents that are read; a run of hours has a tenth of it."""

_LATEST = 253_402_300_799
"""The end of the year 9999, in seconds since 1970: what Python's calendar knows."""


@dataclass(frozen=True)
class RunBundle(Recorded):
    """A recorded run: the looking part of ``LabCluster``, over a file. Made by ``open_bundle``.

    >>> run = open_bundle("friday.zip")                                    # doctest: +SKIP
    >>> run.verdict().valid, run.timeline(), run.store_rows()              # doctest: +SKIP

    ``created`` is in seconds since 1970, ``missing`` says what could not be had when the
    bundle was written, and why.
    """

    created: float
    version: str
    cluster: str
    missing: Mapping[str, str]
    options: Mapping[str, str]
    _events: tuple[Event, ...]
    _storage: tuple[Mapping[str, Any], ...]
    _store: tuple[Mapping[str, Any], ...]

    def event_list(self) -> list[Event]:
        """Every event of every process, in the order in which they happened."""
        return list(self._events)

    def storage_tree(self) -> pandas.DataFrame:
        """Every file below storageDir when the bundle was written."""
        return _frame(self._storage)

    def store_rows(self) -> pandas.DataFrame:
        """Every row of the HA store when the bundle was written."""
        return _frame(self._store)

    def with_logs(self, paths: Iterable[Path | str]) -> Self:
        """The same run with logs of its JobManagers beside the events.

        >>> open_bundle("friday.zip").with_logs(["jm-1.log"]).timeline()       # doctest: +SKIP

        A log may be packed. ``LabError`` for one that is not there, ``ConfigurationError`` for one
        of which nothing can be read.
        """
        events = [*self._events, *aligned(read_logs(paths), self._events)]
        events.sort(key=lambda event: event.monotonic)
        return replace(self, _events=tuple(events))

    @property
    def ha(self) -> str:
        """The type of the HA store, in lower case; empty when the options do not tell it."""
        return self.options.get(HA_TYPE.key, "").lower()

    def __repr__(self) -> str:
        moment = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.created))
        return f"RunBundle({self.cluster}, {moment}, {len(self._events)} events)"


def seconds_of(value: Any) -> float | None:
    """A number of seconds that a clock may show; ``None`` for anything else.

    >>> seconds_of(7), seconds_of(float("nan")), seconds_of(10**400), seconds_of("7")
    (7.0, None, None, None)
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= _LATEST:
        return float(value)
    return None


def event_of(data: Any) -> Event:
    """An event of the right shape; ``TypeError`` otherwise."""
    event = Event.from_json(data)
    texts = (event.session_id, event.job_id, event.step)
    if not (
        isinstance(event.process, str)
        and all(seconds_of(each) is not None for each in (event.wall, event.monotonic))
        and all(each is None or isinstance(each, str) for each in texts)
        and isinstance(event.facts, dict)
    ):
        raise TypeError(f"{str(data)[:80]!r} is not an event")
    return event


def _frame(rows: Sequence[Mapping[str, Any]]) -> pandas.DataFrame:
    import pandas

    return pandas.DataFrame([dict(row) for row in rows])
