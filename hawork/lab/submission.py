"""Sending a job from a lab, also while a process stands at a held step."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from hawork import moved
from hawork.core.errors import (
    RestError,
)
from hawork.core.types import JobID


def send(
    submit: Callable[[bool], JobID], *, wait: bool, held: Callable[[], object] = lambda: False
) -> Future[JobID]:
    """Call ``submit``, now or on a thread; its error is raised now, or by the future.

    While a reader looks at a step that is ``held`` there is no answer, and the same job is
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


if not TYPE_CHECKING:  # so that mypy goes on finding names that are nowhere

    def __getattr__(name: str) -> Any:
        return moved.find(__name__, name)
