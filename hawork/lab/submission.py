"""Submitting from a lab: the sources that ``%%artifact`` wrote, and sending while a step is held."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from hawork.client.submission import find_file
from hawork.core.errors import (
    RestError,
)
from hawork.core.types import JobID
from hawork.lab.magic import written_artifacts


def send(
    submit: Callable[[bool], JobID], *, wait: bool, held: Callable[[], object] = lambda: False
) -> Future[JobID]:
    """Call ``submit``, now or on a thread; its error is raised now, or by the future.

    While somebody looks at a step that is ``held`` there is no answer, and the same job is
    submitted again; ``submit`` is told whether it is.
    """
    sent: Future[JobID] = Future()

    def patiently() -> JobID:
        again = False
        while True:
            try:
                return submit(again)
            except RestError as error:
                if error.status or not held():
                    raise
                again = True

    def run() -> None:
        try:
            sent.set_result(patiently())
        except BaseException as error:  # noqa: BLE001 - raised where the job is waited for
            sent.set_exception(error)

    if wait:
        run()
        sent.result()
    else:
        threading.Thread(target=run, name="hawork-submission", daemon=True).start()
    return sent


def find_source(file_name: str, artifacts: Path) -> Path:
    """The file of a job: a name that ``%%artifact`` has written, else a path.

    ``artifacts`` is where a source that was written is put.
    """
    source = written_artifacts().get(file_name)
    if source is None:
        return find_file(file_name)
    path = artifacts / file_name
    path.write_text(source, encoding="utf-8")
    return path
