"""The sections of the panels of an attached cluster, from what is seen of it; no buttons."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from hawork.client.flink_rest import FullDetails, ask
from hawork.client.job_details import JobDetails
from hawork.core import options
from hawork.core.errors import HaworkError, LabError, RestError
from hawork.core.types import ProcessState
from hawork.panels.background import Background
from hawork.panels.cluster_cards import recorded_section
from hawork.panels.cluster_source import AttachedSource
from hawork.panels.feed import Json
from hawork.panels.inspection_rows import inspection_section
from hawork.panels.job_rows import MOST_JOBS, job_row
from hawork.panels.live_timeline import LiveTimeline
from hawork.panels.sources import CLUSTER, END, INSPECTION, JOBS, STORE, Sources
from hawork.panels.store_rows import StoreRows
from hawork.story.beliefs import CLIENT
from hawork.story.display import age, clock_time

JOBS_EVERY = 1.0
STORE_EVERY = 2.0
INSPECTION_EVERY = 10.0
"""Seconds between looks: less often than at a lab, the cluster has others to serve."""

_NOT_TOLD = "not told"
_CLOSED = "This view is closed: this is what was seen last."


def view_sources(view: AttachedSource, timeline: LiveTimeline) -> Sources:
    """What the panels of an attached cluster show."""
    jobs, store = _Jobs(view), _Store(view)
    return Sources(
        timeline,
        quick={CLUSTER: partial(_cluster, view, timeline)},
        slow={
            JOBS: Background(JOBS, jobs.look, JOBS_EVERY),
            STORE: Background(STORE, store.look, STORE_EVERY),
            INSPECTION: Background(
                INSPECTION, lambda: inspection_section(view.inspect()), INSPECTION_EVERY
            ),
        },
        ended=_ended,
    )


def cancel(view: AttachedSource, request: Mapping[str, Any]) -> str:
    """The one thing that a panel of such a cluster can ask for, of a view that may write."""
    verb = request.get("do")
    if verb != "cancel":
        raise LabError(
            f"a panel asked for {verb!r}, but these processes were not started by this lab"
        )
    job_id = str(request.get("job", ""))
    view.cancel(job_id)
    return f"view.cancel({job_id!r})"


def _cluster(view: AttachedSource, timeline: LiveTimeline) -> Json:
    """Cards for those that were seen so far: over REST, or because they led."""
    states = [ProcessState(name, 0, timeline.life(name), None) for name in timeline.processes()]
    if view.config is None:
        section = recorded_section(states, timeline, _NOT_TOLD)
        section["store"].update(state=_NOT_TOLD, publishes=_NOT_TOLD)
        return {
            **section,
            "note": view.silence()
            or f"Who leads and what the HA store says is not told by {view.rest_address()}: "
            "attach with the cluster's config.yaml to see it.",
        }
    section = recorded_section(states, timeline, view.config.get_option(options.HA_TYPE))
    connection = timeline.facts.connections.get(CLIENT)
    if connection is not None:
        section["store"]["state"] = connection.lower()
    section["store"]["facts"] = [list(each) for each in view.election_facts()]
    return {**section, "note": view.silence() or section["note"]}


def _ended(sections: Mapping[str, Json]) -> dict[str, Json]:
    """What became of the cluster since is not known."""
    found = {
        name: {**section, "error": "", "note": _CLOSED}
        if name in (CLUSTER, JOBS, STORE, INSPECTION)
        else section
        for name, section in sections.items()
    }
    return {**found, END: {"note": _CLOSED}}


class _Jobs:
    """Asks the leader; while none answers, the rows are those of its last answer."""

    def __init__(self, view: AttachedSource) -> None:
        self._view = view
        self._details = FullDetails(MOST_JOBS)
        self._answered: float | None = None
        self._jobs: dict[str, Json] = {}

    def look(self) -> Json:
        note = ""
        try:
            self._ask()
        except RestError as error:
            note = self._view.silence() or str(error)
        rows = {job: dict(row) for job, row in self._jobs.items()}
        if note and self._answered is not None:
            for row in rows.values():
                if not row["ended"]:
                    row.update(stale=clock_time(self._answered), rate=0)
            note = f"As told at {clock_time(self._answered)}, {age(self._answered)}: {note}"
        return {"jobs": rows, "order": list(rows), "note": note, "cancel": not self._view.read_only}

    def _ask(self) -> None:
        address = self._view.rest_address()
        if address is None:
            raise RestError("there is no leader")
        get = partial(ask, address, trust=self._view.trust)
        shown = self._details.of(get, JobDetails.from_overview(get("/jobs/overview")))
        results = self._results()
        jobs: dict[str, Json] = {}
        for job in shown:
            jobs[str(job.job_id)] = row = job_row(job)
            if job.job_id in results:
                row["result"] = results[job.job_id]
        self._jobs, self._answered = jobs, time.time()

    def _results(self) -> dict[str, str]:
        """From the JobResultStore, when it is on this machine."""
        with contextlib.suppress(HaworkError):
            return {
                str(row.job_id): f"{row.application_status}, {row.state}"
                for row in self._view.job_results().itertuples()
            }
        return {}


class _Store:
    """Rows always; files and what is said about pointers when storageDir is on this machine."""

    def __init__(self, view: AttachedSource) -> None:
        self._view = view
        self._rows = StoreRows(view, None)

    def look(self) -> Json:
        self._rows.root, note = self._storage()
        found = self._rows.look()
        return {**found, "note": " ".join(filter(None, (note, found["note"])))}

    def _storage(self) -> tuple[Path | None, str]:
        """Where it is, or why no files are shown."""
        try:
            root = self._view.storage_directory()
        except HaworkError as error:
            return None, f"Files are not shown: {error}"
        if not root.is_dir():  # as far as this machine knows: then nothing is missing, either
            return None, f"Files are not shown: there is no {root} on this machine"
        return root, ""
