"""Pointers as znodes, every write one transaction that checks the leader's latch node.

The version of an entry is the id of the transaction that changed it last (``mzxid``), which is
never used again, not even by an entry that is removed and created anew.

A write whose answer did not come is read back. When it turns out not to have been carried out
it is sent again, a few times, as long as the leadership is the same: a lost connection, say to
a server that ended, is then nothing that a caller hears of.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from hawork.backends.zookeeper import client as zk
from hawork.backends.zookeeper.latch import Fence, Latch, ensure_path
from hawork.backends.zookeeper.multi_read import Denied, read_children, read_nodes
from hawork.backends.zookeeper.paths import ZNodePaths, entry_name, name_of_entry
from hawork.backends.zookeeper.session import OutcomeUnknownError, Send, ZooKeeperSession
from hawork.core.errors import (
    AlreadyExistsError,
    LeadershipLostError,
    NotExistError,
    PossibleInconsistentStateError,
    StoreUnavailableError,
    VersionMismatchError,
)
from hawork.core.types import LeaderSessionID, Versioned
from hawork.ha.pointer_store import Namespace

_TRIES = 3  # connections break, and Curator's containers go as soon as they are empty
_BATCH = 250  # operations of one transaction

T = TypeVar("T")


def read_together(
    session: ZooKeeperSession, stores: Sequence[ZooKeeperPointerStore]
) -> list[list[tuple[str, Versioned[bytes]]]]:
    """The entries of each store, at the price of a request for some hundred znodes."""
    parents = [store.parent for store in stores]
    nodes = [
        (store, number, child)
        for number, (store, children) in enumerate(
            zip(stores, _allowed(session, parents, read_children(session, parents)), strict=True)
        )
        for child in children or ()
    ]
    paths = [f"{store.parent}/{child}" for store, _, child in nodes]
    answers = _allowed(session, paths, read_nodes(session, paths))
    found: list[list[tuple[str, Versioned[bytes]]]] = [[] for _ in stores]
    for (store, number, child), path, answer in zip(nodes, paths, answers, strict=True):
        if answer is not None:
            found[number].append((name_of_entry(child), store.entry(path, *answer)))
    for entries in found:
        entries.sort(key=lambda entry: entry[0])
    return found


def _allowed(
    session: ZooKeeperSession, paths: Sequence[str], answers: Sequence[T | Denied | None]
) -> list[T | None]:
    allowed: list[T | None] = []
    for path, answer in zip(paths, answers, strict=True):
        if isinstance(answer, Denied):
            raise session.access_denied(path, zk.NoAuthError())
        allowed.append(answer)
    return allowed


def _get(path: str) -> Send:
    return lambda client: client.get_async(path)


def _get_children(path: str) -> Send:
    return lambda client: client.get_children_async(path)


class ZooKeeperPointerStore:
    """The pointers of one namespace. Thread-safe."""

    def __init__(
        self, session: ZooKeeperSession, paths: ZNodePaths, latch: Latch, namespace: Namespace
    ) -> None:
        self._session = session
        self._paths = paths
        self._latch = latch
        self._versions = latch.versions
        self._namespace = namespace
        self.parent = paths.namespace(namespace)

    # --- reading --------------------------------------------------------------------------

    def read(self, name: str) -> Versioned[bytes] | None:
        return self._read(self._path(name), self._session.read)

    def entries(self) -> Sequence[tuple[str, Versioned[bytes]]]:
        return read_together(self._session, [self])[0]

    # --- writing --------------------------------------------------------------------------

    def create(
        self, name: str, value: bytes, session_id: LeaderSessionID, older: Sequence[str] = ()
    ) -> bool:
        path, removed = self._path(name), [self._path(each) for each in older]
        if len(removed) >= _BATCH:
            return False
        with contextlib.ExitStack() as changing:
            for each in (path, *removed):
                changing.enter_context(self._versions.changing(each))
            try:
                self._create(name, path, value, removed, session_id)
            except (zk.NoNodeError, zk.NotEmptyError):
                # An older one, or the parent, is not there; or another client's child is.
                if not removed:
                    raise
                return False
        return True

    def _create(
        self,
        name: str,
        path: str,
        value: bytes,
        removed: Sequence[str],
        session_id: LeaderSessionID,
    ) -> None:
        """With ``removed`` an absent znode is the caller's matter."""

        def build(transaction: Any) -> None:
            transaction.create(path, value)
            for each in removed:
                transaction.delete(each)

        reason = f"{self.parent} is removed as soon as it is created"
        for _ in range(_TRIES):
            try:
                fence = self._latch.fence(session_id)
                self._latch.commit(fence, build, path)
                return
            except zk.NodeExistsError:
                raise AlreadyExistsError(f"{self._namespace}/{name} exists already") from None
            except zk.NoNodeError:
                if removed:
                    raise
                self._make_parents(fence)
            except OutcomeUnknownError as error:
                entry = self._read_back(path, error)
                if entry is None:
                    reason = _not_written(path, error)
                elif entry.value == value:
                    self._confirm(fence, path, error)
                    return
                else:
                    raise AlreadyExistsError(f"{self._namespace}/{name} exists already") from None
        raise StoreUnavailableError(reason)

    def replace(self, name: str, version: int, value: bytes, session_id: LeaderSessionID) -> None:
        path = self._path(name)
        fence = self._latch.fence(session_id)
        data_version = self._versions.data_version(path, version, session_id)
        if data_version is None:
            stat = self._session.read(lambda client: client.exists_async(path), path)
            if stat is not None and stat.mzxid != version:
                self._latch.commit(fence, lambda _: None, path)  # a deposed leader hears that first
                raise self._mismatch(name)
            # Of an absent entry the transaction says so, unless the leadership is over.
            data_version = -1 if stat is None else stat.version
        for _ in range(_TRIES):
            try:
                fence = self._latch.fence(session_id)
                self._latch.commit(fence, lambda tx: tx.set_data(path, value, data_version), path)
                return
            except zk.NoNodeError:
                raise NotExistError(f"{self._namespace}/{name} does not exist") from None
            except zk.BadVersionError:
                raise self._mismatch(name) from None
            except OutcomeUnknownError as error:
                entry = self._read_back(path, error)
                if entry is None or (entry.version != version and entry.value != value):
                    raise _unknown(path, error) from None
                if entry.version != version:
                    self._confirm(fence, path, error)
                    return
                reason = _not_written(path, error)
        raise StoreUnavailableError(reason)

    def delete(self, name: str, session_id: LeaderSessionID) -> bool:
        path = self._path(name)
        for _ in range(_TRIES):
            fence = self._latch.fence(session_id)
            try:
                with self._versions.changing(path):
                    self._latch.commit(fence, lambda tx: tx.delete(path), path)
                return True
            except zk.NoNodeError:
                return False
            except zk.NotEmptyError:
                raise _has_children(path) from None
            except OutcomeUnknownError as error:
                if self._read_back(path, error) is None:
                    self._confirm(fence, path, error)
                    return True
                reason = _not_written(path, error)
        raise StoreUnavailableError(reason)

    def drop(self, session_id: LeaderSessionID) -> None:
        """Remove the namespace with all its entries, fenced; may be repeated."""
        fence = self._latch.fence(session_id)
        while children := self._children():
            for start in range(0, len(children), _BATCH):
                batch = [f"{self.parent}/{child}" for child in children[start:][:_BATCH]]
                with self._versions.changing(f"{self.parent}/"):
                    self._remove(fence, batch)
        parents = [self.parent]
        if self._namespace.job_id is not None:
            parents.append(self._paths.job(self._namespace))
        for parent in parents:
            with contextlib.suppress(zk.NotEmptyError):  # the parent of something else, too
                self._commit_removal(fence, [parent])

    def _remove(self, fence: Fence, entries: Sequence[str]) -> None:
        try:
            self._commit_removal(fence, entries)
        except zk.NotEmptyError:
            if len(entries) == 1:
                raise _has_children(entries[0]) from None
            for entry in entries:
                self._remove(fence, [entry])

    def _commit_removal(self, fence: Fence, paths: Sequence[str]) -> None:
        def build(transaction: Any) -> None:
            for path in paths:
                transaction.delete(path)

        try:
            self._latch.commit(fence, build, self.parent)
        except zk.NoNodeError:
            # One of several is gone, which undid the transaction: one by one, then.
            for path in paths if len(paths) > 1 else ():
                self._commit_removal(fence, [path])
        except OutcomeUnknownError as error:
            raise _unknown(self.parent, error) from None

    # --- helpers --------------------------------------------------------------------------

    def _path(self, name: str) -> str:
        return f"{self.parent}/{entry_name(name)}"

    def _make_parents(self, fence: Fence) -> None:
        """Fenced: what a deposed leader made for a job that is over would stay."""
        top = self._paths.pointers
        ensure_path(self._session, self._paths, top)
        path = top
        for name in self.parent.removeprefix(f"{top}/").split("/"):
            path = f"{path}/{name}"
            self._make(path, fence)

    def _make(self, path: str, fence: Fence) -> None:
        if self._session.read(lambda client: client.exists_async(path), path) is None:
            with contextlib.suppress(zk.NodeExistsError, OutcomeUnknownError):  # seen next time
                self._latch.commit(fence, lambda tx: tx.create(path, b""), path)

    def _children(self) -> list[str]:
        try:
            children = self._session.read(_get_children(self.parent), self.parent)
        except zk.NoNodeError:
            return []
        return list(children)

    def _read(self, path: str, read: Callable[..., Any]) -> Versioned[bytes] | None:
        try:
            data, stat = read(_get(path), path)
        except zk.NoNodeError:
            return None
        return self.entry(path, data, stat)

    def entry(self, path: str, data: bytes | None, stat: Any) -> Versioned[bytes]:
        self._versions.note(path, stat)
        return Versioned(data or b"", stat.mzxid)

    def _read_back(self, path: str, error: OutcomeUnknownError) -> Versioned[bytes] | None:
        """What is there after a write whose answer did not come."""
        try:
            return self._read(path, self._session.read_back)
        except StoreUnavailableError:
            raise _unknown(path, error) from None

    def _confirm(self, fence: Fence, path: str, error: OutcomeUnknownError) -> None:
        """What was read back is as we wrote it: by us, or by the next leader, if there is one.

        The caller may ask the fence by this write, before it touches what is not fenced.
        """
        try:
            self._latch.commit(fence, lambda _: None, path)
        except (LeadershipLostError, OutcomeUnknownError, StoreUnavailableError):
            raise _unknown(path, error) from None

    def _mismatch(self, name: str) -> VersionMismatchError:
        return VersionMismatchError(f"{self._namespace}/{name} was changed by another process")


def _not_written(path: str, error: OutcomeUnknownError) -> str:
    return f"{path} was not written, as reading back shows: {error}"


def _has_children(path: str) -> StoreUnavailableError:
    return StoreUnavailableError(
        f"znode {path} cannot be removed, because it has children of another client: remove them "
        f"with 'deleteall' in zkCli"
    )


def _unknown(path: str, error: OutcomeUnknownError) -> PossibleInconsistentStateError:
    return PossibleInconsistentStateError(f"it is unknown whether {path} was written: {error}")
