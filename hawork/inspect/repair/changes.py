"""A repair: which single values of an HA store, or of storageDir, are changed, and from what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from hawork.inspect.finding import Object

__all__ = ["ANNOTATION", "CONFIGMAP", "FILE", "KEY", "ZNODE", "Change", "Repair", "object_of"]

ZNODE: Final = "znode"
CONFIGMAP: Final = "configmap"
"""A ConfigMap as such; its value is its labels, as JSON."""
KEY: Final = "configmap-key"
ANNOTATION: Final = "configmap-annotation"
FILE: Final = "file"
"""A file; ``name`` is its URL."""

_SHOWN: Final = 72


@dataclass(frozen=True, slots=True)
class Change:
    """One value; ``None`` stands for absent.

    It is made only if the store still holds ``before``, in ``version``: that of the znode, or the
    resource version of the ConfigMap.
    """

    object: Object
    before: bytes | None
    after: bytes | None
    version: int | None = None

    @property
    def verb(self) -> str:
        if self.after is None:
            return "remove"
        return "create" if self.before is None else "write"

    def __str__(self) -> str:
        if self.after is None or self.object.kind == FILE:
            return f"{self.verb} {self.object.kind} {self.object}"
        was = "" if self.before is None else f"{_shown(self.before)} -> "
        return f"{self.verb} {self.object.kind} {self.object}: {was}{_shown(self.after)}"

    def to_json(self) -> dict[str, Any]:
        return {
            "verb": self.verb,
            "object": self.object.to_json(),
            "before": None if self.before is None else self.before.hex(),
            "after": None if self.after is None else self.after.hex(),
            "version": self.version,
        }


@dataclass(frozen=True, slots=True)
class Repair:
    """The changes that answer one finding; on one store they are made together or not at all."""

    code: str
    why: str
    changes: tuple[Change, ...]
    job_id: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "why": self.why,
            "job": self.job_id,
            "changes": [change.to_json() for change in self.changes],
        }


def object_of(written: Mapping[str, Any]) -> Object:
    """The object of its JSON form; ``KeyError`` or ``TypeError`` when it is not one."""
    name, key = written["name"], written.get("key")
    if not isinstance(name, str) or not (key is None or isinstance(key, str)):
        raise TypeError("the name of an object is not text")
    return Object(str(written["kind"]), name, key)


def _shown(value: bytes) -> str:
    """A value in a plan: as text where it is text, short."""
    text = value.decode("ascii", "replace") if value.isascii() else ""
    if not text or not text.isprintable():
        return f"{len(value)} bytes {value[:8].hex()}..." if len(value) > 8 else f"0x{value.hex()}"
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
