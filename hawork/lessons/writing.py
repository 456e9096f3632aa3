"""Checks of a learner's own functions that write: who may, and who hears that it may not."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from hawork.lessons.check import Check, Point, because, called, safe

__all__ = ["TinyConfigMap", "check_fencing", "check_lock"]

_CALLS = 1000
"""After so many a learner's function will never come to an end, and is told so."""


@safe
def check_fencing(write: Callable[[dict[str, Any], str, str, Any], bool]) -> Check:
    """Does ``write(store, session_id, name, value)`` refuse a process that does not lead?

    ``store`` is a dict with the session id of the leader under ``"leader"``, and what was
    written under ``"data"``. ``write`` says whether it wrote. It is asked with session ids that
    are new each time, and in any order, and with smaller and greater values.

    >>> def write(store, session_id, name, value):
    ...     if store["leader"] != session_id:
    ...         return False
    ...     store["data"][name] = value
    ...     return True
    >>> check_fencing(write).passed
    True
    """
    low, high = sorted(str(uuid.uuid4()) for _ in range(2))
    kept, refused, written, accepted = [], [], [], []
    for leader, other in ((high, low), (low, high), (high, high[:8]), ("B", "A"), ("A", "B")):
        for name, value in (("checkpoint", 3), ("checkpoint", 8), ("job", "a")):
            data = {"checkpoint": 7}
            late, failure = _Store(leader, data), ""
            told, failure = called(write, late, other, name, value)
            story = f"session {other[:8]} wrote {name} = {value!r} while {leader[:8]} led"
            if late != {"leader": leader, "data": data}:
                kept.append(failure or story)
            if told is not False and told != 0:
                refused.append(failure or f"it returned {told!r} when {other[:8]} did not lead")
            own = _Store(leader, data)
            told, failure = called(write, own, leader, name, value)
            if own != {"leader": leader, "data": {**data, name: value}}:
                story = f"{name} = {value!r} of the leader {leader[:8]} led to {dict(own)}"
                written.append(failure or story)
            if told is not True and told != 1:
                accepted.append(failure or f"it returned {told!r} to the leader")
    return Check(
        (
            _all("a write of a deposed leader changes nothing", kept),
            _all("and its caller is told so (False)", refused),
            _all("a write of the leader is made", written),
            _all("and its caller is told so (True)", accepted),
        )
    )


def _all(wish: str, failures: list[str]) -> Point:
    return f"{wish}{because(failures[0] if failures else '')}", not failures


class _Store(dict[str, Any]):
    """A store of its own for each question, which is not asked for ever."""

    def __init__(self, leader: str, data: dict[str, Any]) -> None:
        super().__init__(leader=leader, data=dict(data))
        self._reads = 0

    def __getitem__(self, key: str) -> Any:
        self._reads += 1
        if self._reads > _CALLS:
            raise TimeoutError(f"this store was asked {_CALLS} times, without an end")
        return super().__getitem__(key)


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


@safe
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
        right = ("A", 1) if free else ("B", 0)
        good = taken is not None and (holder, taken) == right
        outcome = failure or f"it returned {taken!r}, and the holder is {holder!r}"
        points.append((wish if good else f"{wish}: {outcome}", good))
    return Check(tuple(points))
