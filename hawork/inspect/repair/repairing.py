"""From a look at a living store to a repair of it, and back again.

A repair is planned, shown, and then written with ``apply``: a backup first, then each change on the
condition that nothing has changed since. No change is made while a JobManager leads.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hawork.core.configuration import Configuration
from hawork.core.errors import (
    ConfigurationError,
    HaworkError,
    PossibleInconsistentStateError,
    StoreUnavailableError,
)
from hawork.ha.configuration_file import load_configuration
from hawork.inspect.cluster import Cluster, Moment
from hawork.inspect.embedded import EmbeddedStore
from hawork.inspect.finding import Object
from hawork.inspect.inspector import ShownInspection, judge
from hawork.inspect.remote_storage import Requests, drivers_errors
from hawork.inspect.repair.backup import Backup, write_backup
from hawork.inspect.repair.changes import FILE, Change, Repair
from hawork.inspect.repair.image import (
    Image,
    difference,
    image_of,
    is_own,
    with_changes,
)
from hawork.inspect.repair.planning import plan
from hawork.inspect.repair.plans import Plan
from hawork.inspect.repair.writers import ChangedMeanwhileError, open_writer
from hawork.inspect.sources import Repairable, Sources, cluster_of, read_store
from hawork.inspect.storage import SilentStorageError

__all__ = [
    "LeaderRunsError", "RepairPlan", "apply", "plan_repair", "plan_restore", "restore",
    "restore_warnings", "store_of",
]  # fmt: skip

_Answer = TypeVar("_Answer")
_OLD = 10
"""Lease durations without a renewal after which a holder is dead, whatever the clocks say."""


class LeaderRunsError(HaworkError):
    """A JobManager leads, and would undo a repair, or be broken by it."""


@dataclass(frozen=True)
class RepairPlan:
    """What was found, what would be done, and what Flink would do then."""

    sources: Sources
    raw: Repairable
    image: Image
    before: ShownInspection
    plan: Plan
    after: ShownInspection

    @property
    def repairs(self) -> Sequence[Repair]:
        return self.plan.repairs


def plan_repair(
    sources: Sources,
    *,
    only: Collection[str] = (),
    skip: Collection[str] = (),
    target_version: str | None = None,
    at: float | None = None,
) -> RepairPlan:
    """Look, and plan. ``HaworkError`` when the store cannot be looked at. Writes nothing."""
    raw = store_of(sources)
    latest = at if at is not None else min(time.time(), sources.newest_change())
    before = _judged(sources, raw, latest, target_version)
    image = image_of(raw, before.cluster)
    planned = plan(before, image, only, skip)
    while True:
        changed = with_changes(raw, planned.changes)
        after = _judged(sources, changed, latest, target_version, planned.changes)
        # A repair may bring to light what else is gone: job graphs that are there again lack their
        # checkpoints, and would start from nothing.
        whole = planned.and_then(plan(after, image_of(changed, after.cluster), only, skip))
        if len(whole.repairs) == len(planned.repairs):
            return RepairPlan(sources, raw, image, before, planned, after)
        planned = whole


def apply(planned: RepairPlan, backup: Path, tell: Callable[[str], None]) -> ShownInspection:
    """Write the backup, then the repairs; what is found afterwards.

    ``ConfigurationError`` for a plan that was made from a dump. ``LeaderRunsError`` and
    ``ChangedMeanwhileError`` before anything is written of the repair concerned.
    """
    config = _live_config(planned.sources)
    check_no_leader(planned.sources, planned.raw)
    cluster = planned.before.cluster
    now = image_of(store_of(planned.sources), cluster)
    _check_unchanged(planned.image, now, planned.plan.changes)
    write_backup(backup, str(cluster.backend), cluster.cluster_id, planned.image, planned.repairs)
    tell(f"backup: {backup}, {len(planned.image)} entries, read again and compared")
    _write(config, [repair.changes for repair in planned.repairs], tell)
    raw = store_of(planned.sources)
    return _judged(planned.sources, raw, time.time(), planned.before.target_version)


def plan_restore(sources: Sources, backup: Backup) -> list[Change]:
    """What puts every entry and file back as the backup has it."""
    raw = store_of(sources)
    cluster = cluster_of(sources, raw)
    if (cluster.backend, cluster.cluster_id) != (backup.backend, backup.cluster_id):
        raise ConfigurationError(
            f"the backup is of {backup.cluster_id} on {backup.backend}, and the configuration "
            f"names {cluster.cluster_id} on {cluster.backend}: give that cluster's with --config"
        )
    _check_own(cluster, backup)
    changes = difference(image_of(raw, cluster), backup.entries)
    for url, content in backup.files.items():
        found = _read_file(url)
        if found != content:
            changes.append(Change(Object(FILE, url), found, content))
    return changes


def _check_own(cluster: Cluster, backup: Backup) -> None:
    """``ConfigurationError`` for a backup that names what is not this cluster's.

    It is a file like any other: it says what is written, and not where.
    """
    for thing in backup.entries:
        if not is_own(thing, cluster):
            raise ConfigurationError(
                f"the backup holds {thing.kind} {thing}, which is not of {cluster.cluster_id} on "
                f"{cluster.backend}: it is not restored"
            )
    for url in backup.files:
        if cluster.files is None or not cluster.files.name_of(url):
            raise ConfigurationError(
                f"the backup holds file {url}, which is in no directory that the configuration "
                "names and that can be looked at: it is not restored"
            )


def restore_warnings(sources: Sources, backup: Backup, changes: Sequence[Change]) -> list[str]:
    """What a restore would not bring back, a sentence each.

    A JobManager that ran since the backup was made has removed the checkpoints that it replaced.
    """
    raw = store_of(sources)
    now = _judged(sources, raw, time.time(), None).cluster
    after = _judged(sources, with_changes(raw, changes), time.time(), None, changes).cluster
    files = now.files
    newer = 0 if files is None else sum(
        stored.file is not None
        and (found := files.get(stored.file.name)) is not None
        and (found.modified or 0.0) > backup.created
        for stored in now.pointers
    )  # fmt: skip
    if not newer:
        return []
    told = [
        f"a JobManager has run since the backup was made: {newer} of the pointers that are there "
        "now lead to files that are younger than it, and are removed"
    ]
    gone = [
        str(stored.entry.object)
        for stored in after.pointers
        if stored.file is not None and stored.file.missing
    ]
    if gone:
        told.append(
            f"{len(gone)} of the pointers in the backup lead to files that are gone by now, such "
            f"as {gone[0]}: a JobManager that starts on them ends"
        )
    return told


def restore(sources: Sources, changes: Sequence[Change], tell: Callable[[str], None]) -> None:
    """Carry out ``plan_restore``, on the conditions of a repair."""
    config = _live_config(sources)
    check_no_leader(sources, store_of(sources))
    _write(config, [changes], tell)


def check_no_leader(sources: Sources, raw: Repairable) -> None:
    """``LeaderRunsError`` when a JobManager leads, or may.

    On Kubernetes a dead holder looks as one that lives, until its lease has passed without a
    renewal: that is waited for, as a challenger would.
    """
    leadership = cluster_of(sources, raw).leadership
    if leadership is None:
        return
    if leadership.latch and leadership.latch[0].entry.owner is not None:
        raise LeaderRunsError(
            f"a JobManager leads: session {leadership.latch[0].entry.owner} is first in the latch. "
            "Stop all JobManagers, wait for the session timeout, and call again"
        )
    record = leadership.record
    if record is None or not record.holder or record.renew_time is None:
        return
    if time.time() - record.renew_time > _OLD * record.lease_duration:
        return
    if record.renew_time > time.time() + _OLD * record.lease_duration:
        return  # nothing renews a lease into the future: a clock was wrong
    end = time.monotonic() + record.lease_duration
    while time.monotonic() < end:
        time.sleep(min(1.0, record.lease_duration / 10))  # a lease is renewed by being written
        found = cluster_of(sources, store_of(sources)).leadership
        now = None if found is None else found.record
        if now is not None and now.holder and now.renew_time != record.renew_time:
            raise LeaderRunsError(
                f"a JobManager leads: {now.holder} renews its lease. Stop all JobManagers and call "
                "again"
            )


def _judged(
    sources: Sources,
    raw: Repairable,
    latest: float,
    target_version: str | None,
    changes: Sequence[Change] = (),
) -> ShownInspection:
    """``changes``: those of files are taken for made."""
    cluster = cluster_of(sources, raw)
    if cluster.files is not None:
        names = {
            cluster.files.name_of(change.object.name) or "": change.after
            for change in changes
            if change.object.kind == FILE
        }
        cluster.files = cluster.files.changed(names)
    if cluster.live:
        cluster.moment = Moment(latest, latest)
    return judge(cluster, latest, target_version)


def store_of(sources: Sources) -> Repairable:
    """The store as it is now; ``ConfigurationError`` for one that is not Flink's."""
    found = read_store(sources)
    if found is None:
        raise ConfigurationError("no HA store was given: name a configuration with --config")
    if isinstance(found, EmbeddedStore):
        raise ConfigurationError(
            "high-availability.type is embedded: hawork passes over what is damaged there by "
            "itself; restore files of storageDir, or ha.db, from a copy"
        )
    return found


def _live_config(sources: Sources) -> Configuration:
    if sources.config is None or not sources.live:
        raise ConfigurationError(
            "a dump cannot be repaired, only the store itself: leave the dump out and give --config"
        )
    if isinstance(sources.config, Configuration):
        return sources.config
    return load_configuration(sources.config)


def _check_unchanged(looked: Image, now: Image, changes: Sequence[Change]) -> None:
    for change in changes:
        if change.object.kind != FILE and looked.get(change.object) != now.get(change.object):
            raise ChangedMeanwhileError(
                f"{change.object.kind} {change.object} has changed since it was looked at: nothing "
                "was written, look again"
            )


def _write(
    config: Configuration, groups: Sequence[Sequence[Change]], tell: Callable[[str], None]
) -> None:
    with open_writer(config) as writer:
        for changes in groups:
            stored = [change for change in changes if change.object.kind != FILE]
            if stored:
                writer.write(stored)
            for change in changes:
                if change.object.kind == FILE:
                    _write_file(change)
                tell(f"done: {change}")


# --- files of storageDir -----------------------------------------------------------------------


def _read_file(url: str) -> bytes | None:
    path = _path(url)
    if path is None:
        return _asked(url, lambda fs, name: fs.cat_file(name) if fs.exists(name) else None)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreUnavailableError(
            f"file {url} cannot be read: {error.strerror or error}"
        ) from None


def _write_file(change: Change) -> None:
    url = change.object.name
    if _read_file(url) != change.before:
        raise ChangedMeanwhileError(
            f"file {url} has changed since it was looked at: it was left alone"
        )
    path, content = _path(url), change.after
    try:
        if path is not None:
            _replace_local(path, content)
        elif content is None:
            _asked(url, lambda fs, name: fs.rm_file(name))
        else:
            _asked(url, lambda fs, name: fs.pipe_file(name, content))
    except SilentStorageError as error:
        raise PossibleInconsistentStateError(
            f"it is unknown whether file {url} changed ({error}): call again, which looks first"
        ) from None
    except OSError as error:
        raise StoreUnavailableError(f"file {url} could not be written: {error}") from error


def _replace_local(path: Path, content: bytes | None) -> None:
    """Whole or not at all, and on the disk when it returns; whose it was it stays."""
    if content is None:
        path.unlink()
    else:
        temporary = path.with_name(f".{path.name}-{secrets.token_hex(6)}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            with os.fdopen(os.open(temporary, flags, 0o644), "wb") as file:
                file.write(content)
                with contextlib.suppress(FileNotFoundError, PermissionError):
                    was = path.lstat()
                    os.fchmod(file.fileno(), stat.S_IMODE(was.st_mode))
                    os.fchown(file.fileno(), was.st_uid, was.st_gid)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _path(url: str) -> Path | None:
    """The path of a file of this machine; ``None`` for any other URL."""
    if url.startswith("file:"):
        return Path("/" + url.removeprefix("file:").lstrip("/"))
    return None if "://" in url else Path(url)


def _asked(url: str, request: Callable[[Any, str], _Answer]) -> _Answer:
    """What a file system of fsspec's says of the file of a URL, which is waited for only so long.

    ``StoreUnavailableError`` for whatever its driver raises.
    """
    requests = Requests(url)
    with drivers_errors(f"file {url} could not be read or written"):
        try:
            from fsspec.core import url_to_fs

            fs, name = requests(lambda: url_to_fs(url))
        except ImportError:
            raise ConfigurationError(
                f"{url} needs a package that is not installed: install 'hawork[storage]'"
            ) from None
        return requests(lambda: request(fs, str(name)))
