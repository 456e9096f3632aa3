"""Fixtures of the unit tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from stores_setup import World


@pytest.fixture
def world() -> Iterator[World]:
    """A cluster in memory, to be led, failed and damaged."""
    world = World()
    yield world
    world.close()
