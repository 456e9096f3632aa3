"""A cluster of real Apache Flink on this machine, with the face of ``LabCluster``."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hawork.backends.kubernetes.rights import FLINK_JOB_MANAGER_VERBS
from hawork.core import options
from hawork.core.calls import checked_calls
from hawork.core.configuration import flatten
from hawork.core.errors import LabError, LeaderRetrievalError
from hawork.core.jobs import RestartStrategy
from hawork.core.types import JobID, LeaderInformation
from hawork.lab.flink.client import FlinkClient
from hawork.lab.flink.distribution import FlinkDistribution
from hawork.lab.flink.events import FlinkEvents
from hawork.lab.flink.job import FlinkJob
from hawork.lab.flink.memory import check_memory
from hawork.lab.flink.processes import FlinkProcesses
from hawork.lab.flink.script import work_of
from hawork.lab.flink.submission import job_name, job_settings, submit_work
from hawork.lab.flink.watch import FlinkWatch
from hawork.lab.local_cluster import LocalCluster
from hawork.lab.nemesis.load import LoadKinds, LoadSpec
from hawork.lab.nemesis.scripts import NUMBERS
from hawork.lab.processes import JOB_MANAGER, TASK_MANAGER, LabProcesses
from hawork.lab.submission import submitted
from hawork.servers.class_archive import ArchiveMaker

if TYPE_CHECKING:
    from hawork.lab.flink.attached import AttachedCluster

_STEPS = (
    "steps are of hawork's own processes and cannot be armed in real Flink; arm them in a "
    "LabCluster, or pause a process"
)
_STORES = ("zookeeper", "kubernetes")
_LOOK_SECONDS = 1.0
_NAMED_STORE = (options.ZK_QUORUM, options.K8S_CONFIG_FILE, options.K8S_CONTEXT)
_DISCOVERY = (
    options.HA_TYPE, options.CLUSTER_ID, *_NAMED_STORE, options.ZK_ROOT, options.K8S_CLUSTER_ID,
    options.K8S_NAMESPACE, options.ZK_ACL, options.ZK_AUTHORIZATION, options.ZK_SASL_MECHANISM,
    options.ZK_SASL_USERNAME, options.ZK_SASL_PASSWORD,
)  # fmt: skip
"""What a client needs to find the leader. On Kubernetes it wants a storageDir, too."""


@checked_calls
class FlinkCluster(LocalCluster[FlinkJob]):
    """JobManagers and TaskManagers of real Apache Flink, and everything to do with them.

    >>> from hawork.lab import FlinkCluster                                # doctest: +SKIP
    >>> with FlinkCluster(job_managers=3, task_managers=1) as lab:         # doctest: +SKIP
    ...     job = lab.submit("flights.sql", config={"flights": arrivals, "output": out})
    ...     fault = lab.kill("leader")
    ...     print(lab.wait_for_leader(other_than=fault).wait())
    ...     print(lab.timeline())

    As ``LabCluster``, but: ``submit`` takes Flink SQL or a jar; no step can be armed;
    ``supervisor`` is off, because Flink has none. With it the lab closes the ZooKeeper session
    of a JobManager that died, or clears its lock annotation, which spares the session timeout.
    ``flink_home`` is the folder of an unpacked Flink; without it the installed
    ``apache-flink-libraries`` are used. Flink's REST wants no token: everybody on this machine
    can use the cluster while it runs. Its processes are small; ``options`` make them larger
    (``jobmanager.memory.heap.size``, ``taskmanager.memory.task.heap.size`` and alike).

    Raises ``LabError`` when Java, Flink or memory is missing, before anything is started.
    """

    absent: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("arm", "disarm", "held", "proceed", "stepper_panel"), _STEPS),
        "block": "a JVM's threads cannot be blocked from outside: pause the process",
        "kill_task": "subtasks of Flink are threads of its TaskManager: kill that",
        "clear_scratch": "what TaskManagers of Flink unpack lies where io.tmp.dirs says",
        "move_clock": "the clocks of a JVM cannot be moved: pause a process, or use a LabCluster",
    }
    _verbs = FLINK_JOB_MANAGER_VERBS
    _load = LoadKinds(
        functions=("numbers",), ends=(300, 6000, 20_000), at_once=2,
        pause=2.0, leads_within=60.0, ends_within=180.0,
    )  # fmt: skip
    _start_seconds = 180.0  # JVMs on a busy machine

    def __init__(
        self,
        job_managers: int = 3,
        task_managers: int = 1,
        ha: str = "zookeeper",
        directory: Path | str | None = None,
        options: Mapping[str, Any] | None = None,
        slots: int = 2,
        supervisor: bool = False,
        *,
        keep: bool = False,
        store_servers: int = 1,
        flink_home: Path | str | None = None,
    ) -> None:
        if ha.lower() not in _STORES:
            raise LabError(
                f"ha={ha!r} is nothing that a lab of real Flink can start: use "
                f"{' or '.join(map(repr, _STORES))}, or LabCluster for hawork's own JobManagers"
            )
        self.flink = FlinkDistribution.find(flink_home)
        given = flatten(options or {})
        self._given_store = any(option.key in given for option in _NAMED_STORE)
        super().__init__(
            job_managers, task_managers, ha, directory, options, slots, supervisor,
            keep=keep, store_servers=store_servers,
        )  # fmt: skip
        try:
            self._told = FlinkEvents(self._run.events)
            self._shutdown.first(self._told.close)
            self._watch = FlinkWatch(self.config, self._told, self._logs)
            self._shutdown.first(self._watch.close)
            self._sql = FlinkClient(self._run.path / "client", self._client_options(), self.flink)
            self._shutdown.first(self._sql.close)
            self._archive = ArchiveMaker(self.flink.java, self.flink.class_path)
            self._shutdown.first(self._archive.stop)
        except BaseException:
            self.close()
            raise

    # --- life ----------------------------------------------------------------------------
    @staticmethod
    def attach(
        config: Path | str | Mapping[str, Any], *, read_only: bool = True,
        flink_home: Path | str | None = None, logs: Sequence[Path | str] = (),
    ) -> AttachedCluster:  # fmt: skip
        """A view of a cluster that was started elsewhere; it only reads unless told otherwise.

        ``config`` is the path of its ``config.yaml``, its options, or the URL of a REST
        endpoint, ``logs`` those of its JobManagers. See ``AttachedCluster``.
        """
        from hawork.lab.flink.attached import AttachedCluster

        return AttachedCluster(config, read_only=read_only, flink_home=flink_home, logs=logs)

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
        entry_class: str | None = None,
        args: Sequence[object] = (),
    ) -> FlinkJob:
        """Submit a streaming Flink SQL script, or a jar; its job once Flink has accepted it.

        ``job`` is the script itself, the path of a ``.sql`` file, or the name of one written by
        ``%%artifact``. ``${name}`` in it stands for a value of ``config``. It has one
        ``INSERT``; ``SET 'key' = 'value'`` wins over the arguments. Flink's own client submits
        it. ``JobSubmissionError`` has Flink's message.

        The path of a ``.jar`` has its ``main`` in ``entry_class``, or as its manifest says; it
        gets ``args`` and starts one job. ``config["output"]`` is where ``output()`` reads then.

        >>> job = lab.submit("job.jar", entry_class="org.example.Job",
        ...                  args=["--rate", 10])                          # doctest: +SKIP
        """
        self._started()
        if retained_checkpoints is not None:
            raise LabError(
                "retained_checkpoints is the same for all jobs of a Flink cluster: give option "
                f"{options.RETAINED_CHECKPOINTS.key} to FlinkCluster"
            )
        job, config = str(job), dict(config or {})
        work = work_of(job, config, entry_class, args)
        settings = job_settings(parallelism, checkpoint_interval, name, restart_strategy)
        job_id, columns = JobID.random(), list[str]()

        def submit(_: bool) -> JobID:
            columns[:] = submit_work(self._sql, work, settings, job_id)
            return job_id

        sent: Future[JobID] = Future()
        called = name or job_name(job)
        made = FlinkJob(
            lambda: self.client, job_id, called, config, sent, self.config, columns,
            expected_records,
        )  # fmt: skip
        return submitted(made, self._jobs, called, submit, sent, wait=wait)

    # --- within --------------------------------------------------------------------------
    def _submit_load(self, job: LoadSpec) -> FlinkJob:
        return self.submit(
            NUMBERS,
            {"last": job.end - 1, "rate": job.rate, "output": str(job.output)},
            parallelism=job.parallelism, checkpoint_interval=job.interval, wait=False,
        )  # fmt: skip

    def _check_machine(self) -> None:
        check_memory(self._counts[JOB_MANAGER], self._counts[TASK_MANAGER], self.config)

    def _make_processes(self) -> LabProcesses:
        return FlinkProcesses(
            self._run, self.config, self.flink, self._told, self._store.config_file
        )

    def _wait_until_ready(self, processes: LabProcesses) -> None:
        super()._wait_until_ready(processes)
        self._archive.start()

    def _prepare(self, processes: LabProcesses) -> None:
        self._watch.supervised = processes if self.config.get_option(options.SUPERVISOR) else None
        self._watch.start()
        self._check_alone()

    def _client_options(self) -> dict[str, str]:
        """What a client has to know to find the leader, and no address."""
        wanted = (*_DISCOVERY, options.STORAGE_DIR) if self._on_kubernetes() else _DISCOVERY
        return {each.key: self.config[each.key] for each in wanted if each.key in self.config}

    def _on_kubernetes(self) -> bool:
        return self.config.get_option(options.HA_TYPE) == "kubernetes"

    def _retrieve(self) -> LeaderInformation | None:
        """What the timeline knows, too: who waits for a leader looks at it next."""
        return self._watch.published

    def _logs(self) -> dict[str, Path]:
        processes = self._processes
        names = processes.names() if processes is not None else []
        return {name: self._run.logs / f"{name}.log" for name in names}

    def _check_alone(self) -> None:
        """``LabError`` when another cluster leads under our cluster-id in a store that was given.

        On Kubernetes also when one did and was killed: nothing there says that it is dead.
        """
        if not self._given_store:
            return
        with contextlib.suppress(LeaderRetrievalError):
            found = self.client.leader(_LOOK_SECONDS)
            option = options.K8S_CLUSTER_ID if self._on_kubernetes() else options.CLUSTER_ID
            raise LabError(
                f"cluster-id {self.config[option.key]} is used by another cluster "
                f"(the leader at {found.address}): give another one in option "
                f"{option.key}, or look at that cluster with FlinkCluster.attach"
            )

    def __repr__(self) -> str:
        return super().__repr__().replace("FlinkCluster", f"FlinkCluster {self.flink.version} ", 1)
