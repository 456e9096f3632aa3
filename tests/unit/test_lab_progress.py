"""A job in one line, as a notebook shows it beside its bar."""

from __future__ import annotations

import pytest

from hawork.client.job_details import JobDetails
from hawork.core.jobs import JobStatus
from hawork.core.types import JobID
from hawork.lab.progress import WidgetProgress, describe

LOST = "TaskManager tm-2 was lost: its connection <closed>"


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (JobStatus.FINISHED, f"FINISHED · 15,000 records · last failure: {LOST}"),
        (JobStatus.RESTARTING, f"RESTARTING · 15,000 records · {LOST}"),
        (JobStatus.FAILED, f"FAILED · 15,000 records · {LOST}"),
    ],
)
def test_a_failure_that_was_got_over_is_told_as_one(status: JobStatus, told: str) -> None:
    details = JobDetails(JobID.random(), "copy", status, records=15_000, failure=LOST)
    assert describe(details) == told


def test_the_line_beside_the_bar_wraps_and_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """A label had been cut at the right edge of a narrow notebook."""
    monkeypatch.setattr("hawork.lab.progress.show", lambda box: None)
    progress = WidgetProgress(15_000)
    progress.update(JobDetails(JobID.random(), "copy", JobStatus.FAILED, failure=LOST))
    assert "wrap" in progress._box.layout.flex_flow
    assert "&lt;closed&gt;" in progress._line.value
    assert type(progress._line).__name__ == "HTML"
