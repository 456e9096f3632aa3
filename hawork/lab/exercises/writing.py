"""Checks of a learner's own store: who may write, and who hears that it may not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hawork.lab.exercises.check import Check, because, called

__all__ = ["check_fencing"]


def check_fencing(write: Callable[[dict[str, Any], str, str, Any], bool]) -> Check:
    """Does ``write(store, session_id, name, value)`` refuse whoever does not lead?

    ``store`` is a dict with the session id of the leader under ``"leader"``, and what was
    written under ``"data"``. ``write`` says whether it wrote.

    >>> def write(store, session_id, name, value):
    ...     if store["leader"] != session_id:
    ...         return False
    ...     store["data"][name] = value
    ...     return True
    >>> check_fencing(write).passed
    True
    """
    store: dict[str, Any] = {"leader": "B", "data": {"checkpoint": 7}}
    refused, failure = called(write, store, "A", "checkpoint", 3)
    kept = store == {"leader": "B", "data": {"checkpoint": 7}}
    accepted, second = called(write, store, "B", "checkpoint", 8)
    written = store == {"leader": "B", "data": {"checkpoint": 8}}
    return Check(
        (
            (f"a write of the deposed leader A changes nothing{because(failure)}", kept),
            ("and A is told so (False)", refused is False),
            (f"a write of the leader B is made{because(second)}", written),
            ("and B is told so (True)", accepted is True),
        )
    )
