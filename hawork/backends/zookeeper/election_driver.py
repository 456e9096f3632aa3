"""Leader election on ZooKeeper: one thread that stands in the latch.

Source: Flink's ``ZooKeeperLeaderElectionDriver`` and Curator's ``LeaderLatch``. What is
different: a leader proves again and again, by a transaction that checks its own latch node,
that its session lives, and its belief ends on a monotonic deadline counted from when it *sent*
the last such proof, because kazoo never says that a session is lost while no server answers.
And a leader that lost its connection gives up its turn and joins again at the end.
"""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass

from hawork.backends.zookeeper import client as zk
from hawork.backends.zookeeper.latch import Latch, LatchNode
from hawork.backends.zookeeper.leader_information import PublishedInformation
from hawork.backends.zookeeper.paths import ZNodePaths
from hawork.backends.zookeeper.session import (
    AccessDeniedError,
    OutcomeUnknownError,
    ZooKeeperSession,
)
from hawork.core.clock import LONGEST_WAIT, Clock
from hawork.core.connection import ConnectionState
from hawork.core.errors import (
    LeadershipLostError,
    PossibleInconsistentStateError,
    StoreUnavailableError,
)
from hawork.core.types import LeaderInformation, LeaderSessionID
from hawork.ha.leader_election import LeaderElectionListener, TicketListener
from hawork.ha.serial_executor import SerialExecutor

BELIEF = 3 / 4
"""Part of the session timeout that a leader believes in its leadership without a new proof.

The rest is the margin for a follower of the ensemble that had not yet told the ensemble's
leader of our last request: it does so every half tick, and a session has at least two ticks.
"""
PROOF_INTERVAL = 3 / 8
"""Part of the session timeout between two proofs. A little less than ``PING_INTERVAL``, so that a
proof is the leader's ping; as much is left for the answer to the next one, half as much again as
Flink's client has for the answer to a ping. See decision 26."""
_TRANSIENT = (
    StoreUnavailableError,
    OutcomeUnknownError,
    PossibleInconsistentStateError,
    zk.ZookeeperError,
)
_PAUSE = 1.0  # seconds until something that failed while connected is tried again


@dataclass(eq=False, slots=True)
class _Leadership:
    """A leadership, from shortly before it is granted. Fields are set, never waited for."""

    node: LatchNode
    deadline: float
    next_proof: float
    proof_sent: float | None = None
    watched: bool = True
    granted: bool = False
    over: bool = False
    """Set by the thread that notices first that the node or the connection is gone; never reset."""


class ZooKeeperLeaderElectionDriver:
    """Stands in the latch from its construction until ``close``.

    The thread is woken by a change of what it watches or of the connection and by the next
    deadline, and then brings everything forward as far as it goes.
    """

    def __init__(
        self,
        session: ZooKeeperSession,
        paths: ZNodePaths,
        latch: Latch,
        executor: SerialExecutor,
        listener: LeaderElectionListener,
        clock: Clock,
    ) -> None:
        self._session = session
        self._latch = latch
        self._listener = listener
        self._clock = clock
        self._published = PublishedInformation(
            session, paths, latch, executor, listener.on_leader_information_change
        )
        self._wake = threading.Event()
        self._wake.set()
        self._closing = False
        self._parted = threading.Event()
        self._leadership: _Leadership | None = None
        self._changed = True
        self._ticket: dict[str, str] = {}
        # Only the thread touches these.
        self._node: LatchNode | None = None
        self._next_id = uuid.uuid4()
        self._given_up: LatchNode | None = None
        self._told_ticket = self.ticket()
        self._told_error = ""
        self._retry_at: float | None = None
        session.add_listener(self._on_state)
        self._thread = threading.Thread(target=self._run, name="zookeeper-latch", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            session.remove_listener(self._on_state)
            raise

    # --- LeaderElectionDriver -------------------------------------------------------------

    def has_leadership(self, session_id: LeaderSessionID) -> bool:
        leadership = self._leadership
        return (
            leadership is not None
            and leadership.node.session_id == session_id
            and self._may_believe(leadership)
        )

    def publish_leader_information(self, component_id: str, information: LeaderInformation) -> None:
        try:
            self._published.publish(component_id, information)
        except StoreUnavailableError:
            if self.has_leadership(information.session_id):
                raise
            raise LeadershipLostError(f"{information.session_id} does not lead any more") from None

    def delete_leader_information(self, component_id: str, session_id: LeaderSessionID) -> None:
        self._published.delete(component_id, session_id)

    def ticket(self) -> dict[str, str]:
        identity = self._session.identity
        if identity is not None:
            self._ticket = {
                "type": "zookeeper",
                "session": f"{identity[0]:#x}",
                "password": identity[1].hex(),
            }
        return self._ticket

    def close(self) -> None:
        self._published.mute()
        self._closing = True
        self._wake.set()
        if threading.current_thread() is not self._thread:
            # Without a connection the thread goes on until the node is removed or expired.
            self._parted.wait(self._session.settings.close_wait)

    # --- signals, from any thread ---------------------------------------------------------

    def _on_state(self, state: ConnectionState) -> None:
        leadership = self._leadership
        if leadership is not None:
            tolerated = self._session.settings.tolerate_suspended
            if state == ConnectionState.LOST or not (state.usable or tolerated):
                leadership.over = True
            leadership.next_proof = 0.0
            leadership.watched = False
        if state.usable:
            self._changed = True
            self._published.look_at_all()
        self._wake.set()

    def _on_predecessor(self, _: zk.WatchedEvent) -> None:
        self._changed = True
        self._wake.set()

    def _may_believe(self, leadership: _Leadership) -> bool:
        identity = self._session.identity
        same_session = identity is None or identity[0] == leadership.node.owner
        return same_session and not leadership.over and self._now() < leadership.deadline

    def _now(self) -> float:
        return self._clock.monotonic()

    # --- the thread -----------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            self._wake.wait(self._seconds_to_wait())
            self._wake.clear()
            if self._closing:
                break
            try:
                self._retry_at = None
                self._tell_ticket()
                self._advance()
            except Exception as error:  # noqa: BLE001 - the thread must outlive anything
                self._changed = True
                self._retry_at = self._now() + _PAUSE
                self._tell_error(error)
        self._session.remove_listener(self._on_state)
        try:
            self._leave()
        finally:
            self._parted.set()

    def _seconds_to_wait(self) -> float | None:
        times = [] if self._retry_at is None else [self._retry_at]
        leadership = self._leadership
        if leadership is not None:
            times += leadership.deadline, self._now() + LONGEST_WAIT
            if self._session.state.usable:
                sent = leadership.proof_sent
                times.append(
                    leadership.next_proof if sent is None else sent + self._session.patience
                )
        return max(0.0, min(times) - self._now()) if times else None

    def _tell_ticket(self) -> None:
        ticket = self.ticket()
        if ticket != self._told_ticket and isinstance(self._listener, TicketListener):
            self._told_ticket = ticket
            self._listener.on_ticket_change(ticket)

    def _tell_error(self, error: Exception) -> None:
        """Tell what only people can mend, once; what passes by itself is not worth a word."""
        transient = isinstance(error, _TRANSIENT)
        lasting = isinstance(error, AccessDeniedError) or not transient
        if lasting and str(error) != self._told_error:
            self._told_error = str(error)
            self._listener.on_error(error)

    def _advance(self) -> None:
        leadership = self._leadership
        if leadership is not None:
            if self._may_believe(leadership):
                self._keep_up(leadership)
                return
            self._end(leadership)
        identity = self._session.identity
        if identity is None or not self._session.state.usable:
            return
        self._give_up_turn(identity[0])
        if self._node is not None and self._node.owner != identity[0]:
            self._forget_node()
        if self._node is None or self._changed:
            self._changed = False
            self._stand(identity[0])

    def _end(self, leadership: _Leadership) -> None:
        self._leadership = None
        if leadership.granted:
            self._latch.ended(leadership.node.session_id)
            self._given_up = leadership.node
            self._forget_node()
            self._listener.on_revoke_leadership()

    def _forget_node(self) -> None:
        self._node = None
        self._next_id = uuid.uuid4()

    def _give_up_turn(self, owner: int) -> None:
        """Remove the node of an ended leadership, which others are waiting behind."""
        node = self._given_up
        if node is not None and node.owner == owner:
            self._published.withdraw(node)
            self._latch.leave(node)
        elif node is not None:
            self._published.forget()
        self._given_up = None

    # --- standby --------------------------------------------------------------------------

    def _stand(self, owner: int) -> None:
        """Have a node, and lead with it or watch the one before it."""
        if self._node is None:
            self._node = self._latch.join(self._next_id)
            if self._node is None:
                self._forget_node()
                raise StoreUnavailableError("our latch node was removed by another process at once")
            if self._node.owner != owner:
                # The session became another one meanwhile, and the node may be in the new one.
                self._changed = True
                self._wake.set()
                return
        node = self._node
        try:
            while (predecessor := self._latch.predecessor(node)) is not None:
                before = self._latch.watch(predecessor, self._on_predecessor)
                if before is not None and before.owner != node.owner:
                    return
                if before is not None:
                    # Left by an earlier driver of this process: it would never end.
                    self._latch.leave(before)
            self._lead(node)
        except LeadershipLostError:
            self._forget_node()
            raise StoreUnavailableError("our latch node was removed by another process") from None

    def _lead(self, node: LatchNode) -> None:
        """Prove that the node is really there, be told when it goes, and be granted."""
        leadership = self._leadership = _Leadership(node, 0.0, 0.0)
        try:
            sent = self._now()
            self._latch.commit(node.fence, lambda _: None, node.path)
            if self._latch.watch(node.path, lambda _: self._on_own(leadership)) is None:
                raise LeadershipLostError(f"our latch node {node.path} is gone")
        except BaseException:
            self._leadership = None
            raise
        leadership.next_proof = sent + self._session.timeout * PROOF_INTERVAL
        leadership.deadline = sent + self._session.timeout * BELIEF
        if not self._may_believe(leadership):
            self._leadership = None
            raise StoreUnavailableError("the connection broke while leadership was proved")
        self._latch.granted(node)
        leadership.granted = True
        self._listener.on_grant_leadership(node.session_id)

    # --- leading --------------------------------------------------------------------------

    def _keep_up(self, leadership: _Leadership) -> None:
        """Send what is due; the answers are taken in by kazoo's threads."""
        if not self._session.state.usable:
            return
        now, path = self._now(), leadership.node.path
        if not leadership.watched:
            leadership.watched = True
            self._latch.watch_own(
                path, lambda _: self._on_own(leadership), lambda: self._on_gone(leadership)
            )
        sent = leadership.proof_sent
        if sent is None and now >= leadership.next_proof:
            leadership.proof_sent = now
            leadership.next_proof = now + self._session.timeout * PROOF_INTERVAL
            self._latch.prove(path, lambda there: self._on_proof(leadership, now, there))
        elif sent is not None and now >= sent + self._session.patience:
            leadership.proof_sent = None
            self._session.drop()

    def _on_proof(self, leadership: _Leadership, sent: float, there: bool | None) -> None:
        leadership.proof_sent = None
        if there:
            leadership.deadline = sent + self._session.timeout * BELIEF
        elif there is False:
            self._on_gone(leadership)
        self._wake.set()

    def _on_own(self, leadership: _Leadership) -> None:
        leadership.watched = False
        self._wake.set()

    def _on_gone(self, leadership: _Leadership) -> None:
        leadership.over = True
        self._wake.set()

    # --- closing --------------------------------------------------------------------------

    def _leave(self) -> None:
        """Remove our node; while the server cannot be told, until the session is another one."""
        leadership, self._leadership = self._leadership, None
        node = leadership.node if leadership is not None else self._given_up or self._node
        if leadership is not None:
            self._latch.ended(leadership.node.session_id)
        patience = 0.0
        while not self._session.closed:
            try:
                self._session.wait_connected(patience)
                self._remove(node)
                break
            except _TRANSIENT:
                self._parted.set()
                patience = _PAUSE

    def _remove(self, node: LatchNode | None) -> None:
        identity = self._session.identity
        if identity is None:
            raise StoreUnavailableError("the connection broke")
        if node is None:
            # A try to join may have gone through unseen.
            path = self._latch.find(self._next_id)
            node = None if path is None else LatchNode(self._next_id, path, identity[0])
        if node is not None and node.owner == identity[0]:
            self._published.withdraw(node)
            self._latch.leave(node)
