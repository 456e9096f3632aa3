"""Looking at a Flink cluster that was started elsewhere; nothing is changed unless allowed."""

from __future__ import annotations

import contextlib
import html
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from hawork.client.flink_rest import (
    ELECTING,
    NO_ANSWER,
    ask,
    in_full,
    job_details,
    patiently,
)
from hawork.client.job_details import JobDetails
from hawork.client.tls import SYSTEM_TRUST, RestTrust
from hawork.client.waiting import Waiting
from hawork.core import options
from hawork.core.addresses import host_and_port, rest_address
from hawork.core.calls import checked_calls
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.configuration import Configuration, flatten
from hawork.core.errors import LabError, RestError
from hawork.core.types import JobID, LeaderInformation
from hawork.core.user_files import temporary_directory
from hawork.ha.configuration_file import load_configuration
from hawork.ha.layout import storage_dir
from hawork.ha.storage import local_path
from hawork.inspect.election import Election
from hawork.lab.cluster_view import ClusterView
from hawork.lab.faults import VERBS
from hawork.lab.flink.client import FlinkClient
from hawork.lab.flink.distribution import FlinkDistribution
from hawork.lab.flink.endpoints import Heard
from hawork.lab.flink.events import FlinkEvents
from hawork.lab.flink.script import work_of
from hawork.lab.flink.submission import job_settings, submit_work
from hawork.lab.flink.watch import FlinkWatch
from hawork.lab.snapshot import ClusterSnapshot
from hawork.lab.submission import send_and_wait
from hawork.story.beliefs import CLIENT
from hawork.story.display import age
from hawork.story.job_manager_log import JobManagerLog

if TYPE_CHECKING:
    import pandas

    from hawork.panels.panel_set import PanelSet

T = TypeVar("T")

_FIRST_LOOK = 3.0
_JOB_POLL = 0.2
"""Seconds between looks at a job: the cluster has others to serve."""
_NOT_OURS = (
    "its processes and its store were not started by this lab; use the tools they were started "
    "with, or a FlinkCluster of your own"
)
_NO_STEPS = "steps are of hawork's own processes; see the protocol step by step in a LabCluster"


@checked_calls
class AttachedCluster(ClusterView):
    """A running Flink cluster, seen from outside; made by ``FlinkCluster.attach``.

    >>> with FlinkCluster.attach("conf/config.yaml") as cluster:           # doctest: +SKIP
    ...     print(cluster.leader(), cluster.jobs())

    With a ``config.yaml`` (or options) the leader is found by leader retrieval, and the HA
    store can be looked into. With the URL of a REST endpoint there are jobs, checkpoints and
    TaskManagers only: over REST Flink does not tell who leads. The timeline begins now;
    ``export_bundle`` keeps it, with what the store and storageDir say. ``panels()`` shows it
    live, without buttons for faults; ``verdict()`` judges what was seen since.

    The store goes on naming a leader that is dead, so its address is asked all the time, and what
    was told last is shown with its age: ``heard()``. Nothing here waits unless a ``timeout`` (in
    seconds) is given: a store that is away is connected to once it answers, and ``silence()``
    says so until then. So it does for a store that does not let us in, and the rest is shown:
    logs, storageDir, and REST at ``rest.address`` if the configuration has it. After ``attach``
    alone a first question waits for the first look at the store, for three seconds at most.

    It only reads, unless ``read_only=False``: then jobs can be submitted and canceled, with
    Flink's own client of the version in ``flink_home`` (the cluster's own; default: the
    installed one). Faults are for processes that a lab has started, so there are none here.

    An ``https://`` endpoint is trusted as ``security.ssl.rest.*`` of the configuration says; with a
    URL alone, when an authority of this machine or of ``SSL_CERT_FILE`` signed its certificate. The
    URL may lead below a path of a gateway, with or without the page of Flink's web interface.

    ``logs`` are logs of its JobManagers, files or what ``kubectl logs`` wrote: their lines that
    matter (leadership, recovered jobs, failed checkpoints, fatal errors) get lanes of their own.

    ``ConfigurationError`` when the file or an option is wrong, ``RestError`` when nothing
    answers at the URL.
    """

    absent: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(VERBS, _NOT_OURS),
        **dict.fromkeys(("arm", "disarm", "held", "proceed", "stepper_panel"), _NO_STEPS),
        "start": "it runs already, and was not started by this lab",
        "processes": "what is known of them is in snapshot(), taskmanagers() and the timeline",
    }  # fmt: skip
    called = "view"
    _after_close = "attach again"

    def __init__(
        self, config: Path | str | Mapping[str, Any], *, read_only: bool = True,
        flink_home: Path | str | None = None, logs: Sequence[Path | str] = (),
    ) -> None:  # fmt: skip
        beside = [JobManagerLog(path) for path in logs]
        self.config: Configuration | None = None
        self.read_only = read_only
        self.flink_home = flink_home
        self._url: str | None = None
        self.trust = SYSTEM_TRUST
        if isinstance(config, Mapping):
            self.config = options.checked(flatten(config))
        elif str(config).startswith(("http://", "https://")):
            self._url = rest_address(str(config)).url
            ask(self._url, "/overview")
        else:
            self.config = load_configuration(config)
        if self.config is not None:
            self.trust = RestTrust(self.config)
        self._client: FlinkClient | None = None
        self._directory = tempfile.TemporaryDirectory(
            prefix="hawork-attached-", dir=temporary_directory()
        )
        directory = Path(self._directory.name)
        super().__init__(directory, CLIENT)
        self._attached_at = time.monotonic()
        self._told = FlinkEvents(directory)
        self._watch = FlinkWatch(
            self.config, self._told, address=self._url, own=self._events, trust=self.trust,
            beside=beside, known=self._reader.events, patient=True,
        )  # fmt: skip
        self._shutdown.first(self._close_client, self._watch.close, self._told.close)
        try:
            self._watch.start()
        except BaseException:
            self.close()
            raise

    # --- who is who ----------------------------------------------------------------------
    def leader_information(self) -> LeaderInformation | None:
        """Session id and address as leader retrieval sees them now; ``None`` without a leader."""
        self._configured("who leads")
        return self._watch.leader

    def rest_address(self) -> str | None:
        """Where jobs are asked for: the leader's address, or the URL; ``None`` without a leader.

        Where the store does not tell who leads, ``rest.address`` and ``rest.port`` of the
        configuration are asked, if it has them.

        >>> view.rest_address()                                            # doctest: +SKIP
        'http://10.0.3.7:8081'
        """
        if self._url is not None:
            return self._url
        information = self._watch.asked
        return information.address if information else None

    def leader(self, timeout: float = 0.0) -> str:
        """The host and port of the leader's REST endpoint, waiting for one for ``timeout`` seconds.

        It is the one that the HA store names; ``heard()`` tells whether it answers. ``LabError``
        when the store names none.
        """
        self._configured("who leads")

        def look() -> str | None:
            information = self._watch.leader
            return host_and_port(information.address) if information else None

        self._wait_for_first_look()
        if timeout > 0:
            return Waiting("a leader", look, timeout=timeout).wait()
        found = look()
        if found is None:
            raise LabError(self._no_leader())
        return found

    def heard(self) -> Heard | None:
        """The JobManager that answered last, and when; ``None``: none was asked yet.

        >>> print(view.heard())                                            # doctest: +SKIP
        10.0.3.7:8081 is down (nothing listens there); last heard at 03:12:44, 19 s ago
        """
        information = self._watch.leader
        known = self._watch.endpoints
        of_leader = known.of(host_and_port(information.address)) if information else None
        return of_leader or known.newest()

    def election(self) -> Election | None:
        """Who stands for the leadership, as the HA store told last; ``None``: not told yet.

        >>> view.election().standbys                                       # doctest: +SKIP
        2
        """
        self._configured("who stands by")
        self._wait_for_first_look()
        return self._watch.election

    def silence(self) -> str:
        """Why no leader answers, and when one was heard last; empty while one does.

        >>> view.silence()                                                 # doctest: +SKIP
        'the HA store names no leader now; 10.0.3.7:8081 was last heard at 03:12:44, 19 s ago'
        """
        last = self.heard()
        if self._watch.leader is None:
            return self._no_leader()
        return str(last) if last is not None and last.silence else ""

    def election_facts(self) -> list[tuple[str, str]]:
        """What the HA store tells of those that stand for the leadership, as shown on a card."""
        found = self._watch.election
        if found is None:
            return []
        if found.renewed is not None:
            over = found.lease is not None and time.time() - found.renewed > found.lease
            state = ", the lease is over" if over else ""
            return [
                ("lock renewed", f"{age(found.renewed)}{state}"),
                ("standbys", "not told: on Kubernetes a standby leaves no trace"),
            ]
        if found.standbys is None:
            return []
        return [("standbys", f"{found.standbys} ({found.contenders} in the latch)")]

    def taskmanagers(self, timeout: float = 0.0) -> list[dict[str, Any]]:
        """The TaskManagers that the leader knows, as Flink's REST shows them.

        ``RestError`` when no leader answers, or it still waits for its own election; with a
        ``timeout`` these are waited for. The same holds for all questions below.
        """
        return self._asking(self._taskmanagers, timeout)

    # --- jobs ----------------------------------------------------------------------------
    def jobs(self, timeout: float = 0.0) -> list[JobDetails]:
        """The jobs that the leader knows: those that have not ended first, then the newest."""
        return self._asking(self._jobs, timeout)

    def job(self, job_id: str, timeout: float = 0.0) -> JobDetails:
        """One job. ``RestError`` when the cluster does not know it."""
        return self._asking(lambda: job_details(self._ask, job_id), timeout)

    def checkpoints(self, job_id: str, timeout: float = 0.0) -> pandas.DataFrame:
        """The newest checkpoints of a job, newest first."""
        import pandas

        path = f"/jobs/{JobID(job_id)}/checkpoints"
        return pandas.DataFrame(self._asking(lambda: self._ask(path), timeout)["history"])

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
        self._check_open()
        self._check_writable("submit a job")
        work = work_of(str(job), dict(config or {}), entry_class, args)
        settings = job_settings(parallelism, checkpoint_interval, name)
        if self._client is None:
            flink = FlinkDistribution.find(self.flink_home)
            directory = Path(self._directory.name) / "client"
            self._client = FlinkClient(directory, self._client_options(), flink)
        client, job_id = self._client, JobID.random()

        def submit(_: bool) -> JobID:
            submit_work(client, work, settings, job_id)
            return job_id

        nevertheless = (
            "it is submitted nevertheless, and running the cell again would submit another one; "
            "ask for it with job(...), or end it with cancel(...)"
        )
        return send_and_wait(submit, Future(), job_id, nevertheless)

    def cancel(self, job_id: str) -> None:
        """Ask the leader to cancel a job; see ``ended`` for its end."""
        self._check_writable("cancel a job")
        path = f"/jobs/{JobID(job_id)}?mode=cancel"
        ask(self._address(), path, method="PATCH", trust=self.trust)

    def ended(self, job_id: str, timeout: float | None = 60.0) -> Waiting[JobDetails]:
        """Wait for the end of a job, whichever it is."""

        def look() -> JobDetails | None:
            details = self.job(job_id)
            return details if details.status.globally_terminal else None

        return Waiting(f"the end of job {job_id}", look, timeout=timeout, poll=_JOB_POLL)

    # --- looking -------------------------------------------------------------------------
    def snapshot(self) -> ClusterSnapshot:
        """The cluster at this moment, as one frozen value; without processes, which are not ours.

        While no leader answers, jobs and TaskManagers are what was told last, and ``silence`` says
        when that was.
        """
        information = self._watch.leader if self.config is not None else None
        silence, told = self.silence(), self._watch.rest
        try:
            jobs = tuple(JobDetails.from_overview(told.overview))
        except RestError:
            jobs = ()
        if not silence:
            with contextlib.suppress(RestError):
                jobs = tuple(self._jobs())
        return ClusterSnapshot(
            wall=time.time(),
            leader=host_and_port(information.address) if information else None,
            session_id=str(information.session_id) if information else None,
            address=information.address if information else self._url,
            processes=(),
            jobs=jobs,
            taskmanagers=tuple(told.taskmanagers),
            silence=silence,
        )

    def storage_directory(self) -> Path:
        """Where storageDir is; ``LabError`` when it is on no disk of this machine.

        >>> view.storage_directory()                                       # doctest: +SKIP
        PosixPath('/shared/flink/ha/flights')
        """
        url = storage_dir(self._configured("where storageDir is"))
        path = local_path(url)
        if path is None:
            raise LabError(f"{url} is not on this machine: look at it with its own tools")
        return path

    def __repr__(self) -> str:
        where = self._url
        if self.config is not None:
            information = self._watch.leader
            where = f"leader={host_and_port(information.address) if information else None}"
        last = self.heard()
        if last is not None and last.silence:
            where = f"{where}: {last}"
        state = "closed" if self._closed else "read-only" if self.read_only else "writable"
        return f"AttachedCluster({where}, {state})"

    def _repr_html_(self) -> str:
        if self._closed:
            return f"<code>{html.escape(repr(self))}</code>"
        return self.snapshot()._repr_html_()

    # --- within --------------------------------------------------------------------------
    def _make_panel_set(self) -> PanelSet:
        from hawork.panels.panel_set import PanelSet

        return PanelSet.of_view(self)

    def _store_config(self) -> Configuration:
        return self._configured("what is in the HA store")

    def _results_config(self) -> Configuration:
        return self._configured("where the job results are")

    def _release_directory(self) -> None:
        self._directory.cleanup()

    def _configured(self, what: str) -> Configuration:
        if self.config is None:
            raise LabError(
                f"{what} is not told by {self._url}: attach with the cluster's config.yaml instead"
            )
        return self.config

    def _jobs(self) -> list[JobDetails]:
        address = self._address()
        get = partial(ask, address, trust=self.trust)
        found = in_full(get, JobDetails.from_overview(get("/jobs/overview")))
        return sorted(found, key=lambda job: (job.status.globally_terminal, -job.start_time))

    def _taskmanagers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("/taskmanagers").get("taskmanagers", [])
        return found

    def _ask(self, path: str) -> dict[str, Any]:
        """Ask the leader now; ``RestError`` without a leader, or when it is silent."""
        return ask(self._address(), path, trust=self.trust)

    def recorded_until(self) -> float:
        """Now, while it is open: a silence has no events, and goes on."""
        return SYSTEM_CLOCK.monotonic() if self._closed_at is None else self._closed_at

    def _asking(self, look: Callable[[], T], timeout: float) -> T:
        return patiently(look, timeout, ELECTING | NO_ANSWER)

    def _address(self) -> str:
        self._check_open()
        if self._url is not None:
            return self._url
        self._wait_for_first_look()
        information = self._watch.asked
        if information is None:
            raise RestError(self._no_leader())
        return information.address

    def _wait_for_first_look(self) -> None:
        end = self._attached_at + _FIRST_LOOK
        while self._url is None and not self._watch.looked.wait(0.02):
            found = self._watch.election
            none = found is not None and (found.missing or found.contenders == 0)
            if none or self._watch.denied or time.monotonic() > end:
                return

    def _no_leader(self) -> str:
        """Why there is none, as far as it is known, in one sentence."""
        found = self._watch.election
        if self._watch.store_trouble:
            return f"{self._watch.store_trouble}{self._last()}"
        if found is None and not self._watch.looked.is_set():
            return "the HA store has not been heard yet"
        if not self._watch.store_usable:
            return f"the HA store does not answer us: who leads is not known{self._last()}"
        if found is not None and found.missing:
            return found.missing
        waiting = f"{found.contenders} in the latch" if found and found.contenders else "no standby"
        named = "" if found is None or found.contenders is None else f" ({waiting})"
        return f"the HA store names no leader now{named}{self._last()}"

    def _last(self) -> str:
        last = self._watch.endpoints.newest()
        if last is None or last.wall is None:
            return ""
        return f"; {last.process} was {last.age()}"

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
                f"this view of a cluster only reads: attach with read_only=False to {what}"
            )
