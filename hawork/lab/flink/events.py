"""The events of real Flink processes, written by the lab in their names.

Flink writes no events of hawork's. What the lab hears of its processes, from leader retrieval,
over REST and from their logs, goes into one file of the same format, so that timeline, panels and
frames know no difference.
"""

from __future__ import annotations

import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.events import Event, EventKind

FILE = "flink.jsonl"


class WrittenEvents(ABC):
    """Events of any process, told by one that looks at it; safe to call anywhere."""

    def __init__(self, monotonic: Callable[[], float] = SYSTEM_CLOCK.monotonic) -> None:
        self._monotonic = monotonic
        # Flink's logs and REST know the wall clock only. One difference for the whole run:
        # a clock that is set meanwhile must not change the order of what happened before.
        self._wall_minus_monotonic = time.time() - monotonic()

    def write(
        self,
        kind: EventKind,
        process: str,
        *,
        wall: float | None = None,
        session_id: str | None = None,
        job_id: str | None = None,
        step: str | None = None,
        **facts: Any,
    ) -> None:
        """One event; ``wall`` is when it happened, in seconds since 1970 (default: now)."""
        monotonic = self._monotonic() if wall is None else wall - self._wall_minus_monotonic
        event = Event(
            kind=kind,
            process=process,
            wall=time.time() if wall is None else wall,
            monotonic=monotonic,
            session_id=session_id,
            job_id=job_id,
            step=step,
            facts=facts,
        )
        self.append(event)

    @abstractmethod
    def append(self, event: Event) -> None:
        """Keep an event as it is."""

    @abstractmethod
    def close(self) -> None:
        """Nothing is kept any more; repeatable."""


class FlinkEvents(WrittenEvents):
    """Appends them to ``flink.jsonl`` in ``directory``."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._file = (directory / FILE).open("ab", buffering=0)

    def append(self, event: Event) -> None:
        line = json.dumps(event.to_json(), default=str).encode() + b"\n"
        with self._lock:
            if not self._file.closed:
                self._file.write(line)

    def close(self) -> None:
        with self._lock:
            self._file.close()
