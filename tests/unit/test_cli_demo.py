"""``hawork demo`` as a newcomer runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hawork.lab.flights import DEPARTED

KEYS = {
    "ha", "failovers", "failover_seconds", "records", "lost", "duplicated", "checkpoints",
    "restored_from", "leader_session_ids", "seconds",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("ha", ["embedded", "zookeeper"])
def test_the_demo_loses_nothing_and_says_so(tmp_path: Path, ha: str) -> None:
    run = tmp_path / "run"
    argv = [sys.executable, "-m", "hawork", "demo", "--ha", ha, "--json", "--seed", "1"]
    done = subprocess.run(
        [*argv, "--directory", str(run)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    *_, last = done.stdout.splitlines()
    result = json.loads(last)
    assert result.keys() >= KEYS
    assert (result["lost"], result["duplicated"], result["records"]) == (0, 0, DEPARTED)
    assert result["ha"] == ha
    assert result["failovers"] >= 1
    assert result["failover_seconds"] < 15  # the session timeout on ZooKeeper is 30 s
    assert result["checkpoints"] >= 1
    assert result["restored_from"] >= 1
    assert len(set(result["leader_session_ids"])) == result["failovers"] + 1
    assert result["killed"] != result["new_leader"]
    story = done.stderr
    assert f"{result['killed']} is killed (SIGKILL)" in story
    assert f"{result['new_leader']} leads after" in story
    assert "make lab" in story.splitlines()[-1]
    assert (run / "events" / "lab.jsonl").exists()


def test_an_unknown_backend_is_told_at_once() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hawork", "demo", "--ha", "zookeper"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "--ha: invalid choice: 'zookeper' (choose from" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
