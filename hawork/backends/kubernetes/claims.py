"""Claims: which leadership may write the ConfigMaps of the jobs.

A write to a job's ConfigMap cannot check the lock, which is on another one. So each says in an
annotation which leadership it belongs to, and a new leader writes its session id there, into
all of them, before it is told that it leads. After that no earlier leader's write is accepted:
it was decided on an older resource version, and, decided again, finds another session id.

A claim is itself safe against a process that wakes up late: the map is read first, then the
lock is found to be ours still, then the claim is written on what was read. Only creating a map
cannot be guarded. So it is created empty and unclaimed, which gives no right to write, and
claimed like any other; and only for a job that is noted in the cluster's map, by a fenced write,
so that the next leader knows of it and creates it if the other one did not.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from hawork.backends.kubernetes.answers import ConfigMap, OutcomeUnknownError
from hawork.backends.kubernetes.client import KubernetesClient
from hawork.backends.kubernetes.guarded_map import Change, GuardedMap
from hawork.backends.kubernetes.layout import (
    CLAIMED_BY,
    MADE_BY,
    OURS,
    Names,
    job_key,
    jobs_of,
)
from hawork.backends.kubernetes.lock_record import check_leads
from hawork.core.errors import (
    HighAvailabilityError,
    LeadershipLostError,
    StoreUnavailableError,
)
from hawork.core.events import EventKind, EventSink
from hawork.core.types import JobID, LeaderSessionID

_AT_ONCE = 8
"""Claims in flight: enough for the API server to write several to disk together."""
_AFTER_TAKEOVER = (2.0, 4.0, 8.0, 16.0)
"""Seconds before each try to remove what no leader claims: a takeover needs the connections itself,
and a server that refuses once may go on for a while. What is left then is the next takeover's."""


class Claims:
    """The ConfigMaps of one cluster, as one process sees them. Thread-safe."""

    def __init__(
        self, client: KubernetesClient, names: Names, max_retries: int, events: EventSink
    ) -> None:
        self._client = client
        self._names = names
        self._max_retries = max_retries
        self._events = events
        self._lock = threading.Lock()
        self._jobs: dict[JobID, GuardedMap] = {}
        self.cluster = self._guarded(names.cluster_map, restores=True)
        self._closed = threading.Event()

    def close(self) -> None:
        """Remove nothing any more."""
        self._closed.set()

    def job(self, job_id: JobID) -> GuardedMap:
        """The ConfigMap of a job; nothing is created."""
        with self._lock:
            if job_id not in self._jobs:
                self._jobs[job_id] = self._guarded(self._names.job_map(job_id))
            return self._jobs[job_id]

    def claim_all(self, session_id: LeaderSessionID) -> Mapping[JobID, ConfigMap] | None:
        """Claim what there is, before the leadership is granted; what was listed for that.

        ``LeadershipLostError`` when another process leads by now; may be repeated.
        """
        before = self.cluster.known or self.cluster.read()
        noted = set() if before is None else set(jobs_of(before.data))
        if not noted:
            with self._lock:
                self._jobs.clear()
            return None
        listed = self._list()
        found = dict.fromkeys(noted) | {
            job_id: found
            for job_id, found in listed.items()
            if job_id in noted or CLAIMED_BY in found.annotations
        }
        # After the list and before the claims: see the top of this file.
        check_leads(self.cluster.read(), session_id, "claiming the jobs' ConfigMaps")
        with self._lock:
            self._jobs.clear()

        def claim(job_id: JobID) -> None:
            job = self.job(job_id)
            present = found[job_id]
            if present is not None:
                job.saw(present)
            self._claim(job, session_id, verified=present)

        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="kubernetes-claim") as pool:
            for _ in pool.map(claim, found):
                pass
        return listed

    def remove_unclaimed(self, listed: Mapping[JobID, ConfigMap] | None) -> bool:
        """Remove what leaders made and came too late to claim, of ``listed`` or of all there is.

        Nothing that changed since it was listed; and of a job that is noted after that the map may
        be about to be claimed. Whether the server refused none of it.
        """
        listed = self._list() if listed is None else listed
        alone = {job_id: each for job_id, each in listed.items() if is_unclaimed(each)}
        refused = False
        if alone:
            cluster = self.cluster.read()
            noted = set() if cluster is None else set(jobs_of(cluster.data))
            for job_id in alone.keys() - noted:
                try:
                    self._client.delete(alone[job_id])
                except HighAvailabilityError:  # costs none of the others
                    refused = True
        return not refused

    def begin(self, session_id: LeaderSessionID, done: Callable[[], object]) -> Future[None]:
        """``claim_all`` on a thread of its own; ``done`` is called when it has ended.

        With many jobs it takes longer than a lease lasts, which has to be renewed meanwhile. What
        no leader claims any more is removed after it.
        """
        ended: Future[None] = Future()

        def run() -> None:
            listed = None
            try:
                listed = self.claim_all(session_id)
                ended.set_result(None)
            except Exception as error:  # noqa: BLE001 - told to the caller that asks for the result
                ended.set_exception(error)
            done()
            if ended.exception() is None:
                self._remove_later(listed)

        threading.Thread(target=run, name="kubernetes-claims", daemon=True).start()
        return ended

    def _remove_later(self, listed: Mapping[JobID, ConfigMap] | None) -> None:
        for pause in _AFTER_TAKEOVER:
            if self._closed.wait(pause):
                return
            with contextlib.suppress(HighAvailabilityError):
                if self.remove_unclaimed(listed):
                    return
            listed = None

    def ensure(self, job_id: JobID, session_id: LeaderSessionID) -> None:
        """Have the job's ConfigMap, claimed by a leadership. ``LeadershipLostError``."""
        key, job = job_key(job_id), self.job(job_id)

        def note(found: ConfigMap | None) -> Change | None:
            present = check_leads(found, session_id, f"creating the ConfigMap of job {job_id}")
            if key in present.data:
                return None
            return Change(lambda after: after is not None and key in after.data, {key: ""})

        self.cluster.write(note)
        vanished = job.vanished
        # What we knew of it is all there was, if only we wrote it.
        ours = vanished is not None and is_claimed(vanished, session_id)
        self._claim(job, session_id, verified=None, last=vanished if ours else None)
        job.vanished = None

    def forget(self, job_id: JobID, session_id: LeaderSessionID) -> None:
        """Note that the job has no ConfigMap any more; after it was deleted."""
        key = job_key(job_id)

        def unnote(found: ConfigMap | None) -> Change | None:
            present = check_leads(found, session_id, f"forgetting the ConfigMap of job {job_id}")
            if key not in present.data:
                return None
            return Change(lambda after: after is None or key not in after.data, {key: None})

        self.cluster.write(unnote)
        with self._lock:
            self._jobs.pop(job_id, None)

    def check_leads(self, session_id: LeaderSessionID, what: str) -> None:
        """Ask the server whether the session id leads. ``LeadershipLostError`` if not."""
        check_leads(self.cluster.read_metadata(), session_id, what)

    def _guarded(self, name: str, *, restores: bool = False) -> GuardedMap:
        return GuardedMap(
            self._client, name, self._names.labels, self._max_retries, self._events,
            restores=restores,
        )  # fmt: skip

    def _claim(
        self,
        job: GuardedMap,
        session_id: LeaderSessionID,
        verified: ConfigMap | None,
        last: ConfigMap | None = None,
    ) -> None:
        """``verified``: read before the lock was; ``last``: our map, deleted by another process."""
        entries = {} if last is None else {k: v for k, v in last.data.items() if is_ours(k)}

        def claim(found: ConfigMap | None) -> Change | None:
            if found is None:
                return Change(
                    lambda after: after is not None, annotations={MADE_BY: str(session_id)}
                )
            if is_claimed(found, session_id):
                return None
            if found is not verified:
                self.check_leads(session_id, f"claiming ConfigMap {job.name}")
            return Change(
                lambda after: after is not None and is_claimed(after, session_id),
                {key: value for key, value in entries.items() if key not in found.data},
                {CLAIMED_BY: str(session_id), MADE_BY: None},
            )

        created: ConfigMap | None = None
        try:
            for _ in range(self._max_retries + 1):
                found = job.write(claim)
                if found is not None and is_claimed(found, session_id):
                    break
                created = found
            else:
                raise StoreUnavailableError(
                    f"ConfigMap {job.name} was deleted by others {self._max_retries + 1} times "
                    "while we claimed it: find out who deletes it"
                )
        except LeadershipLostError:
            if created is not None and is_unclaimed(created):
                # We came too late. This version of it belongs to no leader.
                with contextlib.suppress(HighAvailabilityError):
                    self._client.delete(created)
            raise
        if entries:
            self._events.emit(
                EventKind.ERROR,
                message=f"ConfigMap {job.name} was deleted by another process: it was made again "
                f"with the {len(entries)} entries it had",
            )

    def _list(self) -> Mapping[JobID, ConfigMap]:
        try:
            found, _ = self._client.list({"labelSelector": self._names.selector})
        except OutcomeUnknownError as error:
            raise StoreUnavailableError(f"the ConfigMaps cannot be listed: {error}") from None
        jobs = ((self._names.job_of(each.name), each) for each in found)
        return {job_id: each for job_id, each in jobs if job_id is not None}


def is_claimed(found: ConfigMap, session_id: LeaderSessionID) -> bool:
    return found.annotations.get(CLAIMED_BY) == str(session_id)


def is_unclaimed(found: ConfigMap) -> bool:
    """Whether it is as a leader made it, and none has claimed it."""
    return not found.data and found.annotations.keys() == {MADE_BY}


def check_claim(found: ConfigMap, session_id: LeaderSessionID, what: str) -> None:
    """The fence of a job's ConfigMap. ``LeadershipLostError``."""
    if not is_claimed(found, session_id):
        raise LeadershipLostError(
            f"{what} was refused: ConfigMap {found.name} is claimed by "
            f"{found.annotations.get(CLAIMED_BY, 'no leader')}, not by {session_id}"
        )


def is_ours(key: str) -> bool:
    """Whether a key of a job's ConfigMap is hawork's, and not Flink's or another owner's."""
    return key.startswith(OURS)
