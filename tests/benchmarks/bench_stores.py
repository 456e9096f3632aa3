"""What the stores do per second, and what SQLite itself does in the same minute."""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from hawork.core.configuration import Configuration
from hawork.core.jobs import CompletedCheckpoint, JobGraph, SubtaskState
from hawork.core.options import checked
from hawork.core.types import JobID
from hawork.ha.pointer_store import JOB_GRAPHS
from hawork.job import pack_artifact
from hawork.lab.flights import JOB
from tests.benchmarks.figures import machine, print_table
from tests.benchmarks.leading import leadership

ROUNDS = 7
OPERATIONS = 100
NAMES = [f"{number:032x}" for number in range(OPERATIONS)]
VALUE = b'{"format":1,"path":"jobs/%s","size":500,"sha256":"%s"}' % (b"0" * 60, b"0" * 64)

Work = Callable[[], None]


@pytest.fixture
def config(tmp_path: Path) -> Configuration:
    return checked({
        "high-availability.type": "embedded",
        "high-availability.cluster-id": "/bench",
        "high-availability.storageDir": f"file://{tmp_path}/storage",
    })  # fmt: skip


def test_pointers_against_plain_sqlite(tmp_path: Path, config: Configuration) -> None:
    """The same rows in as many durable transactions, with hawork's fence and without."""
    with leadership(config) as (backend, stores), plain_sqlite(tmp_path / "plain.db") as plain:
        pointers, session_id = backend.pointers(JOB_GRAPHS), stores.session_id

        def create() -> None:
            for name in NAMES:
                pointers.create(name, VALUE, session_id)

        def read() -> None:
            for name in NAMES:
                pointers.read(name)

        def replace() -> None:
            for name in NAMES:
                entry = pointers.read(name)
                assert entry is not None
                pointers.replace(name, entry.version, VALUE, session_id)

        def delete() -> None:
            for name in NAMES:
                pointers.delete(name, session_id)

        ours = {"create": create, "read": read, "read and replace": replace, "delete": delete}
        theirs = _plain_work(plain)
        figures: dict[str, list[tuple[float, float]]] = {name: [] for name in ours}
        for _ in range(ROUNDS):
            # One after the other, so that a busy moment of the machine hits both.
            for name, pairs in figures.items():
                pairs.append((per_second(theirs[name]), per_second(ours[name])))
    print(f"\nPointers of the embedded backend ({machine()}, {ROUNDS} x {OPERATIONS})\n")
    _print_ratios("operation", "plain SQLite [1/s]", figures)


def test_jobs_and_checkpoints(tmp_path: Path, config: Configuration) -> None:
    """What a leader does for a submission and for a checkpoint, against one transaction."""
    artifact = pack_artifact(JOB)
    subtasks = tuple(
        SubtaskState(index, "a" * 16, 1000, {"record": 1000}, {"key": index}) for index in range(2)
    )
    with leadership(config) as (_, stores), plain_sqlite(tmp_path / "plain.db") as plain:
        transaction = _plain_work(plain)
        checkpoints = stores.completed_checkpoints(JobID("a" * 32), retained=1)
        numbers = iter(range(1, 1 << 30))

        def put_jobs() -> None:
            for _ in range(OPERATIONS):
                job_id = JobID.random()
                stores.job_graphs.announce(job_id)
                blob = stores.blobs.put(job_id, artifact)
                stores.job_graphs.put(JobGraph(job_id, "flights", "flights:delays", blob))

        def add_checkpoints() -> None:
            for _ in range(OPERATIONS):
                number = next(numbers)
                checkpoint = CompletedCheckpoint(JobID("a" * 32), number, 0, 0, subtasks)
                checkpoints.add(checkpoint)

        figures: dict[str, list[tuple[float, float]]] = {}
        for name, work in (
            ("job: marker, artifact, graph, pointer", put_jobs),
            ("checkpoint: file, pointer; one subsumed", add_checkpoints),
        ):
            pairs = figures[name] = []
            for _ in range(ROUNDS):
                pairs.append((per_second(transaction["create"]), per_second(work)))
                transaction["delete"]()
    print(f"\nStores on storageDir ({machine()}, {ROUNDS} x {OPERATIONS})\n")
    _print_ratios("what is stored", "SQLite inserts [1/s]", figures)


def per_second(work: Work) -> float:
    """Operations per second of work that consists of ``OPERATIONS`` of them."""
    began = time.perf_counter()
    work()
    return OPERATIONS / (time.perf_counter() - began)


@contextmanager
def plain_sqlite(path: Path) -> Iterator[sqlite3.Connection]:
    """A database with the table of pointers, as durable as the embedded backend's."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(
            "CREATE TABLE pointer (namespace TEXT, name TEXT, version INTEGER NOT NULL, "
            "value BLOB NOT NULL, PRIMARY KEY (namespace, name)) WITHOUT ROWID"
        )
        yield connection


def _plain_work(connection: sqlite3.Connection) -> dict[str, Work]:
    select = "SELECT value, version FROM pointer WHERE namespace = 'jobgraphs' AND name = ?"

    def durably(statement: str, parameters: Sequence[object]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(statement, parameters)
        connection.execute("COMMIT")

    def create() -> None:
        for name in NAMES:
            durably("INSERT INTO pointer VALUES ('jobgraphs', ?, 1, ?)", (name, VALUE))

    def read() -> None:
        for name in NAMES:
            connection.execute(select, (name,)).fetchone()

    def replace() -> None:
        update = (
            "UPDATE pointer SET version = ?, value = ? WHERE namespace = 'jobgraphs' AND name = ?"
        )
        for name in NAMES:
            _, version = connection.execute(select, (name,)).fetchone()
            durably(update, (version + 1, VALUE, name))

    def delete() -> None:
        for name in NAMES:
            durably("DELETE FROM pointer WHERE namespace = 'jobgraphs' AND name = ?", (name,))

    return {"create": create, "read": read, "read and replace": replace, "delete": delete}


def _print_ratios(first: str, plain: str, figures: dict[str, list[tuple[float, float]]]) -> None:
    rows = []
    for name, pairs in figures.items():
        ratios = [ours / theirs for theirs, ours in pairs]
        rows.append(
            (
                name,
                f"{statistics.median(theirs for theirs, _ in pairs):,.0f}",
                f"{statistics.median(ours for _, ours in pairs):,.0f}",
                f"{statistics.median(ratios):.2f}",
                f"{min(ratios):.2f} .. {max(ratios):.2f}",
            )
        )
    print_table((first, plain, "hawork [1/s]", "ratio", "least .. largest"), rows)
