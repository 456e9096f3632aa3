"""Results of checks, handed in to a class: one small file each in a folder that a trainer shares.

``HAWORK_CLASS`` names the folder, ``HAWORK_CLASS_NAME`` the learner where the login name does not.
A file has a name of its own and appears whole; no other is opened, changed or removed, so that
learners do not get into each other's way. What goes wrong is told, and the lesson goes on.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import secrets
import threading
import time
from pathlib import Path
from typing import Any

FOLDER, NAME = "HAWORK_CLASS", "HAWORK_CLASS_NAME"
"""Environment variables."""

LONGEST = 200
"""Characters of a text in a result."""

PATIENCE = 2.0
"""Seconds that a check waits for the folder; one on a network may not answer."""


def hand_in(check: str, solved: bool, points: tuple[tuple[str, bool], ...]) -> str:
    """Write the result of a check into the class folder; says what became of it.

    Empty where there is no class. Never raises, and takes at most ``PATIENCE`` seconds.
    """
    folder = os.environ.get(FOLDER, "").strip()
    if not folder:
        return ""
    name = learner()
    unmet = next((sentence for sentence, good in points if not good), "")
    result = {
        "format": 1,
        "name": name[:LONGEST],
        "lesson": _lesson()[:LONGEST],
        "check": check,
        "solved": solved,
        "kept": sum(good for _, good in points),
        "points": len(points),
        "says": unmet[:LONGEST],
        "time": time.time(),
    }
    told: list[str] = []

    def write() -> None:
        try:
            _write(Path(folder), result)
            told.append(f"handed in as {name}")
        except OSError as error:
            told.append(_refused(folder, error.strerror or str(error)))
        except Exception as error:  # noqa: BLE001 - a class folder must not end a lesson
            told.append(_refused(folder, f"{type(error).__name__}: {error}"))

    writing = threading.Thread(target=write, name="hand-in", daemon=True)
    writing.start()
    writing.join(PATIENCE)
    return told[0] if told else _refused(folder, f"it has not answered for {PATIENCE:g} s")


def learner() -> str:
    """The name under which results are handed in."""
    if name := os.environ.get(NAME, "").strip():
        return name
    with contextlib.suppress(Exception):  # a container may run as a user without a name
        return getpass.getuser()
    return f"user {os.geteuid()}"


def _lesson() -> str:
    """The notebook of this kernel, as Jupyter tells it."""
    return Path(os.environ.get("JPY_SESSION_NAME", "")).stem


def _refused(folder: str, reason: str) -> str:
    return (
        f"not handed in: {FOLDER} is {folder}, which cannot be written ({reason}); the lesson goes "
        "on, tell your trainer"
    )


def _write(folder: Path, result: dict[str, Any]) -> None:
    """A new file, whole or not at all; readable, so that the trainer's user can read it."""
    data = json.dumps(result, ensure_ascii=True).encode("ascii")
    name = f"{time.time_ns()}-{secrets.token_hex(16)}.json"
    temporary = folder / f".{name}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o644)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o644)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        temporary.rename(folder / name)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
