"""The roles of leader retrieval (service discovery): who leads, and at which address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from hawork.core.types import LeaderInformation


class LeaderRetrievalListener(Protocol):
    """What a component that looks for a leader implements. Called on one thread, in order."""

    def notify_leader(self, information: LeaderInformation | None) -> None:
        """The leader changed; ``None`` when there is none or it is unsure who leads."""

    def handle_error(self, error: Exception) -> None:
        """Retrieval met bytes that are not leader information, or cannot go on."""


class LeaderRetrievalDriver(Protocol):
    """What a backend writes: it watches one component from construction until ``close``.

    It tells its observer the present value at the start and after every change (repeating
    a value is fine, the service drops repetitions), and ``None`` when unsure.
    """

    def close(self) -> None: ...

    def hindrance(self) -> str | None:
        """Why it tells of no leader: rights that are missing, a store that is away; a sentence.

        ``None`` when there is none, as far as we may look. Asks the store, for a bounded time.
        """


class LeaderRetrievalObserver(Protocol):
    """What a driver tells. Both return at once and may be called from any thread."""

    def on_leader_information(self, information: LeaderInformation | None) -> None: ...

    def on_error(self, error: Exception) -> None: ...


LeaderRetrievalDriverFactory = Callable[[LeaderRetrievalObserver], LeaderRetrievalDriver]
