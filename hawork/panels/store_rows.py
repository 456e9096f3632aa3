"""The section *store*: rows of the HA store and files of storageDir, and what changed when.

A pointer is held against the file it points to: present, of that size, and, when the pointer
tells it, with that sha256. Flink's pointers do not.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hawork.core.errors import LabError
from hawork.core.types import StateHandle
from hawork.inspect.files import LARGEST, SHOWN, files_below
from hawork.panels.cluster_source import StoreSource

MOST_ROWS = 300
"""Rows and files that are sent; ``lab.store_rows()`` has all of them."""

_MISSING = "the file is missing"
_FIRST = ("address", "path", "holder", "name", "status", "renewals", "session_id")
RENEWALS = r'"?renewals"?:? \d+( · |, )?'
"""A lease that is renewed is not a change that a reader looks for."""


class StoreRows:
    """Remembers what it saw, to tell what changed; ``look`` is called on one thread.

    ``root`` is storageDir; ``None``: it is not on this machine, and there are rows only.
    """

    def __init__(self, lab: StoreSource, root: Path | None) -> None:
        self._lab = lab
        self.root = root
        self._known: dict[str, str] = {}
        self._changed: dict[str, float] = {}
        self._gone: dict[str, tuple[float, list[Any]]] = {}
        self._shown: dict[str, list[Any]] = {}
        self._verdicts: dict[tuple[str, int, int, str], str] = {}
        self._suspected: dict[str, str] = {}

    def look(self) -> dict[str, Any]:
        """Rows as ``[kind, place, name, version, text, link, verdict, changed]``.

        ``changed`` is wall-clock milliseconds. ``LabError`` for a store that cannot be shown.
        """
        now = time.time()
        rows = dict(self._pointers(self.root))
        if self.root is not None:
            rows.update(self._files(rows))
        trouble = self._trouble(rows)
        # All are compared: what only falls behind the limit is not gone.
        self._compare(rows, now)
        rows = {**{key: rows[key] for key in trouble}, **rows}
        shown = dict(list(rows.items())[:MOST_ROWS])
        for key, row in shown.items():
            row.append(round(self._changed.get(key, 0.0) * 1000))
        gone = {
            key: [*row[:-1], round(at * 1000)]
            for key, (at, row) in self._gone.items()
            if now - at < 5.0
        }
        self._shown = shown
        cut = len(rows) > MOST_ROWS
        note = f"These are the first {MOST_ROWS} of {len(rows)} entries." if cut else ""
        return {
            "rows": shown, "gone": gone, "order": list(shown), "note": note,
            "trouble": sentences(trouble.values()),
        }  # fmt: skip

    def _trouble(self, rows: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        """Pointers whose file is altered, or is missing twice: it may go while it is looked for."""
        missing = {key: str(row[4]) for key, row in rows.items() if row[6] == _MISSING}
        for key, text in missing.items():
            if self._suspected.get(key) != text:
                rows[key][6] = ""  # not yet
        self._suspected = missing
        return {
            key: row for key, row in rows.items()
            if row[0] == "row" and row[6] and not row[6].endswith(" verified")
        }  # fmt: skip

    def _pointers(self, root: Path | None) -> Iterable[tuple[str, list[Any]]]:
        try:
            found = self._lab.store_entries()
        except sqlite3.Error as error:
            raise LabError(f"the HA store cannot be read now: {error}") from None
        files = {path.name: path for path in files_below(root)} if root is not None else {}
        for row in found:
            link, verdict = "", ""
            if root is not None and row.pointer is not None:
                link, verdict = self._verdict(row.pointer, files, root)
            text = readable(row.text)
            text = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
            cells = ["row", row.table, row.name, row.version, text, link, verdict]
            yield f"{row.table} {row.name}", cells

    def _files(self, rows: Mapping[str, list[Any]]) -> Iterable[tuple[str, list[Any]]]:
        pointed = {row[5] for row in rows.values() if row[5]}
        for path, what, size, _, content in self._lab.storage_tree().itertuples(index=False):
            if what in ("HA store", "lock of a contender"):
                continue
            needs_one = what in ("job graph", "completed checkpoint")
            verdict = "nothing points to it" if needs_one and path not in pointed else ""
            yield f"file {path}", ["file", what, path, f"{size:,} bytes", content, "", verdict]

    def _compare(self, rows: Mapping[str, list[Any]], now: float) -> None:
        said = {
            key: re.sub(RENEWALS, "", f"{row[3]} {row[4]} {row[6]}") if row[1] != "lease"
            else re.sub(RENEWALS, "", str(row[4]))
            for key, row in rows.items()
        }  # fmt: skip
        if self._known:
            for key, text in said.items():
                if self._known.get(key) != text:
                    self._changed[key] = now
            for key in self._known.keys() - said.keys():
                if key in self._shown:
                    self._gone[key] = (now, self._shown[key])
                self._changed.pop(key, None)
        self._gone = {
            key: (at, row) for key, (at, row) in self._gone.items()
            if now - at < 5.0 and key not in rows
        }  # fmt: skip
        self._known = said

    def _verdict(
        self, pointer: StateHandle, files: Mapping[str, Path], root: Path
    ) -> tuple[str, str]:
        """The file that a pointer names, relative to storageDir, and whether it is that file."""
        found = files.get(Path(pointer.path).name)
        if found is None:
            return pointer.path, _MISSING
        link = found.relative_to(root).as_posix()
        try:
            status = found.stat()
            key = (link, status.st_size, status.st_mtime_ns, pointer.sha256)
            if key not in self._verdicts:
                self._verdicts[key] = _check(found, status.st_size, pointer)
        except FileNotFoundError:
            return link, _MISSING
        return link, self._verdicts[key]


def sentences(rows: Iterable[list[Any]]) -> list[str]:
    """What it means to the job that a pointer's file is missing or altered, one sentence each."""
    told = []
    for _, place, name, _, _, link, said, *_ in rows:
        file = link.rpartition("/")[2]
        if said.startswith("altered") or said == _MISSING:
            what, meant = _meaning(place, name, file)
            told.append(f"{what}: {said} ({file}){meant}")
    return told


def _meaning(place: str, name: str, file: str) -> tuple[str, str]:
    jobs = re.findall(r"[0-9a-f]{32}", f"{place} {name}")
    job = f"job {jobs[-1][:8]}…" if jobs else name
    if file.startswith(("submittedJobGraph", "submittedExecutionPlan")):
        return f"the graph of {job}", ": the next leader of Flink cannot start with it"
    if file.startswith("completedCheckpoint"):
        return f"a checkpoint of {job}", ": it cannot be restored from"
    return f"{place} {name}", ""


def readable(text: str) -> str:
    """An entry that is a JSON object, without its brackets: what matters to a reader first.

    >>> readable('{"session_id":"a1","address":"http://jm:1"}')
    'address http://jm:1 · session_id a1'
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(found, dict):
        return text
    first = [key for key in _FIRST if key in found]
    keys = [*first, *(key for key in found if key not in first and key != "format")]
    return " · ".join(f"{key} {_plain(found[key])}" for key in keys)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _check(path: Path, found: int, pointer: StateHandle) -> str:
    if found != pointer.size:
        return f"altered: {found} bytes, not {pointer.size}"
    if not pointer.sha256:
        return "size verified"
    if found > LARGEST:
        return f"{found:,} bytes: too large to check here"
    if hashlib.sha256(path.read_bytes()).hexdigest() != pointer.sha256:
        return "altered: another sha256"
    return "sha256 verified"
