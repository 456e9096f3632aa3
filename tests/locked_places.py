"""A directory that another user keeps to himself, also for tests that run as root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest


def lock(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on nothing below ``place`` can be looked at, listed or opened by this process."""
    for name in ("stat", "lstat", "open", "scandir", "listdir", "mkdir"):
        monkeypatch.setattr(os, name, _refusing(getattr(os, name), place, name))
    monkeypatch.setattr("builtins.open", _refusing(open, place, "open"))
    monkeypatch.setattr("io.open", _refusing(open, place, "open"))
    monkeypatch.setattr(os, "access", _refusing(os.access, place, "access"))


def _refusing(real: Any, place: Path, name: str) -> Any:
    inside_only = name in ("stat", "lstat")

    def refusing(path: Any = ".", *args: Any, **named: Any) -> Any:
        if isinstance(path, (str, os.PathLike)):
            given = Path(path)
            if place in given.parents or (given == place and not inside_only):
                if name == "access":
                    return False
                raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **named)

    return refusing
