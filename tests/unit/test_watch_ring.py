"""``hawork watch``: a ring of bounded size that tells a whole story, whatever was given up."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from fake_flink import JOB, FakeDiscovery, FakeJobManager

import hawork
from hawork.cli.main import main
from hawork.core import options
from hawork.core.configuration import Configuration, flatten
from hawork.core.errors import (
    ConfigurationError,
    HaworkError,
    LabError,
    NotAllowedError,
    StoreUnavailableError,
)
from hawork.core.events import EventKind
from hawork.core.options import checked
from hawork.core.private_files import create_private
from hawork.core.redaction import Redaction
from hawork.core.types import REST_SERVER
from hawork.inspect.files import storage_tree
from hawork.lab.flink import ring_events
from hawork.lab.flink import watch as flink_watch
from hawork.lab.flink.recorder import Recorder
from hawork.lab.flink.ring_events import RingEvents
from hawork.panels.replay import replay
from hawork.story import ring as rings
from hawork.story.run_bundle import open_bundle
from hawork.testing import ManualClock, eventually

SESSION = "561d6961-cdb9-4ccf-a657-6fb7aff9ef30"
LEADER = "10.0.0.1:8081"
MINUTE = 60.0


OPEN: list[RingEvents] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def ring_of(tmp_path: Path, clock: ManualClock, **more: Any) -> RingEvents:
    ring = tmp_path / "ring"
    ring.mkdir(exist_ok=True)
    about = {"format": rings.FORMAT, "hawork": "1", "cluster": "hawork watch", "of": "x"}
    (ring / rings.RING).write_text(json.dumps(about))
    given = {"keep": 24 * 60 * MINUTE, "size": 1 << 20, **more}
    events = RingEvents(ring, Redaction.of({"s3.secret-key": "hushhush1"}), clock=clock, **given)
    OPEN.append(events)
    return events


def leads(events: RingEvents) -> None:
    events.write(EventKind.PROCESS_STARTED, LEADER, role="jobmanager")
    events.write(EventKind.LEADERSHIP_GRANTED, LEADER, session_id=SESSION)
    events.write(
        EventKind.LEADERSHIP_CONFIRMED, LEADER, session_id=SESSION, component=REST_SERVER,
        address=f"http://{LEADER}",
    )  # fmt: skip
    events.write(EventKind.JOB_ACKNOWLEDGED, LEADER, job_id=JOB, name="flights")
    events.write(EventKind.JOB_STATUS, LEADER, session_id=SESSION, job_id=JOB, status="RUNNING")


def checkpoint(events: RingEvents, number: int) -> None:
    events.write(
        EventKind.CHECKPOINT_COMPLETED, LEADER, session_id=SESSION, job_id=JOB,
        checkpoint_id=number, bytes=1234, milliseconds=17,
    )  # fmt: skip


def size_of(ring: Path) -> int:
    return sum(each.stat().st_size for each in ring.rglob("*") if each.is_file())


def test_the_oldest_goes_and_the_rest_is_a_whole_story(tmp_path: Path, clock: ManualClock) -> None:
    events = ring_of(tmp_path, clock, size=100_000)
    leads(events)
    for number in range(5000):
        clock.advance(1.0)
        checkpoint(events, number)
    events.heartbeat()
    events.close()
    assert size_of(tmp_path / "ring") < 120_000, "what is allowed, and one segment"
    run = open_bundle(tmp_path / "ring")
    kinds = [event.kind for event in run.event_list()]
    assert 100 < kinds.count(EventKind.CHECKPOINT_COMPLETED) < 1000
    assert kinds.count(EventKind.LEADERSHIP_GRANTED) == 1, "restated once, by the oldest segment"
    timeline = run.timeline()
    assert {"published leader", LEADER, "job flights"} <= set(timeline.lanes)
    assert timeline.of_lane(LEADER)[-1].state == "leading"
    assert 100 < timeline.end < 1000, "it begins where the ring does"
    assert run.verdict().valid
    assert replay(tmp_path / "ring") is not None


def test_what_is_too_old_goes(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = ring_of(tmp_path, clock, keep=16 * MINUTE)
    leads(events)
    for number in range(40):
        clock.advance(MINUTE + 1)
        checkpoint(events, number)
        events.heartbeat()
    assert len(rings.segments(tmp_path / "ring")) >= 30, "one a minute"
    for segment in rings.segments(tmp_path / "ring"):
        stamp = clock.time() - MINUTE * (40 - int(segment.stem))
        os.utime(segment, (stamp, stamp))
    clock.advance(2 * MINUTE)
    checkpoint(events, 41)
    events.close()
    assert 14 <= len(rings.segments(tmp_path / "ring")) <= 20


def test_a_watch_that_begins_again_tells_nothing_twice(tmp_path: Path, clock: ManualClock) -> None:
    first = ring_of(tmp_path, clock)
    leads(first)
    checkpoint(first, 1)
    clock.advance(10.0)
    first.heartbeat()
    first.close()
    segment = rings.segments(tmp_path / "ring")[-1]
    segment.write_bytes(segment.read_bytes() + b'{"kind": "job.st')  # it was killed

    reboot = ManualClock()
    reboot.advance(-500.0)  # the machine's clock begins anew, the wall clock goes on
    reboot.time = lambda: clock.time() + 300.0  # type: ignore[method-assign]
    again = ring_of(tmp_path, reboot)
    leads(again)
    checkpoint(again, 1)
    checkpoint(again, 2)
    reboot.advance(5.0)
    again.heartbeat()
    again.close()

    run = open_bundle(tmp_path / "ring")
    kinds = [event.kind for event in run.event_list()]
    assert kinds.count(EventKind.LEADERSHIP_GRANTED) == 1
    assert kinds.count(EventKind.CHECKPOINT_COMPLETED) == 2
    assert run.verdict().valid, "its grant is not another grant"
    (started,) = [event for event in run.event_list() if event.kind is EventKind.WATCH_STARTED]
    assert started.facts["away"] == pytest.approx(300, abs=1)
    states = [segment.state for segment in run.timeline().of_lane("job flights")]
    assert states == ["RUNNING", "not known", "RUNNING"], "nothing is told of the time between"
    assert [each.state for each in run.timeline().of_lane(LEADER)][-2:] == ["not known", "leading"]


def test_a_silence_goes_on_until_the_last_heartbeat(tmp_path: Path, clock: ManualClock) -> None:
    events = ring_of(tmp_path, clock)
    leads(events)
    clock.advance(5.0)
    events.write(
        EventKind.REST_SILENT, LEADER, session_id=SESSION, address="", reason="r", heard=1.0
    )
    clock.advance(1000.0)
    events.heartbeat()
    run = open_bundle(tmp_path / "ring")
    assert run.timeline().end == pytest.approx(1005, abs=1)
    assert run.verdict().headline.startswith("not judged to the end")


def test_damaged_lines_cost_themselves(tmp_path: Path, clock: ManualClock) -> None:
    events = ring_of(tmp_path, clock)
    leads(events)
    events.close()
    (segment,) = rings.segments(tmp_path / "ring")
    lines = segment.read_bytes().splitlines()
    bad = [
        b"\xff\xfe",
        b"[]",
        b'{"restated": 7}',
        b'{"kind": "no.such"}',
        b"{" * 9999,
    ]
    segment.write_bytes(b"\n".join([*bad, *lines]) + b"\n")
    (tmp_path / "ring" / rings.STORE).write_text("{")
    (tmp_path / "ring" / rings.WATCHED).write_text(f'{{"wall": 1{"0" * 400}, "monotonic": []}}')
    run = open_bundle(tmp_path / "ring")
    assert len(run.event_list()) == 5
    assert run.missing["events"] == "5 lines are damaged and were passed over"
    assert run.missing["store.json"] == "it was not seen"
    (tmp_path / "ring" / rings.RING).write_text('{"format": 99}')
    with pytest.raises(LabError, match="is a ring of format 99, and this hawork reads 1"):
        open_bundle(tmp_path / "ring")


def test_no_secret_is_in_a_ring(tmp_path: Path, clock: ManualClock) -> None:
    events = ring_of(tmp_path, clock)
    events.write(EventKind.JOB_ACKNOWLEDGED, LEADER, job_id=JOB, name="hushhush1")
    assert b"hushhush1" not in rings.segments(tmp_path / "ring")[0].read_bytes()


def test_the_clusters_token_is_in_no_ring(tmp_path: Path) -> None:
    """It lies in storageDir, whose files were kept with what they say."""
    folder = tmp_path / "ha" / "default"
    folder.mkdir(parents=True, mode=0o700)
    token = "q7Zr-VwX2mLk9TgPbY4s"
    create_private(folder / "rest-token", f"{token}\n")
    (folder / "copy").write_text(f"it was {token}")
    config = checked({"high-availability.type": "zookeeper",
                      "high-availability.zookeeper.quorum": "127.0.0.1:1",
                      "high-availability.storageDir": f"file:{tmp_path}/ha"})  # fmt: skip
    recorder = Recorder(config, tmp_path / "c.yaml", tmp_path / "ring", keep=60.0, size=1 << 20)
    rows = storage_tree(tmp_path / "ha").to_dict("records")
    assert [(row["what"], row["content"]) for row in rows if row["path"].endswith("token")] == [
        ("token of REST", "")
    ]
    assert token in str(rows) and token not in str(recorder._redaction.value(rows))


def test_a_full_disk_ends_no_watch(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = ring_of(tmp_path, clock, size=16_000)
    leads(events)
    for number in range(40):
        checkpoint(events, number)
    before = rings.segments(tmp_path / "ring")

    class Full:
        left = 1

        def write(self, line: bytes) -> int:
            if self.left:
                self.left -= 1
                raise OSError(28, "No space left on device")
            return len(line)

        def close(self) -> None: ...

    monkeypatch.setattr(events, "_rotate", lambda: None)
    events._file.close()
    events._file = Full()
    checkpoint(events, 99)
    assert rings.segments(tmp_path / "ring") == before[1:], "the oldest gives way"
    assert events.dropped == 0
    events._file.left = 2
    checkpoint(events, 100)
    assert events.dropped == 1


def test_a_segment_that_cannot_be_begun_ends_no_watch(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file before was closed by then, and whatever came next ended the watch."""
    events = ring_of(tmp_path, clock, size=16_000)
    leads(events)
    with monkeypatch.context() as patched:
        patched.setattr(ring_events.os, "open", Mock(side_effect=OSError(28, "No space left")))
        for number in range(20):
            checkpoint(events, number)
    assert len(rings.segments(tmp_path / "ring")) == 1
    checkpoint(events, 20)
    assert len(rings.segments(tmp_path / "ring")) == 2
    kept = [each for each in open_bundle(tmp_path / "ring").event_list() if each.facts]
    assert {each.facts.get("checkpoint_id") for each in kept} >= set(range(21))
    assert events.dropped == 0


def test_half_a_line_costs_itself(tmp_path: Path, clock: ManualClock) -> None:
    events = ring_of(tmp_path, clock)
    leads(events)
    whole, lengths = events._file, [20, 5, None]

    class Short:
        def write(self, line: bytes) -> int:
            length = lengths.pop(0) if lengths else None
            written: int = whole.write(line[:length])
            return written

        def close(self) -> None:
            whole.close()

    events._file = Short()
    checkpoint(events, 1)
    checkpoint(events, 2)
    assert events.dropped == 1
    run = open_bundle(tmp_path / "ring")
    assert [each.facts["checkpoint_id"] for each in run.event_list() if "checkpoint_id" in
            each.facts] == [2]  # fmt: skip
    assert run.missing["events"] == "2 lines are damaged and were passed over"


def test_a_case_is_chosen_by_its_moment(tmp_path: Path) -> None:
    folder = tmp_path / rings.CASES
    folder.mkdir()
    for moment in (1000.0, 2000.0, 3000.0):
        (folder / rings.case_name(moment)).touch()
    (folder / ".part.zip").touch()
    assert rings.case_of(tmp_path).name == rings.case_name(3000.0)
    assert rings.case_of(tmp_path, 2999.0).name == rings.case_name(2000.0)
    with pytest.raises(LabError, match="has no case of the HA data from before"):
        rings.case_of(tmp_path, 999.0)


# --- the recorder ------------------------------------------------------------------------------


@pytest.fixture
def discovery(monkeypatch: pytest.MonkeyPatch) -> FakeDiscovery:
    found = FakeDiscovery()
    monkeypatch.setattr(hawork, "open_ha_services", found.open)
    return found


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Callable[..., list[str]]]:
    done, threads = threading.Event(), []
    config = options.checked(
        flatten(
            {
                "high-availability.type": "embedded",
                "high-availability.storageDir": f"file://{tmp_path}/storage",
            }
        )
    )

    def start(ring: Path, **more: Any) -> list[str]:
        trouble: list[str] = []
        recorder = Recorder(
            config, tmp_path / "config.yaml", ring, keep=3600, size=1 << 20,
            trouble=trouble.append, **more,
        )  # fmt: skip
        with recorder._held():  # as ``run`` does: what is refused is refused here
            pass
        thread = threading.Thread(target=recorder.run, args=(done,))
        thread.start()
        threads.append(thread)
        return trouble

    yield start
    done.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def test_a_cluster_is_recorded_and_looked_at(
    tmp_path: Path, discovery: FakeDiscovery, record: Callable[..., list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    manager = FakeJobManager()
    try:
        ring = tmp_path / "ring"
        log = tmp_path / "jm.log"
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        log.write_text(f"{now},001 ERROR x [] - Fatal error occurred in the cluster\n")
        trouble = record(ring, logs=[log])
        eventually(lambda: len(discovery._listeners) == 3)
        session = discovery.publish(manager)

        def seen() -> bool:
            return any(each.kind is EventKind.JOB_STATUS for each in open_bundle(ring).event_list())

        eventually(lambda: rings.segments(ring))
        eventually(lambda: _or_false(seen))
        said = eventually(lambda: trouble)
        assert "a case of the HA data cannot be kept now" in " ".join(said)
        eventually(
            lambda: "log.line" in {str(each.kind) for each in open_bundle(ring).event_list()},
        )
    finally:
        manager.close()
    eventually(
        lambda: "rest.silent" in {str(each.kind) for each in open_bundle(ring).event_list()},
    )
    assert main(["report", str(ring)]) == 1, "it ends in silence"
    told = capsys.readouterr().out
    assert told.startswith("RunBundle(hawork watch, ")
    assert f"leads with session id {session}" in told
    assert "and no JobManager answers since" in told
    assert "log jm" in told
    assert main(["inspect", str(ring)]) == 2
    assert "has no case of the HA data" in capsys.readouterr().err


def _or_false(look: Callable[[], bool]) -> bool:
    try:
        return look()
    except LabError:
        return False


def test_rights_that_are_missing_are_waited_for_and_told_once(
    tmp_path: Path, record: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Role is edited while the watch runs, which goes on with its logs until then."""
    tries = []

    def refuse(*_: object, **__: object) -> None:
        tries.append(1)
        raise NotAllowedError("we may not list configmaps: add list to our Role")

    monkeypatch.setattr(flink_watch, "_RIGHTS_SECONDS", 0.01)
    monkeypatch.setattr(hawork, "open_ha_services", refuse)
    trouble = record(tmp_path / "ring")
    eventually(lambda: len(tries) > 3 and any("be watched" in each for each in trouble))
    assert sum("cannot be watched: we may not list" in each for each in trouble) == 1


def test_a_watch_of_no_store_begins_no_ring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["watch", "--config", os.devnull]) == 1
    said = capsys.readouterr()
    assert "high-availability.type is NONE" in said.err and not said.out
    assert not list(tmp_path.iterdir())


def test_a_folder_of_another_is_refused(tmp_path: Path, record: Callable[..., list[str]]) -> None:
    strange = tmp_path / "mine"
    strange.mkdir()
    (strange / "thesis.tex").touch()
    with pytest.raises(LabError, match=r"holds thesis\.tex and was not made by 'hawork watch'"):
        record(strange)
    ring = tmp_path / "ring"
    record(ring)
    eventually(lambda: rings.segments(ring))
    with pytest.raises(LabError, match="is written by another 'hawork watch'"):
        record(ring)
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    (other / rings.RING).write_text(json.dumps({"format": 1, "of": "zookeeper /flink/prod"}))
    with pytest.raises(LabError, match="is the ring of zookeeper /flink/prod, not of embedded"):
        record(other)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--keep", "1 s"], "1 s is too little: give 1 min or more"),
        (["--size", "1k"], "1k is too little: give 1m or more"),
        (["--size", "5g"], "5g is too much: give 400m"),
        (["--keep", "soon"], "is not a duration"),
    ],
)
def test_a_wrong_command_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_wrong_option_ends_it_and_a_store_that_is_away_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[HaworkError] = []

    def away(*_: object, **__: object) -> None:
        raise errors[0]

    monkeypatch.setattr(hawork, "open_ha_services", away)
    trouble: list[str] = []
    recorder = Recorder(
        Configuration({"high-availability.type": "zookeeper"}), tmp_path / "config.yaml",
        tmp_path / "ring", keep=3600, size=1 << 20, trouble=trouble.append,
    )  # fmt: skip
    errors.append(ConfigurationError("option x is wrong: write y"))
    with pytest.raises(ConfigurationError, match="option x is wrong"):
        recorder.run(threading.Event())
    errors[0] = StoreUnavailableError("no server answers")
    done = threading.Event()
    thread = threading.Thread(target=recorder.run, args=(done,))
    thread.start()
    said = "the HA store cannot be watched: no server answers"
    eventually(lambda: said in trouble)
    done.set()
    thread.join(20)
    told = [str(event.kind) for event in open_bundle(tmp_path / "ring").event_list()]
    assert told == ["error"]
