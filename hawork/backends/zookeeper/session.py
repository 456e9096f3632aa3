"""``ZooKeeperSession``: one connection of a process to the ensemble, and how requests are sent.

Every request is asynchronous in kazoo and waited for here, for a bounded time. What is known
afterwards is one of three things: it was answered, it was surely not carried out, or it is not
knows (``OutcomeUnknownError``); the callers of writes find out by reading back.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from hawork.backends.zookeeper import client as zk
from hawork.backends.zookeeper.settings import ZooKeeperSettings
from hawork.core import options
from hawork.core.clock import Clock
from hawork.core.connection import ConnectionState
from hawork.core.errors import ConfigurationError, HighAvailabilityError, StoreUnavailableError
from hawork.core.events import EventKind, EventSink
from hawork.core.forks import when_forked
from hawork.core.tls_failures import Trouble, trouble_of

Send = Callable[[zk.ZooKeeperClient], Any]
"""Starts one request and returns kazoo's asynchronous result."""

_UNANSWERED = (
    zk.KazooTimeoutError,
    zk.ConnectionLoss,
    zk.OperationTimeoutError,
    zk.SessionExpiredError,
    zk.SessionMovedError,
    zk.ConnectionClosedError,
)


_SHARE_OF_SILENCE = 0.6
"""Part of the time without an answer for one connection; the rest is for another server."""
_LOOK_AGAIN = 0.05
"""Seconds between looks for a first answer."""
_UNOPENED = 0.5
"""Seconds for closing a session that did not open: silent servers are not waited for once more."""
_LOGIN = options.ZK_AUTHORIZATION.key
_SASL_OPTIONS = f"{options.ZK_SASL_MECHANISM.key}, or what goes with it"


_TRUST = f"name a PEM file of what signed it in option {options.ZK_SSL_CA_FILE.key}"
_TLS_FIXES: dict[Trouble | None, str] = {
    Trouble.NAME: "name the servers in the quorum as their certificates do, or set option "
    f"{options.ZK_SSL_VERIFY_HOSTNAME.key} to false",
    Trouble.DATE: "have the servers' certificates renewed, or set the clock of this machine",
    Trouble.CHAIN: f"{_TRUST}, or have the servers send the certificates in between",
    Trouble.AUTHORITY: _TRUST,
    Trouble.PLAIN: f"set option {options.ZK_SSL_ENABLED.key} to false, or name the servers' secure "
    "port in the quorum",
    Trouble.OURS: f"name a certificate that the servers trust in option "
    f"{options.ZK_SSL_CERT_FILE.key}, and its key in {options.ZK_SSL_KEY_FILE.key}",
}


class OutcomeUnknownError(HighAvailabilityError):
    """A request was sent, its answer did not come: it was carried out or not."""


class AccessDeniedError(StoreUnavailableError):
    """The servers refused a request for lack of rights; nothing was changed."""


class NotConnectedError(StoreUnavailableError):
    """No server is connected; nothing was sent."""


class ZooKeeperSession:
    """A session, and the one that follows it when it is lost. Thread-safe.

    ``client_id`` takes over the open session of another process. ``silence``: seconds without any
    answer after which reads give up, however long the session lasts.
    """

    def __init__(
        self,
        settings: ZooKeeperSettings,
        clock: Clock,
        events: EventSink,
        client_id: tuple[int, bytes] | None = None,
        silence: float = math.inf,
    ) -> None:
        self.settings = settings
        self._silence = silence
        self._clock = clock
        self._events = events
        self._client = zk.ZooKeeperClient(settings, client_id)
        self._client.add_listener(self._on_kazoo_state)
        self._lock = threading.Lock()
        self._listeners: list[Callable[[ConnectionState], None]] = []
        # Held while they are told, so that they hear of changes in their order.
        self._telling = threading.RLock()
        self._connected = threading.Event()
        self._state = ConnectionState.LOST
        self._was_connected = False
        self._expiry: threading.Timer | None = None
        self._closed = False
        self._refused = False
        when_forked(self, ZooKeeperSession._let_go)

    # --- state ----------------------------------------------------------------------------

    @property
    def state(self) -> ConnectionState:
        """The present state; ``LOST`` before the first connection."""
        return self._state

    @property
    def timeout(self) -> float:
        """The session timeout in seconds that the servers granted."""
        return self._client.negotiated_timeout

    @property
    def patience(self) -> float:
        """Seconds to wait for an answer before the connection counts as broken."""
        return min(self.timeout * zk.PATIENCE, self._silence * _SHARE_OF_SILENCE)

    @property
    def identity(self) -> tuple[int, bytes] | None:
        """Id and password of the connected session; ``None`` while not connected."""
        identity: tuple[int, bytes] | None = self._client.client_id
        return identity

    @property
    def closed(self) -> bool:
        return self._closed

    def add_listener(self, listener: Callable[[ConnectionState], None]) -> None:
        """Tell ``listener`` every change of state; it must return at once."""
        with self._lock:
            self._listeners.append(listener)

    def remove_listener(self, listener: Callable[[ConnectionState], None]) -> None:
        with self._lock, contextlib.suppress(ValueError):
            self._listeners.remove(listener)

    # --- opening and closing --------------------------------------------------------------

    def open(self, timeout: float | None = None, refused: float = math.inf) -> None:
        """Connect, within the connection timeout; give up before when every server has refused
        connections for ``refused`` seconds.

        ``StoreUnavailableError`` names the servers; ``ConfigurationError`` when they refuse
        the authentication or have no such chroot.
        """
        seconds = self.settings.connection_timeout if timeout is None else timeout
        until = self._clock.monotonic() + seconds
        try:
            self._client.start_async()
            while (root := self._first_answer(until, seconds, refused < math.inf)) is None:
                if self._refused or self._client.is_refused:
                    raise self._bad_credentials()
                if self._client.refused_for >= refused:
                    raise self._unreachable("takes a connection")
                if self._clock.monotonic() >= until:
                    if self.settings.sasl is not None:
                        self.close()  # so that a login that is still under way says how it ended
                    raise self._unreachable(f"answered within {seconds:g} s")
                time.sleep(_LOOK_AGAIN)  # connections come and go while a login is refused
            if not root:
                raise ConfigurationError(
                    f"the chroot {self.settings.chroot} in option {options.ZK_QUORUM.key} does not "
                    f"exist: create it (zkCli.sh create {self.settings.chroot}) or correct it"
                )
        except BaseException:
            self._close(min(self.settings.close_wait, _UNOPENED))  # it holds nothing yet
            raise

    def _first_answer(self, until: float, seconds: float, briefly: bool) -> bool | None:
        """Whether there is a root; ``None`` without an answer, as when a login is refused."""
        left = max(0.0, until - self._clock.monotonic())
        if briefly:
            left = min(left, _LOOK_AGAIN)
        if not self._connected.wait(left) and not self._refused:
            return None
        server = self._client.server
        try:
            found = self.perform(
                lambda client: client.exists_async("/"),
                "the root znode",
                self._at_most(min(seconds, self.patience), until),
            )
        except NotConnectedError:
            return None
        except OutcomeUnknownError:
            if self.settings.sasl is None:  # else it may be the login that hangs, which says so
                self._client.note_silence(server)
            return None
        return found is not None

    def close(self) -> None:
        """End the session, so that everything ephemeral of it goes; may be repeated.

        Waits no longer than the option ``max-close-wait`` says. When no server can be told,
        the session ends by its timeout.
        """
        self._close(self.settings.close_wait)

    def _close(self, wait: float) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._listeners.clear()
            self._cancel_expiry()
        # kazoo's stop has no bound: it waits for its threads.
        stopper = threading.Thread(target=self._stop, name="zookeeper-stop", daemon=True)
        stopper.start()
        stopper.join(wait)

    def _let_go(self) -> None:
        self._closed = True
        self._client.let_go()

    def drop(self) -> None:
        """Give up a connection on which nothing answers; another one is made."""
        self._client.drop_connection()

    def _stop(self) -> None:
        with contextlib.suppress(Exception):  # nothing is left to be done about it
            self._client.stop()
            self._client.close()

    # --- requests -------------------------------------------------------------------------

    def perform(self, send: Send, what: str, patience: float | None = None) -> Any:
        """Send one request and return its answer; ``what`` names its object in errors.

        kazoo's errors about the object itself (absent, exists, other version, not empty)
        pass through. ``StoreUnavailableError``: it was surely not carried out.
        ``OutcomeUnknownError``: it may have been.
        """
        self.wait_connected(self._wait_of_writes())
        sent = send(self._client)
        patience = self.patience if patience is None else patience
        try:
            return sent.get(timeout=patience)
        except zk.KazooTimeoutError:
            # Dropped, so that a request that is still queued cannot go out later.
            self.drop()
            raise OutcomeUnknownError(f"{what}: no answer within {patience:g} s") from None
        except (zk.ConnectionLoss, zk.OperationTimeoutError):
            raise OutcomeUnknownError(f"{what}: the connection broke") from None
        except (zk.SessionExpiredError, zk.SessionMovedError, zk.ConnectionClosedError):
            raise NotConnectedError(f"{what}: the ZooKeeper session ended before") from None
        except (zk.AuthFailedError, zk.SessionClosedRequireSaslError):
            self._refused = True
            raise NotConnectedError(f"{what}: the servers refused our authentication") from None
        except (zk.NoAuthError, zk.InvalidACLError) as error:
            raise self.access_denied(what, error) from None
        except zk.KazooException:
            raise
        except Exception as error:  # noqa: BLE001 - of whatever kind: kazoo could not read the answer
            self.drop()
            raise OutcomeUnknownError(f"{what}: its answer cannot be read: {error!r}") from None

    def send(self, send: Send, done: Callable[[Any], None]) -> None:
        """Send one request; ``done`` gets kazoo's result on one of kazoo's threads."""
        send(self._client).rawlink(done)

    def read(self, send: Send, what: str) -> Any:
        """Like ``perform`` for a request that changes nothing: repeated when unanswered.

        At most ``max-retry-attempts`` times, each time as soon as there is a connection but
        no later than after ``retry-wait``, which doubles; all within the connection timeout.
        ``StoreUnavailableError`` in the end.
        """
        return self._read(send, what, self._clock.monotonic())

    def _read(self, send: Send, what: str, since: float) -> Any:
        """``since``: when an answer was asked for first."""
        until = self._clock.monotonic() + self.settings.connection_timeout
        until = min(until, since + self._silence)
        wait = self.settings.retry_wait
        for attempt in range(self.settings.max_retries + 1):
            try:
                return self.perform(send, what, self._at_most(self.patience, until))
            except (OutcomeUnknownError, NotConnectedError) as error:
                left = until - self._clock.monotonic()
                if attempt == self.settings.max_retries or left <= 0 or self._closed:
                    raise self._unreadable(error, what, since) from None
                if not self._connected.wait(min(wait, left)) and wait >= left:
                    raise self._unreadable(error, what, since) from None
                wait *= 2
        raise AssertionError("unreachable")

    def _at_most(self, patience: float, until: float) -> float:
        """Seconds to wait for an answer; where silence has a limit, not beyond ``until``."""
        if self._silence == math.inf:
            return patience
        return min(patience, max(until - self._clock.monotonic(), _LOOK_AGAIN))

    def read_all(self, sends: Sequence[Send], what: str) -> list[Any]:
        """The answers to several reads that are under way at once; ``None`` for absent nodes."""
        since = self._clock.monotonic()
        try:
            self.wait_connected(self.settings.connection_timeout)
        except NotConnectedError as error:
            raise self._unreadable(error, what, since) from None
        started = [(send, send(self._client)) for send in sends]
        return [self._answer_of(send, result, what) for send, result in started]

    def _answer_of(self, send: Send, result: Any, what: str) -> Any:
        since = self._clock.monotonic()
        try:
            try:
                return result.get(timeout=self.patience)
            except _UNANSWERED:
                return self._read(send, what, since)
        except zk.NoNodeError:
            return None
        except zk.NoAuthError as error:
            raise self.access_denied(what, error) from None
        except (zk.KazooException, HighAvailabilityError):
            raise
        except Exception:  # noqa: BLE001 - kazoo could not read the answer
            return self._read(send, what, since)

    def use_servers(self, servers: Sequence[str]) -> None:
        """Connect to one of these from the next time on."""
        self._client.set_hosts(",".join(servers) + self.settings.chroot)

    def read_back(self, send: Send, what: str) -> Any:
        """Like ``read``, after everything that was sent before has been decided.

        kazoo never sends a request twice, a server forgets the old connection of a session
        that connects again, and ``sync`` brings a follower up to date: what is read now stays
        true for the requests that were sent before.
        """
        self.wait_connected(self.settings.connection_timeout)
        self.read(lambda client: client.sync_async("/"), what)
        return self.read(send, what)

    def wait_connected(self, seconds: float) -> None:
        """Wait until a server is connected. ``NotConnectedError`` when it takes longer."""
        if self._closed:
            raise NotConnectedError("the ZooKeeper session is closed: open the HA services again")
        if not self._connected.wait(seconds):
            raise NotConnectedError(
                f"no ZooKeeper server of {self.settings.quorum} is connected: see that they run"
            )

    def _wait_of_writes(self) -> float:
        # Without tolerance leadership ended with the connection: no write can succeed.
        tolerated = self.settings.tolerate_suspended
        return min(self.settings.connection_timeout, self.patience) if tolerated else 0.0

    # --- called by kazoo ------------------------------------------------------------------

    def _on_kazoo_state(self, kazoo_state: str) -> None:
        """On kazoo's connection thread: must not block."""
        if kazoo_state == zk.KazooState.CONNECTED:
            again, self._was_connected = self._was_connected, True
            self._change(ConnectionState.RECONNECTED if again else ConnectionState.CONNECTED)
            self._connected.set()
        elif kazoo_state == zk.KazooState.SUSPENDED:
            self._connected.clear()
            self._change(ConnectionState.SUSPENDED)
        else:
            self._connected.clear()
            self._refused |= self._client.client_state == zk.KeeperState.AUTH_FAILED
            self._change(ConnectionState.LOST)
            if self._client.client_state == zk.KeeperState.CLOSED and not self._closed:
                # kazoo's thread ends on bytes it does not understand; go on with a new one.
                threading.Thread(target=self._client.start_async, daemon=True).start()

    def _change(self, state: ConnectionState, expiry: threading.Timer | None = None) -> None:
        """``expiry``: the timer that says so, if one does."""
        with self._telling:
            self._change_in_order(state, expiry)

    def _change_in_order(self, state: ConnectionState, expiry: threading.Timer | None) -> None:
        with self._lock:
            if self._closed or state == self._state:
                return
            if expiry is not None and expiry is not self._expiry:
                return  # connected again just when it expired
            self._cancel_expiry()
            self._state = state
            if state == ConnectionState.SUSPENDED:
                # kazoo would stay suspended for ever while no server answers.
                seconds = self.timeout * self.settings.lost_share
                timer = threading.Timer(seconds, lambda: self._change(ConnectionState.LOST, timer))
                self._expiry = timer
                timer.daemon = True
                with contextlib.suppress(RuntimeError):  # no thread is left: it stays suspended
                    timer.start()
            listeners = list(self._listeners)
        note = self._negotiated() if state == ConnectionState.CONNECTED else None
        self._events.emit(
            EventKind.STORE_CONNECTION,
            state=str(state),
            session=f"{identity[0]:#x}" if (identity := self.identity) else None,
            session_timeout=self.timeout,
            requested_timeout=self.settings.session_timeout,
            **({"note": note} if note else {}),
        )
        for listener in listeners:
            listener(state)

    def _cancel_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def _negotiated(self) -> str | None:
        """A sentence when the servers granted another session timeout than was asked for."""
        wanted, granted = self.settings.session_timeout, self.timeout
        if abs(wanted - granted) < 0.001:
            return None
        least_or_most = "least" if granted > wanted else "most"
        return (
            f"the ZooKeeper servers of {self.settings.quorum} granted a session timeout of "
            f"{granted:g} s, the {least_or_most} they allow, and not the {wanted:g} s of option "
            f"{options.ZK_SESSION_TIMEOUT.key}: it is what counts from now on; correct the option, "
            f"or the servers' {'min' if granted > wanted else 'max'}SessionTimeout"
        )

    # --- errors ---------------------------------------------------------------------------

    def _unreachable(self, did_not: str) -> StoreUnavailableError:
        failures = self._client.failures
        if len(self.settings.servers) > 1 and failures:
            reason = "; ".join(f"{server}: {each}" for server, each in failures.items())
        else:
            reason = str(self._client.last_failure or "")
        reason = f" ({reason})" if reason else ""
        last = self._client.last_failure
        fix = f"see that the servers run, or correct option {options.ZK_QUORUM.key}"
        return StoreUnavailableError(
            f"no ZooKeeper server of {self.settings.quorum} {did_not}{reason}: "
            f"{_TLS_FIXES.get(None if last is None else trouble_of(last), fix)}"
        )

    def absence(self) -> str:
        """Why no server is connected."""
        refused = self._refused or self._client.is_refused
        return str(self._bad_credentials() if refused else self._unreachable("answers"))

    def _unreadable(self, error: Exception, what: str, since: float) -> StoreUnavailableError:
        said = str(error)
        if self._silence < math.inf and not self._closed:
            server = self._client.server or self.settings.quorum
            waited = self._clock.monotonic() - since
            said = f"{what}: {server} did not answer within {waited:.1f} s"
            if failure := self._client.failures.get(server):
                said += f" ({failure})"
        return StoreUnavailableError(f"ZooKeeper cannot be read: {said}")

    def _bad_credentials(self) -> ConfigurationError:
        settings, login = self.settings, f"set option {options.ZK_SASL_MECHANISM.key}"
        if settings.sasl is not None:
            fix = f"correct option {_SASL_OPTIONS}"
        elif settings.authorization:
            fix = f"correct option {options.ZK_AUTHORIZATION.key}, or {login} if they want SASL"
        else:
            return ConfigurationError(
                f"the ZooKeeper servers of {settings.quorum} serve no client that has not logged "
                f"in: {login}, or {options.ZK_AUTHORIZATION.key} if they want the scheme digest"
            )
        return ConfigurationError(
            f"the ZooKeeper servers of {settings.quorum} refused our authentication "
            f"({settings.authentication}): {fix}"
        )

    def access_denied(self, what: str, error: Exception) -> AccessDeniedError:
        """What a missing right is told as: with who we are, and the option that says so."""
        settings, kind = self.settings, type(error).__name__
        if settings.sasl is not None:
            who, option = settings.authentication, options.ZK_SASL_USERNAME.key
        elif settings.authorization:
            # ZooKeeper takes any password of the scheme digest, and the wrong one has no rights.
            who, option = f"{settings.authentication}: a wrong password, or another user", _LOGIN
        else:
            who, option = "we have not logged in", _LOGIN
        return AccessDeniedError(
            f"ZooKeeper gives us no rights on {what} ({kind}; {who}): set option {option} to a "
            f"user who has them, or {options.ZK_ROOT.key} to another path"
        )
