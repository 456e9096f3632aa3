"""Writing a run into one file, whole or not at all, without its secrets."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hawork
from hawork.core.errors import LabError
from hawork.core.events import Event
from hawork.core.redaction import Redaction
from hawork.core.user_files import expanded
from hawork.story.bundle import RunBundle
from hawork.story.report import report
from hawork.story.run_bundle import (
    EVENTS,
    FORMAT,
    MANIFEST,
    OPTIONS,
    REPORT,
    STORAGE,
    STORE,
)

if TYPE_CHECKING:
    import pandas


def write_bundle(
    path: Path | str,
    *,
    cluster: str,
    events: Sequence[Event],
    options: Mapping[str, str],
    storage: pandas.DataFrame | LabError,
    store: pandas.DataFrame | LabError,
    secrets: Iterable[str] = (),
) -> Path:
    """Write a bundle, whole or not at all; in place of a table may be the reason why there is none.

    ``secrets`` are known ones that ``options`` do not hold, such as the run's token: none of them
    is in any byte of the bundle, in whatever form.

    ``LabError`` when there are no events or the file cannot be written.
    """
    if not events:
        raise LabError("there is nothing to put into a bundle: the run has no events")
    redaction = Redaction.of(options, secrets)
    missing = {
        name: redaction.text(str(found))
        for name, found in ((STORAGE, storage), (STORE, store))
        if isinstance(found, LabError)
    }
    bundle = RunBundle(
        time.time(), hawork.__version__, cluster, missing, redaction.options(options),
        tuple(Event.from_json(redaction.value(each.to_json())) for each in events),
        _rows(storage, redaction), _rows(store, redaction),
    )  # fmt: skip
    contents = {
        EVENTS: "".join(f"{json.dumps(each.to_json(), default=str)}\n" for each in bundle._events),
        OPTIONS: json.dumps(bundle.options, indent=1, sort_keys=True),
        STORAGE: json.dumps(bundle._storage, indent=1, default=str),
        STORE: json.dumps(bundle._store, indent=1, default=str),
        REPORT: report(bundle),
    }
    data = {
        name: redaction.data(text.encode(errors="backslashreplace"))  # half a pair, in a name
        for name, text in contents.items()
    }
    manifest = {
        "format": FORMAT,
        "hawork": bundle.version,
        "created": bundle.created,
        "cluster": cluster,
        "missing": missing,
        "members": {
            name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in data.items()
        },
    }
    target = expanded(path)
    try:
        _publish(target, {MANIFEST: json.dumps(manifest, indent=1).encode(), **data})
    except OSError as error:
        raise LabError(
            f"bundle {target} cannot be written ({error.strerror}): choose another path"
        ) from None
    return target


def _publish(target: Path, members: Mapping[str, bytes]) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as out:
            with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
                for member, content in members.items():
                    archive.writestr(member, content)
            out.flush()
            os.fsync(out.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink()
        raise


def _rows(
    found: pandas.DataFrame | LabError, redaction: Redaction
) -> tuple[Mapping[str, Any], ...]:
    if isinstance(found, LabError):
        return ()
    return tuple(
        {str(key): redaction.value(each) for key, each in row.items()}
        for row in found.to_dict("records")
    )
