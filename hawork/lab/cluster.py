"""A whole cluster of hawork's own processes on this machine, to look at and to break."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hawork.client.submission import make_submission
from hawork.core import options
from hawork.core.calls import checked_calls
from hawork.core.jobs import RestartStrategy
from hawork.core.steps import HeldStep
from hawork.core.types import JobID
from hawork.lab.artifacts import find_source
from hawork.lab.faults import Faults
from hawork.lab.job import Job
from hawork.lab.local_cluster import LocalCluster, fault
from hawork.lab.nemesis.load import JOBS, LoadSpec
from hawork.lab.processes import LabProcesses
from hawork.lab.steps import ArmedStep
from hawork.lab.submission import submitted

if TYPE_CHECKING:
    from hawork.panels.panel import Panel
    from hawork.panels.panel_set import PanelSet


@checked_calls
class LabCluster(LocalCluster[Job]):
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

    absent: ClassVar[Mapping[str, str]] = {
        "attach": "a running Flink cluster is looked at with FlinkCluster.attach",
    }
    _docked = ("cluster", "timeline", "jobs", "stepper", "store")

    block = fault(Faults.block)
    kill_task = fault(Faults.kill_task)
    move_clock = fault(Faults.move_clock)
    clear_scratch = fault(Faults.clear_scratch)

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
        sent: Future[JobID] = Future()
        called = submission.name or str(job)
        made = Job(
            lambda: self.client, submission.job_id, called, submission.config, sent,
            expected_records,
        )  # fmt: skip
        return submitted(
            made, self._jobs, called, lambda again: self.client.submit(submission, again=again),
            sent, wait=wait, held=self._steps.held,
        )  # fmt: skip

    # --- steps of the protocol -----------------------------------------------------------
    def arm(self, step: str, action: str = "hold", process: str | None = None) -> ArmedStep:
        """Arm a step once: the first process to reach it is held, paused or crashed there.

        ``process`` limits it to one process (or ``"leader"``). Steps and their
        meanings are in ``hawork.core.steps.STEPS``.

        >>> armed = lab.arm("submit.graph_written", "hold")                # doctest: +SKIP
        >>> job = lab.submit(..., wait=False)                              # doctest: +SKIP
        >>> await armed.reached()                                          # doctest: +SKIP
        """
        self._check_open()
        name = self._leadership.resolve(process) if process else None
        return self._steps.arm(step, action, name)

    def disarm(self) -> None:
        """Forget the steps that are armed and were not reached yet.

        >>> lab.disarm()                                                   # doctest: +SKIP
        """
        self._steps.disarm()

    def held(self) -> list[HeldStep]:
        """The steps at which processes stand now.

        >>> lab.held()[0].step                                             # doctest: +SKIP
        'submit.graph_written'
        """
        return self._steps.held()

    def proceed(self) -> list[HeldStep]:
        """Let every process that stands at an armed step go on; returns where they stood.

        >>> lab.proceed()                                                  # doctest: +SKIP
        """
        self._started()
        return self._steps.proceed(self._faults.wake)

    def stepper_panel(self) -> Panel:
        """The protocol step by step: arm a step, and go on, crash or pause where it stands.

        On arrival it shows what the HA store and storageDir say that they did not say before.

        >>> lab.stepper_panel()                                            # doctest: +SKIP
        """
        return self._panel("stepper")

    # --- within --------------------------------------------------------------------------
    def _submit_load(self, job: LoadSpec) -> Job:
        return self.submit(
            f"{JOBS}:{job.function}",
            {"end": job.end, "rate": job.rate, "output": str(job.output)},
            parallelism=job.parallelism, checkpoint_interval=job.interval, wait=False,
        )  # fmt: skip

    def _make_panel_set(self) -> PanelSet:
        from hawork.panels.panel_set import PanelSet

        return PanelSet.of_lab(self, self)

    def _make_processes(self) -> LabProcesses:
        return LabProcesses(
            self._run, self.config, release=self.config.get_option(options.SUPERVISOR),
            config_file=self._store.config_file,
        )  # fmt: skip
