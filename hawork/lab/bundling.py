"""What is kept of a run, of a lab or of a cluster that was only looked at: a bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hawork.core.errors import HaworkError, LabError

if TYPE_CHECKING:
    import pandas

    from hawork.story.event_reader import EventReader

LARGEST = 64 << 20
"""Bytes of a file up to which its sha256 is computed."""

_NOT_OPENED = ("HA store", "lock of a contender")
"""Closing SQLite's files or a lock from outside drops the locks on it."""


class Bundling:
    """The part of ``LabCluster`` and of an attached cluster that writes bundles."""

    _reader: EventReader
    storage_tree: Callable[[], pandas.DataFrame]
    store_rows: Callable[[], pandas.DataFrame]

    def export_bundle(self, path: Path | str) -> Path:
        """Write the run so far into one file, to keep or to send: see ``open_bundle``.

        It holds the events, the options without secrets, what the HA store and storageDir say
        now, and a report that any browser opens offline. Of a lab that is closed it holds the
        events and what is left of the rest. The file is written whole or not at all.

        >>> lab.export_bundle("friday.zip")                                # doctest: +SKIP
        PosixPath('friday.zip')

        ``LabError`` when nothing has happened yet, or the file cannot be written.
        """
        from hawork.story.bundle_writer import write_bundle

        return write_bundle(
            path,
            cluster=type(self).__name__,
            events=self._reader.events(),
            options=self._known_options(),
            storage=_looked(lambda: with_sha256(self.storage_tree(), self._storage())),
            store=_looked(self.store_rows),
        )

    def _known_options(self) -> Mapping[str, str]:
        """The cluster's, as far as they are known."""
        raise NotImplementedError

    def _storage(self) -> Path:
        """Where storageDir is on this machine; ``LabError`` when it is not."""
        raise NotImplementedError


def _looked(look: Callable[[], pandas.DataFrame]) -> pandas.DataFrame | LabError:
    """A table, or why there is none: the store may be away, and the events are worth keeping."""
    try:
        return look()
    except HaworkError as error:
        return LabError(str(error))


def with_sha256(tree: pandas.DataFrame, root: Path) -> pandas.DataFrame:
    """What ``storage_tree`` gives, and the sha256 of each file; empty where it is not computed."""
    found = [
        "" if row["what"] in _NOT_OPENED or row["bytes"] > LARGEST else _sha256(root / row["path"])
        for row in tree.to_dict("records")
    ]
    return tree.assign(sha256=found)


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""  # it went while we looked
