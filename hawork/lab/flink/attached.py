"""Looking at a Flink cluster that somebody else started; nothing is changed unless allowed."""

from __future__ import annotations

import html
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from hawork.client.flink_rest import ask, job_details, patiently
from hawork.client.full_details import in_full
from hawork.client.job_details import JobDetails
from hawork.client.tls import SYSTEM_TRUST, RestTrust
from hawork.client.waiting import Waiting
from hawork.core import options
from hawork.core.addresses import host_and_port, rest_address
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.configuration import Configuration, flatten
from hawork.core.errors import LabError, RestError
from hawork.core.events import EventLog
from hawork.core.types import JobID, LeaderInformation
from hawork.ha.configuration_file import load_configuration
from hawork.ha.layout import storage_dir
from hawork.ha.storage import local_path
from hawork.lab import open_labs
from hawork.lab.bundling import Bundling
from hawork.lab.closing import Closing
from hawork.lab.flink.actions import FlinkActions
from hawork.lab.flink.events import FlinkEvents
from hawork.lab.flink.watch import FlinkWatch
from hawork.lab.judgement import Judgement
from hawork.lab.panel_methods import Panels
from hawork.lab.snapshot import ClusterSnapshot
from hawork.story.beliefs import CLIENT
from hawork.story.event_reader import EventReader
from hawork.story.recorded import Recorded

if TYPE_CHECKING:
    import pandas

    from hawork.panels.panel_set import PanelSet


class AttachedCluster(Recorded, FlinkActions, Judgement, Panels, Bundling):
    """A running Flink cluster, seen from outside; made by ``FlinkCluster.attach``.

    >>> with FlinkCluster.attach("conf/config.yaml") as cluster:           # doctest: +SKIP
    ...     print(cluster.leader(), cluster.jobs())

    With a ``config.yaml`` (or options) the leader is found by leader retrieval, and the HA
    store can be looked into. With the URL of a REST endpoint there are jobs, checkpoints and
    TaskManagers only: over REST Flink does not tell who leads. The timeline begins now;
    ``export_bundle`` keeps it, with what the store and storageDir say. ``panels()`` shows it
    live, without buttons for faults; ``verdict()`` judges what was seen since.

    It only reads, unless ``read_only=False``: then jobs can be submitted and canceled, with
    Flink's own client of the version in ``flink_home`` (the cluster's own; default: the
    installed one). Faults are for processes that a lab has started, so there are none here.

    An ``https://`` endpoint is trusted as ``security.ssl.rest.*`` of the configuration says; with a
    URL alone, when an authority of this machine or of ``SSL_CERT_FILE`` signed its certificate. The
    URL may lead below a path of a gateway, with or without the page of Flink's web interface.

    ``ConfigurationError`` when the file or an option is wrong, ``RestError`` when nobody
    answers at the URL.
    """

    _shown = ("cluster", "timeline", "jobs", "store")
    _called = "view"

    def __init__(
        self, config: Path | str | Mapping[str, Any], *, read_only: bool = True,
        flink_home: Path | str | None = None,
    ) -> None:  # fmt: skip
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
        self._directory = tempfile.TemporaryDirectory(prefix="hawork-attached-")
        directory = Path(self._directory.name)
        self._told = FlinkEvents(directory)
        self._events = EventLog(CLIENT, directory / f"{CLIENT}.jsonl")
        self._reader = EventReader(directory)
        self._closed = False
        self._closed_at: float | None = None
        self._watch = FlinkWatch(
            self.config, self._told, address=self._url, own=self._events, trust=self.trust
        )
        self._closing = Closing(
            self._close_client,
            self._watch.close,
            self._told.close,
            self._reader.events,  # the last words, before the directory goes
            self._close_panels,
            self._events.close,
        )
        try:
            self._watch.start()
        except BaseException:
            self.close()
            raise
        open_labs.opened(self)

    def close(self) -> None:
        """Stop looking; what was seen stays readable. Repeatable."""
        if not self._closed:
            self._closed, self._closed_at = True, SYSTEM_CLOCK.monotonic()
        self._closing.go_on()
        self._directory.cleanup()
        open_labs.closed(self)

    def __enter__(self) -> AttachedCluster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # --- who is who ----------------------------------------------------------------------
    def leader_information(self) -> LeaderInformation | None:
        """Session id and address as leader retrieval sees them now; ``None``: nobody leads."""
        self._configured("who leads")
        return self._watch.leader

    def rest_address(self) -> str | None:
        """Where jobs are asked for now: the leader's address, or the URL; ``None``: nobody leads.

        >>> view.rest_address()                                            # doctest: +SKIP
        'http://10.0.3.7:8081'
        """
        if self._url is not None:
            return self._url
        information = self._watch.leader
        return information.address if information else None

    def leader(self, timeout: float = 30.0) -> str:
        """The host and port of the leader's REST endpoint; waits for one if need be."""
        self._configured("who leads")

        def look() -> str | None:
            information = self._watch.leader
            return host_and_port(information.address) if information else None

        return Waiting("a leader", look, timeout=timeout).wait()

    def taskmanagers(self) -> list[dict[str, Any]]:
        """The TaskManagers that the leader knows, as Flink's REST shows them."""
        return patiently(self._taskmanagers)

    # --- jobs ----------------------------------------------------------------------------
    def jobs(self) -> list[JobDetails]:
        """The jobs that the leader knows: those that have not ended first, then the newest."""
        return patiently(self._jobs)

    def job(self, job_id: str) -> JobDetails:
        """One job. ``RestError`` when the cluster does not know it."""
        return patiently(lambda: job_details(self._ask, job_id))

    def checkpoints(self, job_id: str) -> pandas.DataFrame:
        """The newest checkpoints of a job, newest first."""
        import pandas

        path = f"/jobs/{JobID(job_id)}/checkpoints"
        return pandas.DataFrame(patiently(lambda: self._ask(path))["history"])

    # --- looking -------------------------------------------------------------------------
    def snapshot(self) -> ClusterSnapshot:
        """The cluster at this moment, as one frozen value; without processes, which are not ours.

        Jobs and TaskManagers are empty while no leader answers.
        """
        information = self._watch.leader if self.config is not None else None
        try:
            jobs, taskmanagers = tuple(self._jobs()), tuple(self._taskmanagers())
        except RestError:
            jobs, taskmanagers = (), ()
        return ClusterSnapshot(
            wall=time.time(),
            leader=host_and_port(information.address) if information else None,
            session_id=str(information.session_id) if information else None,
            address=information.address if information else self._url,
            processes=(),
            jobs=jobs,
            taskmanagers=taskmanagers,
        )

    def store_rows(self) -> pandas.DataFrame:
        """Everything of the cluster in the HA store right now, decoded."""
        from hawork.inspect.store import store_rows

        return store_rows(self._configured("what is in the HA store"), {})

    def storage_tree(self) -> pandas.DataFrame:
        """Every file below storageDir right now; ``LabError`` when it is on no local disk."""
        from hawork.inspect.store import storage_tree

        return storage_tree(self.storage_directory())

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

    def job_results(self) -> pandas.DataFrame:
        """What the JobResultStore says now, dirty or clean."""
        from hawork.inspect.store import job_results

        return job_results(self._configured("where the job results are"))

    def stepper_panel(self) -> NoReturn:
        """Always ``LabError``: steps are hawork's, a process of Flink cannot be held at one."""
        raise LabError(
            "there is no stepper for a cluster that was only attached to: see the protocol step "
            "by step in a LabCluster"
        )

    def __repr__(self) -> str:
        where = self._url
        if self.config is not None:
            information = self._watch.leader
            where = f"leader={host_and_port(information.address) if information else None}"
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

    def _store_kind(self) -> str:
        return self.config.get_option(options.HA_TYPE) if self.config is not None else ""

    def _configured(self, what: str) -> Configuration:
        if self.config is None:
            raise LabError(
                f"{what} is not told by {self._url}: attach with the cluster's config.yaml instead"
            )
        return self.config

    def _storage(self) -> Path:
        return self.storage_directory()

    def _known_options(self) -> Mapping[str, str]:
        return self.config or {}

    def _jobs(self) -> list[JobDetails]:
        address = self._address()
        get = partial(ask, address, trust=self.trust)
        found = in_full(get, JobDetails.from_overview(get("/jobs/overview")))
        return sorted(found, key=lambda job: (job.status.globally_terminal, -job.start_time))

    def _taskmanagers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("/taskmanagers").get("taskmanagers", [])
        return found

    def _ask(self, path: str) -> dict[str, Any]:
        """Ask whoever leads now; ``RestError`` when nobody does, or the leader is silent."""
        return ask(self._address(), path, trust=self.trust)

    def _address(self) -> str:
        self._check_open()
        if self._url is not None:
            return self._url
        self.leader()
        information = self._watch.leader
        if information is None:
            raise RestError("nobody leads the cluster at the moment: ask again")
        return information.address

    def _check_events_come(self) -> None:
        self._check_open()

    def _check_open(self) -> None:
        if self._closed:
            raise LabError("this view is closed: attach again")

    def _client_directory(self) -> Path:
        self._check_open()
        return Path(self._directory.name) / "client"
