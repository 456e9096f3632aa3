"""``GuardedMap``: one ConfigMap, and every write that this process makes to it.

A write is decided on what the map held, and is sent with that resource version, so that the
server refuses it when anybody else came in between; then it is decided again. Writes of one
process go one after the other. When the answer to one is lost, the map is read back: each
change knows how to recognize itself.

Source of the guarded update: Flink's ``Fabric8FlinkKubeClient.checkAndUpdateConfigMap``.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from hawork.backends.kubernetes.answers import (
    AbsentError,
    ConfigMap,
    ConflictError,
    OutcomeUnknownError,
)
from hawork.backends.kubernetes.client import KubernetesClient
from hawork.backends.kubernetes.layout import OURS
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.errors import (
    ConfigurationError,
    HighAvailabilityError,
    PossibleInconsistentStateError,
    StoreFullError,
    StoreUnavailableError,
)
from hawork.core.events import EventKind, EventSink

LARGEST = 1 << 20
"""Bytes of a ConfigMap's data that the API server accepts, as it counts only the values.

We count keys twice besides: they are also in the map's ``managedFields``, and etcd refuses
what is larger than 1.5 MiB as a whole.
"""
_OVERHEAD = 16  # bytes of punctuation around a key and its value, twice
_RESERVE = 32 << 10  # left free for addresses: the leader must be found when the map is full
MOST = LARGEST - _RESERVE
"""Bytes, as ``size_of`` counts them, up to which we add to a map."""


@dataclass(frozen=True, slots=True)
class Change:
    """Keys to set, or to remove (``None``), and how to find out whether that was done."""

    landed: Callable[[ConfigMap | None], bool | None]
    """Whether what was read shows the change; ``None`` when that cannot be told."""
    data: Mapping[str, str | None] = field(default_factory=dict)
    annotations: Mapping[str, str | None] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    delete: bool = False


Decide = Callable[[ConfigMap | None], Change | None]
"""What to do to the map as it is; ``None`` for nothing. Raises to refuse."""


class GuardedMap:
    """Thread-safe; what is known of the map comes from own writes, reads and the watch."""

    def __init__(
        self,
        client: KubernetesClient,
        name: str,
        labels: Mapping[str, str],
        max_retries: int,
        events: EventSink,
        *,
        restores: bool = False,
    ) -> None:
        """``restores``: when the map is gone, its next creator restores our entries."""
        self.name = name
        self._client = client
        self.labels = labels
        self._max_retries = max_retries
        self._turns = _Turns()
        self._lock = threading.Lock()
        self._events = events
        self._restores = restores
        self._known: ConfigMap | None = None
        self._doubted: ConfigMap | None = None
        self._deleted: ConfigMap | None = None
        self._sized: tuple[ConfigMap | None, int] = None, 0
        self.vanished: ConfigMap | None = None
        """What we last knew of the map when a write of ours found it gone."""

    @property
    def deleted(self) -> ConfigMap | None:
        """What the map was when it was deleted by another process; ``None`` when it was not."""
        return self._deleted if self._known is None else None

    @property
    def known(self) -> ConfigMap | None:
        """The newest state that was seen; ``None`` when nothing is known, or nothing is there."""
        known = self._known
        return None if known is self._doubted else known

    def saw(self, found: ConfigMap) -> None:
        """Another process saw this state; an older one than the known is ignored."""
        with self._lock:
            self._take(found)

    def server_has(self, found: ConfigMap | None, before: ConfigMap | None) -> None:
        """The server answered this, and ``before`` was known when it was asked.

        It has the last word, also with a lower version: it may be restored from a backup.
        Unless something else was seen or written meanwhile; then the higher version has it.
        """
        with self._lock:
            if self.known is not before:
                if found is not None:
                    self._take(found)
                return
            if found is None and self._known is not None and self._restores:
                self._deleted = self._known
            self._known = found

    def _take(self, found: ConfigMap) -> None:
        if self._known is None or not found.is_older_than(self._known):
            self._known = found

    def was_deleted(self, last: ConfigMap) -> None:
        """Another process deleted the map (``last``): its next creator restores our entries."""
        with self._lock:
            if self._known is None or not last.is_older_than(self._known):
                self._known, self._deleted = None, last

    def read(self, timeout: float | None = None) -> ConfigMap | None:
        """The map as it is now. ``StoreUnavailableError`` when it cannot be read."""
        before = self.known
        try:
            found = self._client.get(self.name, timeout)
        except OutcomeUnknownError as error:
            raise StoreUnavailableError(f"ConfigMap {self.name} cannot be read: {error}") from None
        self.server_has(found, before)
        return found

    def read_metadata(self) -> ConfigMap | None:
        """The map without its data, for its annotations. ``StoreUnavailableError``."""
        try:
            found = self._client.get(self.name, metadata_only=True)
        except OutcomeUnknownError as error:
            raise StoreUnavailableError(f"ConfigMap {self.name} cannot be read: {error}") from None
        return self.read() if found is None else found

    def write(
        self, decide: Decide, timeout: float | None = None, urgent: float | None = None
    ) -> ConfigMap | None:
        """Do what ``decide`` says; the map afterwards.

        ``timeout`` in seconds is for waiting and all requests together. An ``urgent`` write
        goes before others that wait, and itself waits at most so many seconds for the one
        under way.
        What ``decide`` refuses, and what it leaves as it is, is decided on a fresh read.
        ``StoreUnavailableError`` when nothing was changed, ``PossibleInconsistentStateError``
        when that is unknown.
        """
        left = _Budget(timeout)
        with self._turn(urgent):
            found = self.known
            fresh = False
            doubtful: list[Change] = []
            last: HighAvailabilityError | None = None
            for _ in range(self._max_retries + 1):
                if found is None and not fresh:
                    found, fresh = self.read(left()), True
                try:
                    change = decide(found)
                except HighAvailabilityError:
                    if fresh:
                        raise
                    change = None
                if change is None and fresh:
                    return found
                if change is not None:
                    try:
                        return self._send(found, change, left())
                    except ConflictError as error:
                        last = error
                    except AbsentError as error:
                        last, self.vanished = error, found
                    except OutcomeUnknownError as error:
                        last = error
                        doubtful.append(change)
                    except StoreUnavailableError as error:
                        raise self._in_doubt(error) if doubtful else error from None
                found, fresh = self._read_back(doubtful, left()), True
                if any(self._has_landed(each, found) for each in doubtful):
                    return found
            refused = StoreUnavailableError(
                f"ConfigMap {self.name} was changed by others, or did not answer, "
                f"{self._max_retries + 1} times while we wrote (at last: {last}): find out who "
                "else writes it"
            )
            # What was not there when we read may have been on its way, and valid still.
            raise self._in_doubt(refused) if doubtful else refused

    @contextlib.contextmanager
    def _turn(self, urgent: float | None) -> Iterator[None]:
        if not self._turns.take(urgent):
            raise StoreUnavailableError(f"another write to ConfigMap {self.name} takes too long")
        try:
            yield
        finally:
            self._turns.give()

    def _read_back(self, doubtful: list[Change], timeout: float | None) -> ConfigMap | None:
        try:
            return self.read(timeout)
        except StoreUnavailableError as error:
            raise self._in_doubt(error) if doubtful else error from None

    def _in_doubt(self, error: StoreUnavailableError) -> PossibleInconsistentStateError:
        # To be read before it is used, and still what is restored when the map is gone.
        self._doubted = self._known
        return PossibleInconsistentStateError(
            f"it is unknown whether a write to ConfigMap {self.name} landed: {error}"
        )

    def _has_landed(self, change: Change, found: ConfigMap | None) -> bool:
        landed = change.landed(found)
        if landed is None:
            raise PossibleInconsistentStateError(
                f"it is unknown whether a write to ConfigMap {self.name} landed: its answer was "
                "lost, and the map was changed since"
            )
        return landed

    def _send(
        self, found: ConfigMap | None, change: Change, timeout: float | None
    ) -> ConfigMap | None:
        size = self._check_size(found, change)
        if change.delete:
            if found is not None:
                self._client.delete(found)
            after = None
            with self._lock:
                self._known = self._deleted = None
        elif found is None:
            after = self._create(change, timeout)
        else:
            after = self._client.patch(
                found, change.data, change.annotations, change.labels, timeout
            )
            self._sized = after, size
        with self._lock:
            if after is None:
                self._known = None
            else:
                self._take(after)
        return after

    def _create(self, change: Change, timeout: float | None) -> ConfigMap:
        def present(values: Mapping[str, str | None]) -> dict[str, str]:
            return {key: value for key, value in values.items() if value is not None}

        deleted = self._deleted
        restored = {} if deleted is None else {
            key: value for key, value in deleted.data.items() if key.startswith(OURS)
        }  # fmt: skip
        try:
            created = self._client.create(
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {
                        "name": self.name,
                        "labels": dict(self.labels),
                        "annotations": present(change.annotations),
                    },
                    "data": present({**restored, **change.data}),
                },
                timeout,
            )
        except AbsentError as error:
            # It is the namespace that is not there.
            raise ConfigurationError(
                f"ConfigMap {self.name} cannot be created ({error}): create the namespace with "
                "kubectl create namespace, or correct option kubernetes.namespace"
            ) from None
        if restored:
            self._deleted = None
            self._events.emit(
                EventKind.ERROR,
                message=f"ConfigMap {self.name} was deleted by another process: it was made again "
                f"with the {len(restored)} entries it had",
            )
        return created

    def _check_size(self, found: ConfigMap | None, change: Change) -> int:
        """The size after the change, which is refused when that is too large.

        What makes the map smaller always goes.
        """
        before = {} if found is None else found.data
        sized, size = self._sized
        if found is not sized:  # written by another process: count all of it
            size = size_of(before)
        replaced = {key: before[key] for key in change.data if key in before}
        added = {key: value for key, value in change.data.items() if value is not None}
        growth = size_of(added) - size_of(replaced)
        size += growth
        if size > MOST and growth > _RESERVE // 64:
            raise StoreFullError(
                f"ConfigMap {self.name} would take {size} bytes, and {MOST} is the most: let "
                "jobs finish or cancel some first, or use a second cluster-id"
            )
        return size


def size_of(data: Mapping[str, str]) -> int:
    """Bytes that data takes in a ConfigMap, counted generously."""
    return sum(2 * (len(key) + _OVERHEAD) + len(value.encode()) for key, value in data.items())


class _Budget:
    """Seconds that are left of a time limit; ``None`` without one."""

    def __init__(self, seconds: float | None) -> None:
        self._until = None if seconds is None else SYSTEM_CLOCK.monotonic() + seconds

    def __call__(self) -> float | None:
        return None if self._until is None else max(0.0, self._until - SYSTEM_CLOCK.monotonic())


class _Turns:
    """One writer at a time; a writer that must not be late goes first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken = False
        self._urgent = 0

    def take(self, urgent: float | None) -> bool:
        """Wait for the turn, an urgent writer at most so many seconds; whether it came."""
        with self._changed:
            if urgent is None:
                self._changed.wait_for(lambda: not self._taken and not self._urgent)
            else:
                self._urgent += 1
                came = self._changed.wait_for(lambda: not self._taken, max(0.0, urgent))
                self._urgent -= 1
                if not came:
                    self._changed.notify_all()
                    return False
            self._taken = True
            return True

    def give(self) -> None:
        with self._changed:
            self._taken = False
            self._changed.notify_all()
