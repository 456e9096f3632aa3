"""Fixtures of the unit tests."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from stores_setup import World


@pytest.fixture
def world() -> Iterator[World]:
    """A cluster in memory, to be led, failed and damaged."""
    world = World()
    yield world
    world.close()


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Path]:
    """A folder of files that can be run: in containers ``/tmp`` is often mounted ``noexec``."""
    for place in (tmp_path, Path("/var/tmp"), Path("/dev/shm")):
        if not os.statvfs(place).f_flag & os.ST_NOEXEC:
            with tempfile.TemporaryDirectory(dir=place) as folder:
                yield Path(folder)
            return
    pytest.fail("no folder was found whose files can be run")
