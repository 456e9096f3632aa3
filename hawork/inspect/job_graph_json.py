"""What was read out of a job graph, as JSON: a saved case keeps this and not the graph.

A job graph holds SQL, options of connectors and user objects, and so may hold secrets.
"""

from __future__ import annotations

import json
from typing import Any, Final

from hawork.core.redaction import Redaction
from hawork.inspect.errors import UndecodableError
from hawork.inspect.job_graphs import (
    JobGraphFacts,
    JobVertexFacts,
    RestoreSettings,
    decode_job_graph,
)
from hawork.inspect.versions import KNOWN_VERSIONS, FlinkVersions

__all__ = ["job_graph_to_json", "read_job_graph"]

_BEGIN: Final = b'{"job graph of a saved case": '
_WHAT: Final = "job graph of a saved case"


def job_graph_to_json(graph: JobGraphFacts, redaction: Redaction) -> bytes:
    """The facts without secrets in names."""
    facts = {
        "job_id": graph.job_id,
        "name": redaction.text(graph.name),
        "kind": graph.kind,
        "checkpoint_interval": graph.checkpoint_interval,
        "retained": graph.retained,
        "state_backend": graph.state_backend,
        "artifacts": list(graph.artifacts),
        "restore": [
            graph.restore_settings.path,
            graph.restore_settings.allow_non_restored,
            graph.restore_settings.mode,
        ],
        "versions": [graph.flink_versions.first, graph.flink_versions.last],
        "vertices": [
            [each.vertex_id, redaction.text(each.name), each.parallelism, each.max_parallelism,
             list(each.operator_ids), list(each.uids)]
            for each in graph.vertices
        ],
    }  # fmt: skip
    return _BEGIN + json.dumps(facts).encode() + b"}"


def read_job_graph(data: bytes) -> JobGraphFacts:
    """A job graph as Flink wrote it, or as a saved case keeps it."""
    if not data.startswith(_BEGIN):
        return decode_job_graph(data)
    try:
        facts: dict[str, Any] = json.loads(data)["job graph of a saved case"]
        path, allow, mode = facts["restore"]
        first, last = facts["versions"]
        if first not in KNOWN_VERSIONS or (last is not None and last not in KNOWN_VERSIONS):
            raise ValueError(f"{first} to {last} are not versions of Flink")
        return JobGraphFacts(
            job_id=str(facts["job_id"]),
            name=str(facts["name"]),
            kind=str(facts["kind"]),
            vertices=tuple(
                JobVertexFacts(str(vertex), str(name), int(one), int(most),
                               tuple(map(str, operators)), tuple(map(str, uids)))
                for vertex, name, one, most, operators, uids in facts["vertices"]
            ),
            checkpoint_interval=facts["checkpoint_interval"],
            retained=facts["retained"],
            restore_settings=RestoreSettings(path, bool(allow), mode),
            flink_versions=FlinkVersions(first, last),
            state_backend=facts.get("state_backend"),
            artifacts=tuple(map(str, facts.get("artifacts", ()))),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UndecodableError(_WHAT, f"it is not as it was written ({error})") from None
