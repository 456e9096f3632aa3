"""Bytes that Flink's own classes wrote, by the programs beside them, and how to get at them.

``<release>.<kind>.xz``; the ``.java`` files say how each was made.
"""

from __future__ import annotations

import lzma
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@cache
def vector(name: str) -> bytes:
    """The bytes of a vector, such as ``1.20.5.jobgraph``."""
    return lzma.decompress((HERE / f"{name}.xz").read_bytes())


def expected_handles(name: str) -> list[str]:
    """The state handles that the writing program made: kind, size and path, a line each."""
    return (HERE / f"{name}.handles.txt").read_text().splitlines()


@cache
def member(name: str) -> bytes:
    """A file of the ZooKeeper server whose transactions ``Znodes.java`` made."""
    with tarfile.open(HERE / "zookeeper-data.tar.xz") as tar:
        file = tar.extractfile(name)
        assert file is not None
        return file.read()


FILTER: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
"""For ``extractall`` and ``unpack_archive`` of an archive of our own; Python 3.11.2 has none."""
