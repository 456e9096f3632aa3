"""What may be done to a Flink cluster of somebody else's, by whoever asked to be allowed to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from hawork.client.flink_rest import ask, patiently
from hawork.client.job_details import JobDetails
from hawork.client.submission import seconds
from hawork.client.tls import RestTrust
from hawork.client.waiting import Waiting
from hawork.core import options
from hawork.core.addresses import rest_address
from hawork.core.configuration import Configuration
from hawork.core.errors import LabError
from hawork.core.types import JobID
from hawork.lab.flink.client import FlinkClient
from hawork.lab.flink.distribution import FlinkDistribution
from hawork.lab.flink.jar import JobJar
from hawork.lab.flink.script import work_of

_JOB_POLL = 0.2


class FlinkActions:
    """Submitting and canceling jobs of an attached cluster; its processes are not ours."""

    config: Configuration | None
    read_only: bool
    flink_home: Path | str | None
    trust: RestTrust
    _client: FlinkClient | None = None

    def submit(
        self,
        job: str | Path,
        config: Mapping[str, Any] | None = None,
        *,
        parallelism: int = 1,
        checkpoint_interval: str | float | None = None,
        name: str | None = None,
        entry_class: str | None = None,
        args: Sequence[object] = (),
    ) -> JobID:
        """Submit Flink SQL or a jar as ``FlinkCluster.submit`` does; its job id.

        Checkpoints are as the cluster's own configuration says unless ``checkpoint_interval``
        is given. ``LabError`` when the view is read-only, ``JobSubmissionError`` has Flink's
        message.
        """
        self._check_writable("submit a job")
        work = work_of(str(job), dict(config or {}), entry_class, args)
        interval = seconds(checkpoint_interval)
        settings = {
            options.PARALLELISM.key: str(parallelism),
            **({"pipeline.name": name} if name else {}),
            **({options.CHECKPOINT_INTERVAL.key: f"{interval * 1000:.0f} ms"} if interval else {}),
        }
        if self._client is None:
            flink = FlinkDistribution.find(self.flink_home)
            self._client = FlinkClient(self._client_directory(), self._client_options(), flink)
        job_id = JobID.random()
        if isinstance(work, JobJar):
            self._client.submit_jar(work, settings, job_id)
        else:
            self._client.submit(work, settings, job_id)
        return job_id

    def cancel(self, job_id: str) -> None:
        """Ask the leader to cancel a job; see ``ended`` for its end."""
        self._check_writable("cancel a job")
        path = f"/jobs/{JobID(job_id)}?mode=cancel"
        patiently(lambda: ask(self._address(), path, method="PATCH", trust=self.trust))

    def ended(self, job_id: str, timeout: float | None = 60.0) -> Waiting[JobDetails]:
        """Wait for the end of a job, whichever it is."""

        def look() -> JobDetails | None:
            details = self.job(job_id)
            return details if details.status.globally_terminal else None

        return Waiting(f"the end of job {job_id}", look, timeout=timeout, poll=_JOB_POLL)

    # --- faults --------------------------------------------------------------------------
    def kill(self, target: str = "leader") -> NoReturn:
        """Always ``LabError``: the processes are somebody else's."""
        self._not_ours("kill", target)

    def terminate(self, target: str = "leader") -> NoReturn:
        """As ``kill``: always ``LabError``."""
        self._not_ours("terminate", target)

    def pause(self, target: str = "leader") -> NoReturn:
        """As ``kill``: always ``LabError``."""
        self._not_ours("pause", target)

    def resume(self, target: str) -> NoReturn:
        """As ``kill``: always ``LabError``."""
        self._not_ours("resume", target)

    def restart(self, target: str) -> NoReturn:
        """As ``kill``: always ``LabError``."""
        self._not_ours("restart", target)

    def expire_session(self, target: str = "leader") -> NoReturn:
        """As ``kill``: always ``LabError``."""
        self._not_ours("expire the session of", target)

    def partition(self, target: str = "leader", how: str = "blackhole") -> NoReturn:
        """As ``kill``: always ``LabError``."""
        self._not_ours("cut off", target)

    # --- within --------------------------------------------------------------------------
    def job(self, job_id: str) -> JobDetails:
        raise NotImplementedError

    def _address(self) -> str:
        """The REST endpoint to ask; waits for a leader."""
        raise NotImplementedError

    def _client_directory(self) -> Path:
        raise NotImplementedError

    def _client_options(self) -> dict[str, str]:
        """What Flink's client is told: the cluster's own configuration, or the one address."""
        if self.config is not None:
            return dict(self.config)
        known = rest_address(self._address())
        if known.secure or known.path:
            raise LabError(
                f"Flink's client is told by options only how to speak to {known.url}: attach with "
                "the cluster's config.yaml"
            )
        return {"rest.address": known.host, "rest.port": str(known.port)}

    def _close_client(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _check_writable(self, what: str) -> None:
        if self.read_only:
            raise LabError(
                f"this view of somebody else's cluster only reads: attach with read_only=False "
                f"to {what}"
            )

    def _not_ours(self, what: str, target: str) -> NoReturn:
        raise LabError(
            f"cannot {what} {target}: its process was not started by this lab; use the tools of "
            "whoever started it, or a FlinkCluster of your own"
        )
