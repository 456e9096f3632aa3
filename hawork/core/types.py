"""The values that leader election, retrieval and the stores exchange."""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from hawork.core.errors import ConfigurationError
from hawork.core.json_fields import JsonFields

T = TypeVar("T")

_JOB_ID = re.compile(r"[0-9a-f]{32}")
_WORD = re.compile(r"[0-9a-z]{1,64}")

LeaderSessionID = uuid.UUID
"""The fencing token: one random id per grant, shared by all components of a process."""

NO_LEADERSHIP: LeaderSessionID = uuid.UUID(int=0)
"""The session id of no leader: stores bound to it can be read, the store refuses every write."""

DISPATCHER = "dispatcher"
RESOURCE_MANAGER = "resource_manager"
REST_SERVER = "rest_server"
"""Component ids, in ZooKeeper's spelling; a backend maps them to its own."""


class JobID(str):
    """32 lower-case hexadecimal characters (Flink's ``JobID``).

    Raises ``ConfigurationError`` for anything else.

    >>> JobID("0000000000000000000000000000000A")
    '0000000000000000000000000000000a'
    """

    __slots__ = ()

    def __new__(cls, value: str) -> JobID:
        text = value.lower()
        if not _JOB_ID.fullmatch(text):
            raise ConfigurationError(
                f"job id {value!r} is not a job id: write 32 hexadecimal characters, "
                "as printed by 'hawork list'"
            )
        return super().__new__(cls, text)

    @classmethod
    def random(cls) -> JobID:
        return cls(secrets.token_hex(16))


@dataclass(frozen=True, slots=True)
class LeaderInformation:
    """Who leads a component: the session id of the grant, and where to reach the leader."""

    session_id: LeaderSessionID
    address: str


LeaderInformationRegister = Mapping[str, LeaderInformation]
"""Leader information by component id."""


@dataclass(frozen=True, slots=True)
class Versioned(Generic[T]):
    """A value read from a store, and the version to expect when replacing it."""

    value: T
    version: int


@dataclass(frozen=True, slots=True)
class StateHandle:
    """A pointer to a file below the cluster's directory in storageDir.

    ``path`` is relative to ``<storageDir>/<cluster-id>``, ``size`` in bytes; ``sha256``
    is verified on every read.
    """

    path: str
    size: int
    sha256: str

    def to_json(self) -> dict[str, object]:
        return {"path": self.path, "size": self.size, "sha256": self.sha256}

    @classmethod
    def from_json(cls, data: object) -> StateHandle:
        """Raises ``ValueError`` or ``KeyError`` when ``data`` is not a state handle.

        Whether a job may own the file is for ``JobFiles`` to say.
        """
        fields = JsonFields("a state handle", data)
        sha256 = fields.text("sha256")
        # It names a local copy of an artifact, too: never more than one plain word.
        if not _WORD.fullmatch(sha256):
            raise ValueError(f"sha256 is {sha256[:80]!r}, not hexadecimal digits")
        return cls(fields.text("path"), fields.whole("size"), sha256)


@dataclass(frozen=True, slots=True)
class ProcessState:
    """One process of the lab; ``status`` is its exit code, negative for a signal."""

    name: str
    pid: int
    state: str  # running, paused or exited
    status: int | None = None
    starts: int = 1

    @property
    def alive(self) -> bool:
        return self.state != "exited"


@dataclass(frozen=True, slots=True)
class ProcessEnd:
    """How one process of the lab ended; ``status`` as in ``ProcessState``."""

    name: str
    pid: int
    status: int
    at: float
    """On ``time.monotonic``, when its parent's word came."""
