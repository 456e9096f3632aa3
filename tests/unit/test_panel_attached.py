"""Panels and verdict of somebody else's cluster, without Flink: what is said, and what is not."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas
import pytest
from fake_flink import JOB, FakeDiscovery, FakeJobManager

import hawork
from hawork.core.errors import LabError, RestError
from hawork.core.events import EventKind
from hawork.inspect.decode import StoreRow, decoded
from hawork.inspect.entries import Entry
from hawork.inspect.pointers import encode_pointer
from hawork.inspect.store import store_frame
from hawork.lab import FlinkCluster, reset
from hawork.lab.faults import VERBS
from hawork.lab.flink import foreign as flink_foreign
from hawork.lab.flink import rest_watch
from hawork.lab.flink.attached import AttachedCluster
from hawork.lab.flink.watch import FlinkWatch
from hawork.panels import feed, view_sources
from hawork.panels.feed import Json
from hawork.panels.store_rows import StoreRows
from hawork.story.comparison import Exactness
from hawork.testing import eventually

TASKS = "10.0.0.7:6122-ab12cd"
CLOSED = "This view is closed: this is what was seen last."


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look and tell more often than in life."""
    monkeypatch.setattr(feed, "KEYFRAME_PAUSE", 0.05)
    monkeypatch.setattr(view_sources, "JOBS_EVERY", 0.1)
    monkeypatch.setattr(flink_foreign, "KNOCK_EVERY", 0.1)
    monkeypatch.setattr(flink_foreign, "_FOUND_AGAIN_WITHIN", 1.0)


@pytest.fixture
def managers() -> Iterator[list[FakeJobManager]]:
    made = [FakeJobManager(), FakeJobManager()]
    yield made
    for each in made:
        each.close()


@pytest.fixture
def discovery(monkeypatch: pytest.MonkeyPatch) -> FakeDiscovery:
    found = FakeDiscovery()
    monkeypatch.setattr(hawork, "open_ha_services", found.open)
    return found


@pytest.fixture
def options(tmp_path: Path) -> dict[str, str]:
    return {
        "high-availability.type": "embedded",
        "high-availability.storageDir": f"file://{tmp_path}/storage",
    }


@pytest.fixture
def view(discovery: FakeDiscovery, options: dict[str, str]) -> Iterator[AttachedCluster]:
    with FlinkCluster.attach(options) as view:
        yield view


def state(view: AttachedCluster) -> Json:
    assert view._panel_set is not None
    found: Json = view._panel_set.hub.keyframe["state"]
    return found


def until(said: Callable[[], Any]) -> None:
    def found() -> Any:
        try:
            return said()
        except (KeyError, IndexError):
            return None  # the section is not there yet

    eventually(found, interval=0.05)


def ask(view: AttachedCluster, **request: str) -> None:
    assert view._panel_set is not None
    view._panel_set.ask(request)


def test_the_leader_is_marked_and_moves(
    view: AttachedCluster, discovery: FakeDiscovery, managers: list[FakeJobManager]
) -> None:
    first, second = managers
    session_id = discovery.publish(first)
    assert view.panels().widget.panels == ["cluster", "timeline", "jobs", "store"]

    def led_by(manager: FakeJobManager, session: object) -> bool:
        cluster = state(view)["cluster"]
        card = cluster["cards"][manager.name]
        assert cluster["note"] == ""
        return bool(
            cluster["leader"] == manager.name
            and (card["leads"], card["state"], card["session"]) == (True, "leading", str(session))
            and ["address", manager.address] in card["facts"]
            and cluster["store"]["publishes"] == manager.address
        )

    until(lambda: led_by(first, session_id))
    until(lambda: ["slots", "2"] in state(view)["cluster"]["cards"][TASKS]["facts"])
    until(lambda: state(view)["jobs"]["jobs"][JOB]["name"] == "flights")

    discovery.without_leader()
    until(lambda: state(view)["cluster"]["leader"] == "")
    until(lambda: "the HA store names no leader now" in state(view)["jobs"]["note"])
    row = state(view)["jobs"]["jobs"][JOB]
    assert row["status"] == "RUNNING" and row["stale"], "what was told last stays, with its time"

    second.restored = 3
    session_id = discovery.publish(second)
    until(lambda: led_by(second, session_id))
    until(lambda: state(view)["jobs"]["jobs"][JOB].get("restored") == 3)
    assert state(view)["cluster"]["cards"][first.name]["state"] == "standby"
    assert view.verdict().valid
    assert len(view.verdict().findings) == 5


def test_a_leader_that_is_not_ready_is_asked_again(
    view: AttachedCluster, discovery: FakeDiscovery, managers: list[FakeJobManager]
) -> None:
    """Flink publishes the address of its REST endpoint before its dispatcher is there."""
    (leader, _) = managers
    leader.electing = True
    discovery.publish(leader)
    assert (view.snapshot().jobs, view.snapshot().taskmanagers) == ((), ())
    with pytest.raises(RestError, match="Service temporarily unavailable"):
        view.jobs()
    ready = threading.Timer(0.3, lambda: setattr(leader, "electing", False))
    ready.start()
    assert [job.job_id for job in view.jobs(timeout=20)] == [JOB]
    assert view.job(JOB).name == "flights"
    assert [each["id"] for each in view.taskmanagers()] == [TASKS]
    ready.join()
    leader.electing = True
    with pytest.raises(RestError, match="Service temporarily unavailable"):
        view.taskmanagers(timeout=0.2)


def test_who_does_not_listen_is_down_and_may_come_back(
    view: AttachedCluster, discovery: FakeDiscovery, managers: list[FakeJobManager]
) -> None:
    gone = FakeJobManager()
    discovery.publish(gone)
    view.wait_for_event("taskmanager.registered").wait()
    gone.close()
    discovery.publish(managers[0])
    stopped = view.wait_for_event("process.stopped", gone.name).wait()
    assert stopped.facts["reason"] == "nothing listens at its REST endpoint"

    managers[0].taskmanagers.clear()
    lost = view.wait_for_event("process.stopped", TASKS).wait()
    managers[0].taskmanagers[TASKS] = 2
    view.wait_for_event("process.started", TASKS, after=lost).wait()
    states = dict.fromkeys(segment.state for segment in view.timeline().of_lane(TASKS))
    assert [each for each in states if each != "not known"] == ["up", "down"]


def test_a_dead_leader_that_is_still_published_does_not_lead(
    view: AttachedCluster, discovery: FakeDiscovery, managers: list[FakeJobManager]
) -> None:
    """The store names it until its session ends; nothing waits, and what was told has its age."""
    dead = FakeJobManager()
    discovery.publish(dead)
    view.panels()
    until(lambda: state(view)["jobs"]["jobs"][JOB])
    until(lambda: state(view)["cluster"]["cards"][TASKS]["state"] == "up")
    dead.close()
    silent = view.wait_for_event("rest.silent", dead.name).wait()
    assert (silent.facts["reason"], silent.facts["listens"]) == ("nothing listens there", False)
    assert silent.facts["heard"] < 10

    said = f"{dead.name} is down (nothing listens there); last heard at "
    asked = time.monotonic()
    assert view.leader() == dead.name
    assert view.silence().startswith(said) and view.silence().endswith(" s ago")
    with pytest.raises(RestError, match="gave no answer"):
        view.jobs()
    snapshot = view.snapshot()
    assert ([job.job_id for job in snapshot.jobs], snapshot.silence[:9]) == ([JOB], said[:9])
    assert time.monotonic() - asked < 5, "nothing waits unless it is asked to"

    until(lambda: state(view)["cluster"]["note"].startswith(said))
    until(lambda: state(view)["cluster"]["cards"][dead.name]["state"] == "down")
    assert state(view)["cluster"]["cards"][dead.name]["leads"] is False
    assert state(view)["cluster"]["cards"][TASKS]["state"] == "not known"
    until(lambda: said in state(view)["jobs"]["note"])
    assert state(view)["jobs"]["jobs"][JOB]["stale"]
    lanes = {each.lane: each.state for each in view.timeline().segments}
    assert lanes["published leader"] == "no answer"
    assert lanes["job flights"] == "not known"

    ready = threading.Timer(0.5, lambda: discovery.publish(managers[0]))
    ready.start()
    assert [job.job_id for job in view.jobs(timeout=20)] == [JOB], "now it was asked to wait"
    ready.join()
    until(lambda: view.timeline().takeovers)
    (takeover,) = view.timeline().takeovers
    assert takeover.cause == f"{dead.name} was heard last"
    until(lambda: state(view)["jobs"]["note"] == "")
    until(lambda: state(view)["cluster"]["cards"][TASKS]["state"] == "up")


def test_a_leader_that_takes_no_request_gives_no_answer(
    view: AttachedCluster, discovery: FakeDiscovery, managers: list[FakeJobManager],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """As one that was stopped: its port listens. One request is waited for, not one per job."""
    monkeypatch.setattr(rest_watch, "ANSWER_SECONDS", 0.3)
    (leader, _) = managers
    leader.answers.clear()
    discovery.publish(leader)
    silent = view.wait_for_event("rest.silent", leader.name).wait()
    assert (silent.facts["reason"], silent.facts["listens"]) == ("it takes no request", True)
    assert silent.facts["heard"] is None
    assert "it was not heard since we look" in view.silence()
    assert view.timeline().of_lane(leader.name)[-1].state == "no answer"
    leader.answers.set()
    view.wait_for_event("rest.answered", leader.name, after=silent).wait()
    assert view.silence() == ""
    assert view.timeline().of_lane("published leader")[-1].state == "leading"


def test_a_store_that_is_away_says_nothing_about_the_leader(
    view: AttachedCluster, discovery: FakeDiscovery, managers: list[FakeJobManager]
) -> None:
    """What we cannot see is not a revocation, and what is found again is not granted again."""
    session_id = discovery.publish(managers[0])
    view.cluster_panel()
    until(lambda: state(view)["cluster"]["leader"] == managers[0].name)
    assert discovery.own is not None
    discovery.own.emit(EventKind.STORE_CONNECTION, state="SUSPENDED")
    discovery.without_leader()
    until(lambda: state(view)["cluster"]["store"]["state"] == "suspended")
    assert state(view)["cluster"]["leader"] == managers[0].name
    discovery.own.emit(EventKind.STORE_CONNECTION, state="RECONNECTED")
    discovery.publish(managers[0], session_id)
    discovery.without_leader()
    discovery.publish(managers[0], session_id)
    until(lambda: state(view)["cluster"]["leader"] == managers[0].name)
    kinds = [event.kind for event in view.event_list()]
    assert kinds.count(EventKind.LEADERSHIP_REVOKED) == 1
    assert kinds.count(EventKind.LEADERSHIP_GRANTED) == 1
    assert view.verdict().valid


def test_a_session_of_two_leaders_is_no_valid_run(
    view: AttachedCluster, discovery: FakeDiscovery, managers: list[FakeJobManager]
) -> None:
    first, second = managers
    session_id = discovery.publish(first)
    view.wait_for_event("leadership.confirmed", first.name).wait()
    assert view.verdict().valid
    discovery.publish(second, session_id)
    view.wait_for_event("leadership.confirmed", second.name).wait()
    violation = view.verdict().violations[0].sentence
    said = f"session {session_id} was granted to {first.name}, and again to {second.name}"
    assert violation == said


def test_leaders_that_publish_in_turns_are_no_valid_run(
    view: AttachedCluster, discovery: FakeDiscovery, managers: list[FakeJobManager]
) -> None:
    """Two that think they lead write over each other; the first is not blamed for going first."""
    first, second = managers
    mine, theirs = discovery.publish(first), discovery.publish(second)
    view.wait_for_event("leadership.confirmed", second.name).wait()
    assert view.verdict().valid
    for _ in range(2):
        discovery.publish(first, mine)
        discovery.publish(second, theirs)

    until(lambda: "18 publications" in str(view.verdict()))
    violations = view.verdict().violations
    assert len(violations) == 6
    for violation in violations:
        assert violation.sentence.startswith(f"{first.name} was published as ")
        assert violation.sentence.endswith(f"although {second.name} had led since")


def test_an_older_leader_on_a_new_connection_is_no_return(
    view: AttachedCluster, discovery: FakeDiscovery, managers: list[FakeJobManager]
) -> None:
    """Another server of the store may lag behind the one that was asked before."""
    first, second = managers
    mine, theirs = discovery.publish(first), discovery.publish(second)
    assert discovery.own is not None
    discovery.own.emit(EventKind.STORE_CONNECTION, state="LOST")
    discovery.publish(first, mine)
    discovery.publish(second, theirs)
    until(lambda: "12 publications" in str(view.verdict()))
    assert view.verdict().valid


def test_there_are_no_buttons_and_no_faults(
    view: AttachedCluster, discovery: FakeDiscovery, managers: list[FakeJobManager]
) -> None:
    discovery.publish(managers[0])
    view.panels()
    until(lambda: TASKS in state(view)["cluster"]["cards"])
    cluster = state(view)["cluster"]
    assert [card["buttons"] for card in (*cluster["cards"].values(), cluster["store"])] == [[]] * 3
    until(lambda: state(view)["jobs"]["cancel"] is False)
    ask(view, do="kill", target=managers[0].name)
    said = "a panel asked for 'kill', but these processes were not started by this lab"
    until(lambda: state(view)["answer"] == {"number": 1, "text": said, "ok": False})
    ask(view, do="cancel", job=JOB)
    until(lambda: "attach with read_only=False to cancel a job" in state(view)["answer"]["text"])
    assert managers[0].status == "RUNNING"
    absent: Any = view
    with pytest.raises(LabError, match=r"has no stepper_panel: .*step by step in a LabCluster"):
        absent.stepper_panel()
    for verb in VERBS:
        with pytest.raises(LabError, match=f"AttachedCluster has no {verb}: its processes"):
            getattr(absent, verb)()


def test_a_view_that_may_write_cancels(
    discovery: FakeDiscovery, options: dict[str, str], managers: list[FakeJobManager]
) -> None:
    with FlinkCluster.attach(options, read_only=False) as view:
        discovery.publish(managers[0])
        view.jobs_panel()
        until(lambda: state(view)["jobs"]["cancel"] is True)
        ask(view, do="cancel", job=JOB)
        until(lambda: state(view)["answer"]["text"] == f"view.cancel('{JOB}')")
        until(lambda: state(view)["jobs"]["jobs"][JOB]["status"] == "CANCELED")


def test_a_url_says_what_it_cannot_tell(managers: list[FakeJobManager]) -> None:
    with FlinkCluster.attach(managers[0].address) as view:
        view.panels()
        said = f"not told by {managers[0].address}: attach with the cluster's config.yaml"
        until(lambda: said in state(view)["cluster"]["note"])
        until(lambda: said in state(view)["store"]["error"])
        until(lambda: list(state(view)["cluster"]["cards"]) == [TASKS])
        until(lambda: state(view)["jobs"]["jobs"][JOB]["status"] == "RUNNING")
        assert state(view)["cluster"]["store"]["kind"] == "not told"
        assert view.verdict().valid


def test_a_closed_view_replays(
    discovery: FakeDiscovery, options: dict[str, str], managers: list[FakeJobManager]
) -> None:
    with FlinkCluster.attach(options) as view:
        discovery.publish(managers[0])
        panel = view.panels()
        until(lambda: state(view)["jobs"]["jobs"])
        until(lambda: TASKS in state(view)["cluster"]["cards"])
    last = state(view)
    assert [last[name]["note"] for name in ("cluster", "jobs", "store")] == [CLOSED] * 3
    assert last["cluster"]["cards"][managers[0].name]["state"] == "leading", "it goes on without us"
    assert CLOSED in panel._repr_mimebundle_()[0]["text/plain"]
    for make in (view.cluster_panel, view.jobs_panel, view.store_panel, view.panels):
        with pytest.raises(LabError, match=r"^this view is closed: only timeline_panel\(\) can"):
            make()
    replay = view.timeline_panel()
    assert replay.widget.replay
    assert managers[0].name in replay._repr_mimebundle_()[0]["text/plain"]
    assert not view.verdict(Exactness(2, 1, 0)).valid


def test_a_close_that_was_interrupted_is_ended_by_the_next(
    discovery: FakeDiscovery, options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    close = FlinkWatch.close
    interrupts = iter([KeyboardInterrupt()])

    def interrupted(watch: FlinkWatch) -> None:
        for each in interrupts:
            raise each
        close(watch)

    monkeypatch.setattr(FlinkWatch, "close", interrupted)
    reset()
    view = FlinkCluster.attach(options)
    directory = Path(view._directory.name)
    with pytest.raises(KeyboardInterrupt):
        view.close()
    assert directory.exists()
    assert reset() == 1
    assert not directory.exists()
    assert not [each for each in threading.enumerate() if each.name == "flink-logs"]


def test_guesses_are_kept(view: AttachedCluster) -> None:
    view.predict("gap after a kill", 5.0)
    view.observe("gap after a kill", 0.1)
    assert view.compare().to_dict("records") == [
        {"question": "gap after a kill", "guess": 5.0, "observed": 0.1, "unit": "s",
         "remark": ""}
    ]  # fmt: skip


def test_it_is_a_table_where_there_are_no_widgets(
    view: AttachedCluster, discovery: FakeDiscovery, managers: list[FakeJobManager],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "hawork.panels.widgets", None)
    discovery.publish(managers[0])
    view.wait_for_event("taskmanager.registered").wait()
    for panel, word in (
        (view.cluster_panel(), managers[0].name), (view.timeline_panel(), managers[0].name),
        (view.jobs_panel(), "flights"), (view.store_panel(), "storageDir"), (view.panels(), TASKS),
    ):  # fmt: skip
        bundle = panel._repr_mimebundle_()
        assert isinstance(bundle, dict)
        assert word in bundle["text/plain"]
    with FlinkCluster.attach(managers[0].address) as by_url:
        said = "attach with the cluster's config.yaml"
        for panel in (by_url.cluster_panel(), by_url.store_panel()):
            bundle = panel._repr_mimebundle_()
            assert isinstance(bundle, dict)
            assert said in bundle["text/plain"]
            assert "cluster&#x27;s config.yaml" in bundle["text/html"]


def test_files_of_another_machine_are_not_missing(
    discovery: FakeDiscovery, options: dict[str, str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A path of the cluster's machine may be nothing here: that says nothing about pointers."""
    pointers = Pointers(tmp_path)
    monkeypatch.setattr(AttachedCluster, "store_entries", lambda _: pointers.store_entries())
    with FlinkCluster.attach(options) as view:
        view.store_panel()
        until(lambda: state(view)["store"]["rows"])
        assert [row[5:7] for row in state(view)["store"]["rows"].values()] == [["", ""]]
        said = f"Files are not shown: there is no {tmp_path}/storage on this machine"
        assert state(view)["store"]["note"] == said


class Pointers:
    """One pointer of Flink's, and whatever is in its folder."""

    def __init__(self, root: Path) -> None:
        self.file = root / "lab" / "submittedJobGraph12ab"
        self.file.parent.mkdir()
        self.file.write_bytes(b"graph")

    def store_rows(self) -> pandas.DataFrame:
        return store_frame(self.store_entries())

    def store_entries(self) -> list[StoreRow]:
        data = encode_pointer(f"file:{self.file}", 5, "zookeeper")
        return decoded([Entry("zookeeper", f"/flink/lab/jobgraphs/{JOB}", data, version=0)], {})

    def storage_tree(self) -> pandas.DataFrame:
        from hawork.inspect.files import storage_tree

        return storage_tree(self.file.parent.parent)


def test_a_pointer_of_flinks_is_held_against_its_file(tmp_path: Path) -> None:
    store = Pointers(tmp_path)
    rows = StoreRows(store, tmp_path)

    def told(kind: str) -> list[list[Any]]:
        return [row[5:7] for row in rows.look()["rows"].values() if row[0] == kind]

    assert told("row") == [["lab/submittedJobGraph12ab", "size verified"]]
    assert told("file") == [["", ""]]
    store.file.write_bytes(b"other graph")
    assert told("row") == [["lab/submittedJobGraph12ab", "altered: 11 bytes, not 5"]]
    store.file.unlink()
    assert told("row") == [[f"file:{quote(str(store.file))}", ""]], "it may go with its pointer"
    assert told("row") == [[f"file:{quote(str(store.file))}", "the file is missing"]]
    assert rows.look()["trouble"] == [
        f"the graph of job {JOB[:8]}…: the file is missing (submittedJobGraph12ab): the next "
        "leader of Flink cannot start with it"
    ]
    assert [row[:1] for row in StoreRows(store, None).look()["rows"].values()] == [["row"]]
