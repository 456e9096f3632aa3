"""What ``tests/unit/flink_values.tsv`` says of Flink is what Flink's own classes say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "flink-values"


def test_the_table_holds_flinks_own_answers() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
