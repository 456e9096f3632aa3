"""Leader annotations of a cluster's ConfigMap: of a dead leader, of none, and damaged ones.

Of each it was tried what real Flink makes of it: ``tests/benchmarks/bench_prediction.py``.
"""

from __future__ import annotations

import json
from typing import Any

GONE: dict[str, Any] = {
    "holderIdentity": "3d1f5f5e-0f8e-4f5c-9d3c-1f0a4b7f8f11",
    "leaseDuration": "PT4S",
    "acquireTime": "2026-01-01T00:00:00.000000Z",
    "renewTime": "2026-01-01T00:00:00.000000Z",
    "leaderTransitions": 0,
}
"""That of a leader which is long dead."""


def _record(without: str = "", **changed: Any) -> str:
    record = {key: value for key, value in {**GONE, **changed}.items() if key != without}
    return json.dumps(record)


UNREADABLE = {
    "is_not_json": "{not json",
    "is_empty": "",
    "is_an_empty_object": "{}",
    "is_a_list": "[]",
    "is_null": "null",
    "has_a_bad_duration": _record(leaseDuration="soon"),
    "has_no_duration": _record(without="leaseDuration"),
    "has_a_bad_time": _record(renewTime="yesterday"),
    "has_no_renewal": _record(without="renewTime"),
    "is_of_client_go": json.dumps({
        "holderIdentity": "a", "leaseDurationSeconds": 4, "acquireTime": "2026-01-01T00:00:00Z",
        "renewTime": "2026-01-01T00:00:00Z", "leaderTransitions": 0,
    }),
    "has_whole_seconds": _record(renewTime="2026-01-01T00:00:00Z"),
    "has_milliseconds": _record(renewTime="2026-01-01T00:00:00.000Z"),
    "has_an_offset": _record(renewTime="2026-01-01T00:00:00.000000+00:00"),
    "has_a_bad_acquisition": _record(acquireTime="2026-01-01"),
    "is_free_and_has_a_bad_time": _record(holderIdentity="", renewTime="yesterday"),
    "has_words_for_transitions": _record(leaderTransitions="many"),
    "is_free_and_has_no_times": json.dumps({"holderIdentity": "", "leaderTransitions": 0}),
    "has_no_acquisition": _record(without="acquireTime"),
    "has_text_seconds": _record(leaseDuration="4"),
    "has_an_unknown_field": _record(colour="red"),
}  # fmt: skip
"""No JobManager ever leads."""

READABLE = {
    "has_no_holder": _record(without="holderIdentity"),
    "has_no_transitions": _record(without="leaderTransitions"),
    "has_text_for_transitions": _record(leaderTransitions="3"),
    "has_a_number_for_holder": _record(holderIdentity=5),
    "has_seconds": _record(leaseDuration=4.0),
    "has_something_behind": _record() + " and more",
}
"""A JobManager leads."""
