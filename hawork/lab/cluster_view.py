"""What every kind of cluster can be asked: its events, its panels, its HA data, its bundle."""

from __future__ import annotations

import difflib
from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self

from hawork.client.waiting import Waiting
from hawork.core import options
from hawork.core.calls import checked_calls
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.configuration import Configuration
from hawork.core.errors import HaworkError, LabError, UnknownVerbError
from hawork.core.events import Event, EventKind, EventLog
from hawork.core.types import LeaderInformation
from hawork.lab.closing import Shutdown, closed, opened
from hawork.story.comparison import Comparison
from hawork.story.event_reader import EventReader, kind_of
from hawork.story.predictions import is_guess, predictions, predictions_frame
from hawork.story.recorded import Recorded
from hawork.story.verdict import Verdict

if TYPE_CHECKING:
    import pandas

    from hawork.inspect.decode import StoreRow
    from hawork.inspect.inspector import ShownInspection
    from hawork.lab.snapshot import ClusterSnapshot
    from hawork.panels.panel import Panel
    from hawork.panels.panel_set import PanelSet


@checked_calls
class ClusterView(Recorded):
    """A cluster that is looked at; ``LabCluster``, ``FlinkCluster`` and ``AttachedCluster`` are.

    What events alone can tell works after ``close``, too. A verb that a kind of cluster does not
    have is absent, and asking for it says what there is instead.
    """

    config: Configuration | None
    """The cluster's options, as far as they are known."""

    absent: ClassVar[Mapping[str, str]] = {}
    """Verbs of other kinds of clusters, with what there is instead of them here."""
    called: ClassVar[str] = "lab"
    """What a reader calls the object."""
    _after_close: ClassVar[str] = "make a new one"
    _docked: ClassVar[tuple[str, ...]] = ("cluster", "timeline", "jobs", "store")
    """The panels that ``panels`` docks together."""

    def __init__(self, events: Path, name: str) -> None:
        """``events`` is the folder of the events, ``name`` that of their writer here."""
        self._events = EventLog(name, events / f"{name}.jsonl")
        self._reader = EventReader(events)
        self._closed = False
        self._panel_set: PanelSet | None = None
        self._shutdown = Shutdown(
            self._reader.events,  # the last ones, before the directory goes
            self._close_panels,
            self._events.close,
        )
        opened(self)

    # --- life ----------------------------------------------------------------------------
    def close(self) -> None:
        """End what was started for it; the events stay readable. Repeatable.

        When it was interrupted, the next call goes on with what is left.

        >>> lab.close()                                                    # doctest: +SKIP
        """
        if not self._closed:
            self._closed, self._closed_at = True, SYSTEM_CLOCK.monotonic()
        self._shutdown.go_on()
        self._release_directory()
        closed(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    if not TYPE_CHECKING:  # a checker knows the verbs, and refuses all others

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_"):
                raise AttributeError(name)
            raise UnknownVerbError(f"{type(self).__name__} has no {name}: {self._instead(name)}")

    def _instead(self, name: str) -> str:
        if name in self.absent:
            return self.absent[name]
        verbs = [each for each in dir(type(self)) if not each.startswith("_")]
        close = difflib.get_close_matches(name, verbs, n=1)
        return f"did you mean {close[0]}?" if close else f"choose one of {', '.join(verbs)}"

    # --- who is who ----------------------------------------------------------------------
    @abstractmethod
    def leader_information(self) -> LeaderInformation | None:
        """Session id and address as leader retrieval sees them now; ``None`` without a leader.

        >>> lab.leader_information().address                               # doctest: +SKIP
        'http://127.0.0.1:40123'
        """

    @abstractmethod
    def leader(self, timeout: float = 30.0) -> str:
        """The leading JobManager's name; waits for a leader if need be.

        >>> lab.leader()                                                   # doctest: +SKIP
        'jm-1'
        """

    @abstractmethod
    def snapshot(self) -> ClusterSnapshot:
        """The cluster at this moment, as one frozen value; waits for no leader.

        >>> lab.snapshot().leader                                          # doctest: +SKIP
        'jm-1'
        """

    # --- what happened -------------------------------------------------------------------
    def event_list(self) -> list[Event]:
        """Every event of every process so far, in the order in which they happened.

        >>> [event.kind.value for event in lab.event_list()][:2]           # doctest: +SKIP
        ['process.started', 'process.started']
        """
        return self._reader.events()

    def arrived_events(self, known: int = 0) -> list[Event]:
        """The events after the first ``known`` ones, in the order in which they were read."""
        return self._reader.arrived(known)

    def wait_for_event(
        self,
        kind: EventKind | str,
        process: str | None = None,
        after: Event | None = None,
        timeout: float = 30.0,
    ) -> Waiting[Event]:
        """Wait for the first event of a kind: of one process or any, after another or ever.

        >>> woken = lab.resume("jm-1")                                     # doctest: +SKIP
        >>> await lab.wait_for_event("leadership.revoked", "jm-1", after=woken)  # doctest: +SKIP
        """
        what = f"event {kind}" + (f" of {process}" if process else "")
        first = partial(self._reader.first, kind_of(kind), process, after)

        def look() -> Event | None:
            found = first()
            if found is None:
                self._check_running()
            return found

        return Waiting(what, look, timeout=timeout)

    def verdict(self, output: Comparison | None = None) -> Verdict:
        """Whether everything so far was right, by the event log; works after ``close``, too.

        At most one accepted leader per term, every accepted write by the leader of its term,
        no acknowledged job lost, checkpoints only forward, and, when ``output`` says what a
        comparison gave, an exact output. What a comparison of a job's output misses may be
        there in its next one; what is there twice counts. Shows the events that prove what was
        broken.

        >>> lab.verdict(flights.compare(job.output())).valid               # doctest: +SKIP
        True
        """
        if output is not None:
            self._note(
                EventKind.OUTPUT_COMPARED,
                records=output.records,
                lost=output.lost,
                duplicated=output.duplicated,
                different=output.different,
                job_id=getattr(output, "job_id", None),  # not every comparison knows
            )
        return super().verdict()

    def predict(self, question: str, guess: Any = ..., unit: str = "s") -> None:
        """Keep a guess, in the event log, until ``observe`` tells how it came out.

        ``...`` (or ``None``, ``"?"``) asks the question without a guess. Guessing again replaces
        the guess, until the observation: a guess after it does not count as one.

        >>> lab.predict("gap after a kill", 5.0)                           # doctest: +SKIP
        """
        kept = guess if is_guess(guess) else None
        self._note(EventKind.PREDICTION, question=question, guess=kept, unit=unit)

    def observe(self, question: str, value: Any) -> Any:
        """Keep what the event log says to a question that was asked; returns ``value``.

        ``LabError`` for a question that ``predict`` has not asked.

        >>> lab.observe("gap after a kill", lab.timeline().takeovers[-1].seconds)  # doctest: +SKIP
        0.08
        """
        asked = predictions(self.event_list())
        if question not in asked:
            known = ", ".join(repr(each) for each in asked) or "none"
            raise LabError(
                f"no question {question!r} was asked (asked were: {known}): call predict first"
            )
        self._note(EventKind.PREDICTION, question=question, observed=value)
        return value

    def compare(self) -> pandas.DataFrame:
        """Every guess beside what was observed; empty where there was none yet.

        ``remark`` says where a guess is missing, or came after the observation.

        >>> lab.compare()                                                  # doctest: +SKIP
                   question  guess  observed unit remark
        0  gap after a kill    5.0      0.08    s
        """
        return predictions_frame(self.event_list())

    # --- HA data -------------------------------------------------------------------------
    @abstractmethod
    def storage_directory(self) -> Path:
        """Where storageDir is; ``LabError`` when it is on no disk of this machine.

        >>> view.storage_directory()                                       # doctest: +SKIP
        PosixPath('/shared/flink/ha/flights')
        """

    def storage_tree(self) -> pandas.DataFrame:
        """Every file below storageDir right now: what it is, its size, what it says.

        >>> lab.storage_tree()[["path", "what", "bytes"]]                  # doctest: +SKIP
        """
        from hawork.inspect.files import storage_tree

        return storage_tree(self.storage_directory())

    def store_rows(self) -> pandas.DataFrame:
        """Every row, znode or key of the HA store right now: place, name, version, value as text.

        >>> lab.store_rows().query("table == 'lease'")                     # doctest: +SKIP
        """
        from hawork.inspect.store import store_frame

        return store_frame(self.store_entries())

    def store_entries(self) -> list[StoreRow]:
        """The same as values, with the bytes whole and what they point to.

        >>> [row.pointer for row in lab.store_entries() if row.pointer]    # doctest: +SKIP
        """
        from hawork.inspect.store import store_rows

        return store_rows(self._store_config(), self._owners())

    def job_results(self) -> pandas.DataFrame:
        """What the JobResultStore says now, dirty or clean.

        >>> lab.job_results()[["job_id", "state"]]                         # doctest: +SKIP
        """
        from hawork.inspect.files import job_results

        return job_results(self._results_config())

    def export_bundle(self, path: Path | str) -> Path:
        """Write the run so far into one file, to keep or to send: see ``open_bundle``.

        It holds the events, the options without secrets, what the HA store and storageDir say
        now, and a report that any browser opens offline. Of a cluster that is closed it holds the
        events and what is left of the rest. The file is written whole or not at all.

        >>> lab.export_bundle("friday.zip")                                # doctest: +SKIP
        PosixPath('friday.zip')

        ``LabError`` when nothing has happened yet, or the file cannot be written.
        """
        from hawork.inspect.files import with_sha256
        from hawork.story.bundle_writer import write_bundle

        return write_bundle(
            path,
            cluster=type(self).__name__,
            events=self.event_list(),
            options=self.config or {},
            storage=_looked(lambda: with_sha256(self.storage_tree(), self.storage_directory())),
            store=_looked(self.store_rows),
            secrets=self._secrets(),
        )

    # --- panels --------------------------------------------------------------------------
    # A panel goes on moving while cells run, and stays as it was when the cluster is closed. Its
    # buttons do what methods do, and say which. Without widgets it is a table; several panels of
    # one cluster show one state.

    def cluster_panel(self) -> Panel:
        """A card for each process and for the HA store: state, session id, pid, connection.

        The leader is marked. Buttons, where the cluster has these verbs: kill, terminate, pause,
        resume, restart and, with a store that is a server, expire session, partition, outage and
        heal.

        >>> lab.cluster_panel()                                            # doctest: +SKIP
        """
        return self._panel("cluster")

    def timeline_panel(self) -> Panel:
        """The timeline as it grows, to zoom, pan, pause and follow; belief against truth.

        Of a cluster that is closed it is a replay, with the cluster and the jobs, and a slider.

        >>> lab.timeline_panel()                                           # doctest: +SKIP
        """
        if self._closed:
            from hawork.panels.replay import replay

            kind = self.config.get_option(options.HA_TYPE) if self.config else ""
            return replay(self.event_list(), ha=kind)
        return self._panel("timeline")

    def jobs_panel(self) -> Panel:
        """Progress, records per second, checkpoints, restored from, and how each job ended.

        >>> lab.jobs_panel()                                               # doctest: +SKIP
        """
        return self._panel("jobs")

    def store_panel(self) -> Panel:
        """Rows of the HA store and files of storageDir; what has just changed is marked.

        Each pointer says whether its file is there and has the sha256 it was written with.

        >>> lab.store_panel()                                              # doctest: +SKIP
        """
        return self._panel("store")

    def inspect(self) -> ShownInspection:
        """What the HA data says is wrong, and what a JobManager that is started now would do.

        The same as ``hawork inspect`` on the cluster's configuration. Reads only.

        >>> lab.inspect()                                                  # doctest: +SKIP
        """
        from hawork.inspect.inspector import inspect
        from hawork.inspect.sources import Sources

        return inspect(Sources(config=self._store_config()))

    def inspect_panel(self) -> Panel:
        """``inspect()`` again and again: the verdict, every job, and the findings.

        >>> lab.inspect_panel()                                            # doctest: +SKIP
        """
        return self._panel("inspection")

    def panels(self) -> Panel:
        """All panels on tabs, beside the notebook in JupyterLab and Notebook 7.

        A button there puts them into the cell. After a reload of the page run the cell again. In
        panels that are open when the lab is closed, the timeline gets a slider.

        >>> lab.panels()                                                   # doctest: +SKIP
        """
        return self._panel(*self._docked, beside=True)

    # --- what each kind has of its own ---------------------------------------------------
    @abstractmethod
    def _make_panel_set(self) -> PanelSet:
        """The panels of this kind of cluster."""

    @abstractmethod
    def _store_config(self) -> Configuration:
        """With which the HA store can be read now; ``LabError`` when it cannot."""

    @abstractmethod
    def _results_config(self) -> Configuration:
        """With which the JobResultStore can be read now; ``LabError`` when it cannot."""

    @abstractmethod
    def _release_directory(self) -> None:
        """Give up the directory of the events; repeatable."""

    def _owners(self) -> Mapping[str, str]:
        """Processes by what stands for them in a store: a session, or a leadership's id."""
        return {}

    def _secrets(self) -> tuple[str, ...]:
        """Known ones that no option holds."""
        from hawork.client.token import known_secrets

        return known_secrets(self.config) if self.config is not None else ()

    def _check_running(self) -> None:
        """``LabError`` when no event can come any more."""
        self._check_open()

    # --- within --------------------------------------------------------------------------
    def _check_open(self) -> None:
        if self._closed:
            raise LabError(f"this {self.called} is closed: {self._after_close}")

    def _note(self, kind: EventKind, **facts: Any) -> None:
        """Keep what was said about the run; once closed, there is no file for it any more."""
        self._events.emit(kind, **facts)
        if self._closed:
            self._reader.add(self._events.recent()[-1])

    def _panel(self, *names: str, beside: bool = False) -> Panel:
        if self._closed:
            raise LabError(f"this {self.called} is closed: only timeline_panel() can show it now")
        if self._panel_set is None:
            self._panel_set = self._make_panel_set()
        return self._panel_set.panel(*names, beside=beside)

    def _close_panels(self) -> None:
        if self._panel_set is not None:
            self._panel_set.close(self._closed_at)


def _looked(look: Callable[[], pandas.DataFrame]) -> pandas.DataFrame | LabError:
    """A table, or why there is none: the store may be away, and the events are worth keeping."""
    try:
        return look()
    except HaworkError as error:
        return LabError(str(error))
