"""What a process that forks leaves to its child: nothing.

A worker that is forked (``os.fork``, ``multiprocessing``) inherits sessions, locks and the open
descriptors of its parent, but none of the threads that keep them. It must not end them: at its
end a script leaves its ``with`` blocks. It must not use them: an answer would go to either process.
And it must not keep them: the kernel holds what a dead parent had for as long as anybody has it
open.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any

_letting_go: weakref.WeakKeyDictionary[Any, Callable[[Any], None]] = weakref.WeakKeyDictionary()


class OwningProcess:
    """The process that opened something."""

    def __init__(self) -> None:
        self.pid = os.getpid()

    @property
    def is_this(self) -> bool:
        """``False`` in a child that was forked since."""
        return self.pid == os.getpid()

    def excludes(self, what: str) -> str:
        """A sentence for a child that tries to use it."""
        return (
            f"{what} is of process {self.pid}, from which this one ({os.getpid()}) was forked: "
            "open the HA services again in this process, or leave them to the other one"
        )


def when_forked(owner: Any, let_go: Callable[[Any], None]) -> None:
    """In each child that is forked while ``owner`` lives, call ``let_go`` with it.

    The child has one thread then, and any lock may be held for ever: take none.
    """
    _letting_go[owner] = let_go


def _let_go() -> None:
    for owner, let_go in list(_letting_go.items()):
        let_go(owner)
    _letting_go.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
