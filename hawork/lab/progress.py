"""A job's progress: a widget in notebooks, a bar in terminals, plain lines elsewhere."""

from __future__ import annotations

import html
import sys
import time
from typing import Any, Protocol

from hawork.client.job_details import JobDetails
from hawork.core.jobs import JobStatus
from hawork.story.display import in_notebook, show

_LINE_PAUSE = 2.0
"""Seconds between plain lines while nothing but numbers changes."""


class ProgressView(Protocol):
    """Shows one job; ``update`` and ``close`` are called on the thread that waits."""

    def update(self, details: JobDetails) -> None: ...

    def close(self) -> None: ...


def open_progress(expected_records: int | None = None) -> ProgressView:
    """The best view there is here; the first update makes it visible."""
    if in_notebook():
        try:
            return WidgetProgress(expected_records)
        except ImportError:
            return LineProgress(expected_records)
    if sys.stderr.isatty():
        try:
            return TerminalProgress(expected_records)
        except ImportError:
            pass
    return LineProgress(expected_records)


def describe(details: JobDetails) -> str:
    """A job in one line.

    ``RUNNING · 120,000 records · 55,000/s · 7 checkpoints · restored from 5``
    """
    parts = [str(details.status)]
    if details.records or not details.status.globally_terminal:
        # A leader that only found the result of a job does not know how many there were.
        parts.append(f"{details.records:,} records")
    if details.records_per_second:
        parts.append(f"{details.records_per_second:,.0f}/s")
    if details.checkpoints:
        parts.append(f"{details.checkpoints} checkpoint{'s' * (details.checkpoints != 1)}")
    if details.restored_checkpoint_id is not None:
        parts.append(f"restored from {details.restored_checkpoint_id}")
    if details.failure:
        over = details.status is JobStatus.FINISHED  # it had been restarted
        parts.append(f"last failure: {details.failure}" if over else details.failure)
    return " · ".join(parts)


class LineProgress:
    """A line on standard error when the status changes, and now and then."""

    def __init__(self, expected_records: int | None = None) -> None:
        self._expected = expected_records
        self._status: object = None
        self._next = 0.0

    def update(self, details: JobDetails) -> None:
        now = time.monotonic()
        if details.status == self._status and now < self._next:
            return
        self._status, self._next = details.status, now + _LINE_PAUSE
        share = ""
        if self._expected:
            share = f"{min(1.0, details.records / self._expected):4.0%}  "
        sys.stderr.write(f"  {share}{describe(details)}\n")
        sys.stderr.flush()

    def close(self) -> None:
        """Nothing to put away."""


class TerminalProgress:
    """A bar drawn by rich."""

    def __init__(self, expected_records: int | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self._progress = Progress(
            TextColumn("  "),
            BarColumn(bar_width=30),
            TaskProgressColumn(),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
            refresh_per_second=8,
        )
        self._task = self._progress.add_task("", total=expected_records)
        self._started = False

    def update(self, details: JobDetails) -> None:
        if not self._started:
            self._progress.start()
            self._started = True
        self._progress.update(self._task, completed=details.records, description=describe(details))

    def close(self) -> None:
        if self._started:
            self._progress.stop()


class WidgetProgress:
    """A bar and a line as widgets."""

    def __init__(self, expected_records: int | None = None) -> None:
        import ipywidgets

        self._expected = expected_records
        self._bar: Any = ipywidgets.FloatProgress(
            value=0.0, min=0.0, max=1.0, layout=ipywidgets.Layout(width="18em")
        )
        # In a narrow notebook the line goes below the bar and wraps: a label would be cut.
        self._line: Any = ipywidgets.HTML(layout=ipywidgets.Layout(min_width="0", flex="0 1 auto"))
        self._box: Any = ipywidgets.HBox(
            [self._bar, self._line], layout=ipywidgets.Layout(flex_flow="row wrap")
        )
        self._shown = False

    def update(self, details: JobDetails) -> None:
        if not self._shown:
            show(self._box)
            self._shown = True
        if self._expected:
            self._bar.value = min(1.0, details.records / self._expected)
        if details.status.globally_terminal:
            finished = details.status == "FINISHED"
            self._bar.value = 1.0
            self._bar.bar_style = "success" if finished else "danger"
        text = html.escape(describe(details))
        if self._line.value != text:
            self._line.value = text

    def close(self) -> None:
        """The bar stays, as part of the notebook's story."""
