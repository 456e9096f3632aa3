"""Broken runs to be solved: something happens to a cluster, and nothing says what.

The deed is done with signals and in storageDir, past the lab's own verbs, so that no fault is
in the event log. What the processes themselves noticed is.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hawork.backends.registry import open_backend
from hawork.client.waiting import Waiting
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.errors import LabError
from hawork.core.events import Event, EventKind, NullEventSink
from hawork.core.types import StateHandle
from hawork.ha.pointer_store import checkpoints
from hawork.ha.state_handle_store import decode_handle
from hawork.lessons.labs import cancel_earlier

if TYPE_CHECKING:
    import pandas

    from hawork.lab.cluster import LabCluster
    from hawork.lab.job import Job

__all__ = ["Incident", "make_incident"]

KILLED, PAUSED = "killed", "paused"
HINTS: Mapping[str, str] = {
    "process": "look for a process that ended, or that said nothing for a while",
    "what": f"{KILLED!r} or {PAUSED!r}? A death is told by the supervisor, a pause by no process",
    "restored": "the number of the checkpoint, in the last event of kind job.restored",
    "damaged": "the number of a checkpoint that was passed over, or None: see state.set_aside",
}
_END, _RATE = 40_000, 5_000
_CHECKPOINTS = 4
_MORE = 5


@dataclass(frozen=True, slots=True)
class Incident:
    """A run to which something happened. ``answers()`` gives it away.

    ``found`` is what was written down right after it, as storage goes on changing: of each
    checkpoint the sha256 in its pointer, and that of its file.
    """

    lab: LabCluster
    job: Job
    found: pandas.DataFrame
    hints: Mapping[str, str]
    _process: str
    _what: str
    _damaged: int | None
    _since: float

    def answers(self) -> dict[str, Any]:
        """What happened; for ``check_incident``, and for a reader who gives up."""
        restored = [event for event in self._restores() if event.monotonic > self._since]
        return {
            "process": self._process,
            "what": self._what,
            "restored": restored[-1].facts["checkpoint_id"] if restored else None,
            "damaged": self._damaged,
        }

    def exact(self) -> bool:
        """Whether the job's output is what it would have been without the incident."""
        rows = self.job.output().sort_values("digit")
        counts = dict.fromkeys(range(10), _END // 10)
        totals = {digit: sum(range(digit, _END, 10)) for digit in range(10)}
        found = dict(zip(rows["digit"], rows["count"], strict=True))
        return found == counts and dict(zip(rows["digit"], rows["total"], strict=True)) == totals

    def _restores(self) -> list[Event]:
        return [
            event
            for event in self.lab.event_list()
            if event.kind is EventKind.JOB_RESTORED and event.job_id == self.job.job_id
        ]

    def __repr__(self) -> str:
        return f"Incident(job {self.job.job_id[:8]}…: what happened?)"


def make_incident(lab: LabCluster, seed: int) -> Incident:
    """Run a job, and let something happen to the cluster in its middle.

    The same seed does the same. Needs two of each kind of process; blocks until the
    job runs again, some seconds. ``LabError`` when the lab is too small.

    >>> incident = make_incident(lab, seed=1)                              # doctest: +SKIP
    """
    managers = [name for name in lab.processes if name.startswith("jm")]
    task_managers = [name for name in lab.processes if name.startswith("tm")]
    if len(managers) < 2 or len(task_managers) < 2:
        raise LabError(
            f"an incident needs two JobManagers and two TaskManagers, not {len(managers)} and "
            f"{len(task_managers)}: start a larger lab"
        )
    what, role, damage, more = _case(seed)
    # Run again after an interrupt, it needs what the job of the first time holds.
    begun = f"incident-{seed}-"
    cancel_earlier(lab, lambda job: Path(str(job.config.get("output", ""))).name.startswith(begun))
    job = lab.submit(
        f"{Path(__file__).with_name('incident_job.py')}:sums",
        {"end": _END, "rate": _RATE, "output": lab.directory / f"{begun}{len(lab.jobs)}"},
        checkpoint_interval="300 ms",
    )
    _wait_for_checkpoints(lab, job, _CHECKPOINTS + more)
    leader = lab.leader()
    process = leader if role == "leader" else _task_manager_of(lab, job)
    since = lab.event_list()[-1].monotonic
    control = lab._started().control  # the lab's own verbs would write a fault down
    control.signal(process, "STOP")  # so that it writes nothing while we are at it
    try:
        damaged = _damage_newest(lab, job) if damage else None
        found = _find(lab, job)
        if what == KILLED:
            control.signal(process, "KILL")
        if role == "leader":
            lab.wait_for_leader(other_than=process).wait()
        _wait_for_restore(lab, job, since)
    finally:  # an interrupt must leave none that stands still
        with contextlib.suppress(LabError):  # it ends just now
            if lab.processes[process].alive:
                control.signal(process, "CONT")
    if what == PAUSED:
        _wait_for_revocation(lab, process, since)
    return Incident(lab, job, found, HINTS, process, what, damaged, since)


def _case(seed: int) -> tuple[str, str, bool, int]:
    """What happens, to whom, whether a file is damaged, and how many checkpoints later."""
    draw = random.Random(f"incident {seed}")
    what, role = draw.choice([(KILLED, "leader"), (PAUSED, "leader"), (KILLED, "task manager")])
    # Drawn by itself: what happened to the process must not give the file away.
    damage = role == "leader" and random.Random(f"incident file {seed}").random() < 0.5
    return what, role, damage, draw.randrange(_MORE)


def _damage_newest(lab: LabCluster, job: Job) -> int:
    """Change a bit of the newest checkpoint's file, as a bad disk would; returns its id."""
    newest, handle = _checkpoints(lab, job)[-1]
    (path,) = lab.directory.glob(f"storage/*/{handle.path}")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    return newest


def _find(lab: LabCluster, job: Job) -> pandas.DataFrame:
    import pandas

    rows = []
    for number, handle in _checkpoints(lab, job):
        for path in lab.directory.glob(f"storage/*/{handle.path}"):
            with contextlib.suppress(FileNotFoundError):  # subsumed at this moment
                sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
                rows.append((number, path.name, handle.sha256[:16], sha256[:16]))
    columns = ["checkpoint", "file", "sha256 in the pointer", "sha256 of the file"]
    return pandas.DataFrame(rows, columns=columns)


def _checkpoints(lab: LabCluster, job: Job) -> list[tuple[int, StateHandle]]:
    """The ids of the stored checkpoints, in order, and where their files are."""
    backend = open_backend(lab.config, SYSTEM_CLOCK, NullEventSink())
    try:
        entries = backend.pointers(checkpoints(job.job_id)).entries()
    finally:
        backend.close()
    return [
        (int(name), decode_handle(name, entry.value)) for name, entry in entries if name.isdigit()
    ]


def _task_manager_of(lab: LabCluster, job: Job) -> str:
    """The TaskManager that runs the job's task."""
    for event in reversed(lab.event_list()):
        if event.kind is EventKind.TASK_STATUS and event.job_id == job.job_id:
            return str(event.facts["taskmanager"])
    raise LabError(f"job {job.name} runs nowhere: submit another one")


def _wait_for_checkpoints(lab: LabCluster, job: Job, wanted: int) -> None:
    def look() -> bool | None:
        completed = [
            event
            for event in lab.event_list()
            if event.kind is EventKind.CHECKPOINT_COMPLETED and event.job_id == job.job_id
        ]
        return True if len(completed) >= wanted else None

    Waiting(f"{wanted} checkpoints of job {job.name}", look).wait()


def _wait_for_restore(lab: LabCluster, job: Job, since: float) -> None:
    _wait_for(lab, EventKind.JOB_RESTORED, since, lambda event: event.job_id == job.job_id)


def _wait_for_revocation(lab: LabCluster, process: str, since: float) -> None:
    _wait_for(lab, EventKind.LEADERSHIP_REVOKED, since, lambda event: event.process == process)


def _wait_for(
    lab: LabCluster, kind: EventKind, since: float, fits: Callable[[Event], bool]
) -> None:
    def look() -> Event | None:
        found = (e for e in lab.event_list() if e.kind is kind and e.monotonic > since and fits(e))
        return next(found, None)

    Waiting(f"event {kind}", look).wait()
