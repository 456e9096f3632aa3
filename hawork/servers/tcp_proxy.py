"""A small TCP proxy between one process and a server: the network, with a handle to break it.

One thread with a selector. What is read is passed on after ``delay`` seconds, unless its
direction is blocked: then it is kept here, as behind a firewall that drops packets, and lost
with its connection.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

_CHUNK = 65536
_CONNECT_SECONDS = 1.0
_LONGEST_ROUND = (
    5.0  # seconds; a round of the thread waits for nothing but a connection that is made
)


@dataclass(eq=False, slots=True)
class _Pipe:
    """One direction of one connection."""

    source: socket.socket
    target: socket.socket
    upstream: bool
    waiting: deque[tuple[float, bytes]] = field(default_factory=deque)
    ended: bool = False


class TcpProxy:
    """Listens on a free port of a loopback address and passes on to ``target``.

    All verbs take effect at once, on open and on new connections, and stay until ``heal``.
    """

    def __init__(self, target: tuple[str, int], listen: str = "127.0.0.1") -> None:
        self._target = target
        family = socket.AF_INET6 if ":" in listen else socket.AF_INET
        self._listener = socket.create_server((listen, 0), family=family)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._lock = threading.Lock()
        self._refusing = False
        self._severed = 0
        """How many ``severed`` last."""
        self._cutting = False
        self._broken = threading.Event()
        """Set when connections that were to break are broken."""
        self._blocked: frozenset[bool] = frozenset()
        self._delay = 0.0
        self._pipes: list[_Pipe] = []
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="tcp-proxy", daemon=True)
        self._thread.start()

    def __enter__(self) -> TcpProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    # --- verbs ----------------------------------------------------------------------------

    def cut(self) -> None:
        """Break all connections, and every new one at once: the cable is pulled."""
        self._set(refusing=True, cutting=True)

    def drop(self) -> None:
        """Break all connections; new ones are let through: a hiccup."""
        self._set(refusing=False, cutting=True)

    @contextlib.contextmanager
    def severed(self) -> Iterator[None]:
        """Break all connections and every new one for as long as this lasts, whatever else is done.

        Where nothing comes from the server it is silent already, and stays so.
        """
        if self._upstream("downstream") in self._blocked:
            yield
            return
        with self._lock:
            self._severed += 1
        try:
            self._broken.clear()
            self._set(cutting=True)
            self._broken.wait(_LONGEST_ROUND)  # the thread may have ended
            yield
        finally:
            with self._lock:
                self._severed -= 1

    def blackhole(self) -> None:
        """Pass nothing on in either direction; connections stay open and silent."""
        self._set(blocked=frozenset((True, False)))

    def one_way(self, *, blocked: str) -> None:
        """Pass nothing on ``"upstream"`` (to the server) or ``"downstream"`` only."""
        self._set(blocked=frozenset((self._upstream(blocked),)))

    def delay(self, seconds: float) -> None:
        """Pass everything on this much later."""
        self._set(delay=seconds)

    def heal(self) -> None:
        """Pass everything on at once again."""
        self._set(refusing=False, blocked=frozenset(), delay=0.0)

    def held_back(self, direction: str) -> int:
        """Bytes that lie here because their direction is blocked or delayed."""
        upstream = self._upstream(direction)
        pipes = [pipe for pipe in list(self._pipes) if pipe.upstream == upstream]
        return sum(len(data) for pipe in pipes for _, data in list(pipe.waiting))

    @staticmethod
    def _upstream(direction: str) -> bool:
        if direction not in ("upstream", "downstream"):
            raise ValueError(f"{direction!r} is not a direction: say 'upstream' or 'downstream'")
        return direction == "upstream"

    def close(self) -> None:
        """Break all connections and stop listening."""
        self._closed = True
        self._wake()
        self._thread.join()

    def _set(
        self,
        *,
        refusing: bool | None = None,
        cutting: bool = False,
        blocked: frozenset[bool] | None = None,
        delay: float | None = None,
    ) -> None:
        with self._lock:
            self._refusing = self._refusing if refusing is None else refusing
            self._cutting |= cutting
            self._blocked = self._blocked if blocked is None else blocked
            self._delay = self._delay if delay is None else delay
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._wake_write.send(b"\0")

    # --- the thread -----------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._closed:
                self._round()
        finally:
            self._break_all()
            for each in (self._listener, self._wake_read, self._wake_write):
                each.close()

    def _round(self) -> None:
        with selectors.DefaultSelector() as selector:
            for each in (self._listener, self._wake_read):
                selector.register(each, selectors.EVENT_READ)
            for pipe in self._pipes:
                if not pipe.ended:
                    selector.register(pipe.source, selectors.EVENT_READ, pipe)
            ready = selector.select(self._seconds_to_wait())
        with self._lock:
            cutting, self._cutting = self._cutting, False
        if cutting:
            self._break_all()
            self._broken.set()
            ready = [(key, mask) for key, mask in ready if key.data is None]
        for key, _ in ready:
            if key.data is not None:
                self._take(key.data)
            elif key.fileobj is self._listener:
                self._accept()
            else:
                with contextlib.suppress(BlockingIOError):
                    self._wake_read.recv(_CHUNK)
        self._pass_on()

    def _seconds_to_wait(self) -> float | None:
        passing = (pipe for pipe in self._pipes if pipe.upstream not in self._blocked)
        due = [pipe.waiting[0][0] for pipe in passing if pipe.waiting]
        return max(0.0, min(due) + self._delay - time.monotonic()) if due else None

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        if self._refusing or self._severed:
            client.close()
            return
        try:
            server = socket.create_connection(self._target, _CONNECT_SECONDS)
        except OSError:
            client.close()
            return
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pipes += [_Pipe(client, server, True), _Pipe(server, client, False)]

    def _take(self, pipe: _Pipe) -> None:
        try:
            data = pipe.source.recv(_CHUNK)
        except OSError:
            data = b""
        pipe.ended = not data
        pipe.waiting.append((time.monotonic(), data))

    def _pass_on(self) -> None:
        now = time.monotonic()
        for pipe in list(self._pipes):
            while pipe.upstream not in self._blocked and self._is_due(pipe, now):
                _, data = pipe.waiting.popleft()
                try:
                    if not data:
                        raise ConnectionResetError
                    pipe.target.sendall(data)
                except OSError:
                    self._break(pipe)
                    break

    def _is_due(self, pipe: _Pipe, now: float) -> bool:
        return bool(pipe.waiting) and pipe.waiting[0][0] + self._delay <= now

    def _break(self, pipe: _Pipe) -> None:
        pair = {pipe.source, pipe.target}
        self._pipes = [other for other in self._pipes if other.source not in pair]
        for each in pair:
            each.close()

    def _break_all(self) -> None:
        for pipe in list(self._pipes):
            if pipe in self._pipes:
                self._break(pipe)
