"""What learners answer wrongly about alerts, upgrades and timeouts, and the sentence they get."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

from hawork.core.errors import LabError
from hawork.lessons import (
    check_alert,
    check_cluster_timeouts,
    check_last_state,
    check_prepared,
    ha_data,
    looks,
    operator_sees,
    try_timeouts,
)
from hawork.lessons.ha_data import HaData
from tests.recorded_facts import opened

NOTEBOOKS = Path(__file__).resolve().parent.parent.parent / "notebooks"
SIGNALS = opened("failover-signals")


def age(look: Any, most: float) -> bool:
    return look["checkpoint_age"] is None or look["checkpoint_age"] > most


# --- an alert -------------------------------------------------------------------------------
WRONG_ALERTS: list[tuple[Any, str]] = [
    (None, "it is None: hand in the function itself"),
    (lambda look: None, "it returned None: return True or False"),
    (lambda look: "RUNNING", "it returned 'RUNNING': return True or False"),
    (lambda look: look["age"] > 10, "it raised KeyError: 'age', with rest"),
    (lambda look: look["checkpoint_age"] > 10, "it raised TypeError"),
    (lambda look: False, "the leader is killed: it fires within 15 s; it is silent"),
    (lambda look: True, "it fired in 5 of 5 looks"),
    (lambda look: look["status"] != "RUNNING", "a TaskManager hangs: it fires within 30 s; it is"),
    (lambda look: look["running_jobs"] != 1, "a TaskManager hangs: it fires within 30 s; it is"),
    (lambda look: 200 not in look["rest"].values(), "and until a hand helps; at the end it is"),
    (lambda look: set(look["rest"].values()) != {200}, "healthy again from 56 s on: it is silent;"),
    (lambda look: look["task_managers"] == 0, "the leader is killed: it fires within 15 s; it is"),
    (lambda look: age(look, 2.5), "healthy from 0 s on: it is silent; it fired in 2 of 5"),
    (lambda look: age(look, 40), "a TaskManager hangs: it fires within 30 s; it fired after"),
    (lambda look: "healthy" not in look["phase"], "it raised KeyError: 'phase'"),
    (lambda look: int(look["metrics"]["numRestarts"]) > 0, "it raised KeyError: 'numRestarts'"),
    (lambda look: look.running_jobs != 1, "it raised AttributeError"),
    (lambda: True, "it raised TypeError"),
    (lambda look: "False", "it returned 'False': return True or False"),
    (True, "it is True: hand in the function itself, without calling it"),
    (lambda look: look["rest"].clear() is None, "it fired in 5 of 5 looks"),
]


@pytest.mark.parametrize(("alert", "said"), WRONG_ALERTS)
def test_an_alert_that_is_not_enough(alert: Any, said: str) -> None:
    told = check_alert(SIGNALS, alert)
    assert not told.passed
    assert said in str(told), str(told)


def test_an_alert_may_be_written_in_several_ways() -> None:
    assert check_alert(SIGNALS, lambda look: age(look, 10) or look["running_jobs"] != 1).passed
    assert check_alert(SIGNALS, lambda look: int(age(look, 20))).passed
    assert check_alert(SIGNALS, lambda look: numpy.bool_(age(look, 20))).passed
    stuck = lambda look: look["status"] != "RUNNING" or age(look, 10)  # noqa: E731
    assert check_alert(SIGNALS, stuck).passed
    assert "write check_alert(run, alert)" in str(check_alert(stuck, SIGNALS))  # type: ignore[arg-type]
    assert looks(SIGNALS)["seconds"].is_monotonic_increasing


# --- an upgrade -----------------------------------------------------------------------------
@pytest.fixture
def data() -> Iterator[HaData]:
    copy = ha_data("whole-kubernetes", NOTEBOOKS / "cases")
    yield copy
    copy.close()


JOB, OTHER = "b273d150f8e57dfe7887a0e38b09fefe", "f6089ac08cb7aed6044c4fc544602e9c"
CLUSTER_MAP, JOB_MAP = "flights-prod-cluster-config-map", f"flights-prod-{JOB}-config-map"
RIGHT = {
    "nothing": "goes on", "the cluster's ConfigMap": "goes on",
    "the ConfigMap of one job": "goes on", "the ConfigMaps of all jobs": "refuses",
    "storageDir": "goes on",
}  # fmt: skip
WRONG_STATES: list[tuple[Any, str]] = [
    (None, "nothing: no answer yet; remove it from the copy and ask operator_sees(data)"),
    ({**RIGHT, "nothing": "refuses"}, "nothing: not 'refuses'"),
    ({**RIGHT, "the cluster's ConfigMap": "no"}, "the cluster's ConfigMap: not 'no'"),
    ({**RIGHT, "the ConfigMap of one job": False}, "the ConfigMap of one job: not False"),
    ({**RIGHT, "the ConfigMaps of all jobs": "goes on"}, "the ConfigMaps of all jobs: not 'goes"),
    ({**RIGHT, "storageDir": "?"}, "storageDir: no answer yet"),
    ({**RIGHT, "storagedir": "refuses"}, "'storagedir' is not a question here"),
    (["goes on"], "the answers are a list: write a dict"),
]


@pytest.mark.parametrize(("answers", "said"), WRONG_STATES)
def test_what_the_operator_does_not_do(answers: Any, said: str, data: HaData) -> None:
    told = check_last_state(data, answers)
    assert not told.passed
    assert said in str(told), str(told)
    assert data.held() == data.found


def test_what_the_operator_looks_at(data: HaData) -> None:
    assert check_last_state(data, RIGHT).passed
    assert check_last_state(data, {**RIGHT, "nothing": " Yes"}).passed
    said = {**RIGHT, "storageDir": "It goes on", "the ConfigMaps of all jobs": "refused"}
    assert check_last_state(data, said).passed
    for each in (JOB, OTHER, "f9f72f93148ada67d92ccb88ebd007ec"):
        for key in [name for name in data.held().store if f"{each}-config-map[check" in name]:
            data.remove(f"flights-prod-{each}-config-map", key.partition("[")[2].rstrip("]"))
    assert operator_sees(data) == {"HA metadata available": True, "a checkpoint in it": False}
    told = check_last_state(data, RIGHT)
    assert "the copy was changed: data.undo() brings everything back" in str(told)


def test_the_question_is_asked_of_kubernetes() -> None:
    copy = ha_data("whole-zookeeper", NOTEBOOKS / "cases")
    with pytest.raises(LabError, match="this copy is of ZooKeeper"):
        operator_sees(copy)
    copy.close()


def graph(data: HaData, job: str = JOB) -> None:
    data.remove(CLUSTER_MAP, f"jobGraph-{job}")


def both(*deeds: Callable[[HaData], None]) -> Callable[[HaData], None]:
    return lambda data: [deed(data) for deed in deeds][-1]


NOT_PREPARED: list[tuple[Callable[[HaData], None], str]] = [
    (lambda data: None, "is there: a JobManager would start the old version"),
    (lambda data: graph(data, OTHER), f"the other jobs are untouched: {OTHER} is gone"),
    (lambda data: data.remove(CLUSTER_MAP), "and 1 more; data.undo() brings it back"),
    (lambda data: data.remove(JOB_MAP), "would start the old version"),
    (both(graph, lambda data: data.remove(JOB_MAP)), f"{JOB_MAP} is gone and 3 more"),
    (both(graph, lambda data: data.remove(JOB_MAP, "counter")), "[counter] is gone; data.undo()"),
    (both(graph, lambda data: data.write(JOB_MAP, b"1", "counter")), "is not as it was found"),
    (both(graph, lambda data: data.remove("ha")), "a file of storageDir is not as it was found"),
]


@pytest.mark.parametrize(("deed", "said"), NOT_PREPARED)
def test_what_is_not_prepared(deed: Callable[[HaData], None], said: str, data: HaData) -> None:
    deed(data)
    told = check_prepared(data, JOB)
    assert not told.passed
    assert said in str(told), str(told)


def test_one_key_prepares_an_upgrade(data: HaData) -> None:
    graph(data)
    assert check_prepared(data, JOB).passed
    assert check_prepared(data, JOB[:8].upper()).passed
    for given in ("x", "b273", None, OTHER[:5], "job-1"):
        told = check_prepared(data, given)  # type: ignore[arg-type]
        assert f"{given!r} is not a job of this copy: write one of {JOB}" in str(told)
    outcomes = {job: each.outcome for job, each in data.inspect().recovery.jobs.items()}
    assert outcomes[OTHER] == "restored" and outcomes[JOB] == "not-recovered"


# --- the timeouts of a cluster --------------------------------------------------------------
WANTED: dict[str, Any] = {"pause": 8, "found": 35, "collected": 45, "noticed": 70, "away": 120}
SESSION = "high-availability.zookeeper.client.session-timeout"
LEASE = "high-availability.kubernetes.leader-election"
CHOSEN: dict[str, Any] = {
    SESSION: "30 s", "heartbeat.timeout": "60 s", "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": 15, "restart-strategy.fixed-delay.delay": "10 s",
}  # fmt: skip
WRONG_TIMEOUTS: list[tuple[Any, str]] = [
    ({}, "a session of 60 s is asked for, and 40 s are granted; its servers grant 2 to 20 ticks"),
    ({}, "a TaskManager is kept after 40 s of silence in any case; 45 s are wanted"),
    ({**CHOSEN, SESSION: "12 s"}, "ZooKeeper: a pause of 4 s is survived in any case; 8 s"),
    ({**CHOSEN, SESSION: "40 s"}, "ZooKeeper: a hung leader is followed within 42 s; 35 s"),
    ({**CHOSEN, "tickTime": 500}, "a session of 30 s is asked for, and 10 s are granted"),
    ({**CHOSEN, "tickTime": "fast"}, "tickTime 'fast': it is not a duration"),
    ({**CHOSEN, "tickTime": 0}, "tickTime 0 is not a time"),
    ({**CHOSEN, f"{LEASE}.lease-duration": "30 s"}, "Kubernetes: a hung leader is followed within"),
    ({**CHOSEN, f"{LEASE}.renew-deadline": "10 s"}, "Kubernetes: a pause of 5 s is survived"),
    ({**CHOSEN, f"{LEASE}.renew-deadline": "20 s"}, "the options are refused"),
    ({**CHOSEN, "heartbeat.timeout": "90 s"}, "a hung TaskManager is noticed within 90 s; 70 s"),
    ({**CHOSEN, "heartbeat.timeout": 60}, "60 is not a duration with a unit: write '8 s'"),
    ({**CHOSEN, "heartbeat.timeout": None}, "None is not a duration with a unit"),
    ({**CHOSEN, "heartbeat.timeuot": "60 s"}, "did you mean 'heartbeat.timeout'?"),
    ({**CHOSEN, "restart-strategy.fixed-delay.attempts": 3}, "go on for 30 s, and then the job is"),
    ({**CHOSEN, "restart-strategy.type": "none"}, "go on for 0 s, and then the job is FAILED"),
    ("60 s", "the answers are a str: write a dict"),
    ({SESSION: "30 s", "heartbeat.timeout": "60 s"}, "exponential-delay; fixed-delay is wanted"),
    ({**CHOSEN, "restart-strategy.type": "exponential-delay"}, "fixed-delay is wanted"),
    ({**CHOSEN, "restart-strategy.fixed-delay.attempts": 11}, "go on for 110 s, and then the job"),
    ({**CHOSEN, "restart-strategy.fixed-delay.attempts": -1}, "write a whole number from 0"),
    ({**CHOSEN, SESSION: "PT30S"}, "write a whole number and a unit"),
]


@pytest.mark.parametrize(("chosen", "said"), WRONG_TIMEOUTS)
def test_timeouts_that_do_not_do(chosen: Any, said: str) -> None:
    told = check_cluster_timeouts(chosen, **WANTED, strategy="fixed-delay")
    assert not told.passed
    assert said in str(told), str(told)


def test_timeouts_that_do() -> None:
    assert check_cluster_timeouts(CHOSEN, **WANTED, strategy="fixed-delay").passed
    other = {**CHOSEN, SESSION: "30000 ms", "restart-strategy.type": "Fixed-Delay"}
    assert check_cluster_timeouts(other, **WANTED, strategy="fixed-delay").passed
    endless = {SESSION: "24 s", "heartbeat.timeout": "1 min", "tickTime": "2 s"}
    assert check_cluster_timeouts(endless, **WANTED).passed


def test_an_engine_that_lacks_a_backend_is_a_row_and_one_that_is_none_is_refused() -> None:
    row = try_timeouts("embedded", 2.0, "flink")
    assert (row["engine"], row["store"]) == ("flink", "embedded")
    assert "Flink has no embedded backend" in row["missing here"]
    with pytest.raises(LabError, match="engine='Flink' is not an engine: write 'hawork'"):
        try_timeouts("embedded", 2.0, "Flink")


def test_a_backend_that_is_none() -> None:
    with pytest.raises(LabError, match="ha='etcd' is not a backend: write 'embedded'"):
        try_timeouts("etcd", 2.0)
