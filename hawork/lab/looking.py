"""What ``LabCluster`` shows of itself: events, timeline, storageDir, store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hawork.core.configuration import Configuration
from hawork.core.errors import LabError
from hawork.story.recorded import Recorded

if TYPE_CHECKING:
    import pandas

    from hawork.lab.leadership import Leadership
    from hawork.lab.processes import LabProcesses
    from hawork.lab.run_directory import RunDirectory
    from hawork.lab.stores.store import LabStore


class Looking(Recorded):
    """The part of ``LabCluster`` that only looks; most of it works after ``close``, too."""

    config: Configuration
    _run: RunDirectory
    _store: LabStore
    _leadership: Leadership
    _processes: LabProcesses | None

    def storage_tree(self) -> pandas.DataFrame:
        """Every file below storageDir right now: what it is, its size, what it says.

        >>> lab.storage_tree()[["path", "what", "bytes"]]                  # doctest: +SKIP
        """
        from hawork.inspect.store import storage_tree

        return storage_tree(self._storage())

    def store_rows(self) -> pandas.DataFrame:
        """Every row of the HA store right now: table, name, version, value as text.

        >>> lab.store_rows().query("table == 'lease'")                     # doctest: +SKIP
        """
        from hawork.inspect.store import store_rows

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
        from hawork.inspect.store import job_results

        self._storage()
        return job_results(self.config)

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

    def _check_events_come(self) -> None:
        self._started()

    def _started(self) -> LabProcesses:
        raise NotImplementedError

    def _owners(self) -> dict[str, str]:
        raise NotImplementedError
