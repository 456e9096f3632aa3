"""The labs of this process, started or not, so that one call ends them all."""

from __future__ import annotations

import threading
from typing import Protocol


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
    """
    with _lock:
        labs = list(_open)
    for lab in labs:
        lab.close()
    return len(labs)
