"""Flink's bytes in, facts out: pointers, checkpoints, metadata, job graphs, results."""

from __future__ import annotations

import base64
from uuid import UUID

import flink_samples
import pytest

from hawork.core.jobs import ApplicationStatus
from hawork.core.types import LeaderInformation
from hawork.inspect.checkpoints import decode_completed_checkpoint
from hawork.inspect.errors import UndecodableError
from hawork.inspect.handles import HandleWalk, StateHandle, path_of_uri, uri_of_path
from hawork.inspect.java_values import JavaClass, JavaObject
from hawork.inspect.job_graphs import decode_job_graph
from hawork.inspect.metadata import decode_metadata
from hawork.inspect.pointers import (
    MARKER_UID_1_15,
    MARKER_UID_1_19,
    FlinkPointer,
    LockRecord,
    Service,
    decode_connection_info,
    decode_counter,
    decode_leader_text,
    decode_lock_record,
    decode_pointer,
    encode_connection_info,
    encode_counter,
    encode_leader_text,
    encode_lock_record,
    encode_pointer,
    marker_uid,
)
from hawork.inspect.results import ResultFile, decode_result, result_file
from tests.flink_vectors import expected_handles, vector

CHECKPOINT_DIRECTORY = "file:/srv/flink/checkpoints/00000000000000000000000000000001/chk-77"
# A pointer in a ConfigMap, as Flink 1.20.5 wrote it.
ON_KUBERNETES = (
    "aced0005737200636f72672e6170616368652e666c696e6b2e6b756265726e657465732e68696768617661696c"
    "6162696c6974792e4b756265726e657465735374617465"
)


def line(handle: StateHandle) -> str:
    path = handle.path if handle.kind != "segment" else None
    return f"{handle.kind} {handle.size} {path or '-'}"


def test_a_completed_checkpoint_says_every_state_handle() -> None:
    checkpoint = decode_completed_checkpoint(vector("1.20.5.completedCheckpoint"))
    found = [line(handle) for handle in checkpoint.handles if handle.kind != "changes"]
    assert sorted(found) == sorted(expected_handles("1.20.5"))
    assert checkpoint.job_id == "00000000000000000000000000000001"
    assert (checkpoint.checkpoint_id, checkpoint.completion_timestamp) == (77, 2000)
    assert checkpoint.metadata_path == f"{CHECKPOINT_DIRECTORY}/_metadata"
    assert checkpoint.metadata_size == 4321
    assert str(checkpoint.flink_versions) == "1.20"
    assert checkpoint.unknown_classes == frozenset()
    assert [operator.finished for operator in checkpoint.operators] == [False, True]
    assert checkpoint.properties.kind == "checkpoint"
    assert checkpoint.properties.discarded_when == {"subsumed", "finished"}
    assert checkpoint.properties.retained


def test_metadata_and_completed_checkpoint_of_one_snapshot_agree() -> None:
    checkpoint = decode_completed_checkpoint(vector("1.20.5.completedCheckpoint"))
    metadata = decode_metadata(vector("1.20.5._metadata"), CHECKPOINT_DIRECTORY)
    assert set(metadata.operators) == set(checkpoint.operators)
    assert metadata.properties == checkpoint.properties
    assert (metadata.version, metadata.checkpoint_id) == (4, 77)
    assert metadata.hooks == ("hook",)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "ends too early"),
        (bytes.fromhex("4960672d00000001"), "its version is 1, of Flink 1.2 or before"),
        (bytes.fromhex("4960672d00000007"), "its version is 7, of a Flink after 2.3"),
        (b"PK\3\4" + bytes(40), "it begins with 504b0304"),
    ],
)
def test_metadata_that_cannot_be_read_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(UndecodableError, match=reason):
        decode_metadata(data, CHECKPOINT_DIRECTORY)


@pytest.mark.parametrize(
    ("name", "kind", "versions"),
    [
        ("1.18.1.jobgraph", "JobGraph", "1.15 to 1.18"),
        ("1.19.3.jobgraph", "JobGraph", "1.19"),
        ("1.20.5.jobgraph", "JobGraph", "1.20"),
        ("2.1.1.jobgraph", "JobGraph", "2.0 or later"),
        ("2.1.1.streamgraph", "StreamGraph", "2.0 or later"),
    ],
)
def test_a_job_graph_says_what_would_run(name: str, kind: str, versions: str) -> None:
    graph = decode_job_graph(vector(name))
    assert (graph.kind, graph.name, str(graph.flink_versions)) == (kind, "seventh ä", versions)
    assert (graph.checkpoint_interval, graph.retained) == (7000, True)
    settings = graph.restore_settings
    assert settings.path == "file:/srv/flink/savepoints/savepoint-1"
    assert (settings.allow_non_restored, settings.mode) == (True, "NO_CLAIM")
    vertices = {vertex.name: vertex for vertex in graph.vertices}
    assert set(vertices) == {"Source: numbers ä😀", "sum", "Sink: away"}
    assert vertices["sum"].parallelism == 2
    # Flink printed these ids itself; the one of the source follows from its uid.
    source = vertices["Source: numbers ä😀"]
    assert source.operator_ids == ("ce28b3b02afea92a4019de0880ff3414",)
    if kind == "JobGraph":
        assert vertices["sum"].operator_ids == ("781a7bfb43712082006f7331e6eec06b",)
    assert graph.operators_complete is (kind == "JobGraph")


def test_a_checkpoint_is_not_a_job_graph_and_the_error_names_its_class() -> None:
    with pytest.raises(UndecodableError) as caught:
        decode_job_graph(vector("1.20.5.completedCheckpoint"))
    assert caught.value.class_name == "org.apache.flink.runtime.checkpoint.CompletedCheckpoint"
    assert caught.value.offset == 4


@pytest.mark.parametrize("service", ["zookeeper", "kubernetes"])
@pytest.mark.parametrize("path", ["file:/ha/x1", "s3://bucket/ha/a b", "file:/ha/ä%😀", "/plain"])
def test_a_pointer_is_read_as_it_was_written(service: Service, path: str) -> None:
    data = encode_pointer(path, 1 << 40, service)
    pointer = decode_pointer(data, service)
    assert (pointer.path, pointer.size) == (path, 1 << 40)
    assert pointer.marked_for_deletion is (None if service == "zookeeper" else False)


@pytest.mark.parametrize("uid", [MARKER_UID_1_15, MARKER_UID_1_19])
@pytest.mark.parametrize("marked", [True, False])
def test_the_delete_marker_and_its_version_are_told(uid: int, marked: bool) -> None:
    data = encode_pointer(
        "file:/ha/x", 7, "kubernetes", marked_for_deletion=marked, serial_version_uid=uid
    )
    pointer = decode_pointer(data, "kubernetes")
    assert pointer == FlinkPointer(
        "file:/ha/x", 7, marked, uid,
        "org.apache.flink.runtime.state.filesystem.FileStateHandle", "file:/ha/x",
    )  # fmt: skip
    raw = base64.b64decode(data)
    assert raw.startswith(bytes.fromhex(ON_KUBERNETES)) and raw[206] == marked
    assert decode_pointer(raw, "kubernetes") == pointer


@pytest.mark.parametrize(
    ("version", "uid"),
    [("1.15", MARKER_UID_1_15), ("1.18.1", MARKER_UID_1_15), ("1.19.3", MARKER_UID_1_19),
     ("1.20-SNAPSHOT", MARKER_UID_1_19), ("2.0.0", MARKER_UID_1_19)],
)  # fmt: skip
def test_each_release_has_its_uid(version: str, uid: int) -> None:
    assert marker_uid(version) == uid


def test_a_pointer_that_flink_could_not_read_is_not_one() -> None:
    data = bytearray(encode_pointer("file:/ha/x", 7, "zookeeper"))
    at = data.index(bytes.fromhex("04dc75d862bd1bb3"))  # FileStateHandle's serialVersionUID
    data[at] ^= 1
    with pytest.raises(UndecodableError, match="serialVersionUID") as caught:
        decode_pointer(bytes(data), "zookeeper")
    assert caught.value.class_name == "org.apache.flink.runtime.state.filesystem.FileStateHandle"
    with pytest.raises(UndecodableError, match="not base64"):
        decode_pointer(b"not base64!", "kubernetes")


@pytest.mark.parametrize(
    ("uri", "path"),
    [("file:/a%20b", "file:/a b"), ("s3://b/%25x", "s3://b/%x"), ("file:/ä", "file:/ä")],
)
def test_paths_are_what_flink_prints(uri: str, path: str) -> None:
    assert (path_of_uri(uri), uri_of_path(path)) == (path, uri)


def test_leader_information_in_both_stores() -> None:
    information = LeaderInformation(UUID(int=5), "pekko.tcp://flink@10.0.0.7:6123/user/rpc/x,y")
    assert decode_connection_info(encode_connection_info(information)) == information
    assert decode_leader_text(encode_leader_text(information)) == information
    assert decode_connection_info(b"") is None
    with pytest.raises(UndecodableError, match="leader information"):
        decode_connection_info(b"\xac\xed\x00\x05")
    with pytest.raises(UndecodableError, match="leader information"):
        decode_leader_text("not a uuid,http://x")


def test_counters_in_both_stores() -> None:
    assert encode_counter(6, "zookeeper") == b"\0\0\0\6"
    assert decode_counter(b"\0\0\0\6", "zookeeper") == 6
    assert decode_counter(encode_counter(1 << 40, "kubernetes"), "kubernetes") == 1 << 40
    for data, service in ((b"\0\0\0", "zookeeper"), (b" 6", "kubernetes"), (b"", "kubernetes")):
        with pytest.raises(UndecodableError, match="counter"):
            decode_counter(data, service)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "form", "seconds"),
    [
        ('{"holderIdentity":"a","leaseDuration":15.000000000,"acquireTime":'
         '"2026-11-22T20:28:30.360776Z","renewTime":"2026-11-22T20:28:40.428418Z",'
         '"leaderTransitions":3}', "number", 15.0),
        ('{"holderIdentity":"a","leaseDuration":"PT1M30.5S","acquireTime":'
         '"2026-11-22T20:28:30.360776Z","renewTime":"2026-11-22T20:28:40.428418Z",'
         '"leaderTransitions":3}', "iso", 90.5),
        ('{"holderIdentity":"a","leaseDurationSeconds":15,"acquireTime":'
         '"2026-11-22T20:28:30Z","renewTime":"2026-11-22T20:28:40Z",'
         '"leaderTransitions":3}', "client-go", 15.0),
    ],
)  # fmt: skip
def test_a_lock_is_read_in_every_form_and_written_back(
    text: str, form: str, seconds: float
) -> None:
    record = decode_lock_record(text)
    assert (record.holder, record.form, record.lease_duration) == ("a", form, seconds)
    assert record.transitions == 3
    assert record.renew_time is not None and record.renew_time == pytest.approx(1795379320, abs=1)
    assert encode_lock_record(record) == text


def test_an_odd_lock_is_read_as_far_as_it_goes() -> None:
    text = '{"holderIdentity":null,"leaseDuration":15,"renewTime":"yesterday"}'
    assert decode_lock_record(text) == LockRecord("", 15.0, None, None, 0, "number")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"holderIdentity":"a"}', '{"leaseDuration":"x"}'])
def test_a_lock_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(UndecodableError, match="lock record"):
        decode_lock_record(text)


def test_a_job_result_and_its_file() -> None:
    assert decode_result(flink_samples.FAILED).application_status is ApplicationStatus.FAILED
    job_id = "0000000000000000000000000000000a"
    assert result_file(f"x/{job_id}_DIRTY.json") == ResultFile(job_id, True)
    assert result_file(f"{job_id}.json") == ResultFile(job_id, False)
    assert result_file(f"{job_id}_DIRTY.json.stale-1") is None
    with pytest.raises(UndecodableError) as caught:
        decode_result(flink_samples.FINISHED[:60])
    assert caught.value.what == "job result" and caught.value.offset > 40


@pytest.mark.parametrize("offset", [20, 65, 633, 712])
def test_a_class_that_no_flink_has_is_damage(offset: int) -> None:
    """One letter of a name, or one bit of a serialVersionUID: Java throws, and so must we."""
    damaged = bytearray(vector("1.20.5.completedCheckpoint"))
    damaged[offset] ^= 1
    with pytest.raises(UndecodableError, match=r"no such class|serialVersionUID|does not hold"):
        decode_completed_checkpoint(bytes(damaged))


def test_the_empty_segment_is_one_object_in_many_places() -> None:
    """With merged files each operator without state has it: the second one had none, and
    ``_metadata``, where it is written each time, seemed to differ.
    """
    name = "org.apache.flink.runtime.state.filemerging.EmptySegmentFileStateHandle"
    empty = JavaObject(JavaClass(name, 1), 0, {"stateSize": 0}, {})
    other = JavaObject(JavaClass("x.Other", 1), 0, {}, {})
    walk = HandleWalk("a checkpoint")
    assert [each.kind for each in walk.handles(empty, "a")] == ["empty"]
    assert [each.owner for each in walk.handles(empty, "b")] == ["b"]
    assert walk.handles(other, "a") == walk.handles(other, "b") == []
    assert walk.unknown == {"x.Other"}
