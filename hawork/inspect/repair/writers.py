"""Repairs are written: each only if the store still holds what was looked at."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.core.errors import (
    ConfigurationError,
    HaworkError,
    PossibleInconsistentStateError,
    StoreUnavailableError,
)
from hawork.inspect.repair.changes import ANNOTATION, CONFIGMAP, KEY, Change
from hawork.inspect.repair.image import labels_of

if TYPE_CHECKING:
    from hawork.backends.kubernetes.answers import ConfigMap
    from hawork.backends.zookeeper.client import ZooKeeperClient
    from hawork.backends.zookeeper.session import Send, ZooKeeperSession

__all__ = ["ChangedMeanwhileError", "Writer", "open_writer"]

_MOST = 500
"""Operations of one transaction: a request to ZooKeeper has at most 1 MiB."""


class ChangedMeanwhileError(HaworkError):
    """An entry is not what it was when it was looked at: it was left alone, with all behind it."""


class Writer(Protocol):
    """Writes to one store; a context manager."""

    def __enter__(self) -> Writer: ...

    def __exit__(self, *_: object) -> None: ...

    def write(self, changes: Sequence[Change]) -> None:
        """All of them or none: in one transaction, or one per ConfigMap.

        ``ChangedMeanwhileError`` when an entry has changed, ``StoreUnavailableError`` when the
        store takes nothing, ``PossibleInconsistentStateError`` when it did not answer.
        """


def open_writer(config: Configuration, seconds: float | None = None) -> Writer:
    """The writer for the store of a configuration.

    It gives up after ``seconds`` without an answer: by default as a person does who waits.
    """
    kind = str(config.get_option(options.HA_TYPE))
    if kind == "zookeeper":
        return _ZooKeeperWriter(config, seconds)
    if kind == "kubernetes":
        return _KubernetesWriter(config)
    raise ConfigurationError(
        f"high-availability.type is {kind}: only data on zookeeper and kubernetes is repaired"
    )


class _ZooKeeperWriter:
    """``seconds``: how long a server may not answer, as in ``open_to_look``."""

    def __init__(self, config: Configuration, seconds: float | None) -> None:
        from hawork.backends.zookeeper.paths import ZNodePaths

        self._config, self._seconds = config, seconds
        self._cluster = ZNodePaths.of(config).cluster
        self._session: ZooKeeperSession | None = None

    def __enter__(self) -> _ZooKeeperWriter:
        from hawork.inspect.zookeeper_session import open_to_look

        self._session = open_to_look(self._config, seconds=self._seconds)
        return self

    def __exit__(self, *_: object) -> None:
        if self._session is not None:
            self._session.close()

    def write(self, changes: Sequence[Change]) -> None:
        if any(each.before is None and each.object.name == self._cluster for each in changes):
            # All of ZooKeeper is new: what lies above the cluster belongs to none, as with Flink.
            above = posixpath.dirname(self._cluster)
            self._perform(lambda client: client.ensure_path_async(above), f"znode {above}")
        for first in range(0, len(changes), _MOST):
            self._transaction(changes[first : first + _MOST], first)

    def _transaction(self, changes: Sequence[Change], before: int) -> None:
        from kazoo.exceptions import NoAuthError, RolledBackError, RuntimeInconsistency

        def send(client: ZooKeeperClient) -> Any:
            transaction = client.transaction()
            for change in changes:
                path, version = change.object.name, -1 if change.version is None else change.version
                if change.before is None:
                    transaction.create(path, change.after)
                elif change.after is None:
                    transaction.delete(path, version)
                else:
                    transaction.set_data(path, change.after, version)
            return transaction.commit_async()

        name = f"znode {changes[0].object.name}"
        results = self._perform(send, name if len(changes) == 1 else f"{len(changes)} znodes")
        for change, result in zip(changes, results, strict=True):
            if isinstance(result, NoAuthError):
                raise StoreUnavailableError(
                    f"znode {change.object.name} may not be changed: its access list gives us no "
                    "right to"
                )
            failed = isinstance(result, Exception)
            if failed and not isinstance(result, RolledBackError | RuntimeInconsistency):
                written = f"the first {before} changes were" if before else "nothing was"
                raise ChangedMeanwhileError(
                    f"znode {change.object.name} has changed since it was looked at "
                    f"({type(result).__name__}): {written} written of this repair, look again"
                )

    def _perform(self, send: Send, what: str) -> Any:
        """A write, for which a server has as long as for everything else."""
        from kazoo.exceptions import KazooException

        from hawork.backends.zookeeper.session import OutcomeUnknownError

        session = self._session
        assert session is not None
        try:
            return session.perform(send, what, session.settings.connection_timeout)
        except OutcomeUnknownError as error:
            raise _unknown(f"{what} changed", error) from None
        except KazooException as error:
            raise StoreUnavailableError(f"ZooKeeper did not take the change: {error!r}") from error


class _KubernetesWriter:
    def __init__(self, config: Configuration) -> None:
        from hawork.backends.kubernetes.client import KubernetesClient
        from hawork.backends.kubernetes.settings import KubernetesSettings

        self._client = KubernetesClient(KubernetesSettings.of(config))

    def __enter__(self) -> _KubernetesWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def write(self, changes: Sequence[Change]) -> None:
        names = dict.fromkeys(change.object.name for change in changes)
        for name in names:
            self._write_map(name, [each for each in changes if each.object.name == name])

    def _write_map(self, name: str, changes: Sequence[Change]) -> None:
        from hawork.backends.kubernetes.answers import (
            AbsentError,
            ConflictError,
            OutcomeUnknownError,
        )

        found = self._client.get(name)
        try:
            if any(change.object.kind == CONFIGMAP and change.before is None for change in changes):
                if found is not None:
                    raise self._changed(name)
                self._client.create(_body(name, changes))
                return
            if found is None or any(not _is_same(found, change) for change in changes):
                raise self._changed(name)
            if any(change.object.kind == CONFIGMAP for change in changes):
                self._client.delete(found)
                return
            self._client.patch(found, _texts(changes, KEY), _texts(changes, ANNOTATION))
        except (AbsentError, ConflictError):
            raise self._changed(name) from None
        except OutcomeUnknownError as error:
            raise _unknown(f"ConfigMap {name} was changed", error) from None

    @staticmethod
    def _changed(name: str) -> ChangedMeanwhileError:
        return ChangedMeanwhileError(
            f"ConfigMap {name} has changed since it was looked at: nothing was written to it, look "
            "again"
        )


def _unknown(what: str, error: Exception) -> PossibleInconsistentStateError:
    return PossibleInconsistentStateError(
        f"it is unknown whether {what}, because no answer came ({error}): call again, which looks "
        "first"
    )


def _is_same(found: ConfigMap, change: Change) -> bool:
    """Whether the value is still what was looked at; the patch holds for this version only."""
    if change.object.kind == CONFIGMAP:
        return True
    values = found.data if change.object.kind == KEY else found.annotations
    now = values.get(change.object.key or "")
    return now == (None if change.before is None else change.before.decode())


def _texts(changes: Sequence[Change], kind: str) -> Mapping[str, str | None]:
    return {
        change.object.key or "": None if change.after is None else change.after.decode()
        for change in changes
        if change.object.kind == kind
    }


def _body(name: str, changes: Sequence[Change]) -> Mapping[str, Any]:
    labels = next(each.after for each in changes if each.object.kind == CONFIGMAP)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "labels": labels_of(labels or b"{}"),
            "annotations": _texts(changes, ANNOTATION),
        },
        "data": _texts(changes, KEY),
    }
