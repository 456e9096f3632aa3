"""Every check, and wrong answers to it: none is ticked, and each gets a sentence that helps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pandas
import pytest
from lab_story import JOB, Story, killed_leader, paused_leader

from hawork import lessons
from hawork.core import options
from hawork.core.events import EventKind
from hawork.lab import flights
from hawork.lessons import (
    Check,
    TinyConfigMap,
    check_awakening,
    check_exactly_once,
    check_fencing,
    check_incident,
    check_lock,
    check_restart,
    check_results,
    check_retrieval,
    check_submission,
    check_timeouts,
    check_tolerance,
    check_unseen_death,
)
from hawork.lessons.incidents import HINTS
from hawork.story.comparison import Exactness
from hawork.story.timeline import Timeline
from hawork.story.verdict import judge

EXACT = flights.Comparison(records=9, groups=1, lost=0, duplicated=0, different=0)
THE_JOB: Any = SimpleNamespace(job_id=JOB, output=lambda: None)
Asked = Callable[[], Check]


@pytest.fixture(autouse=True)
def compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flights, "compare", lambda output: EXACT)


def lab_of(story: Story, jobs: tuple[Any, ...] = (), left: str = "", **values: Any) -> Any:
    """What a check sees of a lab with these events and options."""
    results = [
        {"job_id": event.job_id, "state": event.facts.get("state")}
        for event in story.events
        if event.kind is EventKind.JOB_RESULT
    ]
    frame = pandas.DataFrame(results[-1:], columns=["job_id", "state"])
    return SimpleNamespace(
        event_list=lambda: story.events,
        timeline=lambda: Timeline.of(story.events),
        verdict=lambda: judge(story.events),
        config=options.checked({"high-availability.type": "embedded", **values}),
        jobs=list(jobs),
        job_results=lambda: frame,
        storage_tree=lambda: pandas.DataFrame({"path": [left]}),
    )


def run_of_a_job(
    *, killed: str = "tm-1", end: str = "SUCCEEDED", reason: str = "", leaders: int = 1
) -> Story:
    """jm-1 leads and runs a job on tm-1; a process is killed, and the job goes on."""
    story = Story().started(0.0, "jm-1", "jm-2", "tm-1", "tm-2").leads(0.5, "jm-1")
    story.add(
        1.0, "jm-1", EventKind.TASK_STATUS, job_id=JOB, index=0, status="RUNNING",
        taskmanager="tm-1", session_id="1" * 8,
    )  # fmt: skip
    last = "jm-1"
    status(story, 1.1, last, "RUNNING")
    story.fault(2.0, "kill", killed).died(2.01, killed)
    if leaders > 1:
        last = "jm-2"
        story.leads(2.2, last)
    status(story, 2.3, last, "RESTARTING")
    restored(story, 2.4, last)
    restored(story, 2.6, last)
    status(story, 2.7, last, "RUNNING")
    if end:
        if end == "FAILED":
            status(story, 4.9, last, "FAILED", reason=reason)
        story.add(
            5.0, last, EventKind.JOB_RESULT, job_id=JOB, application_status=end, state="dirty",
            session_id=last[-1] * 8,
        )  # fmt: skip
    return story


def status(story: Story, at: float, process: str, word: str, reason: str = "") -> None:
    story.add(
        at, process, EventKind.JOB_STATUS, job_id=JOB, status=word, reason=reason,
        session_id=process[-1] * 8,
    )  # fmt: skip


def restored(story: Story, at: float, process: str) -> None:
    story.add(
        at, process, EventKind.JOB_RESTORED, job_id=JOB, checkpoint_id=4,
        session_id=process[-1] * 8,
    )  # fmt: skip


def table(check: Any, *rows: tuple[Callable[[], Any], str]) -> list[Any]:
    assert len(rows) >= 6, f"{check.__name__}: six wrong answers, or more"
    return [
        pytest.param(check, ask, said, id=f"{check.__name__}-{number}")
        for number, (ask, said) in enumerate(rows)
    ]


ANSWERS = {"changes of the leader": 0, "restarts of the job": 1, "flights lost or doubled": 0}


def restart(
    story: Story | None = None, job: Any = THE_JOB, answers: Any = ANSWERS, **more: Any
) -> Any:
    return check_restart(lab_of(run_of_a_job() if story is None else story, **more), job, answers)


def unanswered(step: str = "submit.acknowledged", end: str = "SUCCEEDED") -> Story:
    story = Story().started(0.0, "jm-1", "jm-2", "tm-1").leads(0.5, "jm-1")
    story.job(1.0, "jm-1", "CREATED")
    if step:
        story.add(1.1, "jm-1", EventKind.STEP_ARMED, job_id=JOB, step=step, action="crash")
    story.died(1.2, "jm-1").leads(1.3, "jm-2").job(1.5, "jm-2", "RUNNING")
    if end == "FAILED":
        status(story, 4.0, "jm-2", "FAILED", "KeyError: 'dep_delay'")
    return story.add(
        5.0, "jm-2", EventKind.JOB_RESULT, job_id=JOB, application_status=end, state="dirty"
    )


def submission(
    story: Story | None = None, job: Any = THE_JOB, counted: Any = "once", **more: Any
) -> Any:
    return check_submission(lab_of(story or unanswered(), **more), job, counted)


def once(story: Story | None = None, job: Any = THE_JOB, output: Any = EXACT) -> Any:
    story = story or run_of_a_job(leaders=2)
    return check_exactly_once(lab_of(story), job, output)


def cleaned(step: str = "cleanup.artifacts_removed", *, clean: bool = True) -> Story:
    story = run_of_a_job(end="")
    story.add(
        5.0, "jm-1", EventKind.JOB_RESULT, job_id=JOB, application_status="SUCCEEDED",
        state="dirty", session_id="1" * 8,
    )  # fmt: skip
    if step:
        story.add(5.1, "jm-1", EventKind.STEP_ARMED, job_id=JOB, step=step, action="crash")
    story.died(5.2, "jm-1").leads(5.3, "jm-2")
    if clean:
        story.add(
            5.6, "jm-2", EventKind.JOB_RESULT, job_id=JOB, application_status="SUCCEEDED",
            state="clean", session_id="2" * 8,
        )  # fmt: skip
    return story


def incident(**answers: Any) -> Any:
    right = {"process": "jm-1", "what": "paused", "restored": 4, "damaged": None}
    case: Any = SimpleNamespace(answers=lambda: right, hints=HINTS)
    return check_incident(case, {**right, **answers})


def awakening(seconds: Any = 0.1, story: Story | None = None) -> Any:
    return check_awakening(lab_of(story or paused_leader()), seconds)


BLIND = {"hawork.supervisor": False, "high-availability.embedded.crash-detection": False}
OWN = lab_of(killed_leader(), **BLIND)
TOLERANT = {
    "high-availability.type": "zookeeper",
    "high-availability.zookeeper.client.tolerate-suspended-connections": True,
}


def cut_off(*states: str, name: str = "jm-1") -> Story:
    story = Story().started(0.0, "jm-1", "jm-2").leads(0.5, "jm-1")
    story.fault(1.0, "partition", name, how="cut").fault(1.2, "heal", "store")
    for number, state in enumerate(states):
        story.add(1.1 + number / 10, name, EventKind.STORE_CONNECTION, state=state)
    return story


CUT_OFF = lab_of(cut_off("SUSPENDED", "RECONNECTED"), **TOLERANT)
PREFIX = "high-availability.embedded.leader-election."


def timeouts(**chosen: Any) -> Any:
    good = {"retry-period": "1 s", "renew-deadline": "8 s", "lease-duration": "9 s"}
    named = {key.replace("_", "-"): value for key, value in chosen.items()}
    return check_timeouts({PREFIX + k: v for k, v in {**good, **named}.items()}, survives=6, gap=10)


def finding(find: Any) -> Any:
    """Asks about a lab whose leader is at port 1, and after a kill at port 2."""
    addresses = iter(("http://127.0.0.1:1", "http://127.0.0.1:2"))
    fault = SimpleNamespace(facts={"target": "jm-1"})
    now = {"address": ""}

    def wait_for_leader(**_: Any) -> Any:
        now["address"] = next(addresses)
        return SimpleNamespace(wait=lambda: "jm")

    lab: Any = SimpleNamespace(
        event_list=list, wait_for_leader=wait_for_leader, config=now, kill=lambda name: fault,
        restart=lambda name: None,
        leader_information=lambda: SimpleNamespace(address=now["address"]),
    )  # fmt: skip
    return check_retrieval(lab, find)


def raising(*_: Any) -> Any:
    raise KeyError("leader")


async def later(*_: Any) -> bool:
    return True


def writing(condition: Callable[[Any, str, str, Any], Any]) -> Any:
    def write(store: Any, session_id: str, name: str, value: Any) -> bool:
        if condition(store, session_id, name, value):
            return False
        store["data"][name] = value
        return True

    return lambda: check_fencing(write)


def taking(decide: Callable[[TinyConfigMap, str], Any]) -> Any:
    return lambda: check_lock(decide)


def blind(config_map: TinyConfigMap, me: str) -> bool:
    return config_map.replace(config_map.read()[0], me)


def no_second_try(config_map: TinyConfigMap, me: str) -> bool:
    version, holder = config_map.read()
    return holder is None and config_map.replace(version, me)


def also(change: str, value: Any = 0) -> dict[str, Any]:
    return {**ANSWERS, change: value}


WRONG = [
    *table(
        check_restart,
        (lambda: restart(answers=None), "changes of the leader: no answer yet; compare lab.lea"),
        (lambda: restart(answers=[0, 1, 0]), "the answers are a list: write a dict"),
        (lambda: restart(answers=also("restart of the job")),
         "'restart of the job' is not a question here: did you mean 'restarts of the job'?"),
        (lambda: restart(answers=also("changes of the leader", 1)), "changes of the leader: not 1"),
        (lambda: restart(answers=also("restarts of the job", True)), "restarts of the job: not Tr"),
        (lambda: restart(answers=also("flights lost or doubled", "many")), "doubled: not 'many'"),
        (lambda: restart(run_of_a_job(leaders=2), jobs=(THE_JOB,)), "this is the job from above"),
        (lambda: restart(run_of_a_job(killed="tm-2"), jobs=(THE_JOB,)), "the job from above"),
        (lambda: restart(job=JOB), "this is a job's id: hand in the job itself"),
        (lambda: restart(job=None), "the job was submitted again: none is given yet"),
        (lambda: restart(run_of_a_job(end="FAILED", reason="ValueError: no number 'NA'")),
         "the job has finished: it is FAILED, because ValueError: no number 'NA'"),
        (lambda: restart(run_of_a_job(end="")), "the job has finished: it is RUNNING"),
        (lambda: check_restart(None, THE_JOB, ANSWERS), "None is not a lab"),
    ),
    *table(
        check_submission,
        (lambda: submission(unanswered(step=""), jobs=(THE_JOB,)), "this is the job from above"),
        (lambda: submission(unanswered(step="")), "✗ another one has the job"),
        (lambda: submission(unanswered(step="submit.graph_written")), "it crashed at submit.graph"),
        (lambda: submission(job=JOB), "this is a job's id: hand in the job itself"),
        (lambda: submission(counted="twice"), "each flight is counted: not 'twice'"),
        (lambda: submission(counted=2), "each flight is counted: not '2'"),
        (lambda: submission(counted=None), "each flight is counted: no answer yet"),
        (lambda: submission(unanswered(end="FAILED")), "it is FAILED, because KeyError: 'dep_d"),
        (lambda: submission(job=42), "42 is not a job: hand in what lab.submit returned"),
    ),
    *table(
        check_exactly_once,
        (lambda: once(job=None), "a job was submitted: none is given yet"),
        (lambda: once(job=JOB), "this is a job's id"),
        (lambda: once(output=None), "its output is exact: it has not been compared"),
        (lambda: once(output=pandas.DataFrame()), "a DataFrame is not a comparison"),
        (lambda: once(output=Exactness(9, 1, 0)), "its output is exact: NOT exact: 9 records, 1 l"),
        (lambda: once(output=Exactness(9, 0, 0, job_id="f" * 32)), "the comparison of another job"),
        (lambda: once(output=Exactness(0, 0, 0)), "nothing was compared with nothing"),
        (lambda: once(run_of_a_job()), "✗ the job ran under two leaders"),
        (lambda: once(run_of_a_job(leaders=2, killed="tm-2")), "✗ a TaskManager that ran the job"),
        (lambda: once(run_of_a_job(leaders=2, end="FAILED", reason="no space")),
         "it has ended: it is FAILED, because no space"),
    ),
    *table(
        check_results,
        (lambda: check_results(lab_of(cleaned()), None), "a job was submitted: none is given yet"),
        (lambda: check_results(lab_of(cleaned()), JOB), "this is a job's id"),
        (lambda: check_results(lab_of(cleaned("cleanup.checkpoints_removed")), THE_JOB),
         "it crashed at cleanup.checkpoints_removed"),
        (lambda: check_results(lab_of(cleaned("")), THE_JOB), "and no sooner: none has crashed"),
        (lambda: check_results(lab_of(cleaned(clean=False)), THE_JOB), "✗ another leader marked"),
        (lambda: check_results(lab_of(cleaned(), left=f"jobs/{JOB}/a"), THE_JOB), "✗ nothing else"),
        (lambda: check_results(lab_of(Story()), THE_JOB), "it is clean (found: [])"),
    ),
    *table(
        check_incident,
        (lambda: incident(process="jm-2"), "process: not 'jm-2'; look for a process that ended"),
        (lambda: incident(what="killed"), "what: not 'killed'"),
        (lambda: incident(restored="3"), "restored: not '3'"),
        (lambda: incident(restored=None), "restored: no answer yet"),
        (lambda: incident(damaged=3), "damaged: not 3"),
        (lambda: incident(damaged="?"), "damaged: no answer yet"),
        (lambda: incident(proces="jm-1"), "'proces' is not a question here: did you mean"),
        (lambda: incident(restored=pandas.Series([4])), "restored: not 0    4"),
        (lambda: check_incident(None, {}), "this cannot be checked"),
    ),
    *table(
        check_timeouts,
        (lambda: check_timeouts(None, survives=6, gap=10), "none is given yet"),
        (lambda: timeouts(renew_deadline=8), "8 has no unit, and Flink reads it as ms; write"),
        (lambda: timeouts(renew_deadline="8"), "'8' has no unit"),
        (lambda: timeouts(renew_dead_line="8 s"), "did you mean 'high-availability.embedded."),
        (lambda: timeouts(lease_duration="10 s"), "✗ a silent leader is followed after at most"),
        (lambda: timeouts(renew_deadline="6 s"), "✗ a pause of 5 s is survived"),
        (lambda: timeouts(retry_period="3 s"), "3 are wanted"),
        (lambda: timeouts(lease_duration="7 s"), "the options are refused"),
        (lambda: timeouts(lease_duration=True), "True is not a duration"),
        (lambda: timeouts(lease_duration="soon"), "the options are refused"),
        (lambda: check_timeouts([9, 8, 1], survives=6, gap=10), "the answers are a list"),
    ),
    *table(
        check_unseen_death,
        (lambda: check_unseen_death(None), "✗ another lab was started"),
        (lambda: check_unseen_death(lab_of(Story(), **BLIND)), "this one was never started"),
        (lambda: check_unseen_death(OWN, OWN), "this is the lesson's own lab"),
        (lambda: check_unseen_death(lab_of(killed_leader())), "✗ no supervisor gives up"),
        (lambda: check_unseen_death(lab_of(paused_leader(), **BLIND)), "✗ its leader was killed"),
        (lambda: check_unseen_death("jm-1"), "'jm-1' is not a lab"),
    ),
    *table(
        check_tolerance,
        (lambda: check_tolerance(None), "✗ another lab was started"),
        (lambda: check_tolerance(lab_of(Story(), **TOLERANT)), "this one was never started"),
        (lambda: check_tolerance(CUT_OFF, CUT_OFF), "this is the lesson's own lab"),
        (lambda: check_tolerance(lab_of(cut_off("SUSPENDED", "RECONNECTED"))), "✗ it tolerates a"),
        (lambda: check_tolerance(lab_of(cut_off(), **TOLERANT)), "✗ the connection was suspended"),
        (lambda: check_tolerance(lab_of(cut_off("SUSPENDED", "LOST"), **TOLERANT)), "✗ and came b"),
        (lambda: check_tolerance(lab_of(cut_off("SUSPENDED", name="jm-2"), **TOLERANT)),
         "✗ its leader was cut off from the store"),
    ),
    *table(
        check_awakening,
        (lambda: awakening(None), "seconds in which it still believed: no answer yet; in seconds"),
        (lambda: awakening(2.1), "not 2.1"),
        (lambda: awakening("a moment"), "not 'a moment'"),
        (lambda: awakening(True), "not True"),
        (lambda: awakening(story=Story().leads(0.5, "jm-1")), "✗ the leader was paused"),
        (lambda: awakening(story=Story().leads(0.5, "jm-1").fault(1, "pause", "jm-2")),
         "the leader was paused: jm-2 was a standby; jm-1 led"),
        (lambda: awakening(story=Story().leads(0.5, "jm-1").fault(1, "pause", "jm-1")),
         "0.1 cannot be judged yet"),
        (lambda: check_awakening("lab", 0.1), "'lab' is not a lab"),
    ),
    *table(
        check_retrieval,
        (lambda: finding(lambda config: None), "the leader's address: it returned None"),
        (lambda: finding(lambda config: "http://127.0.0.1:1"), "after a kill it returns the new l"),
        (lambda: finding(lambda config: config), "it returned {'address'"),
        (lambda: finding(raising), "it raised KeyError: 'leader'"),
        (lambda: finding(later), "it is async: write def, not async def"),
        (lambda: finding("http://127.0.0.1:1"), "hand in the function itself, without calling it"),
        (lambda: check_retrieval(None, raising), "None is not a lab"),
    ),
    *table(
        check_fencing,
        (writing(lambda store, session_id, name, value: session_id < store["leader"]),
         "a write of a deposed leader changes nothing: session"),
        (writing(lambda store, session_id, name, value: session_id > store["leader"]),
         "a write of a deposed leader changes nothing: session"),
        (writing(lambda store, session_id, name, value: value == 3), "of the leader"),
        (writing(lambda store, session_id, name, value: session_id == "A"), "leader A led to"),
        (writing(lambda store, session_id, name, value: session_id not in store["leader"]),
         "wrote checkpoint = 3"),
        (writing(lambda *_: False), "it returned True when"),
        (writing(lambda *_: True), "it returned False to the leader"),
        (lambda: check_fencing(lambda *_: None), "it returned None when"),
        (lambda: check_fencing(raising), "it raised KeyError: 'leader'"),
        (lambda: check_fencing(later), "it is async"),
        (lambda: check_fencing(None), "hand in the function itself"),
        (writing(lambda store, session_id, *_: store.update(leader=session_id)), "nothing: s"),
    ),
    *table(
        check_lock,
        (taking(blind), "a lock of another process is left alone: it returned True"),
        (taking(lambda *_: None), "a free lock is taken: it returned None"),
        (taking(lambda *_: True), "it returned True, and the holder is None"),
        (taking(no_second_try),
         "a free one is taken, though something else was written meanwhile: it"),
        (taking(raising), "it raised KeyError"),
        (taking(later), "it is async"),
        (lambda: check_lock(blind(TinyConfigMap(), "A")), "it is True: hand in the function"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("check", "ask", "said"), WRONG)
def test_a_wrong_answer_is_refused_with_a_sentence(check: Any, ask: Asked, said: str) -> None:
    told = ask()
    assert not told.passed, str(told)
    refused = "\n".join(f"✗ {sentence}" for sentence, good in told.points if not good)
    assert said in refused, str(told)


def test_every_check_has_a_table() -> None:
    offered = {name for name in lessons.__all__ if name.startswith("check_")}
    # Code that a learner wrote: test_lesson_attack.py; HA data: test_lesson_calls.py.
    elsewhere = {"check_repair", "check_election", "check_save"}
    elsewhere |= {"check_bug", "check_call", "check_mended", "check_resume"}
    # test_lesson_operations.py:
    elsewhere |= {"check_alert", "check_cluster_timeouts", "check_last_state", "check_prepared"}
    tabled = {row.values[0].__name__ for row in WRONG} | elsewhere
    assert offered == tabled


ALIKE = [
    lambda: restart(answers={**ANSWERS, "restarts of the job": "1"}),
    lambda: restart(answers={**ANSWERS, "restarts of the job": 1.0}),
    lambda: restart(jobs=(SimpleNamespace(job_id="f" * 32), THE_JOB)),
    lambda: restart(jobs=(THE_JOB,)),  # a lab without the lesson's first job
    lambda: submission(counted="Once "),
    lambda: submission(counted=1),
    lambda: incident(what=" Paused", restored="4", process="JM-1"),
    lambda: incident(what="pause", restored="checkpoint 4", damaged="None"),
    lambda: incident(process="jm1", damaged="no"),
    lambda: once(),
    lambda: check_results(lab_of(cleaned()), THE_JOB),
    lambda: timeouts(lease_duration=timedelta(seconds=9), renew_deadline="8000 ms"),
    lambda: check_timeouts({"retry-period": "250 ms"}, survives=1, gap=3),
    lambda: check_unseen_death(OWN),
    lambda: check_tolerance(CUT_OFF, OWN),
    lambda: awakening("0.1 s"),
    lambda: finding(lambda config: config["address"] + "/"),
    writing(lambda store, session_id, name, value: store["leader"] != session_id),
]


@pytest.mark.parametrize("ask", ALIKE)
def test_what_means_the_same_is_accepted(ask: Asked) -> None:
    told = ask()
    assert told.passed, str(told)
