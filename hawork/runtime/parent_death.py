"""No process outlives the one that started it."""

from __future__ import annotations

import contextlib
import signal
import sys


def die_with_creator() -> None:
    """Ask the kernel (Linux) to kill this process when the *thread* that started it ends.

    So it must be started by a thread that lives as long as its process, such as the main
    one. It also works while this process is stopped, or busy in code that holds the
    interpreter's lock. Elsewhere nothing happens: the end of a pipe has to do.
    """
    if sys.platform != "linux":
        return
    import ctypes

    set_parent_death_signal = 1  # PR_SET_PDEATHSIG, see prctl(2)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL, 0, 0, 0)
