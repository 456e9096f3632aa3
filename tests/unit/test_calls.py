"""What a learner mistypes is one sentence; it names the method, the argument and what it takes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas
import pytest

from hawork.client.submission import make_submission
from hawork.client.waiting import Waiting
from hawork.core import one_sentence
from hawork.core.errors import HaworkError, JobSubmissionError, LabError, WrongArgumentError
from hawork.lab import LabCluster, flights, judge, open_bundle, replay, store_changes
from hawork.lab.job import Job

SENTENCES = {
    "LabCluster has no argument job_manager: did you mean job_managers?": lambda: LabCluster(
        job_manager=3
    ),
    "LabCluster: job_managers is '3', of type str: give it as int": lambda: LabCluster(
        job_managers=any_("3")
    ),
    "LabCluster: ha is None, of type NoneType: give it as str": lambda: LabCluster(ha=any_(None)),
    "LabCluster: options is ['a'], of type list: give it as Mapping[str, Any] | None": (
        lambda: LabCluster(options=any_(["a"]))
    ),
    "LabCluster: directory is 3, of type int: give it as Path | str | None": lambda: LabCluster(
        directory=any_(3)
    ),
    "LabCluster: too many positional arguments; LabCluster takes job_managers, task_managers, "
    "ha, directory, options, slots, supervisor, keep, store_servers": lambda: LabCluster(
        *any_([1, 1, "embedded", None, None, 2, True, True])
    ),
    "Waiting.wait: timeout is '3 s', of type str: give it as float | None": lambda: Waiting(
        "it", lambda: 1
    ).wait(any_("3 s")),
    "open_bundle: path is 3, of type int: give it as Path | str": lambda: open_bundle(any_(3)),
    "replay: run is 3, of type int: give it as Recorded | Sequence[Event] | Path | str": (
        lambda: replay(any_(3))
    ),
    "judge: 3 is not an event: hand in lab.event_list(), or what hawork.read_events gives": (
        lambda: judge(any_([3]))
    ),
    "store_changes: before is 3, of type int: give it as pandas.DataFrame": (
        lambda: store_changes(any_(3), pandas.DataFrame())
    ),
    "judge: events is 3, of type int: give it as Iterable[Event]": lambda: judge(any_(3)),
}


def any_(value: object) -> Any:
    """A value that a type checker would refuse here."""
    return value


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_wrong_argument_is_one_sentence(sentence: str) -> None:
    with pytest.raises(WrongArgumentError) as refused:
        SENTENCES[sentence]()
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("verb", "arguments", "sentence"),
    [
        ("kill", {"process": "jm-1"}, "LabCluster.kill has no argument process: "
         "LabCluster.kill takes target"),
        ("resume", {}, "LabCluster.resume: missing a required argument: 'target'; "
         "LabCluster.resume takes target"),
        ("submit", {"job": len}, "LabCluster.submit: job is <built-in function len>, of type "
         "builtin_function_or_method: give it as str | Path"),
        ("submit", {"job": "a.py:b", "paralelism": 2},
         "LabCluster.submit has no argument paralelism: did you mean parallelism?"),
        ("wait_for_leader", {"other_than": 3},
         "LabCluster.wait_for_leader: other_than is 3, of type int: give it as str | Event | None"),
        ("verdict", {"output": 3}, "LabCluster.verdict: output is 3, of type int: give it as "
         "Comparison | None"),
        ("events", {"kind": "fault"}, "LabCluster.events has no argument kind: "
         "LabCluster.events takes no argument"),
    ],
)  # fmt: skip
def test_so_it_is_for_the_verbs_of_a_lab(
    verb: str, arguments: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(WrongArgumentError) as refused:
        getattr(LabCluster, verb)(LabCluster.__new__(LabCluster), **arguments)
    assert str(refused.value) == sentence


def test_and_for_a_job() -> None:
    with pytest.raises(WrongArgumentError, match=r"^Job.running: records is '100', of type str"):
        Job.running(Job.__new__(Job), any_("100"))


def test_a_job_is_not_its_output() -> None:
    with pytest.raises(LabError, match=r"^3 is not the output of a job .*: hand in job.output"):
        flights.compare(3)


def test_numbers_of_numpy_are_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    assert Waiting("it", lambda: 1).wait(numpy.float64(3)) == 1


@pytest.mark.parametrize("config", [{"a": object()}, {1: {2, 3}}, {"a": [b"x"]}])
def test_a_config_that_json_cannot_hold_names_its_key(config: Any, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("")
    with pytest.raises(JobSubmissionError, match=rf"{next(iter(config))!r} is .* JSON cannot hold"):
        make_submission(f"{tmp_path / 'job.py'}:f", config)


# --- what a notebook shows ---------------------------------------------------------------
def raised(cell: str) -> HaworkError:
    """The error of a cell, as the notebook runs it."""
    scope = {"__name__": "__main__", "LabError": LabError}
    try:
        exec(compile(cell, "<cell>", "exec"), scope)
    except HaworkError as error:
        return error
    raise AssertionError("the cell raised nothing")


def test_a_cell_shows_the_sentence_and_nothing_below_it() -> None:
    try:
        raise raised("def deep():\n    raise LabError('no such process: name one')\ndeep()")
    except HaworkError as error:
        shown = error._render_traceback_()
    assert len(shown) == 2
    assert "LabError\x1b[0m: no such process: name one" in shown[0]
    assert one_sentence.ON_REQUEST in shown[1]


def test_the_traceback_is_shown_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    error = raised("raise LabError('no')")
    assert "Traceback" in error._render_traceback_()[0], "%tb asks after the cell"
    monkeypatch.setenv("HAWORK_DEBUG", "1")
    try:
        raise error
    except HaworkError:
        assert "Traceback" in error._render_traceback_()[0]


def test_an_interrupted_wait_is_one_sentence_and_still_a_cancellation() -> None:
    """``asyncio.timeout`` and task groups know it by its type."""

    async def cell() -> BaseException:
        waiting = asyncio.ensure_future(_awaited(Waiting("the end of time", lambda: None)))
        await asyncio.sleep(0)
        waiting.cancel()
        try:
            await waiting
        except asyncio.CancelledError as error:
            assert type(error) is asyncio.CancelledError
            return error
        raise AssertionError("it was not cancelled")

    assert "stopped waiting for the end of time: run the cell again" in str(asyncio.run(cell()))


def test_an_interrupted_call_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    def look() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="stopped waiting for it: run the cell") as stopped:
        Waiting("it", look).wait()
    ask: Any = stopped.value
    try:
        raise ask
    except KeyboardInterrupt:
        assert "Interrupted" in ask._render_traceback_()[0]


async def _awaited(waiting: Waiting[None]) -> None:
    await waiting


def test_a_wait_within_a_timeout_of_asyncio_times_out() -> None:
    async def cell() -> None:
        async with asyncio.timeout(0.01):
            await Waiting("it", lambda: None)

    with pytest.raises(TimeoutError):
        asyncio.run(cell())


# --- labs that still run -----------------------------------------------------------------
def test_a_second_lab_is_told_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    from hawork.lab import closing

    shown: list[Any] = []
    first: Any = SimpleNamespace(close=lambda: None)
    second: Any = SimpleNamespace(close=lambda: None)
    child: Any = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=30 << 20))
    monkeypatch.setattr(closing, "_open", [first, second])
    monkeypatch.setattr(closing, "show", shown.append)
    monkeypatch.setattr(
        closing.psutil, "Process", lambda: SimpleNamespace(children=lambda recursive: [child] * 7)
    )
    closing.tell_running(second)
    assert shown == [], "outside a notebook it is a script's own affair"
    monkeypatch.setattr(closing, "in_notebook", lambda: True)
    closing.tell_running(second)
    (told,) = shown
    assert (
        "still runs 1 lab from before: SimpleNamespace (7 processes, 210 MB)" in told["text/plain"]
    )
    assert "from hawork.lab import reset; reset()" in told["text/plain"]
    monkeypatch.setattr(closing, "_open", [second])
    closing.tell_running(second)
    assert len(shown) == 1
