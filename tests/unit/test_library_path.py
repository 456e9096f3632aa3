"""Files of a reader that are named as modules of libraries are in nobody's way but their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MODULES = (
    "hawork.lab.cluster", "hawork.cli.submit", "hawork.runtime.job_manager", "hawork.lab.magic",
    "hawork.runtime.task_process", "hawork.backends.kubernetes.services", "hawork.panels.panel_set",
    "hawork.backends.zookeeper.services", "hawork.lab.flink.attached", "hawork.cli.doctor",
)  # fmt: skip
IMPORT_ALL = "import hawork\nimport importlib\n" + "".join(
    f"importlib.import_module({name!r})\n" for name in MODULES
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for each module of Python, and for each that hawork needs."""
    folder = tmp_path_factory.mktemp("exercises")
    what = "import __future__, runpy, sys; print(*sys.modules)"  # before any of our code runs
    loaded_at_start = set(run(folder, "-I", "-c", what).stdout.split())
    names = {*sys.stdlib_module_names, "tornado", "psutil", "yaml", "kazoo", "urllib3", "pandas"}
    for name in names - loaded_at_start:
        (folder / f"{name}.py").write_text(f"raise RuntimeError('{name} of exercise 3')\n")
    return folder


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=60
    )


def test_a_script_beside_them_can_import_hawork(folder: Path) -> None:
    (folder / "lesson.py").write_text(IMPORT_ALL)
    done = run(folder, "lesson.py")
    assert done.returncode == 0, done.stderr


def test_a_command_started_beside_them_works(folder: Path) -> None:
    for arguments in (["-m", "hawork", "--version"], ["-m", "hawork.runtime", "--help"]):
        done = run(folder, *arguments)
        assert done.returncode == 0, done.stderr


def test_a_reader_imports_what_lies_beside_the_notebook(tmp_path: Path) -> None:
    for name in ("statistics", "helper", "kazoo"):
        (tmp_path / f"{name}.py").write_text(f"mine = {name!r}\n")
    (tmp_path / "also.py").write_text("import statistics\nimport kazoo\n")
    code = "import hawork, helper, also; print(helper.mine, also.statistics.mine, also.kazoo.mine)"
    assert run(tmp_path, "-c", code).stdout == "helper statistics kazoo\n"
    code = "import hawork, random; import statistics; print(hasattr(statistics, 'mine'))"
    assert run(tmp_path, "-c", code).stdout == "True\n"
