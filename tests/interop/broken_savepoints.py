"""Kinds of damage to jobs that were started from a savepoint each (``make_base(restored=True)``).

What such a job begins with when it has no checkpoint any more, and what when the savepoint is gone.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

from tests.interop.broken_flink import Case

_MASTERS = 16  # behind the magic number, the version and the id of the checkpoint
_FIRST_OPERATOR = 24

SAVEPOINT_KINDS: dict[str, Callable[[Case], None]] = {}
"""By name; the job ``exclusive`` has its state in files of its savepoint."""


def kind(function: Callable[[Case], None]) -> Callable[[Case], None]:
    SAVEPOINT_KINDS[function.__name__] = function
    return function


def savepoint(case: Case, job: str = "exclusive") -> Path:
    """The folder of the savepoint that a job was started from; the jobs began one by one."""
    folders = sorted((case.root / "savepoints").iterdir(), key=lambda path: path.stat().st_mtime)
    return folders[list(case.jobs).index(job)]


def pointers_gone(case: Case) -> None:
    for entry in case.store.checkpoints(case.jobs["exclusive"]):
        case.store.remove(entry)


@kind
def started_from_savepoints(case: Case) -> None:
    """All is well."""


@kind
def savepoints_gone(case: Case) -> None:
    """They are not needed any more."""
    shutil.rmtree(case.root / "savepoints")


@kind
def checkpoint_pointers_gone(case: Case) -> None:
    pointers_gone(case)


@kind
def job_gone(case: Case) -> None:
    case.store.remove_job(case.jobs["exclusive"])


@kind
def checkpoint_pointers_and_savepoint_gone(case: Case) -> None:
    pointers_gone(case)
    shutil.rmtree(savepoint(case))


@kind
def checkpoint_pointers_gone_savepoint_cut_off(case: Case) -> None:
    pointers_gone(case)
    metadata = savepoint(case) / "_metadata"
    metadata.write_bytes(metadata.read_bytes()[:400])


@kind
def checkpoint_pointers_and_a_file_of_the_savepoint_gone(case: Case) -> None:
    pointers_gone(case)
    next(file for file in savepoint(case).iterdir() if file.name != "_metadata").unlink()


@kind
def checkpoint_pointers_gone_savepoint_of_another_job(case: Case) -> None:
    """Of a job whose operators have the same ids: nothing in a savepoint says whose it is."""
    pointers_gone(case)
    there = savepoint(case)
    shutil.rmtree(there)
    shutil.copytree(savepoint_of_next(case), there)


def savepoint_of_next(case: Case) -> Path:
    """One of another job."""
    folders = sorted((case.root / "savepoints").iterdir(), key=lambda path: path.stat().st_mtime)
    return folders[0]


@kind
def checkpoint_pointers_gone_savepoint_of_other_operators(case: Case) -> None:
    """As of a job that was changed: the id of its first operator with state is another one."""
    pointers_gone(case)
    metadata = savepoint(case) / "_metadata"
    content = bytearray(metadata.read_bytes())
    (masters,) = struct.unpack_from(">i", content, _MASTERS)
    assert masters == 0
    content[_FIRST_OPERATOR] ^= 0x55
    metadata.write_bytes(bytes(content))


@kind
def checkpoint_pointers_unreadable(case: Case) -> None:
    for entry in case.store.checkpoints(case.jobs["exclusive"]):
        case.store.set(entry, b"not java")


@kind
def newest_checkpoint_pointer_gone(case: Case) -> None:
    case.store.remove(case.store.checkpoints(case.jobs["exclusive"])[-1])
