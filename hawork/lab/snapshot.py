"""The cluster at one moment, as a frozen value that views can render."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

from hawork.client.job_details import JobDetails
from hawork.core.types import ProcessState

_WHOLE = "<td style='white-space:nowrap'>"
"""A short word is not broken because a long one stands beside it."""


@dataclass(frozen=True, slots=True)
class ClusterSnapshot:
    """``wall`` in seconds since 1970; jobs and TaskManagers are what the leader told, or
    empty while there is no leader.
    """

    wall: float
    leader: str | None
    session_id: str | None
    address: str | None
    processes: tuple[ProcessState, ...]
    jobs: tuple[JobDetails, ...] = ()
    taskmanagers: tuple[dict[str, Any], ...] = ()
    silence: str = ""
    """Why jobs and TaskManagers are not of now, and from when; empty when they are."""

    def _repr_html_(self) -> str:
        rows = []
        for state in self.processes:
            leads = state.name == self.leader
            role = f"<b>leads</b> <code>{self.session_id}</code>" if leads else ""
            rows.append(
                f"<tr>{_WHOLE}{html.escape(state.name)}</td>{_WHOLE}{state.state}</td>"
                f"{_WHOLE}{state.pid}</td><td style='text-align:left'>{role}</td></tr>"
            )
        for job in self.jobs:
            rows.append(
                f"<tr><td>job {html.escape(job.name)}</td>{_WHOLE}{job.status}</td>"
                f"{_WHOLE}{job.records:,}</td>"
                f"<td style='text-align:left'>{job.checkpoints} checkpoints</td></tr>"
            )
        head = "<tr><th>process</th><th>state</th><th>pid / records</th><th></th></tr>"
        told = f"<p>Not of now: {html.escape(self.silence)}</p>" if self.silence else ""
        return f"{told}<table>{head}{''.join(rows)}</table>"
