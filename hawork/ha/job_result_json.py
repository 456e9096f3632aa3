"""The JSON of Flink's JobResultStore, byte for byte, both ways.

Source: Flink 1.20's ``JsonJobResultEntry`` with ``JobResultSerializer`` and
``JobResultDeserializer``, and Jackson's default escaping. Accumulators and the serialised
throwable are Java objects in base64; they are carried along and never decoded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from hawork.core.jobs import ApplicationStatus, JobResult
from hawork.core.json_fields import JsonFields
from hawork.core.types import JobID
from hawork.ha.damage import of_entry

_VERSION = 1
_ESCAPE = re.compile(r"\\(?:\\|u00[0-9a-f]{2})")


def encode_job_result(result: JobResult) -> bytes:
    """The bytes Flink 1.20 writes for this result.

    ``ValueError`` for the status UNKNOWN, which Flink cannot read back.
    """
    status = result.application_status
    if status is ApplicationStatus.UNKNOWN:
        raise ValueError(f"the result of job {result.job_id} is UNKNOWN: only store what is known")
    fields: dict[str, Any] = {
        "id": result.job_id,
        "application-status": status.value,
        "accumulator-results": dict(result.accumulators),
        "net-runtime": result.net_runtime,
    }
    if status is ApplicationStatus.FAILED and result.failure_cause is not None:
        fields["failure-cause"] = dict(result.failure_cause)
    text = json.dumps(
        {"result": fields, "version": _VERSION}, separators=(",", ":"), ensure_ascii=False
    )
    # Jackson writes the hexadecimal digits of control characters in upper case.
    text = _ESCAPE.sub(
        lambda match: "\\u" + match[0][2:].upper() if match[0] != r"\\" else r"\\", text
    )
    return text.encode("utf-8", "replace")


def decode_job_result(what: str, payload: bytes) -> JobResult:
    """The result in a file of the JobResultStore; ``CorruptStateError`` names ``what``.

    As in Flink, order and white space are free, the status may be in any case, and
    accumulators and failure cause may be missing.
    """
    with of_entry(what, "is not a job result"):
        result = JsonFields("result", JsonFields("the file", json.loads(payload)).any("result"))
        cause = result.any("failure-cause") if result.has("failure-cause") else None
        return JobResult(
            job_id=JobID(result.text("id")),
            application_status=ApplicationStatus(result.text("application-status").upper()),
            net_runtime=result.whole("net-runtime"),
            accumulators=_texts(result.object("accumulator-results", {})),
            failure_cause=None if cause is None else _texts(cause),
        )


def _texts(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r:.60} is not a JSON object")
    for part in value.values():
        if not isinstance(part, str):
            raise ValueError(f"{part!r:.60} is not text")
    return value
