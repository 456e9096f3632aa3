"""Checks of a learner's own functions that write: who may, and who hears that it may not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hawork.lessons.check import Check, because, called

__all__ = ["TinyConfigMap", "check_fencing", "check_lock"]

_CALLS = 1000
"""After so many a learner's function will never come to an end, and is told so."""


def check_fencing(write: Callable[[dict[str, Any], str, str, Any], bool]) -> Check:
    """Does ``write(store, session_id, name, value)`` refuse a process that does not lead?

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


class TinyConfigMap:
    """An object of an API server in which there is a lock, and nothing else.

    A write that names an older version is refused, whatever has changed since.

    >>> config_map = TinyConfigMap()
    >>> version, holder = config_map.read()
    >>> config_map.replace(version, "jm-1"), config_map.replace(version, "jm-2")
    (True, False)
    >>> config_map.read()
    (2, 'jm-1')
    """

    def __init__(self, holder: str | None = None) -> None:
        self._version, self._holder = 1, holder
        self._calls = 0

    def read(self) -> tuple[int, str | None]:
        """The version, and who holds the lock: ``None`` if no process does."""
        self._count()
        return self._version, self._holder

    def replace(self, version: int, holder: str | None) -> bool:
        """Write who holds the lock, if ``version`` is still the newest; returns whether it is."""
        self._count()
        if version != self._version:
            return False
        self._version, self._holder = version + 1, holder
        return True

    def _count(self) -> None:
        self._calls += 1
        if self._calls > _CALLS:
            raise TimeoutError(f"this object was asked {_CALLS} times, without an end")


class _Disturbed(TinyConfigMap):
    """Another process writes, right after the first time that it is read.

    ``taken_by`` takes the lock; without it something else in the object changes.
    """

    def __init__(self, taken_by: str | None = None) -> None:
        super().__init__()
        self._taken_by = taken_by
        self._disturbed = False

    def read(self) -> tuple[int, str | None]:
        version, holder = super().read()
        if not self._disturbed:
            self._disturbed = self.replace(version, self._taken_by)
        return version, holder


def check_lock(take: Callable[[TinyConfigMap, str], bool]) -> Check:
    """Does ``take(config_map, me)`` take a lock if it is free, and only then?

    It says whether ``me`` holds the lock when it is done.

    >>> check_lock(lambda config_map, me: False).passed
    False
    """
    cases = (
        ("a free lock is taken", TinyConfigMap(), True),
        ("a lock of another process is left alone", TinyConfigMap("B"), False),
        ("so is one that another process took after it was read", _Disturbed("B"), False),
        ("a free one is taken, though something else was written meanwhile", _Disturbed(), True),
    )
    points = []
    for wish, config_map, free in cases:
        taken, failure = called(take, config_map, "A")
        holder = config_map._holder
        good = (holder, taken) == (("A", True) if free else ("B", False))
        outcome = failure or f"it returned {taken!r}, and the holder is {holder!r}"
        points.append((wish if good else f"{wish}: {outcome}", good))
    return Check(tuple(points))
