"""The lessons on real Flink that take too long for ``make test``, whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.notebooks.conftest import footprint  # noqa: F401
from tests.notebooks.leftovers import Footprint
from tests.notebooks.test_run import LONG, NOTEBOOK_LIMIT, ON_FLINK, run_whole


@pytest.mark.slow
@pytest.mark.timeout(NOTEBOOK_LIMIT + 60)
@pytest.mark.parametrize("path", [path for path in ON_FLINK if path.stem in LONG])
def test_a_lesson_on_real_flink(path: Path, footprint: Footprint, tmp_path: Path) -> None:  # noqa: F811
    run_whole(path, "flink", footprint, tmp_path)
