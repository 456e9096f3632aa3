"""Kinds of damage, each done to one copy of a base: see ``broken_flink``.

A kind says on which stores it can happen. ``inlined``, ``exclusive`` and ``incremental`` are the
three jobs of a base.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hawork.backends.kubernetes.layout import LOCK
from tests.interop.broken_flink import Case
from tests.interop.flink_stores import Entry, KubernetesStore, ZooKeeperStore
from tests.lock_records import READABLE, UNREADABLE

BOTH = ("zookeeper", "kubernetes")
_FILE = re.compile(rb"file:(/[ -~]+?/[A-Za-z]+[0-9a-f]{12})x")
_OLD_UID = bytes.fromhex("9f813bf39965437f")  # of Flink 1.15 to 1.18's pointers on Kubernetes
_NEW_UID = bytes.fromhex("1bad4480ef860d7c")


@dataclass(frozen=True)
class Kind:
    """One kind of damage and the stores on which there is such a thing."""

    name: str
    break_: Callable[[Case], None]
    stores: tuple[str, ...]


KINDS: dict[str, Kind] = {}


def kind(*stores: str) -> Callable[[Callable[[Case], None]], Callable[[Case], None]]:
    def register(function: Callable[[Case], None]) -> Callable[[Case], None]:
        name = function.__name__
        KINDS[name] = Kind(name, function, stores or BOTH)
        return function

    return register


def file_of(case: Case, entry: Entry) -> Path:
    """The file that a pointer leads to."""
    found = _FILE.search(case.store.get(entry))
    assert found is not None, case.store.get(entry)
    return Path(found[1].decode())


def ha_file(case: Case, job: str, which: int = -1) -> Path:
    return file_of(case, case.store.checkpoints(case.jobs[job])[which])


def chk(case: Case, job: str) -> Path:
    """The folder of a job's newest completed checkpoint; a later one may have been begun."""
    newest = case.store.checkpoints(case.jobs[job])[-1]
    number = int(re.findall(r"\d+$", newest.key or newest.place)[0])
    return case.root / "checkpoints" / case.jobs[job] / f"chk-{number}"


def result(case: Case, job_id: str, name: str, status: str = "SUCCEEDED") -> Path:
    """Write a job result as Flink does."""
    cluster = case.store.options["high-availability.cluster-id"]
    folder = case.root / "ha" / "job-result-store" / cluster
    folder.mkdir(parents=True, exist_ok=True)
    body = {
        "result": {
            "id": job_id, "application-status": status, "accumulator-results": {},
            "net-runtime": 4321,
        },
        "version": 1,
    }  # fmt: skip
    file = folder / f"{job_id}{name}"
    file.write_text(json.dumps(body))
    return file


@kind()
def nothing(case: Case) -> None:
    """All is well."""


@kind()
def newest_ha_file_missing(case: Case) -> None:
    ha_file(case, "inlined").unlink()


@kind()
def older_ha_file_missing(case: Case) -> None:
    ha_file(case, "exclusive", 0).unlink()


@kind()
def newest_ha_file_truncated(case: Case) -> None:
    file = ha_file(case, "exclusive")
    file.write_bytes(file.read_bytes()[:700])


@kind()
def newest_ha_file_header_altered(case: Case) -> None:
    file = ha_file(case, "incremental")
    data = bytearray(file.read_bytes())
    data[1] ^= 0x40
    file.write_bytes(bytes(data))


@kind()
def state_file_missing(case: Case) -> None:
    next(f for f in chk(case, "exclusive").iterdir() if f.name != "_metadata").unlink()


@kind()
def shared_state_file_missing(case: Case) -> None:
    """The largest one: a small file may belong to no retained checkpoint."""
    shared = case.root / "checkpoints" / case.jobs["incremental"] / "shared"
    newest = ha_file(case, "incremental").read_bytes()
    named = [file for file in shared.iterdir() if file.name.encode() in newest]
    max(named, key=lambda file: file.stat().st_size).unlink()


@kind()
def metadata_missing(case: Case) -> None:
    (chk(case, "exclusive") / "_metadata").unlink()


@kind()
def checkpoint_pointer_is_not_java(case: Case) -> None:
    case.store.set(case.store.checkpoints(case.jobs["inlined"])[-1], b"{not java}")


@kind()
def older_checkpoint_pointer_is_not_java(case: Case) -> None:
    case.store.set(case.store.checkpoints(case.jobs["exclusive"])[0], b"\x00\x01")


@kind()
def checkpoint_pointer_cut_off(case: Case) -> None:
    entry = case.store.checkpoints(case.jobs["incremental"])[-1]
    case.store.set(entry, case.store.get(entry)[:-40])


@kind("kubernetes")
def checkpoint_pointer_is_not_base64(case: Case) -> None:
    case.store.set_text(case.store.checkpoints(case.jobs["inlined"])[-1], "%%% not base64 %%%")


@kind("kubernetes")
def graph_pointer_is_not_base64(case: Case) -> None:
    case.store.set_text(case.store.graph(case.jobs["inlined"]), "%%% not base64 %%%")


@kind()
def graph_pointer_cut_off(case: Case) -> None:
    entry = case.store.graph(case.jobs["exclusive"])
    case.store.set(entry, case.store.get(entry)[:200])


@kind()
def graph_pointer_is_not_java(case: Case) -> None:
    case.store.set(case.store.graph(case.jobs["exclusive"]), b"{not java}")


@kind()
def graph_file_missing(case: Case) -> None:
    file_of(case, case.store.graph(case.jobs["inlined"])).unlink()


@kind()
def graph_file_truncated(case: Case) -> None:
    file = file_of(case, case.store.graph(case.jobs["inlined"]))
    file.write_bytes(file.read_bytes()[:1000])


@kind()
def graph_pointer_gone(case: Case) -> None:
    case.store.remove(case.store.graph(case.jobs["exclusive"]))


@kind()
def graph_marked_for_deletion(case: Case) -> None:
    case.store.mark(case.store.graph(case.jobs["incremental"]))


@kind()
def newest_checkpoint_marked_for_deletion(case: Case) -> None:
    case.store.mark(case.store.checkpoints(case.jobs["inlined"])[-1])


@kind()
def checkpoint_pointers_gone(case: Case) -> None:
    for entry in case.store.checkpoints(case.jobs["exclusive"]):
        case.store.remove(entry)


@kind()
def newest_checkpoint_pointer_gone(case: Case) -> None:
    case.store.remove(case.store.checkpoints(case.jobs["exclusive"])[-1])


@kind()
def job_gone(case: Case) -> None:
    case.store.remove_job(case.jobs["inlined"])


@kind()
def graphs_gone(case: Case) -> None:
    case.store.remove_graphs()


@kind()
def dirty_result_with_pointers(case: Case) -> None:
    result(case, case.jobs["incremental"], "_DIRTY.json", "CANCELED")


@kind()
def dirty_result_truncated(case: Case) -> None:
    file = result(case, uuid.uuid4().hex, "_DIRTY.json")
    file.write_bytes(file.read_bytes()[:40])


@kind()
def clean_result_truncated(case: Case) -> None:
    file = result(case, uuid.uuid4().hex, ".json")
    file.write_bytes(file.read_bytes()[:40])


@kind()
def clean_result_with_graph(case: Case) -> None:
    result(case, case.jobs["exclusive"], ".json")


@kind()
def counter_ahead(case: Case) -> None:
    case.store.next_checkpoint(case.jobs["exclusive"], 5000)


@kind()
def counter_gone(case: Case) -> None:
    case.store.remove(case.store.counter(case.jobs["incremental"]))


@kind()
def pointer_to_another_job(case: Case) -> None:
    entry = case.store.checkpoints(case.jobs["incremental"])[-1]
    case.store.set(entry, case.store.get(case.store.checkpoints(case.jobs["inlined"])[-1]))


@kind()
def older_pointer_to_newest_file(case: Case) -> None:
    older, newest = case.store.checkpoints(case.jobs["exclusive"])[-2:]
    case.store.set(older, case.store.get(newest))


@kind()
def newest_pointer_to_older_file(case: Case) -> None:
    older, newest = case.store.checkpoints(case.jobs["incremental"])[-2:]
    case.store.set(newest, case.store.get(older))


@kind()
def graph_pointer_to_another_job(case: Case) -> None:
    """Two pointers to one job graph."""
    case.store.set(
        case.store.graph(case.jobs["exclusive"]),
        case.store.get(case.store.graph(case.jobs["inlined"])),
    )


@kind()
def graphs_and_a_job_gone(case: Case) -> None:
    case.store.remove_graphs()
    case.store.remove_job(case.jobs["inlined"])


@kind()
def graph_pointer_and_job_gone(case: Case) -> None:
    """Nothing of one job is left but its files."""
    case.store.remove(case.store.graph(case.jobs["inlined"]))
    case.store.remove_job(case.jobs["inlined"])


@kind()
def two_jobs_broken(case: Case) -> None:
    """One job loses its newest checkpoint silently, the other is not there."""
    case.store.remove(case.store.graph(case.jobs["exclusive"]))
    for entry in case.store.checkpoints(case.jobs["inlined"]):
        case.store.remove(entry)


@kind("zookeeper")
def latch_without_session(case: Case) -> None:
    assert isinstance(case.store, ZooKeeperStore)
    latch = case.store.path("leader", "latch", f"_c_{uuid.uuid4()}-latch-0000000000")
    case.store.set(Entry(latch), b"")


@kind("zookeeper")
def lock_without_session(case: Case) -> None:
    lock = f"{case.store.graph(case.jobs['exclusive']).place}/locks/{uuid.uuid4()}"
    case.store.set(Entry(lock), b"127.0.0.1")


@kind("kubernetes")
def lease_renewed_in_the_future(case: Case) -> None:
    assert isinstance(case.store, KubernetesStore)
    record = {
        "holderIdentity": str(uuid.uuid4()), "leaseDuration": "PT4S",
        "acquireTime": "2099-01-01T00:00:00.000000Z", "renewTime": "2099-01-01T00:00:00.000000Z",
        "leaderTransitions": 3,
    }  # fmt: skip
    case.store.annotate(LOCK, json.dumps(record))


@kind("kubernetes")
def leader_annotation_gone(case: Case) -> None:
    assert isinstance(case.store, KubernetesStore)
    case.store.annotate(LOCK, None)


@kind("kubernetes")
def pointers_of_flink_1_18(case: Case) -> None:
    """Every pointer with the serialVersionUID that Flink had before 1.19."""
    for job in case.jobs.values():
        for entry in (*case.store.checkpoints(job), case.store.graph(job)):
            value = case.store.get(entry)
            assert _NEW_UID in value
            case.store.set(entry, value.replace(_NEW_UID, _OLD_UID))


@kind("kubernetes")
def cluster_map_immutable(case: Case) -> None:
    assert isinstance(case.store, KubernetesStore)
    case.store.make_immutable()


@kind("kubernetes")
def job_map_immutable(case: Case) -> None:
    assert isinstance(case.store, KubernetesStore)
    case.store.make_immutable(case.jobs["exclusive"])


@kind("kubernetes")
def cluster_map_without_labels(case: Case) -> None:
    """As written again by hand, or by a tool that keeps data and annotations only."""
    assert isinstance(case.store, KubernetesStore)
    case.store.remove_labels()


@kind("kubernetes")
def maps_without_labels(case: Case) -> None:
    assert isinstance(case.store, KubernetesStore)
    for job in (None, *case.jobs.values()):
        case.store.remove_labels(job)


@kind("kubernetes")
def cluster_map_deleted_and_kept(case: Case) -> None:
    assert isinstance(case.store, KubernetesStore)
    case.store.delete_and_keep()


@kind("kubernetes")
def job_map_deleted_and_kept(case: Case) -> None:
    assert isinstance(case.store, KubernetesStore)
    case.store.delete_and_keep(case.jobs["exclusive"])


def _annotated(text: str) -> Callable[[Case], None]:
    def annotate(case: Case) -> None:
        assert isinstance(case.store, KubernetesStore)
        case.store.annotate(LOCK, text)

    return annotate


for _name, _text in {**UNREADABLE, **READABLE}.items():
    KINDS[f"lock_record_{_name}"] = Kind(f"lock_record_{_name}", _annotated(_text), ("kubernetes",))
