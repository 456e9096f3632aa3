"""Whose fault a failure is."""

from __future__ import annotations

import errno
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from hawork.core.errors import (
    ArtifactError,
    ConfigurationError,
    CorruptStateError,
    HaworkError,
    JobExecutionError,
    StoreUnavailableError,
)
from hawork.core.failures import Blame, blame
from hawork.core.types import JobID
from hawork.job import FileSink, SubtaskContext, pack_artifact
from hawork.job.artifact import unpack_artifact
from hawork.job.entry_point import load_entry_point
from hawork.job.file_sources import _open_input
from hawork.job.user_code import calling

ERRNOS = (errno.ENOSPC, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM,
          errno.EDQUOT, errno.EROFS, errno.ESTALE, errno.ENOENT, errno.EACCES)  # fmt: skip


@pytest.mark.parametrize("number", ERRNOS)
def test_what_the_system_refuses_is_the_environments_fault(number: int) -> None:
    error = OSError(number, "...")
    assert blame(error) is Blame.ENVIRONMENT
    with pytest.raises(JobExecutionError) as caught, calling("map", print):
        raise error
    assert blame(caught.value) is Blame.ENVIRONMENT, "also when a user's function met it"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), Blame.ENVIRONMENT),
        (ModuleNotFoundError("no numpy", name="numpy"), Blame.ENVIRONMENT),
        (RuntimeError("can't start new thread"), Blame.ENVIRONMENT),
        (StoreUnavailableError("storageDir is away"), Blame.ENVIRONMENT),
        (CorruptStateError("its file was altered"), Blame.ENVIRONMENT),
        (RuntimeError("of the user's own"), Blame.JOB),
        (KeyError("dep_delay"), Blame.JOB),
        (SystemExit(3), Blame.JOB),
        (RecursionError("maximum recursion depth exceeded"), Blame.JOB),
        (ConfigurationError("the pipeline has no sink"), Blame.JOB),
        (ArtifactError("it is not a zip"), Blame.JOB),
    ],
)
def test_blame(error: BaseException, expected: Blame) -> None:
    assert blame(error) is expected


def test_a_chain_that_bites_its_tail_ends() -> None:
    first, second = ValueError(), ValueError()
    first.__cause__, second.__cause__ = second, first
    assert blame(first) is Blame.JOB


IMPORTS = {
    "import no_such_package_here": Blame.ENVIRONMENT,
    "from json import no_such_function": Blame.ENVIRONMENT,
    "import numpy.no_such_part": Blame.ENVIRONMENT,
    "raise OSError(28, 'No space left on device')": Blame.ENVIRONMENT,
    "from helper import no_such_function": Blame.JOB,
    "import package.no_such_part": Blame.JOB,
    "raise RuntimeError('at import')": Blame.JOB,
    "def build(config:": Blame.JOB,
}


@pytest.mark.parametrize("source", IMPORTS)
def test_an_import_that_fails(tmp_path: Path, source: str) -> None:
    """In a process of its own, as a task is: modules stay imported."""
    files = {"job.py": source, "helper.py": "", "package/__init__.py": ""}
    unpack_artifact(pack_artifact(files), tmp_path / "task")
    told = subprocess.run(
        [sys.executable, "-c", textwrap.dedent("""
            import sys
            from hawork.core.failures import blame
            from hawork.job.entry_point import load_entry_point
            try:
                load_entry_point("job:build", sys.argv[1])
            except Exception as error:
                print(type(error).__name__, blame(error))
        """), str(tmp_path / "task")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout.split() == ["ArtifactError", IMPORTS[source].value]


def test_a_disk_that_is_full_while_an_artifact_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "package").write_text("a file where a directory should be")
    with pytest.raises(ArtifactError) as caught:
        unpack_artifact(pack_artifact({"package/__init__.py": ""}), tmp_path)
    assert blame(caught.value) is Blame.ENVIRONMENT


def test_folders_of_input_and_output_that_are_away(tmp_path: Path) -> None:
    with pytest.raises(HaworkError) as caught:
        _open_input(str(tmp_path / "input.csv"))
    assert blame(caught.value) is Blame.ENVIRONMENT
    writer = FileSink(tmp_path / "out").open(SubtaskContext(JobID("a" * 32), 0, 1, "a1"))
    with pytest.raises(HaworkError) as caught:
        writer.restore(1, ["0-a1-1.jsonl -> part-00000-0000000001-1.jsonl"])
    assert "is gone" in str(caught.value)
    assert blame(caught.value) is Blame.ENVIRONMENT


def test_an_unpacked_artifact_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file") as caught:
        load_entry_point("job:build", tmp_path / "task")
    assert blame(caught.value) is Blame.ENVIRONMENT
