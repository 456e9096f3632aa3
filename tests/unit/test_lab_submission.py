"""Sending a job while a reader looks at a held step, and verbs that are interrupted."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hawork.core.errors import JobNotFoundError, JobSubmissionError, RestError
from hawork.core.jobs import JobStatus
from hawork.core.types import JobID
from hawork.lab import LabCluster
from hawork.lab.damage import Damage
from hawork.lab.flink.attached import AttachedCluster
from hawork.lab.stores.kubernetes import KubernetesStore
from hawork.lab.submission import send, send_and_wait, submitted
from hawork.lessons.labs import cancel_earlier

JOB = JobID("a" * 32)
JOBS = Path(__file__).with_name("lab_jobs.py")


def test_a_submission_waits_as_long_as_a_step_is_held() -> None:
    tries: list[bool] = []

    def submit(again: bool) -> JobID:
        tries.append(again)
        if len(tries) < 3:
            raise RestError("no answer")
        return JOB

    sent: Future[JobID] = Future()
    send(submit, sent, held=lambda: ["a step"])
    assert sent.result() == JOB
    assert tries == [False, True, True]


@pytest.mark.parametrize(("status", "held"), [(0, []), (500, ["a step"])])
def test_other_errors_are_told_at_once(status: int, held: list[str]) -> None:
    def submit(again: bool) -> JobID:
        assert not again
        raise RestError("no", status)

    sent: Future[JobID] = Future()
    send(submit, sent, held=lambda: held)
    assert isinstance(sent.exception(), RestError)


@pytest.mark.parametrize(
    ("error", "kept"), [(JobSubmissionError("no such file"), False), (RestError("no answer"), True)]
)
def test_a_job_that_was_refused_is_none_and_one_without_an_answer_may_be_one(
    error: Exception, kept: bool
) -> None:
    def submit(_: bool) -> JobID:
        raise error

    jobs = ["an earlier one"]
    with pytest.raises(type(error)):
        submitted("mine", jobs, "delays", submit, Future(), wait=True)
    assert jobs == ["an earlier one", *(["mine"] if kept else [])]


def test_an_interrupted_submission_goes_on_and_its_job_is_there(tmp_path: Path) -> None:
    """The cluster ran it, and the reader had no way to it."""
    with LabCluster(1, 1) as lab:
        armed = lab.arm("submit.graph_written", "hold")

        def interrupt() -> None:
            armed.reached().wait()
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt, match=r"count is accepted: .* job = lab.jobs\[-1\]"):
            lab.submit(f"{JOBS}:count", {"end": 30, "output": tmp_path / "out"})
        thread.join()
        (job,) = lab.jobs
        assert job.accepted is None
        lab.proceed()
        assert job.acknowledged().wait() == job.job_id
        assert job.wait(30, progress=False).status is JobStatus.FINISHED
        assert job.output()["count"].sum() == 30


def test_a_notebook_is_told_for_what_a_submission_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step had been armed twice, and the cell that submitted next ran for ever."""
    told: list[Any] = []
    go_on = threading.Event()

    def show(thing: dict[str, str]) -> None:
        told.append(thing["text/plain"])
        go_on.set()

    monkeypatch.setattr("hawork.lab.submission.show", show)
    monkeypatch.setattr("hawork.lab.submission.in_notebook", lambda: True)
    monkeypatch.setattr("hawork.lab.submission._SILENT", 0.01)

    def submit(_: bool) -> JobID:
        assert go_on.wait(30)
        return JOB

    send_and_wait(submit, Future(), "mine", "", held=lambda: ["jm-1 stands at a step"])
    assert "No answer yet: jm-1 stands at a step. To let it go on, press Continue" in told[0]


def test_so_does_one_to_an_attached_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is interrupted names the id, which nothing else has."""
    begun, go_on, done = threading.Event(), threading.Event(), list[str]()

    def submit_work(_client: Any, _work: Any, _settings: Any, job_id: str) -> list[str]:
        begun.set()
        go_on.wait(30)
        done.append(job_id)
        return []

    monkeypatch.setattr("hawork.lab.flink.attached.submit_work", submit_work)
    view: Any = AttachedCluster.__new__(AttachedCluster)
    monkeypatch.setattr(AttachedCluster, "_check_open", lambda _: None)
    monkeypatch.setattr(AttachedCluster, "_check_writable", lambda *_: None)
    view._client = SimpleNamespace()

    def interrupt() -> None:
        begun.wait(30)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt) as stopped:
        view.submit("INSERT INTO a SELECT * FROM b")
    assert not done
    go_on.set()
    for thread in threading.enumerate():
        if thread.name == "hawork-submission":
            thread.join()
    assert done and done[0] in str(stopped.value)


class PaperJob:
    """A job of which the leader says this; its submission has come to this."""

    def __init__(self, status: JobStatus | Exception, accepted: bool | None = True) -> None:
        self.accepted = accepted
        self.canceled = False
        self._status = status

    def acknowledged(self) -> PaperJob:
        return self

    def wait(self) -> None:
        self.accepted = True

    @property
    def details(self) -> SimpleNamespace:
        assert self.accepted is not None, "it may arrive later, and keep its slots then"
        if isinstance(self._status, Exception):
            raise self._status
        return SimpleNamespace(status=self._status)

    def cancel(self) -> None:
        self.canceled = True


def test_a_cell_that_is_run_again_takes_the_slots_of_its_earlier_jobs() -> None:
    jobs = [
        PaperJob(JobNotFoundError("lost"), accepted=False),
        PaperJob(RestError("not found", 404)),
        PaperJob(JobStatus.FINISHED),
        PaperJob(JobStatus.RUNNING, accepted=None),
    ]
    lab: Any = SimpleNamespace(jobs=jobs)
    cancel_earlier(lab)
    assert [job.canceled for job in jobs] == [False, False, False, True]


def test_a_disk_whose_freeing_was_interrupted_is_freed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one who filled it was forgotten first, and the disk stayed full."""
    ends: list[Path] = []

    class Filler:
        def __init__(self, file: Path) -> None:
            self.file = file

        def fill(self) -> None:
            """Fills nothing."""

        start = fill

        def end(self) -> None:
            ends.append(self.file)
            if len(ends) == 1:
                raise KeyboardInterrupt

    monkeypatch.setattr("hawork.lab.damage._Filler", Filler)
    monkeypatch.setattr(Damage, "has_own_disk", lambda _, disk: True)
    damage = Damage(tmp_path, tmp_path / "aside", tmp_path / "scratch")
    damage.prepared_filling("storageDir")()
    with pytest.raises(KeyboardInterrupt):
        damage.prepared_freeing("storageDir")()
    damage.prepared_freeing("storageDir")()
    damage.prepared_freeing("storageDir")()
    assert len(ends) == 2


def test_a_cut_that_was_interrupted_is_healed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store: Any = KubernetesStore.__new__(KubernetesStore)
    healed: list[str] = []
    proxy = SimpleNamespace(heal=lambda: healed.append("jm-1"))
    store._cut_off = set()
    store.control_plane = SimpleNamespace(
        proxy=lambda _: proxy, resume=lambda: None, restart=lambda: None
    )

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hawork.lab.stores.kubernetes.break_network", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.partition("jm-1", "cut")()
    store.heal()()
    assert healed == ["jm-1"]
