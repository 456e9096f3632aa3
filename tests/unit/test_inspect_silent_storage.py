"""A file system of fsspec's that does not answer: told soon, once, with the rest of the answer."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ha_cases
import pytest

from hawork.core.errors import StoreUnavailableError
from hawork.inspect import remote_storage
from hawork.inspect.archive import UnionStorage, open_storage
from hawork.inspect.inspector import inspect
from hawork.inspect.remote_storage import Requests, drivers_errors
from hawork.inspect.sources import Sources
from hawork.inspect.storage import SilentStorageError, read_file

fsspec = pytest.importorskip("fsspec")
SECONDS = 0.2
LONG = 30.0
"""Seconds after which a silent call returns after all, with nothing, so that no test hangs."""


class Silent(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """Files in memory; ``hangs`` names the methods that do not answer."""

    protocol = "silent"
    cachable = False
    hangs: frozenset[str] = frozenset()
    denied = ""
    """A file that may not be read."""
    files: dict[str, bytes]
    over = threading.Event()
    asked: list[str]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.answer("connect")

    def answer(self, what: str) -> None:
        self.asked.append(what)
        if what in self.hangs:
            self.over.wait(LONG)

    def find(self, path: str, **_: Any) -> dict[str, dict[str, Any]]:  # type: ignore[override]
        self.answer("find")
        return {name: {"type": "file", "size": len(data)} for name, data in self.files.items()}

    def exists(self, path: str, **_: Any) -> bool:
        self.answer("exists")
        return True

    def open(self, path: str, *_: Any, **__: Any) -> io.BytesIO:
        self.answer("open")
        if path == self.denied:
            raise PermissionError("Access Denied")
        return Waiting(self.files[path], self)


class Waiting(io.BytesIO):
    def __init__(self, data: bytes, files: Silent) -> None:
        super().__init__(data)
        self._files = files

    def read(self, size: int | None = -1) -> bytes:
        self._files.answer("read")
        return super().read(size)


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Silent]]:
    fsspec.register_implementation("silent", Silent, clobber=True)
    monkeypatch.setattr(remote_storage, "SILENT", SECONDS)
    monkeypatch.setattr(Silent, "files", {"bucket/ha/a": b"first", "bucket/ha/b": b"x" * 3_000_000},
                        raising=False)  # fmt: skip
    monkeypatch.setattr(Silent, "asked", [], raising=False)
    monkeypatch.setattr(Silent, "over", threading.Event())
    yield Silent
    Silent.over.set()


@pytest.mark.parametrize(("hangs", "said"), [
    ({"connect"}, "did not answer within 0.2 s"),
    ({"find", "exists"}, "did not answer within 0.2 s"),
])  # fmt: skip
def test_it_is_named_with_the_seconds(
    silent: type[Silent], monkeypatch: pytest.MonkeyPatch, hangs: set[str], said: str
) -> None:
    monkeypatch.setattr(silent, "hangs", frozenset(hangs))
    with pytest.raises(StoreUnavailableError) as caught:
        open_storage("silent://bucket/ha").listing()
    assert str(caught.value) == f"silent://bucket/ha {said}: no more of it was looked at"


def test_a_slow_listing_is_waited_for_while_other_requests_are_answered(
    silent: type[Silent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silent, "hangs", frozenset({"find"}))
    storage = open_storage("silent://bucket/ha")
    answer = silent.answer

    def begin_to_list_at_the_third_look(self: Silent, what: str) -> None:
        if what == "exists" and self.asked.count("exists") == 2:
            self.over.set()
        answer(self, what)

    monkeypatch.setattr(silent, "answer", begin_to_list_at_the_third_look)
    assert [file.name for file in storage.listing()] == ["a", "b"]
    assert silent.asked.count("exists") >= 3


def test_one_that_only_lists_for_ever_is_given_up(
    silent: type[Silent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silent, "hangs", frozenset({"find"}))
    monkeypatch.setattr(remote_storage, "LISTING", 3 * SECONDS)
    with pytest.raises(StoreUnavailableError, match=r"was not listed within 0\.6 s"):
        open_storage("silent://bucket/ha").listing()


@pytest.mark.parametrize("hangs", ["open", "read"])
def test_what_has_not_answered_is_not_asked_again(
    silent: type[Silent], monkeypatch: pytest.MonkeyPatch, hangs: str
) -> None:
    storage = open_storage("silent://bucket/ha")
    assert len(storage.listing()) == 2
    assert read_file(storage, "a") == b"first"
    assert read_file(storage, "b") == b"x" * 3_000_000
    silent.asked.clear()
    monkeypatch.setattr(silent, "hangs", frozenset({hangs}))
    said = set()
    for name in ("a", "b", "a"):
        with pytest.raises(SilentStorageError) as caught:
            read_file(storage, name)
        said.add(str(caught.value))
    assert said == {"silent://bucket/ha did not answer within 0.2 s: no more of it was looked at"}
    assert silent.asked.count(hangs) == 1


def test_of_several_folders_one_is_waited_for(
    silent: type[Silent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silent, "hangs", frozenset({"find", "exists"}))
    names = ("ha", "checkpoints", "savepoints")
    storage = UnionStorage({name: open_storage(f"silent://bucket/{name}") for name in names})
    assert storage.listing() == []
    assert silent.asked.count("find") == 1
    assert storage.unseen == set(names)
    assert len(storage.notes) == len(names)


def test_the_rest_of_the_answer_is_given(
    silent: type[Silent], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The files of every pointer are not looked at: one sentence, and none of them is missing."""
    case = ha_cases.unpack("zk120-healthy", tmp_path)
    files = {f"bucket/{name}": data for name, (data, _) in ha_cases.files_of(case.name).items()}
    monkeypatch.setattr(silent, "files", files)
    monkeypatch.setattr(silent, "hangs", frozenset({"read"}))
    sources = Sources(case.config, storage="silent://bucket", mapping={"file:/srv/flink": "."},
                      **case.store)  # fmt: skip
    found = inspect(sources)
    assert found.alarms == []
    assert found.exit_status == 2
    said = [missed.why for missed in found.cluster.not_looked_at]
    assert said == ["silent://bucket did not answer within 0.2 s: no more of it was looked at"]
    jobs = {job: (each.outcome, each.checkpoint) for job, each in found.recovery.jobs.items()}
    right = case.expected["recovery"]["jobs"]
    assert jobs == {job: (each["outcome"], each["checkpoint"]) for job, each in right.items()}


@pytest.mark.parametrize("name", [
    f"job-result-store/flights-prod/{'ab' * 16}_DIRTY.json", "flights-prod/completedCheckpoint0123",
])  # fmt: skip
def test_a_file_that_may_not_be_read_is_not_called_damaged(
    silent: type[Silent], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """A dirty result that we could not read was said to end every JobManager."""
    case = ha_cases.unpack("zk120-healthy", tmp_path)
    files = {f"bucket/{each}": data for each, (data, _) in ha_cases.files_of(case.name).items()}
    denied = f"bucket/ha/{name}"
    monkeypatch.setattr(silent, "files", {**files, denied: b"{}"})
    monkeypatch.setattr(silent, "denied", denied)
    sources = Sources(case.config, storage="silent://bucket", mapping={"file:/srv/flink": "."},
                      **case.store)  # fmt: skip
    found = inspect(sources)
    assert found.recovery.jobmanager == "starts"
    assert not {"HA302", "HA501", "HA502"} & {each.code for each in found.findings}
    assert [missed.what for missed in found.cluster.not_looked_at] == [f"file ha/{name}"]


def test_what_a_request_raises_is_raised() -> None:
    with pytest.raises(KeyError, match="'x'"):
        Requests("x://")(lambda: {}["x"], LONG)


def test_no_thread_is_left_of_a_storage_that_is_not_used_any_more() -> None:
    requests = Requests("x://")
    thread = requests(threading.current_thread, LONG)
    del requests
    thread.join(LONG)
    assert not thread.is_alive()


def test_an_error_without_words_is_told_by_its_kind() -> None:
    told = pytest.raises(StoreUnavailableError, match="x cannot be listed: TimeoutError")
    with told, drivers_errors("x cannot be listed"):
        raise TimeoutError
