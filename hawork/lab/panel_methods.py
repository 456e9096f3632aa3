"""The panels as methods of ``LabCluster``, and of a cluster that was only attached to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hawork.core.errors import LabError
from hawork.core.events import Event
from hawork.story.event_reader import EventReader

if TYPE_CHECKING:
    from hawork.panels.panel import Panel
    from hawork.panels.panel_set import PanelSet


class Panels:
    """What a cluster can show live.

    A panel goes on moving while cells run, and stays as it was when the lab is closed. Its
    buttons do what methods of the lab do, and say which. Where there are no widgets it is a
    table; several panels of one lab show one state.
    """

    _reader: EventReader
    _closed: bool
    _panel_set: PanelSet | None = None
    _shown: tuple[str, ...] = ("cluster", "timeline", "jobs", "stepper", "store")
    """The panels that are docked together."""

    _called = "lab"
    """What a reader calls the object whose panels these are."""

    def cluster_panel(self) -> Panel:
        """A card for each process and for the HA store: state, session id, pid, connection.

        Whoever leads is marked. Buttons: kill, terminate, pause, resume, restart and, with a
        store that is a server, expire session, partition, outage and heal.

        >>> lab.cluster_panel()                                            # doctest: +SKIP
        """
        return self._panel("cluster")

    def timeline_panel(self) -> Panel:
        """The timeline as it grows, to zoom, pan, pause and follow; belief against truth.

        Of a lab that is closed it is a replay, with the cluster and the jobs, and a slider.

        >>> lab.timeline_panel()                                           # doctest: +SKIP
        """
        if self._closed:
            from hawork.panels.replay import replay

            return replay(self._reader.events(), ha=self._store_kind())
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

    def stepper_panel(self) -> Panel:
        """The protocol step by step: arm a step, and go on, crash or pause where it stands.

        On arrival it shows what the HA store and storageDir say that they did not say before.

        >>> lab.stepper_panel()                                            # doctest: +SKIP
        """
        return self._panel("stepper")

    def panels(self) -> Panel:
        """All panels, docked together.

        >>> lab.panels()                                                   # doctest: +SKIP
        """
        return self._panel(*self._shown)

    def arrived_events(self, known: int = 0) -> list[Event]:
        """The events after the first ``known`` ones, in the order in which they were read."""
        return self._reader.arrived(known)

    def _panel(self, *names: str) -> Panel:
        if self._closed:
            raise LabError(f"this {self._called} is closed: only timeline_panel() can show it now")
        if self._panel_set is None:
            self._panel_set = self._make_panel_set()
        return self._panel_set.panel(*names)

    def _close_panels(self) -> None:
        if self._panel_set is not None:
            self._panel_set.close()

    def _make_panel_set(self) -> PanelSet:
        raise NotImplementedError

    def _store_kind(self) -> str:
        """The type of the HA store; empty when it is not known."""
        raise NotImplementedError
