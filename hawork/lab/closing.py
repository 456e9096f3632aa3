"""Closing labs: the steps of one shutdown, and every lab of this process that is open."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Protocol

import psutil

from hawork.core.calls import checked
from hawork.core.errors import LabError
from hawork.core.forks import OwningProcess
from hawork.story.display import in_notebook, show


class Shutdown:
    """Steps in their order, each safe to repeat.

    Each runs once; one that failed stops no other, and is tried again by the next ``go_on``. A
    child that was forked leaves what it inherited to its parent.
    """

    def __init__(self, *steps: Callable[[], object]) -> None:
        self._process = OwningProcess()
        self._left = list(steps)
        self._going_on = threading.RLock()

    def first(self, *steps: Callable[[], object]) -> None:
        """Do these, in their order, before all others."""
        self._left[:0] = steps

    def go_on(self) -> None:
        """Try every step that is left. Raises an interrupt, or else the first error, at the end.

        What raised is left for the next call.
        """
        if not self._process.is_this:
            return
        raised: BaseException | None = None
        with self._going_on:
            for step in list(self._left):
                try:
                    step()
                except BaseException as error:  # noqa: BLE001 - raised below
                    if raised is None or not isinstance(error, Exception):
                        raised = error
                else:
                    self._left.remove(step)
        if raised is not None:
            raise raised


class _Closable(Protocol):
    def close(self) -> None: ...


_RESET = "'from hawork.lab import reset; reset()'"
"""What a lesson's reader can type as it stands: no lesson has a name ``hawork``."""

_lock = threading.Lock()
_open: list[_Closable] = []


def opened(lab: _Closable) -> None:
    """``lab`` has a directory, and perhaps processes."""
    with _lock:
        if lab not in _open:
            _open.append(lab)


def closed(lab: _Closable) -> None:
    """``lab`` has neither any more."""
    with _lock:
        if lab in _open:
            _open.remove(lab)


def tell_running(starting: _Closable) -> None:
    """Tell a notebook that labs which it started before are still running, and how to end them.

    A lab that a ``with`` block ends is not told of.
    """
    if not in_notebook():
        return
    with _lock:
        others = [lab for lab in _open if lab is not starting]
    processes = psutil.Process().children(recursive=True)
    if not others or not processes:
        return
    size = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            size += process.memory_info().rss
    labs = ", ".join(type(lab).__name__ for lab in others)
    sentence = (
        f"This notebook still runs {_labs(len(others))} from before: {labs} "
        f"({len(processes)} processes, {size / 2**20:,.0f} MB). To end all of them run "
        f"{_RESET}, then this cell again."
    )
    show({"text/plain": sentence})


def _labs(count: int) -> str:
    return "1 lab" if count == 1 else f"{count} labs"


@checked
def reset() -> int:
    """Close every lab of this notebook, also those that no variable names; how many there were.

    For when cells were run twice, out of order or only half. Views of attached clusters
    are closed, too. Labs of other notebooks, which have kernels of their own, are left alone;
    the next ``LabCluster`` begins anew.

    >>> from hawork.lab import reset
    >>> reset()
    0

    ``LabError`` when one could not be closed; all others are closed nevertheless.
    """
    with _lock:
        labs = list(_open)
    failed = []
    for lab in labs:
        try:
            lab.close()
        except Exception as error:  # noqa: BLE001 - the others must be closed nevertheless
            failed.append(f"{type(lab).__name__}: {str(error) or type(error).__name__}")
    if failed:
        raise LabError(
            f"{len(failed)} of {len(labs)} labs are not closed yet ({'; '.join(failed)}): run "
            f"{_RESET} again"
        )
    return len(labs)
