"""Flink's bytes, both ways, with samples made by Java."""

from __future__ import annotations

import struct
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawork.core.errors import CorruptStateError, LeaderRetrievalError
from hawork.core.types import LeaderInformation
from hawork.ha import java_serialization as java

SESSION = UUID("00112233-4455-6677-8899-aabbccddeeff")
SAMPLE = bytes.fromhex(
    "aced000577170015687474703a2f2f6c6f63616c686f73743a383038317372000e6a6176612e7574696c2e555549"
    "44bc9903f7986d852f0200024a000c6c65617374536967426974734a000b6d6f73745369674269747378708899aa"
    "bbccddeeff0011223344556677"
)


def test_the_sample_is_read_and_written_byte_for_byte() -> None:
    information = LeaderInformation(SESSION, "http://localhost:8081")
    assert len(SAMPLE) == 105
    assert java.decode_leader_information(SAMPLE) == information
    assert java.encode_leader_information(information) == SAMPLE


@pytest.mark.parametrize(
    ("length", "head"),
    [
        (253, "77ff00fd"),
        (254, "7a0000010000fe"),
        (1022, "7a0000040003fe"),
        (1023, "7a0000040003ff"),
    ],
)
def test_blocks_are_those_of_java(length: int, head: str) -> None:
    data = java.encode_leader_information(LeaderInformation(SESSION, "a" * length))
    assert data[4:].hex().startswith(head)
    if length == 1023:
        assert data[4 + 5 + 1024 :].hex().startswith("7701" + b"a".hex() + "7372")


@given(st.uuids(), st.text(max_size=3000))
def test_round_trip(session_id: UUID, address: str) -> None:
    information = LeaderInformation(session_id, address)
    assert java.decode_leader_information(java.encode_leader_information(information)) == (
        information
    )


@given(st.binary(min_size=1))
def test_garbage_is_a_clear_error(data: bytes) -> None:
    with pytest.raises(LeaderRetrievalError, match="not leader information"):
        java.decode_leader_information(data)


@given(st.integers(min_value=1, max_value=104))
def test_a_truncated_value_is_a_clear_error(length: int) -> None:
    with pytest.raises(LeaderRetrievalError, match="not leader information"):
        java.decode_leader_information(SAMPLE[:length])


@given(st.integers(min_value=0, max_value=104), st.integers(min_value=0, max_value=255))
def test_a_changed_byte_never_does_harm(position: int, value: int) -> None:
    data = bytearray(SAMPLE)
    data[position] = value
    try:
        found = java.decode_leader_information(bytes(data))
    except LeaderRetrievalError:
        return
    assert found is not None


def test_empty_means_that_nobody_leads() -> None:
    assert java.decode_leader_information(b"") is None


def test_bytes_after_the_object_are_ignored_as_in_flink() -> None:
    assert java.decode_leader_information(SAMPLE + b"more") is not None


def test_small_blocks_of_another_writer_are_read() -> None:
    text = struct.pack(">H", 3) + b"abc"
    blocks = b"".join(bytes((0x77, 1, byte)) for byte in text)
    data = SAMPLE[:4] + blocks + SAMPLE[4 + 2 + 0x17 :]
    assert java.decode_leader_information(data) == LeaderInformation(SESSION, "abc")


def test_nul_and_emoji_are_modified_utf8() -> None:
    data = java.encode_leader_information(LeaderInformation(SESSION, "\0\N{GRINNING FACE}"))
    assert data[4:].hex().startswith("770a0008" + "c080" + "eda0bdedb880")


def test_an_address_beyond_the_format_is_refused() -> None:
    with pytest.raises(LeaderRetrievalError, match="65535"):
        java.encode_leader_information(LeaderInformation(SESSION, "a" * 65536))


def test_a_pointer_of_flink_is_read() -> None:
    uri = "file:/ha/cluster_one/submittedJobGraphc4c8017dad59"
    data = (
        java._HANDLE_PREFIX
        + struct.pack(">q", 4711)
        + java._HANDLE_MIDDLE
        + struct.pack(">H", len(uri))
        + uri.encode()
        + b"x"
    )
    assert (len(java._HANDLE_PREFIX), len(java._HANDLE_MIDDLE)) == (291, 129)
    assert java.decode_state_handle(data) == java.FlinkStateHandle(uri, 4711)
    for broken in (b"", data[:300], data[:440], b"{}" + data[2:]):
        with pytest.raises(CorruptStateError):
            java.decode_state_handle(broken)


@pytest.mark.parametrize("marked", [False, True])
def test_a_pointer_of_flink_on_kubernetes_is_read(marked: bool) -> None:
    uri = "file:/ha/default/completedCheckpoint2e1f6bcb5e0c"
    handle = (
        java._HANDLE_PREFIX
        + struct.pack(">q", 12)
        + java._HANDLE_MIDDLE
        + struct.pack(">H", len(uri))
        + uri.encode()
        + b"x"
    )
    uid = bytes.fromhex("1bad4480ef860d7c")
    start = java._MARKED_PREFIX + uid + java._MARKED_FIELDS
    data = start + bytes([marked]) + handle[4:]
    assert len(start) == 206, "where Flink 1.20.5 has the marker"
    assert java.decode_marked_state_handle(data) == (java.FlinkStateHandle(uri, 12), marked)
    for broken in (b"", start, data[:300], handle, b"{}" + data[2:]):
        with pytest.raises(CorruptStateError):
            java.decode_marked_state_handle(broken)
