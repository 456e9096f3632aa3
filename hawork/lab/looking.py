"""What ``LabCluster`` shows of itself: events, timeline, storageDir, store."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hawork.core.configuration import Configuration
from hawork.core.errors import LabError
from hawork.core.events import Event, EventKind
from hawork.lab.event_reader import kind_of
from hawork.lab.snapshot import ClusterSnapshot, take_snapshot
from hawork.lab.timeline import Timeline
from hawork.lab.waiting import Waiting

if TYPE_CHECKING:
    import pandas

    from hawork.lab.event_reader import EventReader
    from hawork.lab.leadership import Leadership
    from hawork.lab.processes import LabProcesses
    from hawork.lab.run_directory import RunDirectory
    from hawork.lab.stores import LabStore


class Looking:
    """The part of ``LabCluster`` that only looks; most of it works after ``close``, too."""

    config: Configuration
    _run: RunDirectory
    _store: LabStore
    _reader: EventReader
    _leadership: Leadership
    _processes: LabProcesses | None
    _closed_at: float | None

    def event_list(self) -> list[Event]:
        """Every event of every process so far, in the order in which they happened.

        >>> [event.kind.value for event in lab.event_list()][:2]           # doctest: +SKIP
        ['process.started', 'process.started']
        """
        return self._reader.events()

    def wait_for_event(
        self,
        kind: EventKind | str,
        process: str | None = None,
        after: Event | None = None,
        timeout: float = 30.0,
    ) -> Waiting[Event]:
        """Wait for the first event of a kind: of one process or any, after another or ever.

        >>> woken = lab.resume("jm-1")                                     # doctest: +SKIP
        >>> await lab.wait_for_event("leadership.revoked", "jm-1", after=woken)  # doctest: +SKIP
        """
        what = f"event {kind}" + (f" of {process}" if process else "")
        first = partial(self._reader.first, kind_of(kind), process, after)

        def look() -> Event | None:
            found = first()
            if found is None:
                self._started()
            return found

        return Waiting(what, look, timeout=timeout)

    def events(self) -> pandas.DataFrame:
        """The same as a frame: seconds since the start, process, kind, step, facts.

        >>> lab.events().query("kind == 'leadership.granted'")             # doctest: +SKIP
        """
        from hawork.lab.frames import events_frame

        return events_frame(self._reader.events())

    def timeline(self) -> Timeline:
        """Who led when, what was done to whom, what became of the jobs; draws itself.

        >>> lab.timeline().takeovers[-1].seconds                           # doctest: +SKIP
        0.031
        """
        return Timeline.of(self._reader.events(), self._closed_at)

    def storage_tree(self) -> pandas.DataFrame:
        """Every file below storageDir right now: what it is, its size, what it says.

        >>> lab.storage_tree()[["path", "what", "bytes"]]                  # doctest: +SKIP
        """
        from hawork.lab.store_view import storage_tree

        return storage_tree(self._storage())

    def store_rows(self) -> pandas.DataFrame:
        """Every row of the HA store right now: table, name, version, value as text.

        >>> lab.store_rows().query("table == 'lease'")                     # doctest: +SKIP
        """
        from hawork.lab.store_view import store_rows

        if self._store.own:
            self._check_store()
        else:
            self._storage()
        states = self._processes.states().values() if self._processes else ()
        pids = {str(state.pid): state.name for state in states}
        return store_rows(self.config, {**pids, **self._owners()})

    def job_results(self) -> pandas.DataFrame:
        """What the JobResultStore says now, dirty or clean.

        >>> lab.job_results()[["job_id", "state"]]                         # doctest: +SKIP
        """
        from hawork.lab.store_view import job_results

        self._storage()
        return job_results(self.config)

    def snapshot(self) -> ClusterSnapshot:
        """The cluster at this moment, as one frozen value.

        >>> lab.snapshot().leader                                          # doctest: +SKIP
        'jm-1'
        """
        return take_snapshot(cast("Any", self), self._leadership.name())

    def _storage(self) -> Path:
        """storageDir; ``LabError`` when it went with the lab."""
        if not self._run.path.exists():
            raise LabError(
                "the lab's directory is gone, a temporary one goes with close(): look before, or "
                "keep it with LabCluster(directory=...)"
            )
        return self._run.storage

    def _check_store(self) -> None:
        if self._closed_at is not None:
            raise LabError(
                "this lab is closed, and its HA store ended with it: look before close()"
            )
        self._started()

    def _known_options(self) -> Configuration:
        return self.config

    def _started(self) -> LabProcesses:
        raise NotImplementedError

    def _owners(self) -> dict[str, str]:
        raise NotImplementedError
