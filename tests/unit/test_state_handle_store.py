"""``StateHandleStore``: file first, then pointer; what is kept and what is deleted on errors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from hawork.core.errors import (
    AlreadyExistsError,
    CorruptStateError,
    HighAvailabilityError,
    LeadershipLostError,
    NotExistError,
    PossibleInconsistentStateError,
    StoreUnavailableError,
    VersionMismatchError,
)
from hawork.core.events import EventKind, EventLog
from hawork.core.types import NO_LEADERSHIP, JobID, LeaderSessionID, StateHandle, Versioned
from hawork.ha.pointer_store import checkpoints
from hawork.ha.state_handle_store import (
    StateHandleStore,
    StoredState,
    decode_handle,
    encode_handle,
)
from hawork.testing import (
    FailingPointers,
    FailingStorage,
    Failures,
    InMemoryCluster,
    InMemoryStorage,
)

JOB = JobID("0" * 31 + "a")
ENTRIES = checkpoints(JOB)


class Setup:
    def __init__(self) -> None:
        self.cluster = InMemoryCluster()
        self.storage = InMemoryStorage()
        self.failures = Failures()
        self.events = EventLog("test")
        self.pointers = self.cluster.backend().pointers(ENTRIES)
        self.session_id = self.cluster.lead()

    def store(self, session_id: LeaderSessionID | None = None) -> StateHandleStore:
        return StateHandleStore(
            ENTRIES,
            FailingPointers(self.pointers, self.failures),
            FailingStorage(self.storage, self.failures),
            session_id or self.session_id,
            self.events,
        )

    def facts(self, kind: EventKind) -> list[str]:
        return [e.facts["operation"] for e in self.events.recent() if e.kind is kind]


@pytest.fixture
def setup() -> Iterator[Setup]:
    setup = Setup()
    yield setup
    setup.cluster.close()


def test_add_writes_the_file_before_the_pointer(setup: Setup) -> None:
    seen: list[tuple[bool, bool]] = []

    def written(handle: StateHandle) -> None:
        seen.append((handle.path in setup.storage.files, setup.pointers.read("x") is not None))

    handle = setup.store().add("x", b"payload", written)
    assert seen == [(True, False)]
    assert re.fullmatch(f"jobs/{JOB}/completedCheckpoint[0-9a-f]{{12}}", handle.path)
    stored = setup.store().get("x")
    assert stored is not None and (stored.payload, stored.handle) == (b"payload", handle)
    assert setup.facts(EventKind.POINTER_WRITTEN) == ["add"]


def test_the_pointer_is_the_documented_json(setup: Setup) -> None:
    handle = setup.store().add("x", b"payload")
    entry = setup.pointers.read("x")
    assert entry is not None
    assert json.loads(entry.value) == {
        "format": 1,
        "path": handle.path,
        "size": 7,
        "sha256": "239f59ed55e737c77147cf55ad0c1b030b6d7ee748a7426952f9b852d5a935e5",
    }
    assert decode_handle("x", encode_handle(handle)) == handle


def test_adding_an_existing_name_leaves_nothing_behind(setup: Setup) -> None:
    setup.store().add("x", b"first")
    with pytest.raises(AlreadyExistsError):
        setup.store().add("x", b"second")
    assert list(setup.storage.files.values()) == [b"first"]
    assert setup.facts(EventKind.POINTER_REFUSED) == ["add"]


@pytest.mark.parametrize(
    "error", [StoreUnavailableError, LeadershipLostError, NotExistError, VersionMismatchError]
)
def test_a_safe_failure_deletes_the_new_file_only(
    setup: Setup, error: type[HighAvailabilityError]
) -> None:
    setup.store().add("other", b"other")
    setup.failures.fail("create", error("refused"))
    with pytest.raises(error):
        setup.store().add("x", b"new")
    assert list(setup.storage.files.values()) == [b"other"]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("error", [PossibleInconsistentStateError, RuntimeError])
def test_an_unknown_outcome_keeps_the_file(
    setup: Setup, error: type[Exception], after: bool
) -> None:
    setup.failures.fail("create", error("who knows"), after=after)
    with pytest.raises(error):
        setup.store().add("x", b"new")
    assert list(setup.storage.files.values()) == [b"new"]
    stored = setup.store().get("x")
    assert (stored is not None) is after


@pytest.mark.parametrize("after", [False, True])
def test_a_file_that_cannot_be_written_is_not_pointed_to(setup: Setup, after: bool) -> None:
    setup.failures.fail("write", StoreUnavailableError("disk full"), after=after)
    with pytest.raises(StoreUnavailableError):
        setup.store().add("x", b"new")
    assert setup.storage.files == {}
    assert setup.pointers.read("x") is None


def test_a_deposed_leader_is_refused_by_the_store(setup: Setup) -> None:
    deposed = setup.store()
    deposed.add("x", b"old")
    stored = deposed.get("x")
    assert stored is not None
    setup.cluster.lead()
    with pytest.raises(LeadershipLostError):
        deposed.add("y", b"new")
    with pytest.raises(LeadershipLostError):
        deposed.replace("x", stored, b"new")
    with pytest.raises(LeadershipLostError):
        deposed.remove("x")
    assert list(setup.storage.files.values()) == [b"old"]
    assert setup.facts(EventKind.POINTER_REFUSED) == ["add", "replace", "remove"]


def test_without_leadership_nothing_is_written_at_all(setup: Setup) -> None:
    setup.failures.fail("write", AssertionError("a file was written"))
    with pytest.raises(LeadershipLostError, match="for reading"):
        setup.store(NO_LEADERSHIP).add("x", b"new")


def add_and_get(setup: Setup) -> StoredState:
    setup.store().add("x", b"old")
    stored = setup.store().get("x")
    assert stored is not None
    return stored


def test_replace_removes_the_old_file(setup: Setup) -> None:
    setup.store().replace("x", add_and_get(setup), b"new")
    assert list(setup.storage.files.values()) == [b"new"]
    stored = setup.store().get("x")
    assert stored is not None and stored.payload == b"new"


def test_replacing_what_is_gone_or_changed_keeps_it(setup: Setup) -> None:
    stored = add_and_get(setup)
    setup.store().replace("x", stored, b"newer")
    with pytest.raises(VersionMismatchError):
        setup.store().replace("x", stored, b"mine")
    assert list(setup.storage.files.values()) == [b"newer"]
    setup.store().remove("x")
    with pytest.raises(NotExistError):
        setup.store().replace("x", stored, b"mine")
    assert setup.storage.files == {}


@pytest.mark.parametrize("after", [False, True])
def test_an_unknown_outcome_of_replace_keeps_both_files(setup: Setup, after: bool) -> None:
    stored = add_and_get(setup)
    setup.failures.fail("replace", PossibleInconsistentStateError("who knows"), after=after)
    with pytest.raises(PossibleInconsistentStateError):
        setup.store().replace("x", stored, b"new")
    assert sorted(setup.storage.files.values()) == [b"new", b"old"]
    present = setup.store().get("x")
    assert present is not None and present.payload == (b"new" if after else b"old")


def test_remove_takes_pointer_then_file_and_may_be_repeated(setup: Setup) -> None:
    add_and_get(setup)
    assert setup.store().remove("x") is True
    assert setup.store().remove("x") is False
    assert setup.storage.files == {}
    assert setup.facts(EventKind.POINTER_WRITTEN) == ["add", "remove"]


@pytest.mark.parametrize("error", [StoreUnavailableError, PossibleInconsistentStateError])
def test_a_removal_that_fails_keeps_the_file(
    setup: Setup, error: type[HighAvailabilityError]
) -> None:
    add_and_get(setup)
    setup.failures.fail("delete", error("not now"))
    with pytest.raises(error):
        setup.store().remove("x")
    assert list(setup.storage.files.values()) == [b"old"]
    assert setup.store().remove("x") is True


def test_a_file_that_cannot_be_deleted_does_not_bring_the_pointer_back(setup: Setup) -> None:
    add_and_get(setup)
    setup.failures.fail("delete", StoreUnavailableError("pointer"), after=True)
    with pytest.raises(StoreUnavailableError):
        setup.store().remove("x")
    assert setup.pointers.read("x") is None


def test_get_of_an_absent_entry_is_none(setup: Setup) -> None:
    assert setup.store().get("x") is None


@pytest.mark.parametrize("replaced", [False, True])
def test_an_entry_that_goes_while_it_is_read_is_not_damaged(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, replaced: bool
) -> None:
    """Its pointer was read, then both were removed by another thread, and its file was missing."""
    store = setup.store()
    store.add("1", b"first")
    read = setup.pointers.read

    def slow(name: str) -> Versioned[bytes] | None:
        monkeypatch.undo()
        found = read(name)
        store.remove(name)
        if replaced:
            store.add(name, b"second")
        return found

    monkeypatch.setattr(setup.pointers, "read", slow)
    found = store.get("1")
    assert (found and found.payload) == (b"second" if replaced else None)


def test_names_are_sorted_and_include_damaged_entries(setup: Setup) -> None:
    for name in ("b", "c", "a"):
        setup.store().add(name, name.encode())
    setup.pointers.create("d", b"garbage", setup.session_id)
    assert setup.store().names() == ["a", "b", "c", "d"]


@pytest.mark.parametrize("damage", [b"", b"payloaX", b"payload+", None])
def test_a_damaged_file_is_named_with_what_was_expected(setup: Setup, damage: bytes | None) -> None:
    handle = setup.store().add("x", b"payload")
    if damage is None:
        del setup.storage.files[handle.path]
    else:
        setup.storage.files[handle.path] = damage
    with pytest.raises(CorruptStateError) as caught:
        setup.store().get("x")
    assert handle.path in str(caught.value)
    assert f"expected 7 bytes with sha256 {handle.sha256}" in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff",
        b"[]",
        b"7",
        b"{}",
        b'{"format":2,"path":"f","size":1,"sha256":"x"}',
        b'{"format":1,"path":"../f","size":1,"sha256":"x"}',
        b'{"format":1,"path":"/etc/passwd","size":1,"sha256":"x"}',
        b'{"format":1,"path":7,"size":1,"sha256":"x"}',
    ],
)
def test_a_damaged_pointer_is_reported_and_can_be_removed(setup: Setup, value: bytes) -> None:
    setup.pointers.create("x", value, setup.session_id)
    setup.store().add("y", b"good")
    with pytest.raises(CorruptStateError):
        setup.store().get("x")
    (name, damaged), (_, good) = setup.store().load_all()
    assert name == "x" and isinstance(damaged, CorruptStateError)
    assert isinstance(good, StoredState) and good.payload == b"good"
    assert setup.store().remove("x") is True


def test_an_unreachable_storage_is_not_taken_for_damage(setup: Setup) -> None:
    add_and_get(setup)
    setup.failures.fail("read", StoreUnavailableError("gone"))
    with pytest.raises(StoreUnavailableError):
        list(setup.store().load_all())


def test_a_thousand_entries_are_one_listing(setup: Setup) -> None:
    for number in range(1000):
        setup.store().add(f"{number:04d}", b"x")
    setup.failures.fail("read", AssertionError("a pointer was read by itself"))
    pointers_only = StateHandleStore(
        ENTRIES,
        FailingPointers(setup.pointers, setup.failures),
        setup.storage,
        setup.session_id,
        setup.events,
    )
    assert len(list(pointers_only.load_all())) == 1000
