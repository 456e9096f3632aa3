"""Two jobs that name one output directory: the second is refused, by whatever way it comes."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hawork.core.errors import ConfigurationError, JobExecutionError
from hawork.core.failures import Blame, blame
from hawork.core.types import JobID
from hawork.job import FileSink, Pipeline, SequenceSource, SubtaskContext, read_output
from hawork.job.output_owner import OWNER, claim, release
from hawork.job.subtask import Subtask
from hawork.testing import ManualClock

A, B = JobID("a" * 32), JobID("b" * 32)
CLUSTER = "file:/ha/default"


def job(
    job_id: JobID, index: int = 0, cluster: str = CLUSTER, stored: bool = True
) -> SubtaskContext:
    return SubtaskContext(job_id, index, 2, "a1", cluster, lambda _: stored)


def start(directory: Path, context: SubtaskContext) -> None:
    FileSink(directory).open(context).restore(None, ())


def refusal(directory: Path, context: SubtaskContext) -> str:
    with pytest.raises(ConfigurationError) as caught:
        start(directory, context)
    assert blame(caught.value) is Blame.JOB
    assert "\n" not in str(caught.value)
    return str(caught.value)


def straight(directory: Path) -> Path:
    return directory / "out"


def by_a_link(directory: Path) -> Path:
    (directory / "link").symlink_to(directory / "out")
    return directory / "link"


def by_dots(directory: Path) -> Path:
    return directory / "out" / ".." / "out"


def relative(directory: Path) -> Path:
    return Path(os.path.relpath(directory / "out"))


@pytest.mark.parametrize("way", [straight, by_a_link, by_dots, relative])
def test_the_second_job_is_refused(tmp_path: Path, way: Callable[[Path], Path]) -> None:
    start(tmp_path / "out", job(A))
    start(tmp_path / "out", job(A, index=1))
    second = way(tmp_path)
    assert f"{second.absolute()} belongs to job {A}" in refusal(second, job(B))
    start(second, job(A))
    assert os.listdir(tmp_path / "out") == [OWNER], "nothing of a try is left"


def test_of_jobs_that_start_together_one_gets_the_directory(tmp_path: Path) -> None:
    jobs = [JobID(f"{number:032x}") for number in range(1, 9)]
    together = threading.Barrier(len(jobs))
    got: list[JobID] = []

    def run(job_id: JobID) -> None:
        together.wait()
        try:
            start(tmp_path, job(job_id))
            got.append(job_id)
        except ConfigurationError:
            return

    threads = [threading.Thread(target=run, args=(each,)) for each in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    assert json.loads((tmp_path / OWNER).read_bytes())["job_id"] == got[0]


def test_a_job_that_is_over_holds_nothing(tmp_path: Path) -> None:
    """It failed: nothing in its processes could give the directory back."""
    start(tmp_path, job(A))
    assert "belongs to job" in refusal(tmp_path, job(B, cluster="file:/ha/another", stored=False))
    start(tmp_path, job(B, stored=False))
    assert "belongs to job" in refusal(tmp_path, job(A))


def test_a_job_that_ends_gives_its_directory_back(tmp_path: Path) -> None:
    """And not before: a subtask that has read all of its input is not the end of the job."""
    pipeline = Pipeline("few").source(SequenceSource(end=4)).sink(FileSink(tmp_path))
    subtask = Subtask(pipeline, job(A), clock=ManualClock())
    while subtask.advance() is not None:
        pass
    subtask.snapshot(1)
    subtask.notify_complete(1)
    assert (tmp_path / OWNER).exists()
    subtask.close()
    assert (tmp_path / OWNER).exists(), "it may be restored"
    subtask.close(discard=True)
    assert not (tmp_path / OWNER).exists()
    assert read_output(tmp_path) == [0, 2]
    assert "of another run" in refusal(tmp_path, job(B))
    assert not (tmp_path / OWNER).exists()


def test_output_of_an_earlier_version_has_no_owner(tmp_path: Path) -> None:
    (tmp_path / "part-00000-0000000001-1.jsonl").write_text("1\n")
    assert "of another run" in refusal(tmp_path, job(B))
    assert not (tmp_path / OWNER).exists()
    FileSink(tmp_path).open(job(A)).restore(1, ())
    with pytest.raises(ConfigurationError, match=f"belongs to job {A}"):
        FileSink(tmp_path).open(job(B)).restore(1, ())
    assert read_output(tmp_path) == [1], "a restore of one job removes nothing of the other"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"job_id": 7}', b"\xff" * 9000])
def test_an_owner_that_cannot_be_read_is_somebody(tmp_path: Path, content: bytes) -> None:
    (tmp_path / OWNER).write_bytes(content)
    assert "remove it if no job writes there" in refusal(tmp_path, job(A))
    release(tmp_path, A)
    assert (tmp_path / OWNER).read_bytes() == content


@pytest.mark.parametrize("kind", ["link", "loop", "fifo", "directory"])
def test_an_owner_that_is_no_file_is_not_followed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / OWNER
    if kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    assert OWNER in refusal(tmp_path, job(A))


def test_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert claim(tmp_path, job(A)) and not claim(tmp_path, job(A))
    assert "belongs to job" in refusal(tmp_path, job(B))


def test_a_directory_that_cannot_be_written_is_the_environments_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(JobExecutionError, match="No space left") as caught:
        start(tmp_path, job(A))
    assert blame(caught.value) is Blame.ENVIRONMENT
    assert os.listdir(tmp_path) == []
