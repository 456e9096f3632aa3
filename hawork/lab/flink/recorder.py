"""Recording a Flink cluster beforehand, so that there is a *before* when it breaks.

Events as an attached cluster has them go into a ring; now and then the rows of the HA store and the
files of storageDir, and a case for the inspector. The store may be away, or not let us in, also at
the beginning: it is tried again, and the rest goes on.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import hawork
from hawork.client.tls import RestTrust
from hawork.client.token import known_secrets
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.configuration import Configuration
from hawork.core.errors import HaworkError, LabError
from hawork.core.events import Event, EventKind
from hawork.core.private_files import private_directory
from hawork.core.redaction import Redaction
from hawork.ha.layout import storage_dir
from hawork.ha.storage import local_path
from hawork.lab.flink.ring_events import RingEvents, write_json
from hawork.lab.flink.watch import FlinkWatch
from hawork.story import ring as rings
from hawork.story.beliefs import CLIENT
from hawork.story.job_manager_log import JobManagerLog

_HEARTBEAT = 2.0
_STORE_EVERY = 60.0
_JOIN = 5.0


class Recorder:
    """Records the cluster of ``config`` into ``ring`` while ``run`` runs.

    ``keep`` is in seconds, ``size`` in bytes: half of it for events, half for cases, of which one
    is taken every ``case_every`` seconds. ``config_file`` is what the inspector reads. ``logs``
    are followed. ``told`` hears each event, ``trouble`` a sentence when something cannot be had;
    ``begun`` is called once, before both, when the folder is ours and can be written.

    ``LabError`` when the folder is another's, or another watch writes into it;
    ``ConfigurationError`` when an option is wrong.
    """

    def __init__(
        self,
        config: Configuration,
        config_file: Path,
        ring: Path,
        *,
        keep: float,
        size: int,
        case_every: float = 600.0,
        logs: Iterable[Path | str] = (),
        told: Callable[[Event], None] = lambda _: None,
        trouble: Callable[[str], None] = lambda _: None,
        begun: Callable[[], None] = lambda: None,
    ) -> None:
        self._config = config
        self._config_file = config_file
        self._ring = ring
        self._keep, self._size = keep, size
        self._case_every = case_every
        self._logs = [JobManagerLog(path) for path in logs]
        self._told = told
        self._trouble = _Once(trouble)
        self._begun = begun
        self._redaction = Redaction.of(config, known_secrets(config))

    def run(self, done: threading.Event) -> None:
        """Until ``done`` is set; ends within seconds then."""
        with self._held():
            with self._writable():
                events = RingEvents(
                    self._ring, self._redaction, keep=self._keep, size=self._size // 2,
                    told=self._hear,
                )  # fmt: skip
            self._begin()
            cases = threading.Thread(
                target=self._snapshots, args=(done,), name="watch-store", daemon=True
            )
            cases.start()
            try:
                self._record(events, done)
            finally:
                cases.join(_JOIN)
                events.heartbeat()
                events.close()

    def _begin(self) -> None:
        begun, self._begun = self._begun, lambda: None
        begun()

    def _hear(self, event: Event) -> None:
        self._begin()  # a ring that was written before tells of that while it is opened
        self._told(event)

    def _record(self, events: RingEvents, done: threading.Event) -> None:
        watch = FlinkWatch(
            self._config, events, own=_OwnEvents(events), trust=RestTrust(self._config),
            beside=self._logs, known=events.recent, since=events.since,
            patient=True,
        )  # fmt: skip
        try:
            watch.start()
            while True:
                events.heartbeat()
                if events.dropped:
                    self._trouble.tell("the ring cannot be written: is its disk full?")
                if watch.refused is not None:
                    raise watch.refused  # it would be as wrong the next time
                why = watch.store_trouble
                if why and self._trouble.tell(f"the HA store cannot be watched: {why}"):
                    events.write(EventKind.ERROR, CLIENT, message=why)
                if done.wait(_HEARTBEAT):
                    return
        finally:
            watch.close()

    # --- the store and the files ---------------------------------------------------------
    def _snapshots(self, done: threading.Event) -> None:
        case_at = float("-inf")
        while True:
            now = SYSTEM_CLOCK.monotonic()
            with self._told_if_not("the HA store's rows"):
                self._keep_rows()
            if now - case_at >= self._case_every and not done.is_set():
                case_at = now
                with self._told_if_not("a case of the HA data"):
                    self._keep_case()
            if done.wait(min(_STORE_EVERY, self._case_every)):
                return

    def _keep_rows(self) -> None:
        from hawork.inspect.files import storage_tree
        from hawork.inspect.store import store_frame, store_rows

        rows = store_frame(store_rows(self._config, {})).to_dict("records")
        write_json(self._ring / rings.STORE, self._redaction.value(rows))
        root = local_path(storage_dir(self._config))
        if root is not None and root.is_dir():
            files = storage_tree(root).to_dict("records")
            write_json(self._ring / rings.STORAGE, self._redaction.value(files))

    def _keep_case(self) -> None:
        from hawork.inspect.case import save_case
        from hawork.inspect.inspector import inspect
        from hawork.inspect.sources import Sources

        folder = self._ring / rings.CASES
        private_directory(folder)
        part = folder / ".part.zip"
        save_case(inspect(Sources(config=self._config_file)), part)
        part.chmod(0o600)
        part.replace(folder / rings.case_name(SYSTEM_CLOCK.time()))
        self._give_up_cases()

    def _give_up_cases(self) -> None:
        """The oldest go when they are too old or too many; the newest stays."""
        known = [(each, each.stat()) for each in rings.cases(self._ring)]
        total = sum(status.st_size for _, status in known)
        for case, status in known[:-1]:
            old = SYSTEM_CLOCK.time() - status.st_mtime > self._keep
            if total <= self._size // 2 and not old:
                return
            with contextlib.suppress(OSError):
                case.unlink()
            total -= status.st_size

    @contextlib.contextmanager
    def _told_if_not(self, what: str) -> Iterator[None]:
        try:
            yield
        except (HaworkError, OSError) as error:
            self._trouble.tell(f"{what} cannot be kept now: {error}")
        except Exception as error:  # noqa: BLE001 - one look must not end the watch
            self._trouble.tell(f"{what} cannot be kept now ({type(error).__name__}: {error})")

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """The folder as ours, and no other watch's, for as long as this one runs."""
        with self._writable():
            private_directory(self._ring)
            marked = self._ring / rings.RING
            strange = [each.name for each in self._ring.iterdir() if each.name != ".lock"]
        if strange and not marked.is_file():
            raise LabError(
                f"{self._ring} holds {strange[0]} and was not made by 'hawork watch': give --to a "
                "folder that is empty, or not there yet"
            )
        with self._writable():
            descriptor = os.open(self._ring / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise LabError(
                    f"{self._ring} is written by another 'hawork watch': give --to another folder"
                ) from None
            with self._writable():
                self._describe(marked)
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LabError(
                f"nothing can be recorded into {self._ring} ({error.strerror}): give --to a folder "
                "that can be written, or a path at which one can be made"
            ) from None

    def _describe(self, marked: Path) -> None:
        identity = _identity(self._config)
        if marked.is_file():
            written = rings.described(self._ring)
            if (written.get("format"), written.get("of")) != (rings.FORMAT, identity):
                raise LabError(
                    f"{self._ring} is the ring of {written.get('of')}, not of {identity}: give "
                    "--to another folder"
                )
        described = {
            "format": rings.FORMAT, "hawork": hawork.__version__, "cluster": "hawork watch",
            "of": identity, "keep": self._keep, "size": self._size,
        }  # fmt: skip
        write_json(marked, described)
        write_json(self._ring / rings.OPTIONS, self._redaction.options(self._config))


class _OwnEvents:
    """The event sink of our own connection to the store."""

    def __init__(self, events: RingEvents) -> None:
        self._events = events

    def emit(
        self, kind: EventKind, *, session_id: object = None, job_id: str | None = None,
        step: str | None = None, **facts: Any,
    ) -> None:  # fmt: skip
        session = str(session_id) if session_id is not None else None
        self._events.write(kind, CLIENT, session_id=session, job_id=job_id, step=step, **facts)


class _Once:
    """Tells a sentence when it is another than the last one of its kind."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._last: dict[str, str] = {}

    def tell(self, sentence: str) -> bool:
        kind = sentence.partition(":")[0].partition("(")[0]
        if self._last.get(kind) == sentence:
            return False
        self._last[kind] = sentence
        self._tell(sentence)
        return True


def _identity(config: Configuration) -> str:
    """Which cluster it is, as far as that decides whether two records are of one."""
    from hawork.core import options

    kind = str(config.get_option(options.HA_TYPE))
    if kind == "kubernetes":
        namespace = config.get_option(options.K8S_NAMESPACE)
        return f"{kind} {namespace}/{config.get_option(options.K8S_CLUSTER_ID)}"
    root = config.get_option(options.ZK_ROOT) if kind == "zookeeper" else ""
    return f"{kind} {root}{config.get_option(options.CLUSTER_ID)}"
