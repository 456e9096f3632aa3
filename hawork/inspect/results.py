"""What is stored as JSON: job results, Flink's and hawork's, and hawork's own state.

Source: ``FileSystemJobResultStore`` (``<job id>_DIRTY.json``, then ``<job id>.json``); hawork's
``JobGraphStore``, ``CompletedCheckpointStore`` and ``StateHandleStore``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from hawork.core.errors import CorruptStateError
from hawork.core.jobs import CompletedCheckpoint, JobGraph, JobResult
from hawork.core.types import StateHandle
from hawork.ha.job_result_json import decode_job_result
from hawork.ha.json_state import decode_json
from hawork.ha.state_handle_store import decode_handle
from hawork.inspect.errors import UndecodableError

__all__ = [
    "ResultFile",
    "decode_own_checkpoint",
    "decode_own_job_graph",
    "decode_own_pointer",
    "decode_result",
    "result_file",
]

T = TypeVar("T")

_NAME: Final = re.compile(r"([0-9a-f]{32})(_DIRTY)?\.json")


@dataclass(frozen=True, slots=True)
class ResultFile:
    """What the name of a file of the job result store says."""

    job_id: str
    dirty: bool


def result_file(name: str) -> ResultFile | None:
    """``None`` for a file that is none of the job result store's."""
    match = _NAME.fullmatch(name.rpartition("/")[2])
    return None if match is None else ResultFile(match[1], match[2] is not None)


def decode_result(data: bytes) -> JobResult:
    """A job result. Flink takes the job id from here, not from the file's name."""
    return _translated("job result", data, lambda: decode_job_result("it", data))


def decode_own_pointer(data: bytes) -> StateHandle:
    """A pointer of hawork's: path below the cluster's directory, size, sha256."""
    return _translated("pointer of hawork", data, lambda: decode_handle("it", data))


def decode_own_job_graph(data: bytes) -> JobGraph:
    """A job graph of hawork's."""
    return _translated(
        "job graph of hawork", data, lambda: decode_json("it", data, JobGraph.from_json)
    )


def decode_own_checkpoint(data: bytes) -> CompletedCheckpoint:
    """A completed checkpoint of hawork's."""
    return _translated(
        "completed checkpoint of hawork",
        data,
        lambda: decode_json("it", data, CompletedCheckpoint.from_json),
    )


def _translated(what: str, data: bytes, read: Callable[[], T]) -> T:
    try:
        return read()
    except CorruptStateError as error:
        raise UndecodableError(what, str(error), offset=_json_offset(data)) from None


def _json_offset(data: bytes) -> int:
    """Where the JSON breaks; 0 when it is well-formed and says something else."""
    try:
        json.loads(data)
    except json.JSONDecodeError as error:
        return len(error.doc[: error.pos].encode("utf-8", "surrogatepass"))
    except UnicodeDecodeError as error:
        return error.start
    except (ValueError, RecursionError):
        pass
    return 0
