"""What a drill judges with, each on the smallest thing that it must notice."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hawork.backends.embedded.layout import create_database
from hawork.backends.kubernetes.answers import OutcomeUnknownError
from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.core.errors import LabError
from hawork.core.events import EventLog
from hawork.core.types import ProcessEnd, ProcessState
from hawork.inspect.repair.writers import ChangedMeanwhileError
from hawork.lab.damage import Damage, _Filler
from hawork.lab.faults import Faults
from hawork.lab.moved_clock import add_offsets
from hawork.lab.nemesis.deeds import Deeds
from hawork.lab.nemesis.load import LoadedJob, LoadSpec
from hawork.lab.nemesis.plan import KINDS, Wish
from hawork.lab.nemesis.pointers import DAMAGES, Pointers
from hawork.lab.nemesis.rows import RowHistory

JOB = "a" * 32


# --- output ----------------------------------------------------------------------------


def job(output: Path, function: str, records: list[dict[str, int]]) -> LoadedJob:
    output.mkdir()
    half = len(records) // 2
    for number, part in enumerate((records[:half], records[half:])):
        lines = "".join(json.dumps(record) + "\n" for record in part)
        (output / f"part-{number}-1-1.jsonl").write_text(lines)
    (output / ".pending").mkdir()
    (output / ".pending" / "part-9").write_text('{"number": 0}\n')
    given = SimpleNamespace(job_id=JOB, accepted=True, details=None)
    return LoadedJob(given, LoadSpec(function, 10, 1000, 1, "50 ms", output))


@pytest.mark.parametrize(
    ("numbers", "wrong"),
    [
        (range(10), None),
        ([*range(10), 3], "1 twice, from 3 to 3"),
        ([*range(3), *range(5, 10)], "2 missing, from 3 to 4"),
        (range(12), "2 foreign, from 10 to 11"),
    ],
)
def test_numbers_must_come_out_exactly_once(
    tmp_path: Path, numbers: list[int], wrong: str | None
) -> None:
    found = job(tmp_path / "output", "numbers", [{"number": each} for each in numbers])
    assert found.exact() == wrong


def test_the_output_of_a_job_that_failed_may_lack_something_and_repeat_nothing(
    tmp_path: Path,
) -> None:
    found = job(tmp_path / "output", "numbers", [{"number": 1}, {"number": 4}])
    assert found.never_twice() is None
    again = job(tmp_path / "again", "numbers", [{"number": 1}, {"number": 1}])
    assert again.never_twice() == "1 twice, from 1 to 1"


def test_sums_must_be_exact(tmp_path: Path) -> None:
    right = [
        {"key": key, "count": len(range(key, 10, 7)), "total": sum(range(key, 10, 7))}
        for key in range(7)
    ]
    assert job(tmp_path / "right", "sums", right).exact() is None
    wrong = job(tmp_path / "wrong", "sums", [*right[:6], {**right[6], "total": 7}])
    assert "expected" in str(wrong.exact())
    assert job(tmp_path / "twice", "sums", [*right, right[0]]).never_twice() is not None


# --- rows ------------------------------------------------------------------------------


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    create_database(tmp_path / "ha.db", "/lab")
    with closing(sqlite3.connect(tmp_path / "ha.db", isolation_level=None)) as connection:
        yield connection


def lead(connection: sqlite3.Connection, session: str) -> None:
    connection.execute("DELETE FROM lease")
    connection.execute(
        "INSERT INTO lease VALUES (1, 'jm', ?, 1, 1, '1', 1.0, 1.0, 1.0)", (session,)
    )


def add(connection: sqlite3.Connection, namespace: str, name: str) -> None:
    connection.execute("INSERT INTO pointer VALUES (?, ?, 1, x'00')", (namespace, name))


def test_the_writes_of_one_leader_after_the_other_are_in_order(
    database: sqlite3.Connection, tmp_path: Path
) -> None:
    history = RowHistory(tmp_path / "ha.db")
    for session, numbers in (("one", "12"), ("two", "34")):
        lead(database, session)
        for number in numbers:
            add(database, f"checkpoints/{JOB}", number)
    database.execute("DELETE FROM pointer")
    assert history.judge(set()) == (8, [])


def test_writes_that_no_order_of_leaders_explains_are_told(
    database: sqlite3.Connection, tmp_path: Path
) -> None:
    history = RowHistory(tmp_path / "ha.db")
    add(database, "jobgraphs", JOB)
    assert "no process held the lease" in history.judge(set())[1][0]
    for session, number in (("one", "1"), ("two", "2"), ("one", "3")):
        lead(database, session)
        add(database, f"checkpoints/{JOB}", number)
    assert any("'one'" in each and "again" in each for each in history.judge(set())[1])
    assert history.judge({JOB}) == (0, [])


@pytest.mark.parametrize("number", ["3", "2"])
def test_a_checkpoint_that_does_not_follow_is_told(
    database: sqlite3.Connection, tmp_path: Path, number: str
) -> None:
    history = RowHistory(tmp_path / "ha.db")
    lead(database, "one")
    add(database, f"checkpoints/{JOB}", "3")
    database.execute("DELETE FROM pointer")
    add(database, f"checkpoints/{JOB}", number)
    assert history.judge(set())[1] == [f"checkpoints/{JOB} got {number} after 3"]


def test_a_job_graph_that_comes_back_is_told(database: sqlite3.Connection, tmp_path: Path) -> None:
    history = RowHistory(tmp_path / "ha.db")
    lead(database, "one")
    add(database, "jobgraphs", JOB)
    database.execute("DELETE FROM pointer")
    add(database, "jobgraphs", JOB)
    assert history.judge(set())[1] == [f"job graph {JOB} came back after it was removed"]


def test_a_store_that_was_replaced_is_told(tmp_path: Path) -> None:
    create_database(tmp_path / "ha.db", "/lab")
    history = RowHistory(tmp_path / "ha.db")
    for file in tmp_path.glob("ha.db*"):
        file.unlink()
    create_database(tmp_path / "ha.db", "/lab")
    assert "is not the one" in history.judge(set())[1][0]


def test_the_store_is_as_it_was_afterwards(database: sqlite3.Connection, tmp_path: Path) -> None:
    def schema() -> list[str]:
        return sorted(sql for (sql,) in database.execute("SELECT sql FROM sqlite_master") if sql)

    before = schema()
    RowHistory(tmp_path / "ha.db").close()
    assert schema() == before


# --- pointers --------------------------------------------------------------------------


@pytest.fixture
def pointers(tmp_path: Path) -> Iterator[tuple[Pointers, sqlite3.Connection]]:
    config = options.checked(
        {
            options.HA_TYPE.key: "embedded",
            options.STORAGE_DIR.key: f"file://{tmp_path}",
            options.EMBEDDED_DIRECTORY.key: str(tmp_path),
        }
    )
    create_database(tmp_path / "ha.db", "/lab")
    with closing(sqlite3.connect(tmp_path / "ha.db", isolation_level=None)) as connection:
        add(connection, "jobgraphs", JOB)
        add(connection, f"checkpoints/{JOB}", "7")
        yield Pointers(config), connection


def rows(connection: sqlite3.Connection) -> dict[str, bytes]:
    return dict(connection.execute("SELECT namespace || ' ' || name, value FROM pointer"))


def test_pointers_are_harmed_one_by_one_and_put_back(
    pointers: tuple[Pointers, sqlite3.Connection],
) -> None:
    broken, connection = pointers
    before = rows(connection)
    graph, checkpoint = f"pointer jobgraphs {JOB}", f"pointer checkpoints/{JOB} 7"
    assert broken.names() == sorted([graph, checkpoint])
    broken.damage(graph, 0.0)
    assert rows(connection)[f"jobgraphs {JOB}"] == DAMAGES[0]
    broken.delete(checkpoint)
    assert broken.names() == []
    broken.put_back(checkpoint, ended=False)
    broken.put_back(graph, ended=False)
    assert rows(connection) == before


def test_a_pointer_is_put_back_although_another_writes_beside_it(
    pointers: tuple[Pointers, sqlite3.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a renewal of the lock does on Kubernetes; a job that stays damaged would seem lost."""
    broken, connection = pointers
    before = rows(connection)
    broken.damage(f"pointer jobgraphs {JOB}", 0.0)
    meanwhile, write = [ChangedMeanwhileError("a renewal")] * 3, broken._write

    def write_beside(*arguments: Any) -> None:
        if meanwhile:
            raise meanwhile.pop()
        write(*arguments)

    monkeypatch.setattr(broken, "_write", write_beside)
    broken.put_back(f"pointer jobgraphs {JOB}", ended=False)
    assert rows(connection) == before


def test_a_pointer_that_may_have_been_harmed_is_put_back(
    pointers: tuple[Pointers, sqlite3.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, connection = pointers
    before, write = rows(connection), broken._write

    def write_without_answer(*arguments: Any) -> None:
        write(*arguments)
        raise OutcomeUnknownError("no answer")

    monkeypatch.setattr(broken, "_write", write_without_answer)
    broken.damage(f"pointer jobgraphs {JOB}", 0.0)
    assert rows(connection) != before
    monkeypatch.setattr(broken, "_write", write)
    broken.put_back(f"pointer jobgraphs {JOB}", ended=False)
    assert rows(connection) == before


def test_what_a_leader_has_written_since_stays(
    pointers: tuple[Pointers, sqlite3.Connection],
) -> None:
    broken, connection = pointers
    broken.damage(f"pointer jobgraphs {JOB}", 0.5)
    connection.execute("UPDATE pointer SET value = x'0a'")
    broken.put_back(f"pointer jobgraphs {JOB}", ended=False)
    assert set(rows(connection).values()) == {b"\x0a"}


def test_the_pointer_of_a_job_that_has_ended_is_not_put_back(
    pointers: tuple[Pointers, sqlite3.Connection],
) -> None:
    """Else the next leader would run the job again, and the drill would blame it."""
    broken, connection = pointers
    broken.delete(f"pointer jobgraphs {JOB}")
    broken.put_back(f"pointer jobgraphs {JOB}", ended=True)
    assert rows(connection).keys() == {f"checkpoints/{JOB} 7"}


# --- files -----------------------------------------------------------------------------


@pytest.fixture
def damage(tmp_path: Path) -> Damage:
    (tmp_path / "storage" / "jobs").mkdir(parents=True)
    (tmp_path / "storage" / "jobs" / "graph").write_bytes(b"abcdef")
    return Damage(tmp_path / "storage", tmp_path / "aside", tmp_path / "taskmanagers")


@pytest.mark.parametrize("harm", ["prepared_deletion", "prepared_damage", "prepared_lock"])
def test_a_file_is_harmed_and_put_back(damage: Damage, tmp_path: Path, harm: str) -> None:
    file = tmp_path / "storage" / "jobs" / "graph"
    getattr(damage, harm)("jobs/graph")()
    if file.exists():
        assert file.read_bytes() == b"abc\x9bef"
    elif file.is_symlink():
        with pytest.raises(OSError, match="symbolic links"):
            file.open()
    with pytest.raises(LabError):
        damage.prepared_damage("jobs/graph")
    damage.prepared_return("jobs/graph")()
    assert file.read_bytes() == b"abcdef"
    assert [each.name for each in (tmp_path / "storage").iterdir()] == ["jobs"]


def test_what_cannot_be_put_back_now_can_be_later(
    damage: Damage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    damage.prepared_deletion("jobs/graph")()
    with monkeypatch.context() as context:
        context.setattr(Path, "write_bytes", full)
        with pytest.raises(LabError, match="cannot be put back now: No space left"):
            damage.prepared_return("jobs/graph")()
    damage.prepared_return("jobs/graph")()
    assert (tmp_path / "storage" / "jobs" / "graph").read_bytes() == b"abcdef"


def test_a_file_whose_folder_went_is_not_put_back(damage: Damage, tmp_path: Path) -> None:
    damage.prepared_deletion("jobs/graph")()
    (tmp_path / "storage" / "jobs").rmdir()
    damage.mend()
    assert list((tmp_path / "storage").iterdir()) == []
    assert not (tmp_path / "aside").exists()


@pytest.mark.parametrize("path", ["", ".", "jobs", "nothing", "../secret", "link", "out/secret"])
def test_only_files_of_storagedir_are_harmed(damage: Damage, tmp_path: Path, path: str) -> None:
    (tmp_path / "secret").write_bytes(b"kept")
    (tmp_path / "storage" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "storage" / "out").symlink_to(tmp_path)
    with pytest.raises(LabError, match="is not a file of storageDir"):
        damage.prepared_deletion(path)
    assert (tmp_path / "secret").read_bytes() == b"kept"


def test_harm_that_a_full_disk_prevents_is_told_in_a_sentence(
    damage: Damage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(damage, "prepared_lock", lambda _: full)
    none: Any = SimpleNamespace()
    faults = Faults(lambda: none, none, none, none, none, EventLog("lab"), none, damage)
    with pytest.raises(LabError, match="lock_file failed for lab/x: No space left on device"):
        faults.lock_file("lab/x")


@pytest.mark.parametrize("disk", ["storageDir", "scratch"])
def test_the_disk_of_other_programs_is_not_filled(damage: Damage, disk: str) -> None:
    with pytest.raises(LabError, match=f"{disk} lies on a disk that other programs use"):
        damage.prepared_filling(disk)


def test_a_disk_stays_full_until_it_is_freed(
    damage: Damage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What tasks that ended gave back was just enough for the next ones, and nothing failed."""
    looks = threading.Semaphore(0)

    def fill(filler: Any) -> None:
        filler._file.touch()
        looks.release()

    monkeypatch.setattr(damage, "has_own_disk", lambda _: True)
    monkeypatch.setattr(_Filler, "fill", fill)
    damage.prepared_filling("storageDir")()
    assert all(looks.acquire(timeout=20) for _ in range(3))
    damage.prepared_freeing("storageDir")()
    assert not (tmp_path / "storage" / ".filler").exists()
    assert not [each for each in threading.enumerate() if each.name == "disk-filler"]


def test_a_disk_that_there_is_none_of_is_named(damage: Damage) -> None:
    with pytest.raises(LabError, match="no disk 'cellar': choose storageDir or scratch"):
        damage.prepared_freeing("cellar")


def test_a_task_manager_s_scratch_goes_and_that_of_others_stays(
    damage: Damage, tmp_path: Path
) -> None:
    for name in ("tm-1", "tm-2"):
        (tmp_path / "taskmanagers" / name / "task-1").mkdir(parents=True)
    damage.prepared_clearing("tm-1")()
    damage.prepared_clearing("tm-1")()
    assert [each.name for each in (tmp_path / "taskmanagers").iterdir()] == ["tm-2"]
    damage.mend()


# --- clocks ----------------------------------------------------------------------------


def test_the_clocks_of_a_process_are_moved_while_it_runs(tmp_path: Path) -> None:
    """A wall clock that is set, and a host that slept: the monotonic clock counts neither."""
    file = tmp_path / "clocks" / "jm-1"
    add_offsets(file, 0.0, 0.0)
    program = (
        "import sys, time; from pathlib import Path\n"
        "from hawork.lab.moved_clock import move_clocks; move_clocks(Path(sys.argv[1]))\n"
        "for _ in sys.stdin:\n"
        "    print(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME), time.monotonic())\n"
        "    sys.stdout.flush()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(file)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None

        def look() -> list[float]:
            process.stdin.write("\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            now = [time.time(), time.clock_gettime(time.CLOCK_BOOTTIME), time.monotonic()]
            told = process.stdout.readline().split()  # type: ignore[union-attr]
            return [float(theirs) - ours for theirs, ours in zip(told, now, strict=True)]

        assert look() == pytest.approx([0, 0, 0], abs=10)
        add_offsets(file, -500.0, 90.0)
        assert look() == pytest.approx([-410, 90, 0], abs=10)
        add_offsets(file, 0.0, 1000.0)
        assert look() == pytest.approx([590, 1090, 0], abs=10)
        process.stdin.close()


# --- deaths ----------------------------------------------------------------------------


@pytest.mark.parametrize(("watchdog", "status", "wanted"), [
    ("2 s", -signal.SIGKILL, True), ("2 s", 1, False), ("0", -signal.SIGKILL, False),
])  # fmt: skip
def test_a_watchdog_may_end_what_was_paused(watchdog: str, status: int, wanted: bool) -> None:
    running = ProcessState("jm-1", 4711, "running")
    processes = {"jm-1": running}
    cluster = SimpleNamespace(
        config=Configuration({options.SUPERVISOR_WATCHDOG.key: watchdog}),
        processes=processes,
        pause=lambda name: processes.update({name: replace(running, state="paused")}),
        restart=lambda name: processes.update({name: running}),
        last_words=lambda name: "Killed",
        ends=[],
    )
    sight = SimpleNamespace(leader=lambda: "jm-1")
    deeds = Deeds(cast(Any, cluster), cast(Any, sight), cast(Any, None), 1.0, (), random.Random(1))
    deeds.do(Wish(1, KINDS["long pause"], 0.0, 2.0, 0.5, 0.5))
    assert processes["jm-1"].state == "paused"
    processes["jm-1"] = replace(running, state="exited", status=status)
    cluster.ends.append(ProcessEnd("jm-1", 4711, status, time.monotonic()))
    deeds.undo_what_is_due(time.monotonic())
    assert (deeds.ended_by_itself == []) is wanted
    deeds.close()
