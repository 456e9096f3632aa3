"""A run in one file: to keep, to send, and to look at where no cluster is.

::

    run.zip
      manifest.json   format, hawork's version, when, and size and sha256 of all else
      events.jsonl    the events of all processes, in their order
      options.json    the cluster's options; secrets are left out
      storage.json    every file below storageDir: what it is, its size, what it says
      store.json      every row, znode or key of the HA store
      report.html     all of it to read; opens anywhere and loads nothing

Nothing in a bundle is ever executed or unpacked to the disk. What does not agree with the manifest
is refused before it is looked at.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import hawork
from hawork.core.calls import checked
from hawork.core.errors import LabError
from hawork.core.user_files import expanded
from hawork.story.bundle import LARGEST, RunBundle, event_of, seconds_of
from hawork.story.ring import is_ring, open_ring

FORMAT = 1
MANIFEST, EVENTS, OPTIONS = "manifest.json", "events.jsonl", "options.json"
STORAGE, STORE, REPORT = "storage.json", "store.json", "report.html"
MEMBERS = (EVENTS, OPTIONS, STORAGE, STORE, REPORT)

_DAMAGE = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, NotImplementedError,
    RuntimeError, ValueError,
)  # fmt: skip
"""What zipfile raises for bytes that are none of its own."""


@checked
def open_bundle(path: Path | str) -> RunBundle:
    """Read a run that ``export_bundle`` has written, or the ring that ``hawork watch`` keeps.

    >>> open_bundle("friday.zip").timeline()                               # doctest: +SKIP

    ``LabError`` when it is none, was cut off or altered, or is of a version that this hawork
    does not know.
    """
    file = expanded(path)
    if is_ring(file):
        return open_ring(file)
    try:
        with zipfile.ZipFile(file) as archive:
            manifest, data = _checked(file, archive)
    except FileNotFoundError:
        raise LabError(f"there is no bundle {file}: check the path") from None
    except IsADirectoryError:
        raise LabError(
            f"{file} is a folder that 'hawork watch' has not recorded into: name a bundle, or the "
            "folder of a watch"
        ) from None
    except OSError as error:
        raise LabError(f"bundle {file} cannot be read ({error.strerror})") from None
    except _DAMAGE as error:
        raise _bad(file, f"it is not a zip file, or was cut off or altered ({error})") from None
    try:
        if (created := seconds_of(manifest["created"])) is None:
            raise ValueError("it was created at no time")
        return RunBundle(
            created,
            str(manifest["hawork"]),
            str(manifest["cluster"]),
            {str(key): str(value) for key, value in manifest["missing"].items()},
            {str(key): str(value) for key, value in json.loads(data[OPTIONS]).items()},
            tuple(event_of(json.loads(line)) for line in data[EVENTS].splitlines()),
            tuple(map(dict, json.loads(data[STORAGE]))),
            tuple(map(dict, json.loads(data[STORE]))),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _bad(file, f"its contents are not understood ({error})") from None


def _checked(file: Path, archive: zipfile.ZipFile) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest, and every member as it says."""
    sizes = {info.filename: info.file_size for info in archive.infolist()}
    strange = set(sizes) - {MANIFEST, *MEMBERS}
    if strange or len(sizes) != len(archive.infolist()):
        raise _bad(file, f"it holds {', '.join(sorted(strange)) or 'a member twice'}")
    if sum(sizes.values()) > LARGEST:
        raise _bad(file, f"it would take {sum(sizes.values()):,} bytes, and {LARGEST:,} is most")
    if MANIFEST not in sizes:
        raise _bad(file, f"it has no {MANIFEST}")
    try:
        manifest = json.loads(archive.read(MANIFEST))
        written, listed = manifest["format"], dict(manifest["members"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _bad(file, f"its {MANIFEST} is damaged") from None
    if written != FORMAT:
        raise LabError(
            f"bundle {file} has format {written!r}, and hawork {hawork.__version__} reads "
            f"{FORMAT}: open it with the hawork that wrote it ({manifest.get('hawork', 'unknown')})"
        )
    data = {}
    for name in MEMBERS:
        if name not in sizes or name not in listed:
            raise _bad(file, f"{name} is missing")
        data[name] = archive.read(name)
        if listed[name] != {
            "bytes": len(data[name]), "sha256": hashlib.sha256(data[name]).hexdigest(),
        }:  # fmt: skip
            raise _bad(file, f"{name} is not what was written")
    return manifest, data


def _bad(file: Path, reason: str) -> LabError:
    said = " ".join(reason.split())
    printable = "".join(each if each.isprintable() else "?" for each in said)
    return LabError(
        f"{file} is damaged, or is not a bundle of a run: {printable}; request it again"
    )
