"""The directory that a cleaner of temporary files takes away from a TaskManager."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from hawork.core.configuration import Configuration
from hawork.runtime.process import ProcessContext
from hawork.runtime.scratch_directory import ScratchDirectory


def scratch(run_directory: Path | None) -> ScratchDirectory:
    return ScratchDirectory(ProcessContext.create("tm-1", Configuration(), run_directory))


@pytest.mark.parametrize("below_run", [True, False])
def test_a_scratch_directory_that_is_gone_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below_run: bool
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    directory = scratch(tmp_path / "run" if below_run else None)
    first = directory.path()
    (first / "artifact.zip").write_bytes(b"PK")
    assert directory.path() == first
    shutil.rmtree(tmp_path / "run" if below_run else first)
    second = directory.path()
    assert second.is_dir() and not list(second.iterdir())
    directory.remove()
    assert not second.exists()


def test_the_place_of_temporary_files_may_be_gone_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "left"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    (tmp_path / "left").mkdir()
    made = scratch(None).path()
    assert made.parent == tmp_path / "left"
    assert made.stat().st_mode & 0o777 == 0o700
    assert made.stat().st_uid == os.geteuid()


def test_nothing_of_a_killed_process_of_the_same_name_is_used(tmp_path: Path) -> None:
    old = scratch(tmp_path).path()
    (old / "half.zip").write_bytes(b"PK")
    assert list(scratch(tmp_path).path().iterdir()) == []
