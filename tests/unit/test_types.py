"""What the types are worth: mypy refuses every deliberate misuse of ``misuses.py``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

MISUSES = Path(__file__).with_name("misuses.py")
ROOT = MISUSES.parents[2]


def test_a_strict_checker_refuses_every_misuse(tmp_path: Path) -> None:
    """An ``ignore`` that nothing needs is an error, too, so each of them stands for a refusal.

    The options are those of ``make check``, whose cache of the package serves here, too.
    """
    assert MISUSES.read_text().count("# type: ignore[") >= 10
    result = subprocess.run(
        [sys.executable, "-m", "mypy", str(MISUSES)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout
