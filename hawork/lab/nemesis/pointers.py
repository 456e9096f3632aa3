"""Pointers of jobs in the HA store, deleted, damaged and put back as an outsider would."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from typing import Protocol

from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.core.errors import HaworkError, LabError
from hawork.inspect.entries import Entry
from hawork.inspect.repair.changes import Change
from hawork.inspect.repair.writers import ChangedMeanwhileError, open_writer
from hawork.inspect.store import read_entries

DAMAGES = (
    b'{"format":1,"path":"","size":1,"sha256":"x"}',
    b'{"format":1,"path":"jobs","size":1,"sha256":"x"}',
    b'{"format":1,"path":"../../lab.lock","size":1,"sha256":"x"}',
    b'{"format":1,"path":"\\ud800","size":1,"sha256":"x"}',
    b'{"format":1,"path":"' + b"0" * 5000 + b'","size":' + b"9" * 400 + b"}",
    b'{"format":1,"pa',
    b"\xff\xfe\x00",
    b"",
)
"""What stands in a pointer that was damaged: claims upon others' files, and what is not JSON."""
_JOB = re.compile(r"[0-9a-f]{32}")
_TRIES = 50


class Pointers:
    """The pointers of a cluster's jobs, by their names in the store."""

    def __init__(self, config: Configuration) -> None:
        self._config = config
        self._kept: dict[str, tuple[Entry, bytes | None]] = {}
        self._write: _Write = (
            _in_rows if config.get_option(options.HA_TYPE) == "embedded" else _in_a_server
        )

    def names(self) -> list[str]:
        """Those that are there and were not harmed; none while the store does not answer."""
        try:
            entries = self._entries()  # an empty znode is a parent
            return sorted(name for name, e in entries.items() if e.data and name not in self._kept)
        except HaworkError:
            return []

    def delete(self, name: str) -> None:
        self._harm(name, None)

    def damage(self, name: str, choice: float) -> None:
        """``choice``, between 0 and 1, is that of ``DAMAGES``."""
        self._harm(name, DAMAGES[int(choice * len(DAMAGES))])

    def put_back(self, name: str, *, ended: bool) -> None:
        """As it was, unless a leader has written there since.

        Of a job that has ``ended`` none comes back: the next leader would run the job again.
        """
        before, left = self._kept[name]
        for _ in range(_TRIES):
            now = self._entries().get(name)
            if ended or left != (None if now is None else now.data):
                break
            try:
                self._write(self._config, now, before, before.data)
                break
            except ChangedMeanwhileError:
                continue  # on Kubernetes each renewal of the lock writes to the same ConfigMap
        else:
            raise LabError(f"pointer {name} was not put back: it changes with every look")
        del self._kept[name]

    def _harm(self, name: str, value: bytes | None) -> None:
        found = self._entries().get(name)
        if found is None:
            raise LabError(f"the store has no pointer {name}")
        text = found.data or b""
        if value is not None and found.place == "kubernetes":
            value = text.partition(b",")[0] + b"," + value.decode(errors="replace").encode()
        self._kept[name] = found, value
        try:
            self._write(self._config, found, found, value)
        except ChangedMeanwhileError as error:
            del self._kept[name]
            raise LabError(f"pointer {name} was not harmed: {error}") from None
        except HaworkError:
            return  # it may have been written all the same, and is put back where it was

    def _entries(self) -> dict[str, Entry]:
        found = {}
        for entry in read_entries(self._config):
            name = entry.name if entry.key is None else f"{entry.name} {entry.key}"
            if _JOB.search(name) and _is_pointer(entry):
                found[name] = entry
        return found


class _Write(Protocol):
    def __call__(
        self, config: Configuration, now: Entry | None, entry: Entry, value: bytes | None
    ) -> None: ...


def _is_pointer(entry: Entry) -> bool:
    if entry.place == "embedded":
        return entry.name == "pointer"
    if entry.place == "zookeeper":
        return "/hawork/" in entry.name and entry.persistent
    return (entry.key or "").startswith(("hawork.checkpoints.", "hawork.jobgraphs."))


def _in_a_server(
    config: Configuration, now: Entry | None, entry: Entry, value: bytes | None
) -> None:
    before, version = (None, None) if now is None else (now.data, now.version)
    seconds = config.get_option(options.ZK_CONNECTION_TIMEOUT)  # its servers go and come back
    with open_writer(config, seconds) as writer:
        writer.write([Change(entry.object, before, value, version)])


def _in_rows(config: Configuration, now: Entry | None, entry: Entry, value: bytes | None) -> None:
    from hawork.backends.embedded.directory import directory_of
    from hawork.backends.embedded.layout import DATABASE

    namespace, _, name = (entry.key or "").partition(" ")
    try:
        with closing(sqlite3.connect(directory_of(config) / DATABASE, timeout=5)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("UPDATE meta SET last_version = last_version + 1")
            place = (namespace, name)
            connection.execute("DELETE FROM pointer WHERE namespace = ? AND name = ?", place)
            if value is not None:
                connection.execute(
                    "INSERT INTO pointer SELECT ?, ?, last_version, ? FROM meta", (*place, value)
                )
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise LabError(f"the HA store was not written: {error}") from None
