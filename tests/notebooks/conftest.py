"""A place for labs that is looked over when the test is done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .leftovers import Footprint, footprint_in


@pytest.fixture
def footprint(tmp_path: Path) -> Iterator[Footprint]:
    """Where the kernels of a test run; what is left of them is ended after it."""
    with footprint_in(tmp_path / "tmp") as found:
        yield found
