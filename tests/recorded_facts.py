"""What each recording of real Flink must show; asked of the kept ones, and of those made anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hawork.core.events import EventKind
from hawork.lessons.recordings import noted, recording
from hawork.story.bundle import RunBundle
from hawork.story.failovers import failovers

FOLDER = Path(__file__).resolve().parent.parent / "notebooks" / "recordings"


def opened(name: str, folder: Path = FOLDER) -> RunBundle:
    return recording(name, folder)


def crash(run: RunBundle, least: float, most: float) -> None:
    """A timeout is paid before a leader is found, and more until there is progress."""
    (first, *_) = failovers(run.event_list())
    assert first.cause == "kill"
    assert first.granted is not None and first.running is not None
    assert first.progress is not None and first.restored is not None
    assert least < first.found < most
    assert first.granted < first.running <= first.progress
    assert first.found < first.progress
    compared = {each.rule: each.state for each in run.verdict().findings}
    assert compared["the output is exact"] == "kept"


def crash_zookeeper(run: RunBundle) -> None:
    """60 s were asked for, and 40 s granted."""
    assert run.options["high-availability.zookeeper.client.session-timeout"] == "60 s"
    granted = {event.facts.get("session_timeout") for event in run.event_list()}
    assert 40.0 in granted
    crash(run, 25.0, 60.0)


def crash_kubernetes(run: RunBundle) -> None:
    crash(run, 5.0, 40.0)


def deposed_writes(run: RunBundle) -> None:
    late = noted(run, "checkpoint")
    assert late and all(each["seconds_after_the_next_was_granted"] > 0 for each in late)
    verdict = run.verdict()
    assert not verdict.valid
    assert "although" in verdict.violations[0].sentence
    states = {each.rule: each.state for each in verdict.findings}
    assert states["writes by the leader only"] == "not judged"


def closed_session(run: RunBundle) -> None:
    """It waits in the thread that would tell it, and ends for an error of its own."""
    (unaware,), (thread,), (end,) = (noted(run, what) for what in ("unaware", "thread", "end"))
    old, new = unaware["process"], unaware["next_leader"]
    answered = {each["process"]: each["status"] for each in noted(run, "rest")}
    assert answered[new] == 200 and answered[old] in (200, 503)
    assert "has expired" in noted(run, "log")[0]["line"]
    frames = " ".join(thread["frames"])
    assert "ZooKeeperLeaderElectionDriver.handleRemovedLeaderInformation" in frames
    assert "Thread.sleep" in frames and "RetryLoop.callWithRetry" in frames
    assert 10 < end["seconds_after_the_next_was_granted"] < 120
    assert end["status"] != 0 and "Session expired" in end["words"]
    after = [
        event
        for event in run.event_list()
        if event.process == old and event.kind is EventKind.LEADERSHIP_REVOKED
    ]
    faults = [event for event in run.event_list() if event.kind is EventKind.FAULT]
    assert not [event for event in after if event.monotonic > faults[-1].monotonic]


def cut_off_publishing(run: RunBundle) -> None:
    """It publishes with the lock that its revocation waits for, and ends by its own error."""
    (unaware,), (end,) = (noted(run, what) for what in ("unaware", "end"))
    threads = {each["does"]: " ".join(each["frames"]) for each in noted(run, "thread")}
    holds, waits = threads["holds the lock"], threads["waits for the lock"]
    assert "DefaultLeaderElectionService" in holds and "confirmLeadershipAsync" in holds
    assert "ZooKeeperLeaderElectionDriver.publishLeaderInformation" in holds
    assert "DefaultLeaderElectionService" in waits and "onRevokeLeadership" in waits
    assert 10 < end["seconds_after_the_next_was_granted"] < 120 and end["status"] != 0
    faults = [e for e in run.event_list() if e.kind is EventKind.FAULT]
    cut = [e for e in faults if e.facts["verb"] == "partition"][-1]
    later = [
        event.kind
        for event in run.event_list()
        if event.process == unaware["process"] and event.monotonic > cut.monotonic
    ]
    assert EventKind.LEADERSHIP_REVOKED not in later


def standby_rest(run: RunBundle) -> None:
    answers = {(a["role"], a["path"]): a for a in noted(run, "rest")}
    leader, standby = (answers[role, "/v1/jobs/overview"] for role in ("leader", "standby"))
    assert leader["status"] == standby["status"] == 200
    assert leader["process"] != standby["process"]
    jobs = [[job["jid"] for job in json.loads(each["body"])["jobs"]] for each in (leader, standby)]
    assert jobs[0] == jobs[1] != []
    refused = answers["standby, and no leader", "/v1/jobs/overview"]
    assert refused["status"] == 503 and "ongoing leader election" in refused["body"]


def half_submission(run: RunBundle) -> None:
    """The file of the dead leader is still there, and no pointer names it."""
    before, after = noted(run, "files")
    (orphan,) = before["names"]
    assert orphan in after["names"]
    assert run.storage_tree().path.str.contains(orphan).sum() == 1
    assert not run.store_rows().value.str.contains(orphan).any()


def damaged_checkpoint(run: RunBundle) -> None:
    assert noted(run, "damage")[0]["files"] == 2
    ended = [e.facts["of"] for e in run.event_list() if e.kind is EventKind.PROCESS_EXITED]
    assert {"jm-1", "jm-2"} <= set(ended)
    assert not [e for e in run.event_list() if e.kind is EventKind.JOB_RESTORED]


def stale_result(run: RunBundle) -> None:
    """The job that ran is said to have FINISHED, and nothing of it is left."""
    (said,) = noted(run, "log")
    assert "Skipping recovery" in said["line"]
    jobs = json.loads(noted(run, "jobs")[0]["jobs"])["jobs"]
    assert [(job["state"], job["name"]) for job in jobs] == [("FINISHED", "unknown")]
    rows = run.store_rows()
    assert rows[rows.table.str.endswith("/jobgraphs")].empty
    assert run.storage_tree().empty
    assert not [e for e in run.event_list() if e.kind is EventKind.JOB_RESTORED]


def cut_off(run: RunBundle) -> tuple[float, float]:
    """Seconds from the cut until the old leader was revoked, and until the next was granted."""
    events = run.event_list()
    (cut,) = [e for e in events if e.kind is EventKind.FAULT and e.facts["verb"] == "partition"]
    later = [event for event in events if event.monotonic > cut.monotonic]
    target = cut.facts["target"]
    revoked = next(
        e for e in later if e.kind is EventKind.LEADERSHIP_REVOKED and e.process == target
    )
    granted = next(
        e for e in later if e.kind is EventKind.LEADERSHIP_GRANTED and e.process != target
    )
    return revoked.monotonic - cut.monotonic, granted.monotonic - cut.monotonic


def cut_off_zookeeper(run: RunBundle) -> None:
    """Two thirds of 40 s without a packet, and then the session."""
    revoked, granted = cut_off(run)
    assert 12 < revoked < 30
    assert revoked < granted < 60


def cut_off_kubernetes(run: RunBundle) -> None:
    revoked, granted = cut_off(run)
    assert 5 < granted < revoked


def standby_requests(run: RunBundle) -> None:
    by_role = {each["role"]: each for each in noted(run, "requests")}
    assert by_role["standby"]["get"] >= 2
    assert "patch" not in by_role["standby"]
    assert by_role["leader"]["patch"] >= 4


def failover_signals(run: RunBundle) -> None:
    """REST is silent for a session, a hang is seen in the age alone, a loss in the number alone."""
    seen: dict[str, list[dict[str, Any]]] = {}
    for look in noted(run, "look"):
        seen.setdefault(str(look["phase"]), []).append(dict(look))
    killed = seen["the leader is killed"]
    assert {500} <= {status for look in killed for status in look["rest"].values()} <= {0, 200, 500}
    assert killed[-1]["completed"] < seen["healthy"][-1]["completed"]
    (began, *_, ended) = seen["a TaskManager hangs"]
    assert ended["seconds"] - began["seconds"] > 30
    hung = [look for look in seen["a TaskManager hangs"] if look["task_managers"] == 1]
    assert all(look["status"] == "RUNNING" for look in hung) and hung[-1]["checkpoint_age"] > 30
    assert not any(look["metrics"].get("numRestarts") != "0" for look in hung)
    last = seen["a job is lost"][-1]
    assert 200 in last["rest"].values() and (last["running_jobs"], last["status"]) == (0, None)
    assert int(last["metrics"]["numberOfCompletedCheckpoints"]) > 0
    log = "\n".join(str(each["line"]) for each in noted(run, "log"))
    words = ("was granted leadership", "Successfully recovered 1 persisted job graphs",
             "from Checkpoint", "switched from state CREATED to RUNNING",
             "Completed checkpoint")  # fmt: skip
    places = [log.index(each) for each in words]
    assert places == sorted(places)


def upgrade_kubernetes(run: RunBundle) -> None:
    """What the job went on from after each step, and that the path that is nowhere was not read."""
    jobs = {each["when"]: each for each in noted(run, "job")}
    maps = {each["when"]: each["maps"] for each in noted(run, "maps")}
    first = jobs["the job runs"]["job"]
    last_state = jobs["last state: the same id, twice the parallelism"]
    assert (last_state["job"], last_state["parallelism"]) == (first, 2)
    assert last_state["said"][0].startswith("Restoring from Checkpoint")
    assert list(maps["stopped with a savepoint"]) == ["lab-cluster-config-map"]
    resumed = jobs["started from the savepoint, with a new id"]
    assert resumed["job"] != first and "Restoring from Savepoint" in resumed["said"][1]
    number = int(resumed["said"][1].split()[3])
    assert resumed["newest"] > number
    back = jobs["the graph was there, the checkpoints were not"]
    assert back["job"] == resumed["job"] and back["said"][:2] == resumed["said"]
    refused = jobs["last state, with nothing left"]
    assert "KUBERNETES_OPERATOR_LAST_STATE" in refused["why"]
    assert all(each["seconds"] > 5 for each in noted(run, "started"))


def upgrade_refused(run: RunBundle) -> None:
    """The checkpoint was found, its operators were not, and the job's ConfigMap is gone."""
    running, refused = noted(run, "job")
    assert running["said"] == [] and "There is no operator for the state" in refused["why"]
    before, *_, after = (each["maps"] for each in noted(run, "maps"))
    name = f"lab-{running['job']}-config-map"
    assert name in before and name not in after


SHOWN: dict[str, Callable[[RunBundle], None]] = {
    each.__name__.replace("_", "-"): each
    for each in (
        crash_zookeeper, crash_kubernetes, deposed_writes, closed_session, cut_off_publishing,
        standby_rest, half_submission,
        damaged_checkpoint, stale_result, cut_off_zookeeper, cut_off_kubernetes, standby_requests,
        failover_signals, upgrade_kubernetes, upgrade_refused,
    )
}  # fmt: skip
