"""The notebooks that hawork brings along, with all they need, copied to where they can be changed.

An installed hawork has them below ``share/hawork/notebooks``. The copy remembers how each was
delivered, so that a newer hawork replaces what was not changed, and nothing else.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.metadata
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import hawork
from hawork.core.errors import LabError
from hawork.core.user_files import (
    absolute,
    fallback_directory,
    home_directory,
    is_directory,
    is_there,
    is_writable,
)

TOUR = "00_tour.ipynb"
FOLDER = "hawork-notebooks"
DELIVERED = ".delivered.json"
"""In the folder: the SHA-256 of each notebook as it was copied."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_BROUGHT = ("*.ipynb", "recordings/*.zip", "cases/*.tar.xz")


def installed_notebooks() -> Path | None:
    """Where the installed notebooks are; ``None`` in a checkout, or without them."""
    try:
        files = importlib.metadata.files("hawork") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name == TOUR:
            place = Path(str(file.locate())).resolve()
            return place.parent if is_there(place) else None
    return None


def place_for_notebooks() -> Path:
    """A folder in the working directory; in the home where that cannot be written."""
    for place in (absolute(Path()), home_directory()):
        if place is not None and is_writable(place):
            return place / FOLDER
    return fallback_directory() / FOLDER


def is_new(folder: Path) -> bool:
    """Whether there is no such folder, or nothing in it."""
    return not is_there(folder) or (is_directory(folder) and not any(folder.iterdir()))


def bring_along(source: Path, folder: Path) -> Iterator[str]:
    """Copy what is new to ``folder``; yields a sentence for each thing that a learner should know.

    A notebook that was changed stays as it is, and its newer version comes beside it. One that
    was removed stays away, unless none is left. An interrupted or failed copy leaves whole files
    only, and the next one goes on from there. ``LabError`` when a first copy cannot be written;
    notebooks that are there already can be read, and stay.
    """
    first = True
    try:
        folder.mkdir(parents=True, exist_ok=True)
        known = _delivered(folder) if any(folder.glob("*.ipynb")) else {}
        first = not known
        if first:
            yield f"The notebooks are in {folder}: change them as you like, they stay yours."
        before = dict(known)
        try:
            for file in (path for kind in _BROUGHT for path in sorted(source.glob(kind))):
                name = str(file.relative_to(source))
                there = is_there(folder / name)
                told = _bring(file, folder / name, known.get(name))
                if told and (there or not first):
                    yield told
                known[name] = _sha256(file)
            for name in [name for name in known if not is_there(source / name)]:
                if is_there(folder / name) and _sha256(folder / name) == known.pop(name):
                    yield f"Gone: {name} is not among the notebooks any more; yours stays."
        finally:
            if known != before:
                _write(folder / DELIVERED, json.dumps(known, indent=1).encode())
    except OSError as error:
        why = f"{folder} ({error.strerror})"
        if not first and is_there(folder / TOUR):
            yield f"Newer notebooks cannot be copied to {why}: those that are there stay."
            return
        fix = (
            "free some space"
            if error.errno in _FULL
            else "start in a directory that can be written"
        )
        raise LabError(
            f"the notebooks cannot be copied to {why}: {fix}, or name one with --notebooks"
        ) from None


def _bring(notebook: Path, target: Path, delivered: str | None) -> str | None:
    newest = _sha256(notebook)
    if delivered == newest or (target.exists() and _sha256(target) == newest):
        return None
    if not target.exists():
        if delivered is not None:
            return None
        target.parent.mkdir(exist_ok=True)
        _write(target, notebook.read_bytes())
        return f"New: {target.name}."
    if _sha256(target) == delivered:
        _write(target, notebook.read_bytes())
        return f"Newer: {target.name}."
    beside = _beside(target, newest)
    if not beside.exists():
        _write(beside, notebook.read_bytes())
    return f"{target.name} is yours and stays; the newer one is {beside.name}."


def _beside(target: Path, newest: str) -> Path:
    """Where the newest of a changed notebook is, or has room: one version may bring several, where
    hawork is installed from its sources again and again."""
    for number in itertools.count(1):
        more = f", {number}" if number > 1 else ""
        beside = target.with_name(f"{target.stem} ({hawork.__version__}{more}){target.suffix}")
        if not beside.exists() or _sha256(beside) == newest:
            break
    return beside


def _write(target: Path, content: bytes) -> None:
    """The whole file or none: half a notebook would pass for one that a learner has changed."""
    place = target.resolve()  # a link stays one
    part = place.with_name(f".{place.name}.part")
    try:
        part.write_bytes(content)
        part.replace(place)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def _delivered(folder: Path) -> dict[str, str]:
    try:
        known = json.loads((folder / DELIVERED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return (
        {str(name): str(digest) for name, digest in known.items()}
        if isinstance(known, dict)
        else {}
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
