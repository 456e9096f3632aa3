"""Descriptors 0, 1 and 2, which a daemon may have been started without.

The next file or socket that is opened would get their numbers, and be written to by whatever
prints; and Python has no ``sys.stderr`` then.
"""

from __future__ import annotations

import os
import sys


def ensure_standard_descriptors() -> None:
    """Open ``/dev/null`` in place of those that are closed; call it before anything is opened."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is taken, which is this one.
            os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
