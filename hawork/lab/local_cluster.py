"""A cluster whose processes and HA store are started, and can be broken, on this machine."""

from __future__ import annotations

import atexit
import contextlib
import functools
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Generic, ParamSpec, Self, TypeVar

from hawork.backends.kubernetes.rights import JOB_MANAGER_VERBS
from hawork.client.cluster_client import ClusterClient
from hawork.client.flink_rest import in_full
from hawork.client.job_details import JobDetails
from hawork.client.waiting import Waiting
from hawork.core.calls import checked_calls
from hawork.core.configuration import Configuration, flatten
from hawork.core.errors import HaworkError, LabError
from hawork.core.events import Event
from hawork.core.steps import disarm
from hawork.core.types import LeaderInformation, ProcessEnd, ProcessState
from hawork.lab.closing import tell_running
from hawork.lab.cluster_view import ClusterView
from hawork.lab.damage import STORAGE, Damage
from hawork.lab.faults import Faults
from hawork.lab.hosted import tell_limits
from hawork.lab.job import Job
from hawork.lab.leadership import Leadership
from hawork.lab.nemesis.drill import Drill, DrillReport
from hawork.lab.nemesis.load import LoadKinds, LoadSpec
from hawork.lab.nemesis.plan import Seed
from hawork.lab.options import lab_options
from hawork.lab.processes import JOB_MANAGER, TASK_MANAGER, LabProcesses
from hawork.lab.run_directory import RunDirectory
from hawork.lab.snapshot import ClusterSnapshot
from hawork.lab.steps import ArmedSteps
from hawork.lab.stores.store import lab_store
from hawork.story.terms import Terms

if TYPE_CHECKING:
    from hawork.panels.panel_set import PanelSet
    from hawork.servers.kubernetes.control_plane import ControlPlane

P = ParamSpec("P")
R = TypeVar("R")
J = TypeVar("J", bound=Job)


def fault(
    method: Callable[Concatenate[Faults, P], R],
) -> Callable[Concatenate[LocalCluster[Any], P], R]:
    """A verb of ``Faults`` as a method of the cluster, with its signature and its docstring."""

    @functools.wraps(method)
    def verb(cluster: LocalCluster[Any], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return method(cluster._faults, *args, **kwargs)

    return verb


@checked_calls
class LocalCluster(ClusterView, Generic[J]):
    """What ``LabCluster`` and ``FlinkCluster`` share: processes, their HA store, and faults.

    ``J`` is the kind of its jobs. Raises ``ConfigurationError`` for bad options and ``LabError``
    when another lab uses the directory.
    """

    config: Configuration

    _verbs: ClassVar[Sequence[str]] = JOB_MANAGER_VERBS
    """On ConfigMaps: what the lab lets its JobManagers do."""
    _start_seconds: ClassVar[float] = 60.0
    _load: ClassVar[LoadKinds] = LoadKinds()
    """The jobs of a drill."""

    kill = fault(Faults.kill)
    terminate = fault(Faults.terminate)
    pause = fault(Faults.pause)
    resume = fault(Faults.resume)
    restart = fault(Faults.restart)
    expire_session = fault(Faults.expire_session)
    partition = fault(Faults.partition)
    store_outage = fault(Faults.store_outage)
    refuse = fault(Faults.refuse)
    allow = fault(Faults.allow)
    delete_file = fault(Faults.delete_file)
    damage_file = fault(Faults.damage_file)
    lock_file = fault(Faults.lock_file)
    put_back = fault(Faults.put_back)
    fill_disk = fault(Faults.fill_disk)
    free_disk = fault(Faults.free_disk)
    heal = fault(Faults.heal)
    revoke_right = fault(Faults.revoke_right)
    grant_right = fault(Faults.grant_right)
    outdate_watches = fault(Faults.outdate_watches)

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
        super().__init__(self._run.events, "lab")
        self._jobs: list[J] = []
        self._steps = ArmedSteps(
            self._run.control, self._reader.events, self._started,
            lambda: (job.job_id for job in self._jobs if job.accepted is not False),
        )  # fmt: skip
        self._processes: LabProcesses | None = None
        self._connected: ClusterClient | None = None
        self._connecting = threading.Lock()
        self._leadership = Leadership(
            self._retrieve, self._reader.events, self._check_alive, self._hindrance
        )
        self._damage = Damage(
            self._run.storage, self._run.path / "put-aside", self._run.path / "taskmanagers"
        )
        self._faults = Faults(
            self._started, self._store, self.config, self._leadership, self._steps, self._events,
            self._reader, self._damage,
        )  # fmt: skip
        self._known_secrets: tuple[str, ...] = ()
        self._shutdown.first(
            self._secrets,  # while their files are there
            lambda: disarm(self._run.control),
            self._disconnect,
            self._end_processes,
            self._damage.mend,
            self._store.stop,
        )
        atexit.register(self.close)

    # --- life ----------------------------------------------------------------------------
    def start(self) -> Self:
        """Start all processes, wait until one leads and every TaskManager is registered.

        Repeatable. ``with LabCluster() as lab`` does it by itself. A notebook is told when labs
        that it started before are still running.

        >>> lab = LabCluster(job_managers=3, task_managers=2).start()      # doctest: +SKIP
        """
        if self._processes is None:
            tell_running(self)
        return self._start()

    def _start(self) -> Self:
        self._check_open()
        if self._processes is not None:
            return self
        tell_limits()
        try:
            self._check_machine()
            self._store.start()
            self._processes = self._make_processes()
            self._prepare(self._processes)
            for role, count in self._counts.items():
                for _ in range(count):
                    self._processes.add(role)
            self._wait_until_ready(self._processes)
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
        super().close()
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        return self._start()

    def _secrets(self) -> tuple[str, ...]:
        if not self._known_secrets or not self._closed:
            self._known_secrets = (*super()._secrets(), *self._store.secrets)
        return self._known_secrets

    # --- who is who ----------------------------------------------------------------------
    def leader(self, timeout: float = 30.0) -> str:
        """The name of the leading JobManager; waits for one if need be.

        >>> lab.leader()                                                   # doctest: +SKIP
        'jm-1'
        """
        return self._leadership.wait(None, timeout).wait()

    def leader_information(self) -> LeaderInformation | None:
        """Session id and address as leader retrieval sees them now; ``None`` without a leader.

        >>> lab.leader_information().address                               # doctest: +SKIP
        'http://127.0.0.1:40123'
        """
        return self._leadership.information()

    def wait_for_leader(
        self, other_than: str | Event | None = None, timeout: float = 30.0
    ) -> Waiting[str]:
        """Wait for a leader, or for another one: ``await`` it, or call ``.wait()`` on it.

        >>> fault = lab.kill("leader")                                     # doctest: +SKIP
        >>> await lab.wait_for_leader(other_than=fault)                    # doctest: +SKIP
        'jm-2'
        """
        return self._leadership.wait(other_than, timeout)

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

    @property
    def processes(self) -> dict[str, ProcessState]:
        """Every process by name: pid, state (running, paused, exited), exit status.

        >>> lab.processes["jm-1"].state                                    # doctest: +SKIP
        'running'
        """
        return self._started().states()

    @property
    def ends(self) -> list[ProcessEnd]:
        """Every end of a process so far, in order: name, pid, exit status, and when.

        >>> [(each.name, each.status) for each in lab.ends]                # doctest: +SKIP
        [('jm-1', -9)]
        """
        return self._started().ends()

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

    def last_words(self, process: str) -> str:
        """Why a process ended, from its log, in one sentence.

        >>> lab.last_words("jm-1")                                         # doctest: +SKIP
        'BindException: Could not start rest endpoint on any port in port range 8081'
        """
        processes = self._started()
        processes.state(process)
        return processes.last_words(process)

    @property
    def directory(self) -> Path:
        """The run directory: config.yaml, events, logs, storageDir.

        >>> (lab.directory / "config.yaml").read_text()                    # doctest: +SKIP
        """
        return self._run.path

    def storage_directory(self) -> Path:
        """storageDir; ``LabError`` when it went with the lab.

        >>> sorted(lab.storage_directory().iterdir())                      # doctest: +SKIP
        """
        if not self._run.path.exists():
            raise LabError(
                "the lab's directory is gone, a temporary one goes with close(): look before, or "
                "keep it with LabCluster(directory=...)"
            )
        return self._run.storage

    def has_own_disk(self, disk: str = STORAGE) -> bool:
        """Whether a disk is a small file system of its own, which ``fill_disk`` may fill.

        >>> lab.has_own_disk()                                             # doctest: +SKIP
        False
        """
        return self._damage.has_own_disk(disk)

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

    @property
    def control_plane(self) -> ControlPlane:
        """The lab's etcd and API server. ``LabError`` when it has none.

        >>> lab.control_plane.url                                          # doctest: +SKIP
        """
        return self._store.control_plane

    # --- jobs ----------------------------------------------------------------------------
    @property
    def jobs(self) -> list[J]:
        """The jobs submitted through this lab, in their order.

        >>> lab.jobs[-1].status                                            # doctest: +SKIP
        """
        return list(self._jobs)

    def __repr__(self) -> str:
        kind = type(self).__name__
        if self._closed or self._processes is None:
            return f"{kind}({'closed' if self._closed else 'not started'})"
        states = ", ".join(f"{state.name} {state.state}" for state in self.processes.values())
        return f"{kind}(leader={self._leadership.name()}, {states})"

    def _repr_html_(self) -> str:
        if self._closed or self._processes is None:
            return f"<code>{self!r}</code>"
        return self.snapshot()._repr_html_()

    # --- a drill -------------------------------------------------------------------------
    def nemesis(
        self,
        seed: int | str | Seed | None = None,
        minutes: float = 1.0,
        *,
        faults: int | None = None,
        only: Collection[int] | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> DrillReport:
        """Random faults under load for some minutes, then healing, and a judgement from outside.

        A ``seed`` gives the same faults again; a report prints it. ``faults`` is their number,
        instead of ``minutes``; ``only`` are the numbers of those to do, such as the fewest that
        still break a promise. ``tell`` hears of each. Everything is healed at the end, also of a
        drill that was interrupted. ``LabError`` for a seed of another version.

        >>> report = lab.nemesis(seed=4711, minutes=2)                     # doctest: +SKIP
        >>> report.valid                                                   # doctest: +SKIP
        True
        """
        self._started()
        drill = Drill(self, self._store, self._submit_load, self._load, seed=seed, tell=tell)
        return drill.run(
            minutes=minutes if faults is None and only is None else None, faults=faults, only=only
        )

    # --- what each kind has of its own ---------------------------------------------------
    @abstractmethod
    def _make_processes(self) -> LabProcesses:
        """What starts the processes; the store is up."""

    @abstractmethod
    def _submit_load(self, job: LoadSpec) -> J:
        """Submit one job of a drill's load, without waiting for its acknowledgement."""

    def _check_machine(self) -> None:
        """``LabError`` when this machine cannot hold the cluster; nothing is started yet."""

    def _prepare(self, processes: LabProcesses) -> None:
        """What must run, or be true, before the first process starts."""

    def _retrieve(self) -> LeaderInformation | None:
        return self.client.current_leader()

    # --- within --------------------------------------------------------------------------
    def _make_panel_set(self) -> PanelSet:
        from hawork.panels.panel_set import PanelSet

        return PanelSet.of_lab(self)

    def _store_config(self) -> Configuration:
        if not self._store.own:
            return self._results_config()
        if self._closed:
            raise LabError(
                "this lab is closed, and its HA store ended with it: look before close()"
            )
        self._started()
        return self.config

    def _results_config(self) -> Configuration:
        self.storage_directory()
        return self.config

    def _owners(self) -> dict[str, str]:
        states = self._processes.states().values() if self._processes else ()
        pids = {str(state.pid): state.name for state in states}
        return {**pids, **Terms(self._reader.events()).processes()}

    def _release_directory(self) -> None:
        self._run.close()  # only now: another lab may use it next

    def _disconnect(self) -> None:
        if self._connected is not None:
            self._connected.close()

    def _end_processes(self) -> None:
        if self._processes is not None:
            self._processes.control.stop()

    def _check_running(self) -> None:
        self._started()

    def _started(self) -> LabProcesses:
        self._check_open()
        if self._processes is None:
            raise LabError("this lab is not started: call start(), or use it in a with block")
        return self._processes

    def _check_alive(self) -> None:
        """What waits for a leader must hear that no JobManager is left to become one."""
        processes = self._started()
        states = processes.states()
        managers = [name for name in processes.names(JOB_MANAGER) if name in states]
        if not any(states[name].alive for name in managers):
            reasons = "; ".join(f"{name}: {processes.why_it_ended(name)}" for name in managers)
            raise LabError(
                f"no JobManager is running ({reasons or 'none was started'}): start one again, as "
                "with lab.restart('jm-1')"
            )

    def _hindrance(self) -> str:
        """Why no leader comes, where each JobManager that is alive stands still."""
        processes = self._started()
        states = processes.states()
        alive = [n for n in processes.names(JOB_MANAGER) if n in states and states[n].alive]
        if not alive or any(states[name].state != "paused" for name in alive):
            return ""
        return f": each JobManager that is alive is paused ({', '.join(alive)}): resume one"

    def _wait_until_ready(self, processes: LabProcesses) -> None:
        def ready() -> bool | None:
            processes.check_started()
            if self._leadership.name() is None:
                return None
            with contextlib.suppress(HaworkError):
                found = len(self.client.taskmanagers())
                return True if found >= self._counts[TASK_MANAGER] else None
            return None

        Waiting("the cluster to start", ready, timeout=self._start_seconds).wait()
