"""A lab of real Flink: LabCluster's face, the flights exactly once, and what is said when it fails.

One cluster is started for all (``conftest.py``); a test leaves it as it found it.
"""

from __future__ import annotations

import re
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from hawork.core import options
from hawork.core.errors import JobSubmissionError, LabError, RestError
from hawork.core.events import Event
from hawork.core.jobs import JobStatus
from hawork.inspect.inspector import inspect
from hawork.inspect.sources import Sources
from hawork.lab import FlinkCluster, flights
from hawork.lab.flink.attached import AttachedCluster
from hawork.lab.flink.job import FlinkJob
from hawork.lab.flink.recorder import Recorder
from hawork.story import ring as rings
from hawork.story.recovery import JobRecovery
from hawork.story.run_bundle import open_bundle
from hawork.testing import eventually
from tests.interop.flink_lab import FOREVER, SECONDS, ready
from tests.kept_runs import check_kept_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def counted(job: FlinkJob) -> int:
    return int(job.output()["count"].sum())


def kinds(lab: FlinkCluster, process: str, after: Event) -> list[str]:
    return [
        str(event.kind)
        for event in lab.event_list()
        if event.process == process and event.monotonic > after.monotonic
    ]


def test_the_flights_are_counted_once_over_all_crashes(lab: FlinkCluster, tmp_path: Path) -> None:
    """The leading JobManager dies, then the TaskManager; pandas finds no difference."""
    arrivals = flights.Arrivals(tmp_path / "arrivals")
    arrivals.bring(100_000)
    config = {"flights": arrivals.directory, "output": tmp_path / "output"}
    job = lab.submit(str(flights.FLINK_JOB), config, parallelism=2)
    job.output_until(lambda rows: len(rows) > 0, SECONDS).wait()
    assert job.details.status is JobStatus.RUNNING
    before = lab.leader_information()

    killed = lab.kill("leader")
    leader = lab.wait_for_leader(other_than=killed, timeout=SECONDS).wait()
    arrivals.bring(100_000)
    restored = lab.wait_for_event("job.restored", after=killed, timeout=SECONDS).wait()
    assert restored.process == leader
    after = lab.leader_information()
    assert before is not None and after is not None
    assert after.session_id != before.session_id
    seen = counted(job)

    def progressed() -> list[JobRecovery]:
        return [each for each in lab.timeline().recovery() if each.total > 0]

    (row,) = eventually(progressed, timeout=SECONDS, interval=0.2)
    assert (row.job_id, row.process, row.cause) == (job.job_id, leader, "kill")
    assert row.total == pytest.approx(sum(row.phases))
    assert row.detection > 2.0, "a session of 4 s cannot end at once"
    assert row.restart > 0

    lost = lab.kill("tm-1")
    arrivals.bring_all()
    lab.restart("tm-1")
    lab.wait_for_event("job.restored", after=lost, timeout=SECONDS).wait()
    job.output_until(lambda rows: rows["count"].sum() >= flights.DEPARTED, SECONDS).wait()
    assert seen < flights.DEPARTED
    details = job.stop().wait()
    assert details.status is JobStatus.FINISHED
    comparison = flights.compare(job.output())
    assert comparison.equal, comparison
    assert comparison.records == flights.DEPARTED
    assert lab.verdict(comparison).valid

    ready(lab)
    kept = check_kept_run(lab, tmp_path)
    assert kept.verdict().valid
    assert "/flink/lab/leader/latch" in set(kept.store_rows().table)
    timeline = lab.timeline()
    takeover = next(each for each in timeline.takeovers if each.process == leader)
    assert takeover.cause == "kill"
    assert takeover.seconds > 1.0, "a session of 4 s cannot end at once"
    assert {mark.kind for mark in timeline.marks} >= {"fault", "checkpoint", "restored"}
    results = lab.job_results()
    assert list(results[results.job_id == job.job_id].application_status) == ["SUCCEEDED"]

    forgetful = lab.kill("leader")
    lab.wait_for_leader(other_than=forgetful, timeout=SECONDS).wait()
    assert job.wait(SECONDS).status is JobStatus.FINISHED, "what the old leader knew is in a file"
    ready(lab)


def is_told(lab: FlinkCluster, job: FlinkJob) -> bool:
    """Whether a snapshot has the job's numbers, which Flink gathers by and by."""
    seen = [each for each in lab.snapshot().jobs if each.job_id == job.job_id]
    return bool(seen) and seen[0].records > 0 and seen[0].checkpoints > 0


def moves(lab: FlinkCluster, job: FlinkJob) -> bool:
    """Whether the panel shows a job that goes on."""
    assert lab._panel_set is not None
    row = lab._panel_set.hub.keyframe["state"]["jobs"].get("jobs", {}).get(job.job_id)
    return row is not None and all(row[name] > 0 for name in ("records", "rate", "checkpoints"))


def test_the_ha_store_is_readable(lab: FlinkCluster) -> None:
    ready(lab)
    job = lab.submit(FOREVER, name="numbers")
    first = lab.wait_for_event("checkpoint.completed", timeout=SECONDS)
    eventually(lambda: job.details.checkpoints > 0, timeout=SECONDS)
    first.wait()
    eventually(lambda: is_told(lab, job), timeout=SECONDS)
    lab.panels()
    eventually(lambda: moves(lab, job), timeout=SECONDS)

    def pointers() -> bool:
        """Job graph and checkpoint, each with its file; the counter is past the checkpoint."""
        rows = lab.store_rows()
        said = rows[rows.table.str.contains(job.job_id) | (rows.name == job.job_id)]
        values = " ".join(said.value)
        assert "submittedJobGraph" in values and "completedCheckpoint" in values
        assert "MISSING" not in values
        assert re.search(r"next is (\d+) \(of Flink\)", values)
        return True

    eventually(pointers, timeout=SECONDS)  # a checkpoint may be subsumed while we look
    files = lab.storage_tree()
    assert {"job graph", "completed checkpoint"} <= set(files.what)
    assert job.details.name == "numbers"
    assert job.details.parallelism == 1
    assert lab.snapshot().leader == lab.leader()
    job.cancel()
    assert job.wait(SECONDS, progress=False).status is JobStatus.CANCELED

    def forgotten() -> bool:
        """Flink cleans up after it has told of the end."""
        graphs = lab.store_rows()
        return job.job_id not in set(graphs[graphs.table.str.endswith("/jobgraphs")].name)

    eventually(forgotten, timeout=SECONDS)


def test_a_paused_leader_believes_until_it_wakes(lab: FlinkCluster) -> None:
    ready(lab)
    paused = lab.pause("leader")
    deposed = str(paused.facts["target"])
    other = lab.wait_for_leader(other_than=paused, timeout=SECONDS).wait()
    assert kinds(lab, deposed, paused) == []
    woken = lab.resume(deposed)
    revoked = lab.wait_for_event("leadership.revoked", deposed, woken, timeout=SECONDS).wait()
    assert revoked.session_id != str(lab.leader_information().session_id)  # type: ignore[union-attr]
    assert lab.leader() == other


def test_sessions_partitions_and_outages(lab: FlinkCluster) -> None:
    ready(lab)
    leader = lab.leader()
    expired = lab.expire_session("leader")
    lab.wait_for_event("leadership.revoked", leader, expired, timeout=SECONDS).wait()
    lab.wait_for_event("leadership.granted", after=expired, timeout=SECONDS).wait()
    ready(lab)

    cut = lab.partition("leader", how="blackhole")
    lab.wait_for_leader(other_than=cut, timeout=SECONDS).wait()
    target = str(cut.facts["target"])
    lab.wait_for_event("leadership.revoked", target, cut, timeout=SECONDS).wait()
    healed = lab.heal()
    lab.wait_for_event("store.connection", target, healed, timeout=SECONDS).wait()
    ready(lab)  # without a leader nobody would be revoked

    out = lab.store_outage(how="kill")
    lab.wait_for_event("leadership.revoked", after=out, timeout=SECONDS).wait()
    back = lab.heal()
    lab.wait_for_event("leadership.confirmed", after=back, timeout=SECONDS).wait()
    ready(lab)


def test_a_terminated_leader_steps_back(lab: FlinkCluster) -> None:
    ready(lab)
    ended = lab.terminate("leader")
    lab.wait_for_leader(other_than=ended, timeout=SECONDS).wait()
    takeover = lab.timeline().takeovers[-1]
    assert takeover.cause == "terminate"
    ready(lab)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("INSERT INTO nowhere SELECT 1", "Cannot find table .*nowhere"),
        ("CREATE TABLE t (x INT) WITH ('connector'='none'); INSERT INTO t SELECT 1", "'none'"),
        ("INSERT INTO nowhere SELEC 1", "SQL parse failed"),
    ],
)
def test_an_error_in_sql_is_flinks_message(lab: FlinkCluster, script: str, said: str) -> None:
    with pytest.raises(JobSubmissionError, match=said) as refused:
        lab.submit(script)
    assert "\n" not in str(refused.value)
    assert "\tat " not in str(refused.value)


def test_a_client_that_died_is_replaced(lab: FlinkCluster, tmp_path: Path) -> None:
    """As when the system had no memory left for it."""
    ready(lab)
    script = tmp_path / "forever.sql"
    script.write_text(FOREVER)
    if lab._sql._process is None:
        with pytest.raises(JobSubmissionError, match="nowhere"):
            lab.submit("INSERT INTO nowhere SELECT 1")
    gateway = lab._sql._process
    assert gateway is not None
    # The planner, 40 MB; in the system's folder each client would have left its own.
    (planner,) = lab._sql.directory.rglob("flink-table-planner_*.jar")
    gateway.kill()
    gateway.wait()
    job = lab.submit(script)
    assert job.name == "forever"
    assert not planner.parent.exists()
    job.cancel()
    job.wait(SECONDS, progress=False)


def shown(view: AttachedCluster) -> dict[str, Any]:
    """What every panel of the view shows now."""
    assert view._panel_set is not None
    found: dict[str, Any] = view._panel_set.hub.keyframe["state"]
    return found


def leads_on_panel(view: AttachedCluster) -> bool:
    """The card of whoever is published now is marked, no other is, and none has a button."""
    information = view.leader_information()
    cluster = shown(view)["cluster"]
    if information is None or cluster["session"] != str(information.session_id):
        return False
    cards = cluster["cards"]
    (leader,) = [name for name, card in cards.items() if card["leads"]]
    assert leader == cluster["leader"] == view.leader()
    assert cards[leader]["session"] == cluster["session"]
    assert ["address", information.address] in cards[leader]["facts"]
    assert not any(card["buttons"] for card in (*cards.values(), cluster["store"]))
    return "tm-1" in cards


def job_on_panel(view: AttachedCluster, job: FlinkJob) -> dict[str, Any]:
    """Its row; empty while nobody has told of it."""
    rows: dict[str, dict[str, Any]] = shown(view)["jobs"].get("jobs", {})
    return rows.get(job.job_id, {})


def lane_states(view: AttachedCluster, lane: str) -> list[str]:
    return [segment.state for segment in view.timeline().of_lane(lane)]


def test_a_wrong_cluster_id_says_what_there_is(lab: FlinkCluster, tmp_path: Path) -> None:
    """And a watch keeps what the inspector can read."""
    ready(lab)
    wrong = {**lab.config, options.CLUSTER_ID.key: "/wrong"}
    with FlinkCluster.attach(wrong) as view:
        said = "there is no cluster /wrong below /flink: here are /lab; see high-availability.clu"
        eventually(lambda: said in view.silence(), timeout=SECONDS)
        with pytest.raises(LabError, match="here are /lab"):
            view.leader()
    done, trouble = threading.Event(), list[str]()
    recorder = Recorder(
        options.checked(lab.config), lab.directory / "config.yaml", tmp_path / "ring",
        keep=3600, size=1 << 20, trouble=trouble.append,
    )  # fmt: skip
    thread = threading.Thread(target=recorder.run, args=(done,))
    thread.start()
    try:
        eventually(lambda: rings.cases(tmp_path / "ring"), timeout=SECONDS)
        eventually(lambda: (tmp_path / "ring" / rings.STORE).is_file(), timeout=SECONDS)
    finally:
        done.set()
        thread.join(SECONDS)
    run = open_bundle(tmp_path / "ring")
    assert "/flink/lab/leader/latch" in set(run.store_rows().table)
    assert run.verdict().judged == 1
    assert trouble == []
    found = inspect(Sources(case=rings.case_of(tmp_path / "ring")))
    assert found.to_json()["recovery"]["jobmanager"] == "starts"


def test_somebody_elses_cluster_is_looked_at(lab: FlinkCluster, tmp_path: Path) -> None:
    ready(lab)
    # A name of its own: of two jobs with one name, the lane of one has its id.
    job = lab.submit(FOREVER, name="looked at")
    eventually(lambda: job.details.checkpoints > 1, timeout=SECONDS)
    with FlinkCluster.attach(lab.directory / "config.yaml") as view:
        assert view.panels().widget.panels == ["cluster", "timeline", "jobs", "store"]
        information = lab.leader_information()
        assert information is not None
        eventually(lambda: leads_on_panel(view), timeout=SECONDS)
        first = shown(view)["cluster"]["leader"]
        assert information.address.endswith(view.leader())
        assert view.leader_information() == information
        (seen,) = [each for each in view.jobs() if each.job_id == job.job_id]
        assert (seen.name, seen.status) == ("looked at", JobStatus.RUNNING)
        view.wait_for_event("checkpoint.completed", timeout=SECONDS).wait()
        rows = view.store_rows()
        assert job.job_id in set(rows.name)
        (leading, *standing) = rows[rows.table.str.endswith("/latch")].value
        assert leading.startswith(f"({view.leader()}, session 0x")
        assert all(each.startswith("(session 0x") for each in standing)
        eventually(lambda: (found := view.election()) and found.standbys == 1, timeout=SECONDS)
        on_panel = eventually(lambda: shown(view)["store"].get("rows"), timeout=SECONDS)
        assert "size verified" in [row[6] for row in on_panel.values()]
        fault = lab.kill("leader")
        silent = view.wait_for_event("rest.silent", first, after=fault, timeout=SECONDS).wait()
        granted = view.wait_for_event("leadership.granted", after=fault, timeout=SECONDS).wait()
        assert silent.monotonic < granted.monotonic, "not only when the store forgets it"
        address = eventually(view.leader_information, timeout=SECONDS)
        assert address is not None and address != information
        view.wait_for_event("job.restored", after=fault, timeout=SECONDS).wait()
        eventually(lambda: view.snapshot().jobs, timeout=SECONDS)
        eventually(lambda: leads_on_panel(view), timeout=SECONDS)
        eventually(lambda: job_on_panel(view, job).get("restored"), timeout=SECONDS)
        eventually(
            lambda: shown(view)["cluster"]["cards"][first]["state"] == "down", timeout=SECONDS
        )
        takeover = view.timeline().takeovers[-1]
        assert takeover.cause == f"{first} was heard last"
        assert takeover.seconds > 2.0, "a session of 4 s cannot end at once"
        eventually(lambda: "progress" in lane_states(view, "progress looked at"), timeout=SECONDS)
        with FlinkCluster.attach(address.address) as by_url:
            assert [each.job_id for each in by_url.jobs()][:1] == [job.job_id]
            with pytest.raises(LabError, match=r"attach with the cluster's config\.yaml"):
                by_url.leader()
            by_url.panels()
            by_url.wait_for_event("taskmanager.registered", timeout=SECONDS).wait()
            eventually(lambda: "tm-1" in shown(by_url)["cluster"]["cards"], timeout=SECONDS)
            assert "not told by" in shown(by_url)["cluster"]["note"]
            eventually(
                lambda: job_on_panel(by_url, job).get("status") == "RUNNING", timeout=SECONDS
            )
            assert by_url.verdict().valid
            check_kept_run(by_url, tmp_path, missing=("storage.json", "store.json"))
        kept = check_kept_run(view, tmp_path)
        assert job.job_id in set(kept.store_rows().name)
        assert "completed checkpoint" in set(kept.storage_tree().what)
        verdict = view.verdict()
        assert verdict.valid
        terms, publications = map(int, re.findall(r"\d+", verdict.findings[0].looked_at))
        assert terms >= 2 and publications == 3 * terms, "one for each component"
    assert view.timeline_panel().widget.replay
    with pytest.raises(LabError, match="this view is closed: attach again"):
        view.wait_for_event("job.restored", "nobody").wait()
    segments = view.timeline().of_lane("published leader")
    assert len({segment.session_id for segment in segments}) == terms
    job.cancel()
    ready(lab)


def test_nobody_answers() -> None:
    with pytest.raises(RestError, match="gave no answer"):
        FlinkCluster.attach("http://127.0.0.1:9")


def test_a_process_that_dies_at_start_says_why() -> None:
    """And what was started besides is gone."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        bad = FlinkCluster(1, 0, options={"rest.bind-port": port})
        said = rf"process jm-1 ended: BindException: .*port range {port}"
        with pytest.raises(LabError, match=said):
            bad.start()
    assert not bad.directory.exists()


def test_a_cluster_id_belongs_to_one_cluster(lab: FlinkCluster) -> None:
    ready(lab)
    prefix = "high-availability.zookeeper"  # the quorum, and the login that its servers want
    known = {key: value for key, value in lab.config.items() if key.startswith(prefix)}
    other = FlinkCluster(1, 0, options=known)
    with pytest.raises(LabError, match="cluster-id /lab is used by another cluster"):
        other.start()
    assert lab.leader()


def test_a_submission_may_go_on_in_the_background(lab: FlinkCluster) -> None:
    ready(lab)
    job = lab.submit(FOREVER, name="background", wait=False)
    assert job.acknowledged(SECONDS).wait() == job.job_id
    eventually(lambda: job.status is JobStatus.RUNNING, timeout=SECONDS)
    job.cancel()
    job.wait(SECONDS, progress=False)
    refused = lab.submit("INSERT INTO nowhere SELECT 1", wait=False)
    with pytest.raises(JobSubmissionError, match="nowhere"):
        refused.acknowledged(SECONDS).wait()


def test_the_labs_supervisor_ends_the_wait() -> None:
    """Flink has nobody who tells ZooKeeper of a death; whoever has, waits for nothing."""
    with FlinkCluster(2, 0, supervisor=True, options={
        "high-availability.zookeeper.client.session-timeout": "60 s",
    }) as lab:  # fmt: skip
        killed = lab.kill("leader")
        lab.wait_for_leader(other_than=killed, timeout=SECONDS).wait()
        released = lab.wait_for_event("leadership.released", after=killed).wait()
        assert released.facts["of"] == killed.facts["target"]
        (takeover,) = lab.timeline().takeovers
        assert takeover.seconds < 40.0, "the session would have lasted for 60 s"
