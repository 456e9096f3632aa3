"""The labs of this process, started or not, so that one call ends them all."""

from __future__ import annotations

import threading
from typing import Protocol

from hawork.core.errors import LabError


class _Closable(Protocol):
    def close(self) -> None: ...


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


def reset() -> int:
    """Close every lab of this notebook, also those that no variable names; how many there were.

    For when cells were run twice, out of order or only half. Views of somebody else's clusters
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
            f"{len(failed)} of {len(labs)} labs are not closed yet ({'; '.join(failed)}): call "
            "hawork.lab.reset() again"
        )
    return len(labs)
