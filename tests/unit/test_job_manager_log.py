"""The lines of a JobManager's log that matter, in the layouts that people have."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab_story import Story

from hawork.core.errors import ConfigurationError, LabError
from hawork.core.events import Event, EventKind
from hawork.story.job_manager_log import JobManagerLog, LogLines, aligned, folded, read_logs
from hawork.story.timeline import Timeline, as_text

JOB = "62f6a8b83a1b44313a74d89f6e50b70c"
SESSION = "561d6961-cdb9-4ccf-a657-6fb7aff9ef30"
LOGGER = "org.apache.flink.runtime.dispatcher.runner.DefaultDispatcherRunner [] "
GRANTED = f"DefaultDispatcherRunner was granted leadership with leader id {SESSION}. Creating new."
FLINK = f"""\
2026-11-29 16:53:33,625 INFO  {LOGGER} - {GRANTED}
2026-11-29 16:53:33,700 INFO  org.apache.flink.runtime.jobmaster.JobMaster [] - Nothing of interest
2026-11-29 16:53:34,001 INFO  o.a.f.r.d.r.SessionDispatcherLeaderProcess   [] - Successfully \
recovered 3 persisted job graphs.
2026-11-29 16:53:35,001 INFO  o.a.f.r.c.CheckpointCoordinator [] - Completed checkpoint 41 for job \
{JOB} (2648 bytes, checkpointDuration=12 ms, finalizationTime=1 ms).
2026-11-29 16:53:36,001 WARN  CheckpointFailureManager [] - Failed to trigger or complete \
checkpoint 42 for job {JOB}. (0 consecutive failed attempts so far)
2026-11-29 16:53:37,001 ERROR ClusterEntrypoint [] - Fatal error occurred in the cluster entrypoint.
java.util.concurrent.CompletionException: org.apache.flink.util.FlinkRuntimeException: Could not
\tat java.base/java.util.concurrent.CompletableFuture.encodeThrowable(Unknown Source)
Caused by: org.apache.flink.util.FlinkException: Could not retrieve submitted JobGraph
\t... 4 more
Caused by: java.io.FileNotFoundException: /srv/ha/submittedJobGraph12ab (No such file or directory)
2026-11-29 16:53:38,001 INFO  o.a.f.r.d.r.DefaultDispatcherRunner [] - DefaultDispatcherRunner was \
revoked the leadership with leader id {SESSION}. Stopping the DispatcherLeaderProcess.
"""
SAID = ["granted", "recovered jobs", "checkpoint failed", "fatal", "revoked"]


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def read(text: str) -> list[Event]:
    found = LogLines("jm-1").read(text.splitlines())
    return [event for event in found if event.facts["what"] != "checkpoint completed"]


def said(events: list[Event]) -> list[str]:
    return [event.facts["what"] for event in events]


def test_flinks_own_layout() -> None:
    events = read(FLINK)
    assert said(events) == SAID
    granted, _, failed, fatal, revoked = events
    assert (granted.kind, granted.process) == (EventKind.LOG_LINE, "jm-1")
    assert granted.session_id == revoked.session_id == SESSION
    assert granted.facts["message"] == GRANTED
    assert time.gmtime(granted.wall)[:6] == (2026, 11, 29, 16, 53, 33)
    assert (failed.job_id, failed.facts["level"]) == (JOB, "WARN")
    assert fatal.facts["cause"].startswith("FileNotFoundException: /srv/ha/submittedJobGraph12ab")


def test_a_job_that_begins_from_nothing() -> None:
    """The words of CheckpointCoordinator in flink-dist 1.20.5, as a JobManager wrote them."""
    line = (
        "2026-11-29 17:08:26,571 INFO  org.apache.flink.runtime.checkpoint.CheckpointCoordinator"
        "      [] - No checkpoint found during restore.\n"
    )
    assert said(read(line)) == ["no checkpoint"]


@pytest.mark.parametrize(
    "layout",
    [
        pytest.param(lambda line: f"[pod/flights-jobmanager-0/main] {line}", id="kubectl --prefix"),
        pytest.param(
            lambda line: f"2026-11-29T16:53:39.123456789Z {line}", id="kubectl --timestamps"
        ),
        pytest.param(
            lambda line: f"[pod/a/main] 2026-11-29T16:53:39.1Z {line}", id="kubectl, both"
        ),
        pytest.param(lambda line: line.replace(",", ".", 1).replace(" ", "T", 1), id="ISO 8601"),
        pytest.param(lambda line: f"[{line[:23]}] [main] {line[24:]}", id="in brackets"),
        pytest.param(lambda line: f"INFO  {line[:23]} {line[24:]}", id="level first"),
        pytest.param(lambda line: f"{line[11:]}", id="clock only"),
    ],
)  # fmt: skip
def test_other_layouts(layout: object) -> None:
    text = "".join(
        f"{layout(line) if line.startswith('2026') else line}\n"  # type: ignore[operator]
        for line in FLINK.splitlines()
    )
    assert said(read(text)) == SAID


def test_json_of_elastic_and_of_log4j() -> None:
    text = (
        '{"@timestamp":"2026-11-29T16:53:33.625Z","log.level":"INFO","message":"GRANTED"}\n'
        '{"instant":{"epochSecond":1795971214,"nanoOfSecond":1},"level":"ERROR","message":'
        '"Fatal error occurred in the cluster entrypoint.","thrown":{"message":"no"},'
        '"error":{"stack_trace":"java.lang.Exception: a\\nCaused by: java.io.IOException: b"}}\n'
        '{"message":"no time"}\n{broken\n{"@timestamp":17,"message":[1]}\n'
    ).replace("GRANTED", GRANTED)
    granted, fatal = read(text)
    assert (granted.session_id, granted.facts["zone"]) == (SESSION, True)
    assert (fatal.facts["what"], fatal.facts["cause"]) == ("fatal", "IOException: b")


def test_bytes_of_any_kind_are_no_entries() -> None:
    noise = os.urandom(20_000).decode(errors="replace")
    times = "9999-99-99 99:99:99,999 ERROR x - y\n2026-02-30 10:00:00,000 ERROR x - y\n"
    assert read(f"{noise}\n{times}{'{' * 20_000}\n") == []


def test_a_log_that_grows_and_is_rotated(tmp_path: Path) -> None:
    path = tmp_path / "jm-7.log"
    path.write_text(FLINK[: FLINK.index("2026-11-29 16:53:36")] + "2026-11-29 16:5")
    log = JobManagerLog(path)
    assert log.name == "jm-7"
    assert said(log.read_on())[1:] == SAID[:2], "the first is the checkpoint that both tell of"
    assert log.read_on() == []
    path.write_text(f"2026-11-29 17:00:00,000 INFO  x [] - {GRANTED}\n")
    assert said(log.read_on()) == ["granted"]
    path.unlink()
    assert log.read_on() == []
    with pytest.raises(LabError, match=r"there is no log .*jm-7\.log: name a file"):
        JobManagerLog(path)


@pytest.mark.parametrize("pack", [
    gzip.compress, bz2.compress, lzma.compress,
    lambda text: b"\xff\xfe" + text.decode().encode("utf-16-le"),  # PowerShell's '>'
    lambda text: gzip.compress(b"\xfe\xff" + text.decode().encode("utf-16-be")),
    lambda text: b"\xef\xbb\xbf" + text,
])  # fmt: skip
def test_a_log_that_was_packed_or_is_utf_16_says_the_same(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "jm-7.log.gz"
    path.write_bytes(pack(FLINK.encode()))
    log = JobManagerLog(path)
    assert log.name == "jm-7"
    assert said(log.read_on())[1:] == SAID, "the first is the checkpoint that both tell of"
    assert log.read_on() == []
    assert log.unread == ""


def test_a_growing_log_of_utf_16_is_cut_between_characters(tmp_path: Path) -> None:
    """Across the last two of it lie the bytes of a new line."""
    path = tmp_path / "jm.log"
    line = f"2026-11-29 17:00:00,000 INFO  x [] - {GRANTED}\n"
    whole = b"\xff\xfe" + line.encode("utf-16-le")
    path.write_bytes(whole + "2026-11-29 17:00:01,000 INFO ਅĀ".encode("utf-16-le")[:-1])
    log = JobManagerLog(path)
    assert said(log.read_on()) == ["granted"]
    path.write_bytes(whole * 2)
    assert said(log.read_on()) == ["granted"]


def test_of_a_packed_log_that_is_cut_off_the_rest_is_told(tmp_path: Path) -> None:
    path = tmp_path / "jm.log.gz"
    noise = "".join(f"2026-11-29 18:00:00,{n % 1000:03} INFO x - {os.urandom(40).hex()}\n"
                    for n in range(3000))  # fmt: skip
    path.write_bytes(gzip.compress(f"{FLINK}{noise}".encode())[:-4000])
    _, *before, last = read_logs([path])
    assert said(before) == SAID
    assert last.facts["what"] == "cut off"
    assert "jm.log.gz cannot be unpacked to its end" in last.facts["message"]


@pytest.mark.parametrize(("content", "reason"), [
    (gzip.compress(FLINK.encode())[:12], "cannot be unpacked to its end"),
    (b"\x04\x22\x4d\x18abc", "is packed with lz4, which is not read here"),
    (b"total 7\ndrwxr-xr-x 2 root root 4096 Nov 29 ha\n", "is not a JobManager's log"),
], ids=["cut off", "lz4", "another file"])  # fmt: skip
def test_a_file_of_which_nothing_is_read_is_not_passed_over(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "jm.log.gz"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=rf"jm\.log\.gz {reason}"):
        read_logs([path])


def test_the_time_zone_is_found_by_a_checkpoint_that_both_tell_of(tmp_path: Path) -> None:
    """A container logs in UTC, without saying so, and is read in another zone."""
    path = tmp_path / "jm-1.log"
    path.write_text(FLINK)
    entries = read_logs([path])
    shift = 5.75 * 3600
    checkpoint = next(each for each in entries if each.facts["what"] == "checkpoint completed")
    story = Story()
    story.add(
        checkpoint.wall + shift + 0.2 - 5e9, "10.0.0.1:8081", EventKind.CHECKPOINT_COMPLETED,
        job_id=JOB, checkpoint_id=41,
    )  # fmt: skip
    (event,) = story.events
    laid = aligned(entries, story.events)
    assert said(laid) == SAID
    assert all(
        abs(new.wall - old.wall - shift) < 1e-6
        for new, old in zip(laid, [e for e in entries if e is not checkpoint], strict=True)
    )
    assert laid[0].monotonic - event.monotonic == pytest.approx(laid[0].wall - event.wall)


def test_logs_have_lanes_of_their_own() -> None:
    story = Story()
    story.started(0, "jm-1")
    events = sorted([*story.events, *aligned(read(FLINK), ())], key=lambda each: each.monotonic)
    timeline = Timeline.of(events)
    assert timeline.lanes[-1] == "log jm-1"
    kinds = {mark.label.partition(":")[0]: mark.kind for mark in timeline.marks}
    assert (kinds["granted"], kinds["fatal"]) == ("log", "alarm")
    assert "fatal: FileNotFoundException: /srv/ha/submittedJobGraph12ab" in as_text(timeline)


def test_what_is_said_again_and_again_is_one_entry() -> None:
    line = "2026-11-29 16:53:{:02d},001 INFO  CheckpointFailureManager [] - Failed to trigger \
checkpoint for job 62f6a8b83a1b44313a74d89f6e50b70c since it is not being executed at the moment."
    entries = folded(read("\n".join(line.format(second) for second in range(25))))
    assert [each.facts.get("times", 1) for each in entries] == [10, 10, 5]


def test_a_log_of_a_month_does_not_begin_the_timeline() -> None:
    story = Story()
    entries = read(FLINK)
    story.started(entries[-1].wall - 5e9 + 7200, "jm-1")
    assert aligned(entries, story.events) == []
