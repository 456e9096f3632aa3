"""Leader election on Kubernetes: one thread that does what the lease machine decides.

Source: Flink's ``KubernetesLeaderElectionDriver`` and fabric8's ``LeaderElector``. What is
different: wall clocks are not compared of two machines (``hawork.ha.lease_state``); a standby
asks the server nothing, it hears of each renewal through its watch; and before a leadership is
granted the ConfigMaps of the jobs are claimed for it (``claims``).
"""

from __future__ import annotations

import contextlib
import random
import threading
import uuid
from collections.abc import Callable, Set
from concurrent.futures import Future

from hawork.backends.kubernetes.answers import AccessDeniedError, ConfigMap
from hawork.backends.kubernetes.claims import Claims
from hawork.backends.kubernetes.guarded_map import Change, Decide, GuardedMap
from hawork.backends.kubernetes.layout import (
    LEADER_PREFIX,
    LOCK,
    encode_leader_information,
    leader_key,
    register_of,
)
from hawork.backends.kubernetes.lock_record import (
    Lock,
    check_leads,
    released,
    timestamp,
    written,
)
from hawork.backends.kubernetes.settings import KubernetesSettings
from hawork.backends.kubernetes.watch import ClusterWatch
from hawork.core.clock import LONGEST_WAIT, Clock
from hawork.core.errors import (
    ConfigurationError,
    HaworkError,
    LeaderElectionError,
    LeadershipLostError,
    StoreUnavailableError,
)
from hawork.core.events import EventKind, EventSink
from hawork.core.types import LeaderInformation, LeaderInformationRegister, LeaderSessionID
from hawork.ha.leader_election import LeaderElectionListener, TicketListener
from hawork.ha.lease_state import (
    Acquire,
    LeaseRecord,
    LeaseState,
    Observe,
    Renew,
    StopLeading,
    Wait,
)
from hawork.ha.prompt_events import PromptEvents

_JOIN_SECONDS = 5.0
_SETTLING_SECONDS = 30.0
"""Longest time in which an API server that has just started reads the Roles; refuses till then."""
_TICK = 2e-6  # seconds; the lock's times have microseconds
_STAGGER = 0.1
"""Most seconds by which a standby waits for the others to go first: of many that see a lock
released at the same moment, most then see it taken before they try."""


class _RefusedError(LeadershipLostError):
    """The lock is not what the decision to write it was made on."""


class KubernetesLeaderElectionDriver:
    """One contender for the lock; a ``LeaderElectionDriver``."""

    def __init__(
        self,
        claims: Claims,
        watch: ClusterWatch,
        settings: KubernetesSettings,
        listener: LeaderElectionListener,
        clock: Clock,
        events: EventSink,
    ) -> None:
        self._claims = claims
        self._map = claims.cluster
        self._watch = watch
        self._timeouts = settings.timeouts
        self._listener = listener
        self._clock = clock
        self._events = PromptEvents(events)
        self._contender = uuid.uuid4().hex
        self._lease = LeaseState(self._contender, settings.timeouts)
        # Each taking of the lock has an identity of its own, and the lock never comes back to an
        # earlier one; the newest may be granted, or is.
        self._session_id = uuid.uuid4()
        self._identities = {str(self._session_id)}
        self._tried = False
        # What other threads look at: replaced as a whole, never changed.
        self._leadership: tuple[LeaderSessionID, float] | None = None
        self._granted = False
        self._unclaimed = False
        self._claim_at = 0.0
        self._terms = 0
        # In which of our terms it was begun: one at a time, also when the lock was lost meanwhile.
        self._claiming: tuple[int, Future[None]] | None = None
        self._register: LeaderInformationRegister | None = None
        self._stamped, self._ahead = "", 0.0
        self._told: tuple[str, bool] | None = None
        self._denied: tuple[float, bool] | None = None
        self._must_read = False
        self._closing = False
        self._changed = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kubernetes-election", daemon=True)
        self._thread.start()
        self._unsubscribe: Callable[[], None] = lambda: None
        try:
            self._unsubscribe = watch.subscribe(self._saw)
        except BaseException:
            self.close()  # else it stands in the election, and leads, in no contender's name
            raise

    # --- the driver's contract, on any thread ---------------------------------------------

    def has_leadership(self, session_id: LeaderSessionID) -> bool:
        return self.believes(str(session_id))

    def believes(self, session_id: str) -> bool:
        """``has_leadership`` of a session id as it is written."""
        leadership = self._leadership
        return (
            not self._closing
            and leadership is not None
            and str(leadership[0]) == session_id
            and self._clock.monotonic() < leadership[1]
        )

    def publish_leader_information(self, component_id: str, information: LeaderInformation) -> None:
        key, text = leader_key(component_id), encode_leader_information(information)
        self._put(key, text, information.session_id, f"publishing the leader of {component_id!r}")

    def delete_leader_information(self, component_id: str, session_id: LeaderSessionID) -> None:
        key = leader_key(component_id)
        self._put(key, None, session_id, f"removing the leader of {component_id!r}")

    def ticket(self) -> dict[str, str]:
        return {"type": "kubernetes", "holder": str(self._session_id)}

    def close(self) -> None:
        self._unsubscribe()
        self._closing = True
        self._wake.set()
        if threading.current_thread() is not self._thread:
            # Bounded: a server that hangs must not keep a process from shutting down.
            self._thread.join(_JOIN_SECONDS)

    def _put(self, key: str, text: str | None, session_id: LeaderSessionID, what: str) -> None:
        def decide(found: ConfigMap | None) -> Change | None:
            present = check_leads(found, session_id, what)
            if present.data.get(key) == text:
                return None
            return Change(lambda after: _value(after, key) == text, {key: text})

        self._map.write(decide)

    # --- on the watch's thread --------------------------------------------------------------

    def _saw(self, found: ConfigMap | None, sure: bool) -> None:
        if self._closing:
            return
        leadership, lock = self._leadership, Lock.of(found)
        if found is not None and leadership and lock and lock.holder == str(leadership[0]):
            register = register_of(found.data)
            if register != self._register:
                self._register = register
                self._listener.on_leader_information_register(register)
            return
        if sure:
            self._changed.set()
            self._wake.set()

    # --- on the election's own thread -------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._closing:
                # A try that waited for its answer in vain has had its pause.
                began = self._clock.monotonic()
                try:
                    self._step()
                except HaworkError as error:
                    self._lease.failed(began)
                    self._must_read = True
                    self._report(error)
                except Exception as error:  # noqa: BLE001 - an election must not end silently
                    self._lease.failed(began)
                    self._must_read = True
                    self._report(LeaderElectionError(f"leader election failed: {error!r}"))
        finally:
            self._resign()

    def _step(self) -> None:
        if self._changed.is_set():
            self._changed.clear()
            self._lease.record_changed()
        now = self._clock.monotonic()
        match self._lease.decide(now):
            case Observe():
                self._observe()
            case Acquire(expected):
                self._acquire(expected)
            case Renew(deadline):
                self._renew(deadline)
            case StopLeading():
                self._stop_leading()
            case Wait(until):
                if self._claiming is not None:
                    if self._claiming[1].done():
                        self._claimed(*self._claiming)
                        return
                elif self._unclaimed and now >= self._claim_at:
                    self._claim_at = now + self._timeouts.retry_period / 5
                    ended = self._claims.begin(self._session_id, self._wake.set)
                    self._claiming = self._terms, ended
                    return
                elif self._unclaimed:
                    until = min(until, self._claim_at)
                self._wake.wait(max(0.0, min(until - now, LONGEST_WAIT)))
                self._wake.clear()
                return
        self._told = None

    def _observe(self) -> None:
        if self._must_read or not self._watch.live:
            found = self._map.read(self._timeouts.retry_period)
            self._must_read = False
        else:
            found = self._map.known
        self._lease.observe(self._record(found), self._clock.monotonic())

    def _record(self, found: ConfigMap | None) -> LeaseRecord | None:
        # A map that another process deleted holds its lock until the lease is over: what is in it
        # is restored by the contender that makes it again, and only the holder knows all of that.
        lock = Lock.of(found or self._map.deleted)
        return None if lock is None else lock.record(self._identities, self._contender)

    def _acquire(self, expected: LeaseRecord | None) -> None:
        if expected is not None and expected.holder != self._contender and self._watch.live:
            self._wake.wait(random.uniform(0.0, _STAGGER))
            if self._changed.is_set() or self._closing:
                return
        if self._tried and (expected is None or expected.holder != self._contender):
            # An earlier try may have landed, and another contender may have led since.
            self._take_new_identity()
        before, self._tried = self._tried, True

        def decide(found: ConfigMap | None) -> Change:
            if self._record(found) != expected:
                raise _RefusedError("the lock changed")
            lock, now = Lock.of(found), timestamp(self._clock.time())
            transitions = 0
            if lock is not None:
                transitions = lock.transitions + (lock.holder != str(self._session_id))
            text = written(str(self._session_id), self._timeouts, now, now, transitions)
            # What earlier leaders had published goes with their lock.
            published = [] if found is None else [
                key for key in found.data if key.startswith(LEADER_PREFIX)
            ]  # fmt: skip
            return Change(
                lambda after: _lock_text(after) == text,
                dict.fromkeys(published),
                {LOCK: text},
                self._map.labels,
            )

        try:
            self._hold(decide, self._timeouts.retry_period)
        except StoreUnavailableError:
            self._tried = before  # surely nothing was written: one that may not write keeps its own
            raise

    def _renew(self, deadline: float) -> None:
        def decide(found: ConfigMap | None) -> Change:
            lock = Lock.of(check_leads(found, self._session_id, "renewing the lock"))
            assert lock is not None
            now = self._stamp()
            text = written(
                lock.holder, self._timeouts, lock.acquire_time, now, lock.transitions
            )  # fmt: skip
            return Change(lambda after: _lock_text(after) == text, annotations={LOCK: text})

        left = deadline - self._clock.monotonic()
        self._hold(decide, min(self._timeouts.retry_period, left))

    def _stamp(self) -> str:
        """The wall clock's time, and never the same twice, also while the clock stands still: a
        standby sees a renewal by what differs.
        """
        stamp = timestamp(self._clock.time() + self._ahead)
        if stamp == self._stamped:
            self._ahead += _TICK
            stamp = timestamp(self._clock.time() + self._ahead)
        self._stamped = stamp
        return stamp

    def _hold(self, decide: Decide, timeout: float) -> None:
        """Write the lock in our name, and believe from before it was sent."""
        # Before the first of all tries: the one that lands may be any of them.
        sent_at = self._clock.monotonic()
        try:
            found = self._map.write(decide, timeout, urgent=timeout)
        except LeadershipLostError:
            self._lease.refused()
            return
        record = self._record(found)
        now = self._clock.monotonic()
        if record is None or record.holder != self._contender:
            self._lease.refused()
            return
        before = self._granted or self._unclaimed
        self._lease.renewed(record, sent_at, now)
        if not self._lease.believes(self._clock.monotonic()):
            return
        if self._granted:
            self._leadership = self._session_id, self._lease.belief_until
        elif not before:
            self._unclaimed, self._claim_at = True, 0.0

    def _claimed(self, term: int, ended: Future[None]) -> None:
        """The jobs' ConfigMaps are claimed, or not; only then is the leadership one."""
        self._claiming = None
        if term != self._terms:
            return  # the lock was lost since; if it is ours again, another claim is to come
        try:
            ended.result()
        except LeadershipLostError:
            self._lease.refused()
            return
        if not self._lease.believes(self._clock.monotonic()):
            return
        self._unclaimed, self._granted = False, True
        self._leadership = self._session_id, self._lease.belief_until
        if not self._closing:
            self._listener.on_grant_leadership(self._session_id)

    def _stop_leading(self) -> None:
        self._terms += 1
        granted, self._granted, self._unclaimed = self._granted, False, False
        self._leadership = None
        self._register = None
        if granted and not self._closing:
            self._listener.on_revoke_leadership()
        if granted:
            self._take_new_identity()

    def _take_new_identity(self) -> None:
        """For the next taking of the lock; it is told before it is used."""
        self._session_id, self._tried = uuid.uuid4(), False
        self._identities.add(str(self._session_id))
        if isinstance(self._listener, TicketListener) and not self._closing:
            self._listener.on_ticket_change(self.ticket())

    def _resign(self) -> None:
        self._leadership = None
        self._lease.resign()
        with contextlib.suppress(HaworkError):
            release(self._map, self._identities, self._clock, self._timeouts.retry_period)
        self._events.close()

    def _report(self, error: HaworkError) -> None:
        """What passes by itself is an event; what people must mend is told. Each once."""
        lasting = self._is_denied(error) or isinstance(
            error, (ConfigurationError, LeaderElectionError)
        )
        told, self._told = self._told, (str(error), lasting)
        if told == self._told or self._closing:
            return
        if lasting:
            self._listener.on_error(error)
        else:
            session_id = self._session_id if self._granted else None
            self._events.emit(EventKind.ERROR, session_id=session_id, message=str(error))

    def _is_denied(self, error: HaworkError) -> bool:
        """Whether we are refused, and not by a server that has just started.

        Such a one refuses our watch, too. Where that goes on, and we are refused again, the
        server has read the Roles: one of our rights is missing.
        """
        if not isinstance(error, AccessDeniedError):
            self._denied = None
            return False
        now, live = self._clock.monotonic(), self._watch.live
        since, was_live = self._denied or (now, False)
        if now - since > 2 * _SETTLING_SECONDS:  # that was another time
            since, was_live = now, False
        self._denied = (since, live)
        return (live and was_live) or now - since > _SETTLING_SECONDS


def release(
    cluster: GuardedMap, identities: Set[str], clock: Clock, timeout: float | None = None
) -> bool:
    """Give up the lock that one of ``identities`` holds, and what it published; whether it did."""
    done = False

    def decide(found: ConfigMap | None) -> Change | None:
        nonlocal done
        lock = Lock.of(found)
        if found is None or lock is None or lock.holder not in identities:
            return None
        text = released(lock, timestamp(clock.time()))
        published = [key for key in found.data if key.startswith(LEADER_PREFIX)]
        done = True
        return Change(
            lambda after: _lock_text(after) == text, dict.fromkeys(published), {LOCK: text}
        )

    cluster.write(decide, timeout)
    return done


def _lock_text(found: ConfigMap | None) -> str | None:
    return None if found is None else found.annotations.get(LOCK)


def _value(found: ConfigMap | None, key: str) -> str | None:
    return None if found is None else found.data.get(key)
