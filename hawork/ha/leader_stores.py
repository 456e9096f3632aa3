"""``LeaderStores``: all stores of a cluster, bound to one leadership."""

from __future__ import annotations

from collections.abc import Sequence

from hawork.core import options
from hawork.core.clock import SYSTEM_CLOCK, Clock
from hawork.core.configuration import Configuration
from hawork.core.events import EventSink
from hawork.core.steps import Steps
from hawork.core.types import JobID, LeaderSessionID
from hawork.ha.backend import Backend
from hawork.ha.blob_store import BlobStore
from hawork.ha.checkpoint_id_counter import CheckpointIDCounter
from hawork.ha.checkpoint_store import CompletedCheckpointStore
from hawork.ha.cleanup import JobCleanup
from hawork.ha.damage import SetAside
from hawork.ha.ended_jobs import EndedJobs
from hawork.ha.job_graph_store import JobGraphStore
from hawork.ha.job_result_files import JobResultFiles
from hawork.ha.job_result_store import JobResultStore
from hawork.ha.pointer_store import (
    CHECKPOINTS,
    JOB_GRAPHS,
    RESULTS,
    Namespace,
    checkpoints,
    counters,
)
from hawork.ha.read_ahead import ReadAhead, ReadsTogether
from hawork.ha.state_handle_store import StateHandleStore
from hawork.ha.state_storage import StateStorage


class LeaderStores:
    """Every write made through these stores carries ``session_id`` and is refused by the HA
    store once that leadership is gone.

    ``storage`` is the cluster's directory in storageDir.
    """

    def __init__(
        self,
        config: Configuration,
        backend: Backend,
        session_id: LeaderSessionID,
        storage: StateStorage,
        result_storage: StateStorage,
        steps: Steps,
        events: EventSink,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.session_id = session_id
        self.storage = storage
        self._backend = backend
        self._steps = steps
        self._events = events
        self._set_aside = SetAside(events, session_id)
        self._ahead = ReadAhead(backend) if isinstance(backend, ReadsTogether) else None
        job_graph_pointers = backend.pointers(JOB_GRAPHS)
        self.blobs = BlobStore(storage, session_id)
        self.job_results = JobResultStore(
            pointers=backend.pointers(RESULTS),
            files=JobResultFiles(result_storage),
            ended=EndedJobs(
                result_storage, config.get_option(options.JOB_RESULT_EXPIRATION), clock
            ),
            session_id=session_id,
            delete_on_commit=config.get_option(options.JOB_RESULT_DELETE_ON_COMMIT),
            has_job_graph=lambda job_id: job_graph_pointers.read(job_id) is not None,
            steps=steps,
            events=events,
            set_aside=self._set_aside,
        )
        self.job_graphs = JobGraphStore(
            handles=self._handles(JOB_GRAPHS),
            storage=storage,
            session_id=session_id,
            has_result=self.job_results.has_dirty,
            has_ended=self.job_results.has_entry,
            steps=steps,
            set_aside=self._set_aside,
        )
        self.cleanup = JobCleanup(
            backend, storage, session_id, self.job_graphs, self.job_results, steps, self._set_aside
        )

    def completed_checkpoints(self, job_id: JobID, retained: int) -> CompletedCheckpointStore:
        """The checkpoints of a job, of which the ``retained`` newest are kept."""
        return CompletedCheckpointStore(
            job_id=job_id,
            retained=retained,
            handles=self._handles(checkpoints(job_id)),
            storage=self.storage,
            session_id=self.session_id,
            steps=self._steps,
            events=self._events,
            set_aside=self._set_aside,
        )

    def expect_recovery(self, job_ids: Sequence[JobID]) -> None:
        """Each of these jobs will look for its checkpoints next: read them together."""
        if self._ahead is not None:
            self._ahead.expect([checkpoints(job_id) for job_id in job_ids])

    def checkpoint_id_counter(self, job_id: JobID) -> CheckpointIDCounter:
        """The counter of a job's checkpoint ids."""
        return CheckpointIDCounter(
            job_id=job_id,
            pointers=self._backend.pointers(counters(job_id)),
            checkpoint_pointers=self._backend.pointers(checkpoints(job_id)),
            session_id=self.session_id,
            events=self._events,
            set_aside=self._set_aside,
        )

    def _handles(self, namespace: Namespace) -> StateHandleStore:
        pointers = self._backend.pointers(namespace)
        if self._ahead is not None and namespace.kind == CHECKPOINTS:
            pointers = self._ahead.pointers(namespace, pointers)
        return StateHandleStore(
            namespace,
            pointers,
            self.storage,
            self.session_id,
            self._events,
        )
