"""Stores that fail when a test wants them to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from hawork.core.types import LeaderSessionID, Versioned
from hawork.ha.pointer_store import PointerStore
from hawork.ha.state_storage import StateStorage

T = TypeVar("T")


@dataclass
class Failures:
    """Which coming calls fail, and whether before or after they took effect.

    >>> failures = Failures()
    >>> failures.fail("create", RuntimeError("lost"), after=True)
    """

    planned: list[tuple[str, Exception, bool]] = field(default_factory=list)

    def fail(self, operation: str, error: Exception, *, after: bool = False) -> None:
        """Let the next call of ``operation`` raise ``error``, before or after its effect."""
        self.planned.append((operation, error, after))

    def run(self, operation: str, action: Callable[[], T]) -> T:
        for plan in self.planned:
            if plan[0] == operation:
                self.planned.remove(plan)
                if plan[2]:
                    action()
                raise plan[1]
        return action()


class FailingPointers:
    """A ``PointerStore`` around another one, failing as planned."""

    def __init__(self, inner: PointerStore, failures: Failures) -> None:
        self._inner = inner
        self._failures = failures

    def create(
        self, name: str, value: bytes, session_id: LeaderSessionID, older: Sequence[str] = ()
    ) -> bool:
        return self._failures.run(
            "create", lambda: self._inner.create(name, value, session_id, older)
        )

    def replace(self, name: str, version: int, value: bytes, session_id: LeaderSessionID) -> None:
        self._failures.run("replace", lambda: self._inner.replace(name, version, value, session_id))

    def read(self, name: str) -> Versioned[bytes] | None:
        return self._failures.run("read", lambda: self._inner.read(name))

    def entries(self) -> Sequence[tuple[str, Versioned[bytes]]]:
        return self._failures.run("entries", self._inner.entries)

    def delete(self, name: str, session_id: LeaderSessionID) -> bool:
        return self._failures.run("delete", lambda: self._inner.delete(name, session_id))


class FailingStorage:
    """A ``StateStorage`` around another one, failing as planned."""

    def __init__(self, inner: StateStorage, failures: Failures) -> None:
        self._inner = inner
        self._failures = failures

    def write(self, path: str, data: bytes, *, flush: bool = True, fresh: bool = False) -> None:
        self._failures.run("write", lambda: self._inner.write(path, data, flush=flush, fresh=fresh))

    def read(self, path: str, most: int | None = None) -> bytes:
        return self._failures.run("read", lambda: self._inner.read(path, most))

    def delete(self, path: str) -> bool:
        return self._failures.run("delete", lambda: self._inner.delete(path))

    def list(self, path: str, *, unfinished: bool = False) -> Sequence[str]:
        return self._failures.run("list", lambda: self._inner.list(path, unfinished=unfinished))

    def rename(self, source: str, target: str) -> None:
        self._failures.run("rename", lambda: self._inner.rename(source, target))
