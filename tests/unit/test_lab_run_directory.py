"""One lab per run directory, and nothing left of a temporary one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hawork.core.errors import ConfigurationError, LabError
from hawork.core.steps import arm
from hawork.ha.configuration_file import load_configuration
from hawork.lab.options import lab_options
from hawork.lab.run_directory import LOCK, PREFIX, RunDirectory, remove_abandoned

HOLDER = """
import sys
from hawork.lab.run_directory import RunDirectory
run = RunDirectory(sys.argv[1])
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_temporary_directory_goes_with_its_lab() -> None:
    run = RunDirectory()
    assert run.events.is_dir()
    assert run.storage.is_dir()
    run.close()
    assert not run.path.exists()
    run.close()


def test_a_named_directory_stays(tmp_path: Path) -> None:
    RunDirectory(tmp_path / "run").close()
    assert (tmp_path / "run" / "events").is_dir()


def test_a_later_run_has_its_own_events_and_logs_and_goes_on_with_the_storage(
    tmp_path: Path,
) -> None:
    for number in range(3):
        run = RunDirectory(tmp_path)
        assert list(run.events.iterdir()) == []
        assert list(run.control.iterdir()) == []
        assert list(run.logs.iterdir()) == []
        (run.events / "jm-1.jsonl").write_text(str(number))
        (run.logs / "jm-1.log").write_text(str(number))
        arm(run.control, "result.dirty", "crash")
        (run.storage / str(number)).touch()
        run.close()
    assert len(list(run.storage.iterdir())) == 3
    earlier = [tmp_path / name / "jm-1.jsonl" for name in ("events-1", "events-2", "events")]
    assert [path.read_text() for path in earlier] == ["0", "1", "2"]
    logs = [tmp_path / name / "jm-1.log" for name in ("logs-1", "logs-2", "logs")]
    assert [path.read_text() for path in logs] == ["0", "1", "2"]


def test_a_kept_directory_stays() -> None:
    run = RunDirectory(keep=True)
    run.close()
    assert run.path.exists()
    for path in sorted(run.path.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    run.path.rmdir()


def test_a_second_lab_is_refused_and_told_whose_it_is(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(LabError, match=rf"used by another lab \(process {holder.pid}\)"):
            RunDirectory(tmp_path)
        holder.kill()
    RunDirectory(tmp_path).close()  # a killed lab leaves no lock


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LabError, match="file cannot be written"):
        RunDirectory(tmp_path / "file")


def test_directories_of_killed_labs_are_removed_and_no_others(tmp_path: Path) -> None:
    def old(name: str) -> Path:
        directory = tmp_path / name
        directory.mkdir()
        (directory / LOCK).touch()
        os.utime(directory, (1, 1))
        return directory

    abandoned, foreign = old(f"{PREFIX}a"), old("something-else")
    used = RunDirectory(old(f"{PREFIX}b"))
    os.utime(used.path, (1, 1))
    starting = tmp_path / f"{PREFIX}c"
    starting.mkdir()
    assert remove_abandoned(tmp_path) == [abandoned]
    assert foreign.exists()
    assert used.path.exists()
    assert starting.exists()
    used.close()


def test_options_can_be_read_back(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / 'with "quotes" and: colons')
    config = lab_options(run, "embedded", 2, True, None)
    run.write_options(config)
    assert dict(load_configuration(run.config_file)) == dict(config)
    run.close()


def test_given_options_win_and_are_checked(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    nested = {"heartbeat": {"timeout": "9 s"}, "hawork.supervisor": False}
    config = lab_options(run, "embedded", 3, True, nested)
    assert config["heartbeat.timeout"] == "9 s"
    assert config["hawork.supervisor"] == "false"
    assert config["taskmanager.numberOfTaskSlots"] == "3"
    with pytest.raises(ConfigurationError, match="renew-deadline"):
        lab_options(
            run, "embedded", 2, True,
            {"high-availability.embedded.leader-election.lease-duration": "1 s"},
        )  # fmt: skip
    run.close()
