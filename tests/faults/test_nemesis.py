"""The nemesis in short, on every backend; ``make bench`` has the long one."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from hawork.lab.drills import DrillSetup
from hawork.lab.nemesis.plan import Seed

FAULTS = {"embedded": 10, "zookeeper": 5, "kubernetes": 4}
SEED = "421964"
"""A leader on Kubernetes could neither write nor ask for a while, and led on: what the
submissions had left that it refused stayed there.
"""
DRILL = [sys.executable, "-P", "-m", "hawork.cli.main", "drill"]


@pytest.mark.slow
def test_random_faults_break_no_promise_on_any_backend() -> None:
    """Side by side: they wait more than they work. ``make bench`` draws its seeds."""
    seed = os.environ.get("HAWORK_SEED", SEED)
    drills = {
        ha: subprocess.Popen(
            [*DRILL, "--ha", ha, "--seed", seed, "--faults", str(faults), "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for ha, faults in FAULTS.items()
    }  # fmt: skip
    told = {ha: (*drill.communicate(timeout=280), drill.returncode) for ha, drill in drills.items()}
    for ha, (output, story, status) in told.items():
        print(ha, story, sep="\n")
        assert status == 0, ha
        report = json.loads(output)
        assert report["valid"]
        assert report["jobs"] > 0
        assert sum(report["faults"].values()) > 0


def test_a_drill_that_is_interrupted_heals_what_it_broke(tmp_path: Path) -> None:
    """SIGTERM does as Ctrl-C does."""
    with subprocess.Popen(
        [*DRILL, "--seed", "5", "--minutes", "9", "--directory", str(tmp_path)],
        stdout=subprocess.PIPE, text=True,
    ) as drill:  # fmt: skip
        assert drill.stdout is not None
        for line in drill.stdout:
            if line.startswith("fault 6 "):
                break
        below = psutil.Process(drill.pid).children(recursive=True)
        assert len(below) > 3
        drill.send_signal(signal.SIGTERM)
        drill.communicate(timeout=120)
    assert drill.returncode == 130
    assert not [each for each in below if each.is_running()]
    assert not (tmp_path / "lab" / "put-aside").exists()
    database = tmp_path / "lab" / "storage" / "lab" / "ha" / "ha.db"
    with closing(sqlite3.connect(database)) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert "pointer" in names
    assert not {name for name in names if name.startswith("nemesis")}


def test_a_reader_breaks_a_lab_of_its_own_and_gets_it_back(tmp_path: Path) -> None:
    """``lab.nemesis``: what cannot be done here is named, and the lab goes on afterwards."""
    with DrillSetup(job_managers=2, task_managers=1).make(tmp_path / "lab") as lab:
        report = lab.nemesis(seed=str(Seed(7)), faults=6)
        assert report.valid, str(report)
        assert report.seed == str(Seed(7))
        assert "full disk" in report.left_out
        assert all(state.state == "running" for state in lab.processes.values())
        assert lab.leader()
