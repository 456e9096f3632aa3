"""A backup: every entry of a cluster, and the files that a repair touches, in one zip.

It is written before the first change, read again, and compared; what it does not hold is not
changed. It has no option of the cluster and no credential in it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import lzma
import os
import time
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hawork import __version__
from hawork.core.errors import HaworkError
from hawork.inspect.finding import Object
from hawork.inspect.repair.changes import ANNOTATION, CONFIGMAP, FILE, KEY, Repair, object_of
from hawork.inspect.repair.image import Held, Image, labels_of

__all__ = ["Backup", "BackupError", "read_backup", "write_backup"]

_FORMAT: Final = "hawork-ha-backup"
_VERSION: Final = 1
_MANIFEST, _ENTRIES, _REPAIRS = "manifest.json", "entries.json", "repairs.json"
_LARGEST: Final = 1 << 30
"""Bytes that are read of all members together."""


class BackupError(HaworkError):
    """A backup cannot be written, or is damaged."""


@dataclass(frozen=True)
class Backup:
    """What was there before a repair. ``files`` are by URL; ``None``: it was not there."""

    backend: str
    cluster_id: str
    created: float
    entries: Image
    files: Mapping[str, bytes | None]


def write_backup(
    path: Path, backend: str, cluster_id: str, entries: Image, repairs: Sequence[Repair]
) -> Backup:
    """Write a new file of mode 0600, and read it again. ``BackupError`` when it is not there then.

    A file that is there is never replaced.
    """
    files = {
        change.object.name: change.before
        for repair in repairs
        for change in repair.changes
        if change.object.kind == FILE
    }
    backup = Backup(backend, cluster_id, time.time(), entries, files)
    members = {
        _ENTRIES: json.dumps([_written(thing, held) for thing, held in entries.items()]).encode(),
        _REPAIRS: json.dumps([repair.to_json() for repair in repairs]).encode(),
    }
    listed = []
    for number, (url, content) in enumerate(files.items()):
        member = None if content is None else f"files/{number}"
        listed.append({"url": url, "member": member})
        if member is not None and content is not None:
            members[member] = content
    manifest = {
        "format": _FORMAT, "version": _VERSION, "hawork": __version__, "created": backup.created,
        "backend": backend, "cluster_id": cluster_id, "files": listed,
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in members.items()},
    }  # fmt: skip
    _write(path, {_MANIFEST: json.dumps(manifest, indent=1).encode(), **members})
    found = read_backup(path)
    if (found.entries, found.files) != (backup.entries, backup.files):
        raise BackupError(f"backup {path} was written and does not hold what was there: free disk?")
    return backup


def _write(path: Path, members: Mapping[str, bytes]) -> None:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w+b") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, data in members.items():
                    archive.writestr(name, data)
            file.flush()
            os.fsync(file.fileno())
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except FileExistsError:
        raise BackupError(f"{path} is there already: name another file with --backup") from None
    except OSError as error:
        raise BackupError(f"backup {path} cannot be written: {error.strerror or error}") from None


def read_backup(path: Path) -> Backup:
    """A backup, whole. ``BackupError`` when it is damaged, or is something else."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(each.file_size for each in archive.infolist())
            if size > _LARGEST:
                raise ValueError(f"it would take {size:,} bytes, and {_LARGEST:,} is most")
            manifest = json.loads(archive.read(_MANIFEST))
            if manifest.get("format") != _FORMAT or manifest.get("version") != _VERSION:
                raise BackupError(
                    f"{path} is not a backup of this hawork: its manifest says otherwise"
                )
            members = {name: archive.read(name) for name in manifest["sha256"]}
        for name, digest in manifest["sha256"].items():
            if hashlib.sha256(members[name]).hexdigest() != digest:
                raise BackupError(f"backup {path} is damaged: {name} is not what was written")
        entries = dict(_read(each) for each in json.loads(members[_ENTRIES]))
        files = {
            str(each["url"]): None if each["member"] is None else members[each["member"]]
            for each in manifest["files"]
        }
        return Backup(
            str(manifest["backend"]), str(manifest["cluster_id"]), float(manifest["created"]),
            entries, files,
        )  # fmt: skip
    except OSError as error:
        raise BackupError(f"{path} cannot be read: {error.strerror or error}") from None
    except (zipfile.BadZipFile, ValueError, KeyError, TypeError, AttributeError, RuntimeError,
            NotImplementedError, OverflowError, EOFError, binascii.Error, zlib.error,
            lzma.LZMAError) as error:  # fmt: skip
        raise BackupError(
            f"{path} is not a whole backup: {str(error) or type(error).__name__}"
        ) from None


def _written(thing: Object, held: Held) -> dict[str, Any]:
    return {
        **thing.to_json(),
        "value": base64.b64encode(held.value).decode(),
        "version": held.version,
        "session": held.session,
        "null": held.null,
    }


def _read(written: Mapping[str, Any]) -> tuple[Object, Held]:
    version, value = written["version"], base64.b64decode(written["value"], validate=True)
    thing = object_of(written)
    if thing.kind == CONFIGMAP:
        labels_of(value)
    elif thing.kind in (KEY, ANNOTATION):
        value.decode()  # Kubernetes keeps text
    return thing, Held(
        value,
        None if version is None else int(version),
        bool(written["session"]),
        bool(written["null"]),
    )
