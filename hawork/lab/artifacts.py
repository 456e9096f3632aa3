"""The sources that ``%%artifact`` wrote in this process, until a job is submitted from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from hawork.client.submission import find_file

_written: dict[str, str] = {}


def written_artifacts() -> Mapping[str, str]:
    """The sources by file name."""
    return MappingProxyType(_written)


def keep_artifact(name: str, source: str) -> None:
    """Keep a source, in place of an earlier one of its name."""
    _written[name] = source


def find_source(file_name: str, artifacts: Path) -> Path:
    """The file of a job: a name that ``%%artifact`` has written, else a path.

    ``artifacts`` is where a source that was written is put.
    """
    source = written_artifacts().get(file_name)
    if source is None:
        return find_file(file_name)
    path = artifacts / file_name
    path.write_text(source, encoding="utf-8")
    return path
