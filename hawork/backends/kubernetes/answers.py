"""What the Kubernetes API answers: a ConfigMap, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hawork.core.errors import HighAvailabilityError, StoreUnavailableError

Changes = Mapping[str, str | None]
"""Keys to set, or to remove (``None``)."""


class OutcomeUnknownError(HighAvailabilityError):
    """A request was sent, its answer did not come: it was carried out or not."""


class SilentError(OutcomeUnknownError):
    """Nothing came for longer than a leader may be silent."""


class AccessDeniedError(StoreUnavailableError):
    """The server refused us, or we refused to trust it; nothing was changed."""


class ForbiddenError(AccessDeniedError):
    """The server knows us, and does not let us do that."""


class BusyError(StoreUnavailableError):
    """The server has too much to do and took nothing on; ``seconds`` is how long it wants peace.

    Source: HTTP status 429 with ``Retry-After``, by the API server's priority and fairness.
    """

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class ConflictError(HighAvailabilityError):
    """The object is there already, or is not the one we had read; nothing was changed."""


class AbsentError(HighAvailabilityError):
    """There is no such object, or no such namespace; nothing was changed."""


class ExpiredError(HighAvailabilityError):
    """A watch asks for changes that the server does not keep any more: list again."""


@dataclass(frozen=True, slots=True)
class ConfigMap:
    """A ConfigMap as it was at one ``resource_version``."""

    name: str
    uid: str
    resource_version: str
    annotations: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> ConfigMap:
        metadata = found["metadata"]
        return cls(
            metadata["name"],
            metadata["uid"],
            metadata["resourceVersion"],
            metadata.get("annotations") or {},
            found.get("data") or {},
        )

    def is_older_than(self, other: ConfigMap) -> bool:
        """Also of another map that had the name before.

        Source: KEP-5504, which makes the long practice of comparing versions a promise.
        """
        return int(self.resource_version) < int(other.resource_version)
