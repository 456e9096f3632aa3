"""What the README shows works as it stands there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import hawork
from hawork.testing import eventually

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()
ELSEWHERE = 'os.path.expanduser("~/.local/state/ha")'


def python_below(heading: str) -> str:
    """The first block of Python below a heading."""
    found = re.search(rf"^## {heading}$.*?^```python\n(.*?)^```$", README, re.M | re.S)
    assert found, f"README has no Python below {heading!r}"
    return found[1]


@contextmanager
def running(program: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_library_use_takes_a_dozen_lines_and_hands_over(tmp_path: Path) -> None:
    """Two services, one leads; it ends, and the other one leads."""
    program = python_below("As a library")
    assert ELSEWHERE in program
    assert len([line for line in program.splitlines() if line.strip()]) <= 15
    program = program.replace(ELSEWHERE, repr(str(tmp_path)))
    config = {"high-availability.type": "embedded", "high-availability.storageDir": str(tmp_path)}
    retriever = hawork.LeaderRetriever()
    with hawork.open_ha_services(config) as ha, running(program) as first:
        ha.leader_retrieval("my-service", retriever)
        leader = retriever.wait_for_leader(60)
        assert leader.address == "http://127.0.0.1:8081"
        with running(program) as second:
            eventually(lambda: len(list(tmp_path.rglob("*.lock"))) == 2)
            first.communicate("\n", timeout=120)
            assert first.returncode == 0
            successor = retriever.wait_for_leader(60, different_from=leader.session_id)
            assert successor.session_id != leader.session_id
            os.kill(second.pid, signal.SIGKILL)


@pytest.mark.parametrize("heading", ["A job"])
def test_the_job_is_a_pipeline(heading: str, tmp_path: Path) -> None:
    names: dict[str, object] = {}
    exec(python_below(heading), names)
    pipeline = names["delays"]({"flights": "flights.csv", "output": str(tmp_path)})  # type: ignore[operator]
    assert pipeline.complete().name == "departure-delays"


@pytest.mark.parametrize(
    ("row", "packages"),
    [
        ("`hawork.core` and `hawork.ha`", ("core", "ha")),
        ("and `embedded`", ("backends/embedded",)),
        ("and `zookeeper`", ("backends/zookeeper",)),
        ("and `kubernetes`", ("backends/kubernetes",)),
    ],
)
def test_what_is_small_is_as_small_as_is_said(row: str, packages: tuple[str, ...]) -> None:
    """They had grown by a tenth while the table stood still."""
    said = re.search(rf"^[|] {row} [|] ([\d,]+)", README, re.M)
    assert said, f"README has no row {row}"
    package = Path(hawork.__file__).parent
    files = [path for name in packages for path in (package / name).rglob("*.py")]
    lines = sum(len(path.read_text().splitlines()) for path in files)
    assert abs(lines - int(said[1].replace(",", ""))) <= 0.05 * lines
