"""A damaged entry costs at most its own job, and never a file that is not its own.

Each input here once removed all of storageDir, ended every JobManager that led, or cost
another job; each is the smallest of its kind.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores_setup import JOB, OTHER_JOB, World, checkpoint, graph, result, state_file

from hawork.backends.kubernetes.answers import ConfigMap
from hawork.backends.kubernetes.layout import LOCK, decode_entry
from hawork.backends.kubernetes.lock_record import Lock
from hawork.core.configuration import Configuration
from hawork.core.errors import ConfigurationError, CorruptStateError, JobSubmissionError
from hawork.core.events import EventKind
from hawork.core.jobs import CompletedCheckpoint, JobGraph, JobStatus
from hawork.core.types import StateHandle
from hawork.ha.job_files import (
    BLOB_FILE,
    CHECKPOINT_FILE,
    JOB_GRAPH_FILE,
    STATE_FILE,
    FileKind,
    JobFiles,
    describe,
)
from hawork.ha.job_result_json import decode_job_result
from hawork.ha.json_state import decode_json
from hawork.ha.local_storage import LocalStateStorage
from hawork.ha.pointer_store import (
    JOB_GRAPHS,
    RESULTS,
    Namespace,
    checkpoints,
    counters,
)
from hawork.ha.state_handle_store import decode_handle
from hawork.runtime.submission import graph_of_request
from hawork.testing import InMemoryStorage

DATABASE = "ha/ha.db"
THEIRS = f"jobs/{OTHER_JOB}/submittedJobGraph0123456789ab"
PATHS = [
    "",
    ".",
    "..",
    "/",
    "/etc/passwd",
    "jobs",
    "jobs/",
    "jobs/.",
    "../default",
    "ha",
    DATABASE,
    f"jobs/{JOB}",
    f"jobs/{JOB}/",
    f"jobs/{JOB}/blob",
    f"jobs/{JOB}/../{OTHER_JOB}/submittedJobGraph0123456789ab",
    f"jobs/{OTHER_JOB}",
    THEIRS,
    f"./jobs/{JOB}/submittedJobGraph0123456789ab",
    f"jobs//{JOB}/submittedJobGraph0123456789ab",
    f"jobs\\{JOB}\\submittedJobGraph0123456789ab",
    f"jobs/{JOB}/submittedJobGraph0123456789ab\n",
    f"jobs/{JOB}/submittedJobGraph0123456789ab\0",
    f"jobs/{JOB}/submittedJobGraph../../../x",
    f"jobs/{JOB}/submittedJobGraph0123456789AB",
    f"jobs/{JOB}/submittedJobGraph" + "0" * 5000,
    f"jobs/{JOB}/completedCheckpoint0123456789ab",
    "jobs/\ud800/x",
    "\ud800",
]


@pytest.fixture(params=["memory", "local"])
def storage_of(request: pytest.FixtureRequest, world: World, tmp_path: Path) -> World:
    if request.param == "local":
        world.files = LocalStateStorage(tmp_path / "default")  # type: ignore[assignment]
    return world


def point(world: World, namespace: Namespace, name: str, value: bytes) -> None:
    """Let an entry hold other bytes, by another hand."""
    backend, session_id = world.cluster.backend(), world.cluster.leader_session_id
    assert session_id is not None
    pointers = backend.pointers(namespace)
    pointers.delete(name, session_id)
    pointers.create(name, value, session_id)


def handle(path: object, size: object = 1, sha256: object = "x") -> bytes:
    return json.dumps({"format": 1, "path": path, "size": size, "sha256": sha256}).encode()


def listed(world: World) -> set[str]:
    """Everything that another job, or nobody, owns."""
    files = world.files
    names = {f"jobs/{OTHER_JOB}/{name}" for name in files.list(f"jobs/{OTHER_JOB}")}
    names |= {f"ha/{name}" for name in files.list("ha")}
    return names | {f"jobs/{OTHER_JOB}/state/{n}" for n in files.list(f"jobs/{OTHER_JOB}/state")}


# --- F1: what a path out of a store may reach ---------------------------------------------


@pytest.mark.parametrize("path", PATHS)
def test_a_job_that_ends_takes_nothing_but_its_own_files_along(
    storage_of: World, path: str
) -> None:
    world, stores = storage_of, storage_of.lead()
    world.files.write(DATABASE, b"SQLite")
    for job_id in (JOB, OTHER_JOB):
        stores.job_graphs.put(graph(job_id))
        stores.completed_checkpoints(job_id, 1).add(checkpoint(1, job_id))
        state_file(world, "s", job_id)
    before = listed(world)
    point(world, JOB_GRAPHS, JOB, handle(path))
    point(world, checkpoints(JOB), f"{1:019d}", handle(path))
    later = world.lead()
    recovered = later.job_graphs.recover_all()
    assert recovered.graphs == (graph(OTHER_JOB),)
    assert [name for name, _ in recovered.set_aside] == [JOB]
    later.completed_checkpoints(JOB, 1).shutdown(JobStatus.FAILED)
    later.job_results.create_dirty(result())
    later.cleanup.run(result())
    assert listed(world) == before
    assert world.lead().job_graphs.recover_all().graphs == (graph(OTHER_JOB),)


@pytest.mark.parametrize("kind", [JOB_GRAPH_FILE, CHECKPOINT_FILE, BLOB_FILE, STATE_FILE])
@pytest.mark.parametrize("path", PATHS)
def test_no_kind_of_file_has_such_a_path(world: World, kind: FileKind, path: str) -> None:
    files = JobFiles(world.files, JOB)
    own = path.startswith(f"jobs/{JOB}/{kind.prefix}") and path.endswith("0123456789ab")
    if own and "/.." not in path:
        assert files.check(kind, path) == path
        return
    for refused in (files.check, files.read):
        with pytest.raises(CorruptStateError):
            refused(kind, path if refused == files.check else StateHandle(path, 1, "x"))  # type: ignore[operator]
    files.discard(kind, path)


@given(st.text())
def test_what_a_job_may_own_lies_below_its_own_folder(path: str) -> None:
    files = JobFiles(InMemoryStorage(), JOB)
    for kind in (JOB_GRAPH_FILE, CHECKPOINT_FILE, BLOB_FILE, STATE_FILE):
        try:
            checked = files.check(kind, path)
        except CorruptStateError:
            continue
        assert checked.startswith(f"jobs/{JOB}/{kind.prefix}")


def test_what_a_job_writes_it_may_read(storage_of: World) -> None:
    files = JobFiles(storage_of.files, JOB)
    for kind in (JOB_GRAPH_FILE, CHECKPOINT_FILE):
        assert files.read(kind, files.write(kind, b"1")) == b"1"
    assert files.read_state(files.write_state(b"1", "7-0-a1_-.json")) == b"1"
    blob = storage_of.lead().blobs
    assert blob.get(JOB, blob.put(JOB, b"1")) == b"1"
    with pytest.raises(CorruptStateError, match="refused"):
        blob.get(OTHER_JOB, blob.put(JOB, b"1"))


def test_a_checkpoint_does_not_take_state_of_another_job(world: World) -> None:
    theirs = state_file(world, "theirs", OTHER_JOB)
    store = world.lead().completed_checkpoints(JOB, 1)
    own = checkpoint(1)
    store.add(own)
    stolen = CompletedCheckpoint(JOB, 1, 1, 2, (checkpoint(1, handle=theirs).subtasks[0],))
    files = JobFiles(world.files, JOB)
    payload = json.dumps({"format": 1, **stolen.to_json()}).encode()
    written = files.write(CHECKPOINT_FILE, payload)
    point(world, checkpoints(JOB), f"{1:019d}", handle(**written.to_json()))  # type: ignore[arg-type]
    store = world.lead().completed_checkpoints(JOB, 1)
    assert [number for number, _ in store.recover().skipped] == [1]
    store.add(checkpoint(2))
    store.shutdown(JobStatus.FINISHED)
    assert theirs.path in world.files.files


def test_what_hawork_does_not_write_is_kept_when_the_job_goes(tmp_path: Path, world: World) -> None:
    """Directories, and what a link leads to."""
    world.files = LocalStateStorage(tmp_path / "default")  # type: ignore[assignment]
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("theirs")
    stores = world.lead()
    stores.job_graphs.put(graph())
    folder = tmp_path / "default" / "jobs" / JOB
    (folder / "backup").mkdir()
    (folder / "backup" / "copy").write_text("somebody's")
    (folder / "state").symlink_to(precious)
    (folder / "a\\b").write_text("odd")
    os.mkfifo(folder / "pipe")
    stores.job_results.create_dirty(result())
    stores.cleanup.run(result())
    assert (precious / "file").read_text() == "theirs"
    assert sorted(path.name for path in folder.iterdir()) == ["a\\b", "backup", "state"]
    assert not stores.job_results.has_entry(JOB)
    assert {facts["what"] for facts in world.kinds(EventKind.STATE_SET_ASIDE)} == {
        f"jobs/{JOB}/backup", f"jobs/{JOB}/a\\b",
    }  # fmt: skip


def test_a_submission_that_found_no_room_leaves_no_folder(tmp_path: Path, world: World) -> None:
    world.files = LocalStateStorage(tmp_path)  # type: ignore[assignment]
    stores = world.lead()
    stores.job_graphs.announce(JOB)
    (tmp_path / "jobs" / JOB / "blob").mkdir()  # made, and then there was no room for the blob
    (tmp_path / "jobs" / OTHER_JOB / "blob").mkdir(parents=True)
    swept = world.lead().job_graphs.sweep_unacknowledged()
    assert swept.removed == (JOB,) and swept.set_aside == ()
    assert list(tmp_path.iterdir()) == []


# --- F4, F6: whatever an entry holds, it is that entry alone -------------------------------

DEEP = b"[" * 200_000
VALUES = [
    b"",
    b"\xff\xfe\x00",
    b"null",
    b"NaN",
    b"1" * 10_000,
    b'"\\ud800"',
    DEEP,
    b'{"format":' * 100_000,
    b'{"format":true,"path":"x","size":1,"sha256":"x"}',
    b'{"format":' + b"1" * 10_000 + b"}",
    handle("x", size=-1),
    handle("x", size=True),
    handle("x", size=1.5),
    handle("x", size=float("nan")),
    handle("x", size=10**30),
    handle("x", sha256=None),
    handle("x", sha256="../../x"),
    handle(None),
    handle("jobs/\ud800/x"),
    handle(THEIRS),
    handle(f"jobs/{JOB}/submittedJobGraph0123456789ab", size=1 << 40),
]


@pytest.mark.parametrize("value", VALUES)
def test_any_damaged_pointer_is_set_aside_and_the_rest_goes_on(world: World, value: bytes) -> None:
    stores = world.lead()
    stores.job_graphs.put(graph(OTHER_JOB))
    point(world, JOB_GRAPHS, JOB, value)
    later = world.lead()
    recovered = later.job_graphs.recover_all()
    assert recovered.graphs == (graph(OTHER_JOB),)
    ((name, reason),) = recovered.set_aside
    assert name == JOB and JOB in reason and len(reason) < 1500
    reason.encode()
    assert later.job_graphs.remove(JOB) is True


@pytest.mark.parametrize("value", VALUES)
def test_a_damaged_newest_checkpoint_costs_what_came_after_the_one_before(
    world: World, value: bytes
) -> None:
    store = world.lead().completed_checkpoints(JOB, 3)
    for number in (1, 2):
        store.add(checkpoint(number))
    point(world, checkpoints(JOB), f"{3:019d}", value)
    store = world.lead().completed_checkpoints(JOB, 3)
    recovered = store.recover()
    assert recovered.checkpoint == checkpoint(2)
    assert [number for number, _ in recovered.skipped] == [3]
    store.add(checkpoint(4))
    assert store.recover().checkpoint == checkpoint(4)


@pytest.mark.parametrize(
    "name", ["9" * 5000, "²" * 19, "1", "-" + "0" * 18, "\ud800", "a b", "٣" * 19]
)
def test_a_checkpoint_under_a_name_that_hawork_never_gives(world: World, name: str) -> None:
    stores = world.lead()
    stores.completed_checkpoints(JOB, 1).add(checkpoint(1))
    (value,) = world.pointers(checkpoints(JOB)).values()
    point(world, checkpoints(JOB), name, value)
    later = world.lead()
    store = later.completed_checkpoints(JOB, 1)
    assert store.recover().checkpoint == checkpoint(1)
    assert store.all_ids() == [1]
    assert later.checkpoint_id_counter(JOB).get_and_increment() == 2
    store.add(checkpoint(2))
    store.shutdown(JobStatus.FINISHED)
    assert store.all_ids() == []


@pytest.mark.parametrize("name", ["", "x", "A" * 32, "\ud800", "a/b", "x\n", "0" * 33])
def test_a_job_graph_under_a_name_that_is_no_job_id(world: World, name: str) -> None:
    stores = world.lead()
    stores.job_graphs.put(graph())
    point(world, JOB_GRAPHS, name, handle(f"jobs/{name.lower()}/submittedJobGraph0123456789ab"))
    recovered = world.lead().job_graphs.recover_all()
    assert recovered.graphs == (graph(),)
    assert [each for each, _ in recovered.set_aside] == [name]


@pytest.mark.parametrize("value", [b"9" * 5000, b"2147483648", b"0", "²".encode(), b"\xff", DEEP])
def test_a_damaged_counter_goes_on_above_the_stored_checkpoints(world: World, value: bytes) -> None:
    stores = world.lead()
    stores.completed_checkpoints(JOB, 1).add(checkpoint(41))
    point(world, counters(JOB), "counter", value)
    assert world.lead().checkpoint_id_counter(JOB).get_and_increment() == 42


@pytest.mark.parametrize("value", [*VALUES, b'{"result":{}}'])
def test_a_damaged_decision_is_removed_and_its_job_can_end(world: World, value: bytes) -> None:
    stores = world.lead()
    stores.job_graphs.put(graph())
    point(world, RESULTS, JOB, value)
    stores.job_results.create_dirty(result())  # without a takeover
    assert stores.job_results.result(JOB) == result()
    point(world, RESULTS, OTHER_JOB, value)
    found = world.lead().job_results.dirty_results()
    assert found.results == (result(),)
    assert [name for name, _ in found.set_aside] == [OTHER_JOB]
    assert list(world.pointers(RESULTS)) == [JOB]


GRAPH: dict[str, Any] = {"format": 1, **graph().to_json()}
WRONG: list[Any] = [None, True, -1, 10**30, 1.5, float("inf"), "\ud800", "x" * 3, [], {}, [[]]]


@pytest.mark.parametrize("field", [name for name in GRAPH if name != "format"])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_job_graph_with_a_wrong_field_never_reaches_the_runtime(field: str, wrong: Any) -> None:
    payload = json.dumps({**GRAPH, field: wrong}).encode()
    try:
        read = decode_json("job graph x", payload, JobGraph.from_json)
    except CorruptStateError as error:
        str(error).encode()
        return
    plain = graph()
    for name in GRAPH:
        if name not in ("format", "checkpoint_interval"):
            kinds = (
                (int, float)
                if isinstance(getattr(plain, name), float)
                else type(getattr(plain, name))
            )
            assert isinstance(getattr(read, name), kinds), (name, getattr(read, name))
    assert 1 <= read.parallelism <= 32768 and read.submitted_at >= 0
    assert read.checkpoint_interval is None or read.checkpoint_interval > 0
    json.dumps(read.to_json(), ensure_ascii=False, allow_nan=False).encode()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.text(st.characters(categories=["Cs", "L"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def changed(good: Any) -> st.SearchStrategy[Any]:
    """A good value in which some parts are another JSON value, or are missing."""
    if isinstance(good, dict):
        parts = {name: changed(value) | JSON for name, value in good.items()}
        return st.fixed_dictionaries({}, optional=parts) | st.fixed_dictionaries(parts)
    if isinstance(good, (list, tuple)) and good:
        return st.tuples(*(changed(value) | JSON for value in good)).map(list)
    return st.just(good) | JSON


CHECKPOINT = {"format": 1, **checkpoint(1, handle=describe("jobs/x", b"1")).to_json()}
RESULT = {
    "result": {"id": JOB, "application-status": "FAILED", "accumulator-results": {"a": "b"},
               "net-runtime": 1, "failure-cause": {"class": "x"}},
    "version": 1,
}  # fmt: skip


def as_bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


@given(
    st.binary()
    | (JSON | changed(GRAPH) | changed(CHECKPOINT) | changed(RESULT)).map(as_bytes)
    | changed(json.loads(handle("jobs/x"))).map(as_bytes)
)
def test_every_reader_gives_a_value_or_sets_it_aside(payload: bytes) -> None:
    for read in (
        lambda: decode_handle("x", payload),
        lambda: decode_json("x", payload, JobGraph.from_json),
        lambda: decode_json("x", payload, CompletedCheckpoint.from_json),
        lambda: decode_job_result("x", payload),
    ):
        try:
            value = read()
        except CorruptStateError as error:
            str(error).encode()
            continue
        if not isinstance(value, tuple):
            repr(value)


@given(changed(GRAPH).map(as_bytes))
def test_a_graph_that_is_read_can_be_stored_again(payload: bytes) -> None:
    try:
        read = decode_json("x", payload, JobGraph.from_json)
    except CorruptStateError:
        return
    assert decode_json("x", as_bytes({"format": 1, **read.to_json()}), JobGraph.from_json) == read


# --- what never gets into a store ---------------------------------------------------------------


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize("bad", ["\ud800", float("nan"), float("-inf"), deep(950), deep(5000)])
@pytest.mark.parametrize("field", ["name", "config", "entry_point", "job_id", "unknown"])
def test_a_submission_that_could_not_be_read_again_is_refused(field: str, bad: Any) -> None:
    request = {"entry_point": "m:f", field: {"x": bad} if field == "config" else bad}
    with pytest.raises(JobSubmissionError, match="cannot be stored"):
        graph_of_request(request, b"", Configuration({}), 1000)


@pytest.mark.parametrize("bad", ["\ud800", float("nan"), object(), deep(5000)])
def test_nothing_is_stored_that_could_not_be_read_again(world: World, bad: Any) -> None:
    stores = world.lead()
    with pytest.raises(ConfigurationError, match="cannot be stored"):
        stores.job_graphs.put(dataclasses.replace(graph(), config={"x": bad}))
    assert world.pointers(JOB_GRAPHS) == {}


# --- values of ConfigMaps ----------------------------------------------------------------------


@given(
    st.text() | st.from_regex(r"[0-9]{0,20}(,|;base64,).{0,20}", fullmatch=True),
)
def test_any_value_of_a_config_map_is_an_entry(text: str) -> None:
    assert isinstance(decode_entry(text).value, bytes)


@pytest.mark.parametrize("text", ["9" * 5000 + ",x", "٣,x", "1;base64,ä", "1,\ud800", "\ud800"])
def test_values_of_config_maps_that_were_no_entries(text: str) -> None:
    assert isinstance(decode_entry(text).value, bytes)


@pytest.mark.parametrize("text", ["[" * 200_000, "[]", "{}", "null", '{"leaderTransitions":[]}'])
def test_a_damaged_lock_is_a_lock(text: str) -> None:
    lock = Lock.of(ConfigMap("m", "u", "1", {LOCK: text}))
    assert lock is not None and lock.holder
