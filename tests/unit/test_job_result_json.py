"""The JobResultStore's JSON, byte for byte as Flink 1.20.5 writes it."""

from __future__ import annotations

import json
from base64 import b64decode

import pytest
from flink_samples import CANCELED, FAILED, FAILED_WITHOUT_CAUSE, FINISHED, WITH_ACCUMULATOR
from hypothesis import given
from hypothesis import strategies as st

from hawork.core.errors import CorruptStateError
from hawork.core.jobs import ApplicationStatus, JobResult
from hawork.core.types import JobID
from hawork.ha.job_result_json import decode_job_result, encode_job_result
from hawork.ha.serialized_throwable import failure_cause

SAMPLES = {
    139: FINISHED,
    381: WITH_ACCUMULATOR,
    1584: FAILED,
    136: FAILED_WITHOUT_CAUSE,
    141: CANCELED,
}


@pytest.mark.parametrize(("size", "sample"), SAMPLES.items())
def test_flinks_files_are_read_and_written_byte_for_byte(size: int, sample: bytes) -> None:
    assert len(sample) == size
    assert encode_job_result(decode_job_result("sample", sample)) == sample


def test_what_the_samples_say() -> None:
    finished = decode_job_result("f", FINISHED)
    assert finished == JobResult(JobID("0" * 31 + "a"), ApplicationStatus.SUCCEEDED, 42)
    assert list(decode_job_result("f", WITH_ACCUMULATOR).accumulators) == ["n"]
    cause = decode_job_result("f", FAILED).failure_cause
    assert cause is not None
    assert cause["stack-trace"] == "java.lang.RuntimeException: boom\n"
    assert decode_job_result("f", CANCELED).net_runtime == 43434


def test_a_failure_is_serialised_as_flink_does() -> None:
    assert decode_job_result("f", FAILED).failure_cause == failure_cause("boom")


def test_a_failure_may_say_anything() -> None:
    message = "nul \0, é, \U0001f600 and \ud800"
    serialized = b64decode(failure_cause(message)["serialized-throwable"])
    assert b"nul \xc0\x80, \xc3\xa9, \xed\xa0\xbd\xed\xb8\x80 and \xed\xa0\x80" in serialized
    long = b64decode(failure_cause("x" * 70_000)["serialized-throwable"])
    assert b"|" + (70_000).to_bytes(8, "big") + b"x" * 70_000 in long


def test_control_characters_are_escaped_as_jackson_does() -> None:
    cause = {"class": "x", "stack-trace": 'ä"\\u001b\\\x1b\n\t\x7f€😀/'}
    encoded = encode_job_result(
        JobResult(JobID("0" * 32), ApplicationStatus.FAILED, 1, failure_cause=cause)
    )
    assert 'ä\\"\\\\u001b\\\\\\u001B\\n\\t\x7f€😀/'.encode() in encoded


def test_what_flink_accepts_is_accepted() -> None:
    data = {
        "version": 1,
        "result": {
            "net-runtime": 7,
            "application-status": "failed",
            "id": "0" * 31 + "A",
        },
    }
    result = decode_job_result("f", json.dumps(data, indent=2).encode() + b"\n")
    assert result == JobResult(JobID("0" * 31 + "a"), ApplicationStatus.FAILED, 7)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "Expecting value"),
        (FINISHED[:70], "Unterminated|Expecting"),
        (b"[]", "not a JSON object"),
        (b"{}", "'result' is missing"),
        (b'{"result":7}', "not a JSON object"),
        (FINISHED.replace(b'"id"', b'"ID"'), "'id' is missing"),
        (FINISHED.replace(b"0000000a", b"xyz"), "not a job id"),
        (FINISHED.replace(b"SUCCEEDED", b"GREAT"), "GREAT"),
        (FINISHED.replace(b":42", b":-1"), "net-runtime is -1"),
        (FINISHED.replace(b":42", b":true"), "net-runtime is True"),
        (FINISHED.replace(b":42", b":4.2"), "net-runtime is 4.2"),
        (FINISHED.replace(b":42", b':"42"'), "net-runtime"),
        (FINISHED.replace(b"{}", b"[]"), "not a JSON object"),
        (FINISHED.replace(b"{}", b'{"n":7}'), "7 is not text"),
        (b"\xff\xfe" + FINISHED, "decode|BOM"),
        (b"[" * 100_000, "nested|Expecting"),
    ],
)
def test_damaged_files_are_named_with_the_reason(payload: bytes, reason: str) -> None:
    with pytest.raises(CorruptStateError, match=f"file x is not a job result: .*({reason})"):
        decode_job_result("file x", payload)


def test_an_unknown_status_is_not_written() -> None:
    result = JobResult(JobID("0" * 32), ApplicationStatus.UNKNOWN)
    with pytest.raises(ValueError, match="UNKNOWN"):
        encode_job_result(result)


texts = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.text('aä\x01\\"😀'))


@given(
    status=st.sampled_from([s for s in ApplicationStatus if s is not ApplicationStatus.UNKNOWN]),
    net_runtime=st.integers(0, 2**63 - 1),
    accumulators=texts,
    cause=st.none() | texts,
)
def test_round_trip(
    status: ApplicationStatus,
    net_runtime: int,
    accumulators: dict[str, str],
    cause: dict[str, str] | None,
) -> None:
    kept = cause if status is ApplicationStatus.FAILED else None
    result = JobResult(JobID("0" * 32), status, net_runtime, accumulators, kept)
    assert decode_job_result("f", encode_job_result(result)) == result


@given(st.binary())
def test_no_bytes_raise_anything_else(payload: bytes) -> None:
    with pytest.raises(CorruptStateError):
        decode_job_result("f", payload)
