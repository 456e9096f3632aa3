"""A cluster on the embedded backend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.embedded_harness import EmbeddedHarness


@pytest.fixture
def embedded(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[EmbeddedHarness]:
    """With the options of an indirect parameter, if there is one."""
    harness = EmbeddedHarness(tmp_path, getattr(request, "param", None))
    yield harness
    harness.close()
