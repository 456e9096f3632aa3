"""The lessons on real Flink that take too long for ``make test``, whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.notebooks.leftovers import footprint_in
from tests.notebooks.test_run import LONG, NOTEBOOK_LIMIT, ON_FLINK, run_whole


@pytest.mark.slow
@pytest.mark.timeout(NOTEBOOK_LIMIT + 60)
@pytest.mark.parametrize("path", [path for path in ON_FLINK if path.stem in LONG])
def test_a_lesson_on_real_flink(path: Path, tmp_path: Path) -> None:
    with footprint_in(tmp_path / "tmp") as footprint:
        run_whole(path, "flink", footprint, tmp_path)
