"""A full disk: submissions are refused in one sentence, nothing is lost, life goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path) -> None:
    """In a mount namespace: a real file system that is really full, without a trace outside."""
    namespace = ["unshare", "--mount"]
    if os.geteuid() != 0:
        namespace += ["--user", "--map-root-user"]
    story = [sys.executable, "-m", "tests.faults.full_disk_story", str(tmp_path)]
    done = subprocess.run(
        [*namespace, *story], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    refused, went_on = done.stdout.splitlines()[-2:]
    assert "full" in refused
    assert "\n" not in refused
    assert went_on == "went on"
