"""hawork's own data on each of its stores: whole, and with each kind of damage."""

from __future__ import annotations

import base64
import contextlib
import json
import sqlite3
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from stores_setup import checkpoint

from hawork.backends.embedded.layout import create_database
from hawork.backends.kubernetes.layout import encode_entry, entry_key
from hawork.cli.main import main
from hawork.core.errors import StoreUnavailableError
from hawork.core.jobs import JobGraph
from hawork.core.options import checked
from hawork.core.types import JobID, StateHandle
from hawork.ha.job_files import describe
from hawork.ha.json_state import encode_json
from hawork.ha.pointer_store import Namespace
from hawork.ha.state_handle_store import encode_handle
from hawork.inspect.case import save_case
from hawork.inspect.embedded import read_embedded_store, read_entries
from hawork.inspect.inspection import Inspection
from hawork.inspect.inspector import inspect
from hawork.inspect.report import as_text
from hawork.inspect.report_html import as_page
from hawork.inspect.sources import Sources

JOBS = (JobID("0" * 31 + "1"), JobID("0" * 31 + "2"))
BROKEN, OTHER = JOBS
STORES = ("embedded", "zookeeper", "kubernetes")


@dataclass
class Own:
    """A cluster of hawork's as plain values, which is then written as each store does."""

    pointers: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """By namespace and name."""
    files: dict[str, bytes] = field(default_factory=dict)
    results: dict[str, bytes] = field(default_factory=dict)

    def write(self, kind: str, name: str, path: str, payload: bytes) -> StateHandle:
        handle = describe(path, payload)
        self.files[path] = payload
        self.pointers[kind, name] = encode_handle(handle)
        return handle

    def add(self, job: JobID) -> None:
        artifact = describe(f"jobs/{job}/blob/abc-000000000001", b"PK zip")
        self.files[artifact.path] = b"PK zip"
        made = JobGraph(job, f"job {job[-1]}", "m:f", artifact, {"db": "PASSWORD"})
        self.write("jobgraphs", job, f"jobs/{job}/submittedJobGraph{job[-12:]}",
                   encode_json(made.to_json()))  # fmt: skip
        for number in (4, 5):
            state = describe(f"jobs/{job}/state/s{number}", b"state %d" % number)
            self.files[state.path] = b"state %d" % number
            whole = checkpoint(number, job_id=job, handle=state)
            path = f"jobs/{job}/completedCheckpoint{number:012x}"
            self.write(f"checkpoints/{job}", f"{number:019d}", path, encode_json(whole.to_json()))
        self.pointers[f"counters/{job}", "counter"] = b"6"

    def name(self, job: JobID, number: int) -> tuple[str, str]:
        return f"checkpoints/{job}", f"{number:019d}"

    def file(self, job: JobID, number: int) -> str:
        return f"jobs/{job}/completedCheckpoint{number:012x}"

    def look(self, store: str, directory: Path) -> Inspection:
        storage = directory / "storage"
        for path, payload in self.files.items():
            file = storage / "lab" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(payload)
        for name, payload in self.results.items():
            file = storage / "job-result-store" / "lab" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(payload)
        config = directory / "config.yaml"
        config.write_text(
            f"high-availability.type: {store}\nhigh-availability.cluster-id: /lab\n"
            "kubernetes.cluster-id: lab\nhigh-availability.storageDir: file:///srv/ha\n"
        )
        dump = directory / "dump"
        given: dict[str, Path] = {}
        if store == "embedded":
            self._embedded(storage / "lab" / "ha.db")
        elif store == "zookeeper":
            dump.write_text(json.dumps(self._znodes()))
            given = {"zookeeper_dump": dump}
        else:
            dump.write_text(json.dumps({"kind": "List", "items": self._maps()}))
            given = {"configmaps": dump}
        mapping = {"file:/srv/ha": "."}
        return inspect(Sources(config=config, storage=storage, mapping=mapping, **given))

    def _embedded(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        create_database(file, "/lab")
        with contextlib.closing(sqlite3.connect(file)) as connection, connection:
            rows = [(kind, name, 1, value) for (kind, name), value in self.pointers.items()]
            connection.executemany("INSERT INTO pointer VALUES (?, ?, ?, ?)", rows)

    def _znodes(self) -> list[dict[str, object]]:
        root = "/flink/lab/hawork"
        found = []
        for (kind, name), value in self.pointers.items():
            namespace, _, job = kind.partition("/")
            namespace = "checkpoint_id_counter" if namespace == "counters" else namespace
            path = f"{root}/jobs/{job}/{namespace}/{name}" if job else f"{root}/{namespace}/{name}"
            found.append({"path": path, "data": base64.b64encode(value).decode(),
                          "ephemeralOwner": None, "ctime": 1, "mtime": 1})  # fmt: skip
        return [*found, {"path": "/flink/lab/leader", "data": "", "ephemeralOwner": None}]

    def _maps(self) -> list[dict[str, object]]:
        maps: dict[str, dict[str, str]] = {"lab-cluster-config-map": {}}
        for (kind, name), value in self.pointers.items():
            namespace, _, job = kind.partition("/")
            place = f"lab-{job}-config-map" if job else "lab-cluster-config-map"
            key = entry_key(Namespace(namespace), name)
            maps.setdefault(place, {})[key] = encode_entry(7, value)
        return [{"kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"},
                 "data": data} for name, data in maps.items()]  # fmt: skip


def own() -> Own:
    made = Own()
    for job in JOBS:
        made.add(job)
    return made


def nothing(made: Own) -> None:
    """All is well."""


def newest_file_missing(made: Own) -> None:
    del made.files[made.file(BROKEN, 5)]


def newest_file_altered(made: Own) -> None:
    made.files[made.file(BROKEN, 5)] = made.files[made.file(BROKEN, 5)].replace(b"5", b"6")


def newest_file_cut(made: Own) -> None:
    made.files[made.file(BROKEN, 5)] = made.files[made.file(BROKEN, 5)][:20]


def newest_state_missing(made: Own) -> None:
    del made.files[f"jobs/{BROKEN}/state/s5"]


def newest_pointer_unreadable(made: Own) -> None:
    made.pointers[made.name(BROKEN, 5)] = b"\xff\xfe"


def newest_of_another_job(made: Own) -> None:
    made.pointers[made.name(BROKEN, 5)] = made.pointers[made.name(OTHER, 5)]


def newest_leads_out(made: Own) -> None:
    path = "../../etc/passwd"
    made.pointers[made.name(BROKEN, 5)] = encode_handle(StateHandle(path, 1, "0" * 64))


def newest_set_aside(made: Own) -> None:
    made.pointers[made.name(BROKEN, 5)] = b'{"format":1,"set_aside":"x","was":"y"}'


def older_file_missing(made: Own) -> None:
    del made.files[made.file(BROKEN, 4)]


def no_checkpoint_whole(made: Own) -> None:
    for number in (4, 5):
        del made.files[f"jobs/{BROKEN}/state/s{number}"]


def pointers_gone(made: Own) -> None:
    for number in (4, 5):
        del made.pointers[made.name(BROKEN, number)]


def graph_file_missing(made: Own) -> None:
    del made.files[f"jobs/{BROKEN}/submittedJobGraph{BROKEN[-12:]}"]


def graph_pointer_gone(made: Own) -> None:
    del made.pointers["jobgraphs", BROKEN]


def submission_under_way(made: Own) -> None:
    graph_pointer_gone(made)
    made.files[f"jobs/{BROKEN}/_SUBMITTING-x"] = b""


def artifact_missing(made: Own) -> None:
    del made.files[f"jobs/{BROKEN}/blob/abc-000000000001"]


def result_unreadable(made: Own) -> None:
    made.results[f"{BROKEN}_DIRTY.json"] = b"{"


def counter_unreadable(made: Own) -> None:
    made.pointers[f"counters/{BROKEN}", "counter"] = b"six"


Damage = Callable[[Own], None]
RIGHT: dict[Damage, tuple[list[tuple[str, str]], tuple[str, int | None] | None]] = {
    nothing: ([], ("restored", 5)),
    newest_file_missing: ([("HA702", "data-loss")], ("restored", 4)),
    newest_file_altered: ([("HA702", "data-loss")], ("restored", 4)),
    newest_file_cut: ([("HA702", "data-loss")], ("restored", 4)),
    newest_state_missing: ([("HA702", "data-loss")], ("restored", 4)),
    newest_pointer_unreadable: ([("HA702", "data-loss")], ("restored", 4)),
    newest_of_another_job: ([("HA702", "data-loss")], ("restored", 4)),
    newest_leads_out: ([("HA702", "data-loss")], ("restored", 4)),
    newest_set_aside: ([], ("restored", 4)),
    older_file_missing: ([("HA702", "warning")], ("restored", 5)),
    no_checkpoint_whole: ([("HA702", "stuck")] * 2, ("restart-loop", None)),
    pointers_gone: ([("HA704", "data-loss")], ("from-scratch", None)),
    graph_file_missing: ([("HA701", "data-loss")], ("not-recovered", None)),
    graph_pointer_gone: ([("HA703", "data-loss")], ("not-recovered", None)),
    submission_under_way: ([], None),
    artifact_missing: ([("HA705", "stuck")], ("restart-loop", 5)),
    counter_unreadable: ([], ("restored", 5)),
}


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("damage", RIGHT, ids=lambda each: each.__name__)
def test_each_damage_costs_its_own_job_at_most(damage: Damage, store: str, tmp_path: Path) -> None:
    made = own()
    damage(made)
    found = made.look(store, tmp_path)
    findings, outcome = RIGHT[damage]
    assert [(each.code, each.severity) for each in found.alarms] == findings
    assert found.recovery.jobmanager == "starts"
    jobs = {job: (each.outcome, each.checkpoint) for job, each in found.recovery.jobs.items()}
    assert jobs[OTHER] == ("restored", 5)
    assert jobs.get(BROKEN) == outcome
    assert found.exit_status == (1 if findings else 0)
    json.dumps(found.to_json())
    assert "job 2" in as_text(found) and "job 2" in as_page(found)
    assert ", of hawork, " in as_text(found), "which is of no release of Flink"
    assert found.to_frame()["code"].tolist() == [each.code for each in found.findings]


@pytest.mark.parametrize("store", ["zookeeper", "kubernetes"])
@pytest.mark.parametrize("damage", RIGHT, ids=lambda each: each.__name__)
def test_a_saved_case_says_the_same(damage: Damage, store: str, tmp_path: Path) -> None:
    """Files of state are not in it, and neither is what a job was given: their digests are."""
    made = own()
    damage(made)
    before = made.look(store, tmp_path)
    save_case(before, tmp_path / "case.zip")
    after = inspect(Sources(case=tmp_path / "case.zip"))
    assert after.recovery.to_json() == before.recovery.to_json()
    told = [(each.name, each.severity, each.objects) for each in before.findings]
    assert [(each.name, each.severity, each.objects) for each in after.findings] == told
    assert [job.name for job in after.cluster.own.values()] == [
        job.name for job in before.cluster.own.values()
    ]
    with zipfile.ZipFile(tmp_path / "case.zip") as saved:
        everything = b"".join(map(saved.read, saved.namelist()))
    assert b"PASSWORD" not in everything and b"state 4" not in everything


def test_a_repair_names_its_jobs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own().look("zookeeper", tmp_path)
    status = main([
        "repair", "--config", str(tmp_path / "config.yaml"), "--zookeeper-dump",
        str(tmp_path / "dump"), "--storage", str(tmp_path / "storage"), "--map", "file:/srv/ha=.",
    ])  # fmt: skip
    assert status == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first == "now: a JobManager starts; job 1 restored (5), job 2 restored (5); 0 findings"


@pytest.mark.parametrize("store", STORES)
def test_its_own_entries_are_not_another_cluster(store: str, tmp_path: Path) -> None:
    """On ZooKeeper ``hawork/jobgraphs`` lies below the cluster, as a cluster's own does."""
    found = own().look(store, tmp_path)
    assert found.cluster.others == []
    assert "another-cluster" not in {each.name for each in found.findings}


@pytest.mark.parametrize("store", STORES)
def test_a_result_that_cannot_be_read_is_named(store: str, tmp_path: Path) -> None:
    made = own()
    result_unreadable(made)
    found = made.look(store, tmp_path)
    assert [(each.code, each.severity) for each in found.alarms] == [("HA706", "warning")]


@pytest.mark.parametrize("store", STORES)
def test_what_is_asked_of_flinks_data_only_is_not_clean_here(store: str, tmp_path: Path) -> None:
    states = {each.question.number: each.state for each in own().look(store, tmp_path).answers}
    not_asked = {2, 15, 20, 22, 23, 24}
    assert {number for number in not_asked if states[number] != "not looked"} == set()
    assert states[1] == states[3] == states[6] == states[10] == "clean"


def test_a_damaged_database_is_not_clean(tmp_path: Path) -> None:
    file = tmp_path / "storage" / "lab" / "ha.db"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"SQLite format 3\x00" + bytes(100))
    config = tmp_path / "config.yaml"
    config.write_text(
        "high-availability.type: embedded\nhigh-availability.cluster-id: lab\n"
        "high-availability.storageDir: file:///srv/ha\n"
    )
    sources = Sources(config=config, storage=tmp_path / "storage", mapping={"/srv/ha": "."})
    found = inspect(sources)
    assert (found.exit_status, found.cluster.store_looked) == (2, False)
    assert "damaged" in {each.what: each.why for each in found.cluster.not_looked_at}["HA store"]


@pytest.mark.parametrize("kind", ["no database", "damaged", "locked", "another program's"])
def test_a_file_that_sqlite_cannot_read_is_one_sentence(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "store" / "ha.db"
    file.parent.mkdir()
    config = checked({"high-availability.type": "embedded",
                      "high-availability.embedded.directory": str(file.parent)})  # fmt: skip
    create_database(file, "flights")
    said = "is damaged"
    if kind == "no database":
        file.write_bytes(b"not SQLite at all" * 100)
    elif kind == "damaged":
        content = bytearray(file.read_bytes())
        content[100:] = bytes(len(content) - 100)
        file.write_bytes(content)
    elif kind == "another program's":
        file.unlink()
        with contextlib.closing(sqlite3.connect(file)) as other:
            other.executescript(
                "CREATE TABLE t (x TEXT); INSERT INTO t VALUES (CAST(x'ff' AS TEXT))"
            )
    with contextlib.ExitStack() as stack:
        if kind == "locked":
            said = "is locked by another program"
            monkeypatch = stack.enter_context(pytest.MonkeyPatch.context())
            connect = sqlite3.connect
            monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **k, timeout=0.01))
            holder = stack.enter_context(contextlib.closing(connect(file, isolation_level=None)))
            holder.executescript("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")
        for read in (lambda: read_entries(config), lambda: read_embedded_store(file)):
            with pytest.raises(StoreUnavailableError, match=said) as told:
                read()
            assert "\n" not in str(told.value)


@pytest.mark.parametrize("store", ["zookeeper", "kubernetes"])
@pytest.mark.parametrize("link", ["files", "folder"])
def test_files_that_are_links_out_of_the_storage_are_not_damage(
    link: str, store: str, tmp_path: Path
) -> None:
    """They were not looked at: neither clean nor missing."""
    own().look(store, tmp_path)
    (folder,) = (tmp_path / "storage").glob(f"**/{BROKEN}")
    away = tmp_path / "away"
    folder.rename(away)
    if link == "folder":
        folder.symlink_to(away)
    else:
        folder.mkdir()
        for each in away.iterdir():
            (folder / each.name).symlink_to(away / each.name)
    option = "zookeeper_dump" if store == "zookeeper" else "configmaps"
    found = inspect(Sources(
        tmp_path / "config.yaml", storage=tmp_path / "storage", mapping={"file:/srv/ha": "."},
        **{option: tmp_path / "dump"},
    ))  # fmt: skip
    assert found.alarms == [] and found.exit_status == 2
    assert any(" is a link" in each.why for each in found.cluster.not_looked_at)
