"""A whole cluster on this machine, to look at and to break."""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from hawork.backends.kubernetes.rights import JOB_MANAGER_VERBS
from hawork.client.cluster_client import ClusterClient
from hawork.client.full_details import in_full
from hawork.client.job_details import JobDetails
from hawork.client.submission import make_submission
from hawork.client.waiting import Waiting
from hawork.core import options
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.configuration import flatten
from hawork.core.errors import HaworkError, LabError
from hawork.core.events import Event, EventLog
from hawork.core.jobs import RestartStrategy
from hawork.core.steps import disarm
from hawork.core.types import LeaderInformation, ProcessState
from hawork.lab import open_labs
from hawork.lab.artifacts import find_source
from hawork.lab.bundling import Bundling
from hawork.lab.closing import Closing
from hawork.lab.faults import Faults
from hawork.lab.job import Job
from hawork.lab.judgement import Judgement
from hawork.lab.kubernetes_faults import KubernetesFaults
from hawork.lab.leadership import Leadership
from hawork.lab.looking import Looking
from hawork.lab.options import lab_options
from hawork.lab.panel_methods import Panels
from hawork.lab.process_faults import ProcessFaults
from hawork.lab.processes import JOB_MANAGER, TASK_MANAGER, LabProcesses
from hawork.lab.run_directory import RunDirectory
from hawork.lab.snapshot import ClusterSnapshot
from hawork.lab.stepped_lab import SteppedLab
from hawork.lab.steps import ArmedSteps
from hawork.lab.stores.store import lab_store
from hawork.lab.submission import send
from hawork.story.event_reader import EventReader

if TYPE_CHECKING:
    from hawork.panels.panel_set import PanelSet


class LabCluster(ProcessFaults, KubernetesFaults, SteppedLab, Looking, Judgement, Panels, Bundling):
    """JobManagers and TaskManagers as real processes, and everything to do with them.

    >>> from hawork.lab import LabCluster                                  # doctest: +SKIP
    >>> with LabCluster(job_managers=3, task_managers=2) as lab:           # doctest: +SKIP
    ...     print(lab.leader())
    ...     fault = lab.kill("leader")
    ...     print(lab.wait_for_leader(other_than=fault).wait())
    ...     print(lab.timeline())

    ``ha`` is the ``high-availability.type``. ``directory`` is where everything is kept: a
    temporary directory, removed by ``close`` unless ``keep`` is set, when none is given.
    ``options`` are any of Flink's options and win over the lab's short timeouts.
    ``supervisor=False`` leaves the leadership of a killed JobManager to crash detection and
    the lease. ``slots`` is the number of slots of each TaskManager, ``store_servers`` that of
    the ZooKeeper servers (1, 3 or 5). Servers are started unless the options name some.

    Raises ``ConfigurationError`` for bad options and ``LabError`` when another lab uses
    the directory.
    """

    _verbs: Sequence[str] = JOB_MANAGER_VERBS
    """On ConfigMaps: what the lab lets its JobManagers do."""

    def __init__(
        self,
        job_managers: int = 3,
        task_managers: int = 2,
        ha: str = "embedded",
        directory: Path | str | None = None,
        options: Mapping[str, Any] | None = None,
        slots: int = 2,
        supervisor: bool = True,
        *,
        keep: bool = False,
        store_servers: int = 1,
    ) -> None:
        if job_managers < 1 or task_managers < 0:
            raise LabError(
                f"a lab needs at least one JobManager and no negative number of TaskManagers, "
                f"not {job_managers} and {task_managers}"
            )
        self._counts = {JOB_MANAGER: job_managers, TASK_MANAGER: task_managers}
        self._run = RunDirectory(directory, keep=keep)
        try:
            self._store = lab_store(self._run, ha, options, store_servers, self._verbs)
            more = {**self._store.options, **flatten(options or {})}
            self.config = lab_options(self._run, ha, slots, supervisor, more)
            self._run.write_options(self.config)
        except BaseException:
            self._run.close()
            raise
        self._events = EventLog("lab", self._run.events / "lab.jsonl")
        self._reader = EventReader(self._run.events)
        self._steps = ArmedSteps(self._run.control, self._reader.events, self._started)
        self._jobs: list[Job] = []
        self._processes: LabProcesses | None = None
        self._connected: ClusterClient | None = None
        self._connecting = threading.Lock()
        self._leadership = Leadership(self._retrieve, self._reader.events, self._check_alive)
        self._closed = False
        self._closed_at: float | None = None
        self._closing = Closing(
            lambda: disarm(self._run.control),
            self._disconnect,
            self._end_processes,
            self._store.stop,
            self._reader.events,  # the last words, before the directory goes
            self._close_panels,
            self._events.close,
        )
        atexit.register(self.close)
        open_labs.opened(self)

    # --- life ----------------------------------------------------------------------------
    def start(self) -> LabCluster:
        """Start all processes, wait until one leads and every TaskManager is registered.

        Repeatable. ``with LabCluster() as lab`` does it by itself.

        >>> lab = LabCluster(job_managers=3, task_managers=2).start()      # doctest: +SKIP
        """
        self._check_open()
        if self._processes is not None:
            return self
        supervisor = self.config.get_option(options.SUPERVISOR)
        try:
            self._store.start()
            self._processes = LabProcesses(
                self._run, self.config, release=supervisor, config_file=self._store.config_file
            )
            for role, count in self._counts.items():
                for _ in range(count):
                    self._processes.add(role)
            self._starting(self._processes)
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """End all processes; a temporary run directory goes. Repeatable.

        The events stay readable: ``timeline()`` and ``events()`` work after it, too. When it was
        interrupted, the next call goes on with what is left.

        >>> lab.close()                                                    # doctest: +SKIP
        """
        if not self._closed:
            self._closed, self._closed_at = True, SYSTEM_CLOCK.monotonic()
        self._closing.go_on()
        self._run.close()  # only now: another lab may use it next
        atexit.unregister(self.close)
        open_labs.closed(self)

    def __enter__(self) -> LabCluster:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # --- who is who ----------------------------------------------------------------------
    def leader(self, timeout: float = 30.0) -> str:
        """The name of the leading JobManager; waits for one if need be.

        >>> lab.leader()                                                   # doctest: +SKIP
        'jm-1'
        """
        return self._leadership.wait(None, timeout).wait()

    def leader_information(self) -> LeaderInformation | None:
        """Session id and address as leader retrieval sees them now; ``None``: nobody leads.

        >>> lab.leader_information().address                               # doctest: +SKIP
        'http://127.0.0.1:40123'
        """
        return self._leadership.information()

    def snapshot(self) -> ClusterSnapshot:
        """The cluster at this moment, as one frozen value; waits for no leader.

        >>> lab.snapshot().leader                                          # doctest: +SKIP
        'jm-1'
        """
        information = self.leader_information()
        jobs: tuple[JobDetails, ...] = ()
        taskmanagers: tuple[dict[str, Any], ...] = ()
        if information is not None:
            try:
                jobs = tuple(in_full(self.client.get, self.client.jobs()))
                taskmanagers = tuple(self.client.taskmanagers())
            except HaworkError:
                information = self.leader_information()
        return ClusterSnapshot(
            wall=time.time(),
            leader=self._leadership.name(),
            session_id=str(information.session_id) if information else None,
            address=information.address if information else None,
            processes=tuple(self.processes.values()),
            jobs=jobs,
            taskmanagers=taskmanagers,
        )

    def wait_for_leader(
        self, other_than: str | Event | None = None, timeout: float = 30.0
    ) -> Waiting[str]:
        """Wait for a leader, or for another one: ``await`` it, or call ``.wait()`` on it.

        >>> fault = lab.kill("leader")                                     # doctest: +SKIP
        >>> await lab.wait_for_leader(other_than=fault)                    # doctest: +SKIP
        'jm-2'
        """
        return self._leadership.wait(other_than, timeout)

    @property
    def processes(self) -> dict[str, ProcessState]:
        """Every process by name: pid, state (running, paused, exited), exit status.

        >>> lab.processes["jm-1"].state                                    # doctest: +SKIP
        'running'
        """
        return self._started().states()

    def add_job_manager(self) -> str:
        """Start one more JobManager; returns its name.

        >>> lab.add_job_manager()                                          # doctest: +SKIP
        'jm-4'
        """
        return self._started().add(JOB_MANAGER)

    def add_task_manager(self) -> str:
        """Start one more TaskManager; returns its name.

        >>> lab.add_task_manager()                                         # doctest: +SKIP
        'tm-3'
        """
        return self._started().add(TASK_MANAGER)

    @property
    def directory(self) -> Path:
        """The run directory: config.yaml, events, logs, storageDir.

        >>> (lab.directory / "config.yaml").read_text()                    # doctest: +SKIP
        """
        return self._run.path

    @property
    def client(self) -> ClusterClient:
        """The client of this cluster, for all that has no shorter way here.

        >>> lab.client.taskmanagers()                                      # doctest: +SKIP
        """
        with self._connecting:
            self._started()
            if self._connected is None:
                self._connected = ClusterClient(self.config, events=self._events)
            return self._connected

    # --- jobs ----------------------------------------------------------------------------
    def submit(
        self,
        job: str | Path,
        config: Mapping[str, Any] | None = None,
        *,
        parallelism: int = 1,
        checkpoint_interval: str | float | None = "500 ms",
        name: str | None = None,
        retained_checkpoints: int | None = None,
        restart_strategy: RestartStrategy | None = None,
        expected_records: int | None = None,
        wait: bool = True,
    ) -> Job:
        """Submit ``file.py:function`` and return it once the cluster has accepted it.

        The file is one written by ``%%artifact``, or a path to a module, package or zip.
        ``checkpoint_interval`` is a duration or seconds; ``expected_records`` makes the
        progress bar know its end. With ``wait=False`` the submission goes on in the
        background (to hold it at an armed step): see ``Job.acknowledged``.

        >>> job = lab.submit("flights.py:delays", config={"flights": path, "output": out},
        ...                  parallelism=2, checkpoint_interval="500 ms")  # doctest: +SKIP
        """
        self._started()
        submission = make_submission(
            job, config or {}, parallelism, checkpoint_interval, name, retained_checkpoints,
            restart_strategy, find=lambda file: find_source(file, self._run.artifacts),
        )  # fmt: skip
        sent = send(
            lambda again: self.client.submit(submission, again=again),
            wait=wait,
            held=self._steps.held,
        )
        submitted = Job(
            lambda: self.client, submission.job_id, submission.name or str(job), submission.config,
            sent, expected_records,
        )  # fmt: skip
        self._jobs.append(submitted)
        return submitted

    @property
    def jobs(self) -> list[Job]:
        """The jobs submitted through this lab, in their order.

        >>> lab.jobs[-1].status                                            # doctest: +SKIP
        """
        return list(self._jobs)

    def __repr__(self) -> str:
        if self._closed:
            return "LabCluster(closed)"
        if self._processes is None:
            return "LabCluster(not started)"
        states = ", ".join(f"{state.name} {state.state}" for state in self.processes.values())
        return f"LabCluster(leader={self._leadership.name()}, {states})"

    def _repr_html_(self) -> str:
        if self._closed or self._processes is None:
            return f"<code>{self!r}</code>"
        return self.snapshot()._repr_html_()

    # --- within --------------------------------------------------------------------------
    def _make_panel_set(self) -> PanelSet:
        from hawork.panels.panel_set import PanelSet

        return PanelSet.of_lab(self)

    def _store_kind(self) -> str:
        return str(self.config.get_option(options.HA_TYPE))

    def _disconnect(self) -> None:
        if self._connected is not None:
            self._connected.close()

    def _end_processes(self) -> None:
        if self._processes is not None:
            self._processes.control.stop()

    def _check_open(self) -> None:
        if self._closed:
            raise LabError("this lab is closed: make a new one")

    def _started(self) -> LabProcesses:
        self._check_open()
        if self._processes is None:
            raise LabError("this lab is not started: call start(), or use it in a with block")
        return self._processes

    def _faults(self) -> Faults:
        return Faults(
            self._started(), self._events, self._leadership.resolve, self._steps.leave,
            self._steps.abandon,
        )  # fmt: skip

    def _retrieve(self) -> LeaderInformation | None:
        return self.client.current_leader()

    def _check_alive(self) -> None:
        """Whoever waits for a leader must hear that nobody is left to become one."""
        processes = self._started()
        states = processes.states()
        managers = processes.names(JOB_MANAGER)
        if not any(states[name].alive for name in managers if name in states):
            reasons = {processes.last_words(name) for name in managers}
            raise LabError(f"no JobManager is running: {'; '.join(sorted(reasons))}")

    def _starting(self, processes: LabProcesses) -> None:
        def ready() -> bool | None:
            processes.check_started()
            if self._leadership.name() is None:
                return None
            with contextlib.suppress(HaworkError):
                found = len(self.client.taskmanagers())
                return True if found >= self._counts[TASK_MANAGER] else None
            return None

        Waiting("the cluster to start", ready, timeout=60.0).wait()
