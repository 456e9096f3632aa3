"""The roles of leader election: contender, election, driver and the driver's listener.

A component (*contender*) is handed a ``LeaderElection`` by the HA services. A backend writes
a ``LeaderElectionDriver`` and nothing else; what all backends share is in
``leader_election_service.py``. There is no public ``has_leadership()``: leadership is a
token (the session id), not a boolean.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar, runtime_checkable

from hawork.core.types import LeaderInformation, LeaderInformationRegister, LeaderSessionID

T = TypeVar("T")


class LeaderContender(Protocol):
    """What a component implements. Called on one thread, in order, never concurrently.

    The methods must return soon: a slow contender delays every other one.
    """

    def grant_leadership(self, session_id: LeaderSessionID) -> None:
        """This process leads under ``session_id``; confirm once ready to be found."""

    def revoke_leadership(self) -> None:
        """Leadership is gone; whatever runs under the last session id must stop."""

    def handle_error(self, error: Exception) -> None:
        """Leader election cannot go on."""


class LeaderElection(Protocol):
    """What a component is given to take part under its component id."""

    def start(self, contender: LeaderContender) -> None:
        """Take part. Raises ``LeaderElectionError`` when the component id is in use."""

    def confirm_leadership(self, session_id: LeaderSessionID, address: str) -> Future[None]:
        """Publish ``address`` as the leader's, so that retrieval finds it.

        Runs on the leadership thread. The future fails with ``LeadershipLostError``, and
        nothing is published, unless ``session_id`` is that of the present leadership.
        Repeating it with the same address changes nothing.
        """

    def run_if_leader(self, session_id: LeaderSessionID, action: Callable[[], T]) -> Future[T]:
        """Run ``action`` on the leadership thread if ``session_id`` still leads.

        The future fails with ``LeadershipLostError`` otherwise. This orders the action
        before any later revocation; it does not fence writes, the stores do that.
        """

    def close(self) -> None:
        """Stop taking part. A leader's contender is revoked, its address unpublished."""


class LeaderElectionListener(Protocol):
    """What a driver tells. Every method returns at once; drivers may call from any thread."""

    def on_grant_leadership(self, session_id: LeaderSessionID) -> None: ...

    def on_revoke_leadership(self) -> None: ...

    def on_leader_information_change(
        self, component_id: str, information: LeaderInformation | None
    ) -> None:
        """One component's published information changed."""

    def on_leader_information_register(self, register: LeaderInformationRegister) -> None:
        """All published information, where the backend sees it at once."""

    def on_error(self, error: Exception) -> None: ...


@runtime_checkable
class TicketListener(Protocol):
    """What a listener may be besides: told when a driver's ticket is another one now."""

    def on_ticket_change(self, ticket: dict[str, str]) -> None: ...


class LeaderElectionDriver(Protocol):
    """All that a backend writes for election: one latch or lease for the whole process.

    It takes part from its construction until ``close``.
    """

    def has_leadership(self, session_id: LeaderSessionID) -> bool:
        """Whether this process may believe *now* that it leads under ``session_id``.

        Must turn false no later than the moment another process may be granted leadership.
        """

    def publish_leader_information(self, component_id: str, information: LeaderInformation) -> None:
        """Write the information; atomic with a check that its session id leads.

        Raises ``LeadershipLostError`` (nothing written), ``StoreUnavailableError`` (may be
        repeated) or ``PossibleInconsistentStateError`` (may be repeated).
        """

    def delete_leader_information(self, component_id: str, session_id: LeaderSessionID) -> None:
        """Remove what ``session_id`` published; absent is fine. Errors as above."""

    def ticket(self) -> dict[str, str]:
        """What a supervisor needs to give up this contender's leadership once it is dead."""

    def close(self) -> None:
        """Release the leadership, if any, and stop. The listener hears nothing after it."""


LeaderElectionDriverFactory = Callable[[LeaderElectionListener], LeaderElectionDriver]
