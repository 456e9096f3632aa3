"""Sending a job from a lab, also while a process stands at a held step."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Any, TypeVar

from hawork import moved
from hawork.core.errors import RestError
from hawork.core.one_sentence import tell_interrupt
from hawork.core.types import JobID
from hawork.story.display import in_notebook, show

J = TypeVar("J")

_SILENT = 3.0
"""Seconds without an answer, until a notebook is told of the step at which a process stands."""


def send(
    submit: Callable[[bool], JobID],
    sent: Future[JobID],
    *,
    held: Callable[[], Sequence[object]] = tuple,
) -> None:
    """Call ``submit`` on a thread of its own; ``sent`` has its answer, or raises its error.

    While a reader looks at a step that is ``held`` there is no answer, and the same job is
    submitted again; ``submit`` is told whether it is.
    """

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

    threading.Thread(target=run, name="hawork-submission", daemon=True).start()


def send_and_wait(
    submit: Callable[[bool], JobID],
    sent: Future[JobID],
    name: str,
    nevertheless: str,
    *,
    held: Callable[[], Sequence[object]] = tuple,
) -> JobID:
    """Send it and wait for the answer. An interrupt ends the wait, and not the submission.

    ``nevertheless`` says what the reader does then: the cell, run again, would submit another job.
    """
    try:
        send(submit, sent, held=held)
        try:
            return sent.result(_SILENT)
        except FutureTimeoutError:
            if not sent.done():
                _tell_held(held())
        return sent.result()
    except KeyboardInterrupt as interrupt:
        tell_interrupt(interrupt, f"waiting until job {name} is accepted", nevertheless)
        raise


def _tell_held(standing: Sequence[object]) -> None:
    """Tell a notebook why a submission gets no answer: its cell would run for ever."""
    if standing and in_notebook():
        where = "; ".join(map(str, standing))
        show({"text/plain": (
            f"No answer yet: {where}. To let it go on, press Continue in the panel Stepper, or "
            "interrupt this cell and run lab.proceed()."
        )})  # fmt: skip


def submitted(
    job: J,
    jobs: list[J],
    name: str,
    submit: Callable[[bool], JobID],
    sent: Future[JobID],
    *,
    wait: bool,
    held: Callable[[], Sequence[object]] = tuple,
) -> J:
    """Send ``job``, as one of ``jobs``: also when the wait for its answer is interrupted.

    One whose answer was lost stays there, too, because the cluster may run it. One that was
    refused does not. ``sent`` is its future, ``name`` what it is called.
    """
    jobs.append(job)
    if not wait:
        send(submit, sent, held=held)
        return job
    nevertheless = (
        "it is submitted nevertheless, and running the cell again would submit another one; write "
        "job = lab.jobs[-1] to go on with it"
    )
    try:
        send_and_wait(submit, sent, name, nevertheless, held=held)
    except (RestError, KeyboardInterrupt):
        raise
    except BaseException:
        jobs.remove(job)
        raise
    return job


if not TYPE_CHECKING:  # so that mypy goes on finding names that are nowhere

    def __getattr__(name: str) -> Any:
        return moved.find(__name__, name)
