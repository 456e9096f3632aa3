"""More kinds of damage, next to those of ``broken_kinds``: several at once, odd names and values.

Each is registered there, and so runs in the whole table.
"""

from __future__ import annotations

import base64
import re
import shutil
import uuid
from pathlib import Path

from tests.interop.broken_flink import Case
from tests.interop.broken_kinds import chk, file_of, ha_file, kind, result
from tests.interop.flink_stores import Entry, KubernetesStore, ZooKeeperStore

_CLASS = b"org.apache.flink.runtime.jobgraph.JobVertex"


def empty(file: Path) -> None:
    file.write_bytes(b"")


def alter(file: Path, found: bytes, instead: bytes) -> None:
    """Other bytes, as many."""
    content = file.read_bytes()
    assert found in content and len(found) == len(instead), (file, found)
    file.write_bytes(content.replace(found, instead, 1))


# --- files ------------------------------------------------------------------------------------


@kind()
def newest_ha_file_empty(case: Case) -> None:
    empty(ha_file(case, "exclusive"))


@kind()
def all_ha_files_of_a_job_missing(case: Case) -> None:
    for entry in case.store.checkpoints(case.jobs["inlined"]):
        file_of(case, entry).unlink()


@kind()
def newest_ha_file_of_another_class(case: Case) -> None:
    """One letter in the name of a class that is read last."""
    alter(
        ha_file(case, "exclusive"), b"runtime.state.KeyGroupRangeOffsets",
        b"runtime.state.KeyGroupRangeOffsetz",
    )  # fmt: skip


@kind()
def graph_file_empty(case: Case) -> None:
    empty(file_of(case, case.store.graph(case.jobs["exclusive"])))


@kind()
def graph_file_of_another_class(case: Case) -> None:
    """One letter in the name of a class: that of the vertices, or of Flink 2's configuration."""
    file = file_of(case, case.store.graph(case.jobs["exclusive"]))
    name = next(each for each in (_CLASS, b"org.apache.flink.configuration.Configuration")
                if each in file.read_bytes())  # fmt: skip
    alter(file, name, name[:-1] + b"z")


@kind()
def graph_file_of_another_job(case: Case) -> None:
    """Its bytes; both pointers lead to files of their own."""
    there, here = (file_of(case, case.store.graph(case.jobs[job]))
                   for job in ("inlined", "exclusive"))  # fmt: skip
    here.write_bytes(there.read_bytes())


@kind()
def files_of_the_cluster_gone(case: Case) -> None:
    """Its folder is there: an empty storageDir without one may be a volume that is not mounted."""
    folder = case.root / "ha" / case.store.options["high-availability.cluster-id"]
    shutil.rmtree(folder)
    folder.mkdir()


@kind()
def storage_of_another_cluster(case: Case) -> None:
    """The folder is there, and its files are another cluster's: the names tell them apart."""
    for file in (case.root / "ha").rglob("*"):
        if file.is_file() and re.search(r"[0-9a-f]{12}$", file.name):
            file.rename(file.with_name(f"{file.name[:-12]}{uuid.uuid4().hex[:12]}"))


@kind()
def checkpoint_folders_gone(case: Case) -> None:
    shutil.rmtree(case.root / "checkpoints")
    (case.root / "checkpoints").mkdir()


@kind()
def state_file_cut_off(case: Case) -> None:
    file = next(f for f in chk(case, "exclusive").iterdir() if f.name != "_metadata")
    file.write_bytes(file.read_bytes()[:-100])


@kind()
def metadata_empty(case: Case) -> None:
    empty(chk(case, "inlined") / "_metadata")


# --- two things at once -----------------------------------------------------------------------


@kind()
def ha_file_missing_and_graph_pointer_gone(case: Case) -> None:
    """Of the same job: what is not recovered is not read."""
    ha_file(case, "exclusive").unlink()
    case.store.remove(case.store.graph(case.jobs["exclusive"]))


@kind()
def ha_file_missing_and_its_pointer_marked(case: Case) -> None:
    ha_file(case, "inlined").unlink()
    case.store.mark(case.store.checkpoints(case.jobs["inlined"])[-1])


@kind()
def older_ha_file_missing_and_newest_pointer_not_java(case: Case) -> None:
    ha_file(case, "exclusive", 0).unlink()
    case.store.set(case.store.checkpoints(case.jobs["exclusive"])[-1], b"\xac\xed\x00\x05")


@kind()
def graph_file_missing_and_its_pointer_marked(case: Case) -> None:
    file_of(case, case.store.graph(case.jobs["inlined"])).unlink()
    case.store.mark(case.store.graph(case.jobs["inlined"]))


@kind()
def dirty_result_and_ha_file_missing(case: Case) -> None:
    """Its checkpoints are read to be cleaned up: the first attempt fails, and no other."""
    ha_file(case, "incremental").unlink()
    result(case, case.jobs["incremental"], "_DIRTY.json")


@kind()
def dirty_result_and_graph_file_missing(case: Case) -> None:
    file_of(case, case.store.graph(case.jobs["incremental"])).unlink()
    result(case, case.jobs["incremental"], "_DIRTY.json")


@kind()
def dirty_result_and_graph_pointer_not_java(case: Case) -> None:
    case.store.set(case.store.graph(case.jobs["incremental"]), b"{not java}")
    result(case, case.jobs["incremental"], "_DIRTY.json")


@kind("zookeeper")
def dirty_result_and_graph_lock_without_session(case: Case) -> None:
    """Its cleanup waits for a lock that does not go."""
    job = case.jobs["incremental"]
    case.store.set(Entry(f"{case.store.graph(job).place}/locks/{uuid.uuid4()}"), b"127.0.0.1")
    result(case, job, "_DIRTY.json")


@kind()
def dirty_result_and_graph_pointer_gone(case: Case) -> None:
    case.store.remove(case.store.graph(case.jobs["inlined"]))
    result(case, case.jobs["inlined"], "_DIRTY.json", "CANCELED")


@kind()
def clean_result_and_ha_file_missing(case: Case) -> None:
    ha_file(case, "exclusive").unlink()
    result(case, case.jobs["exclusive"], ".json")


@kind()
def dirty_and_clean_result(case: Case) -> None:
    result(case, case.jobs["exclusive"], ".json")
    result(case, case.jobs["exclusive"], "_DIRTY.json")


@kind()
def state_file_missing_and_other_job_not_recovered(case: Case) -> None:
    next(f for f in chk(case, "exclusive").iterdir() if f.name != "_metadata").unlink()
    case.store.mark(case.store.graph(case.jobs["incremental"]))


@kind()
def every_job_otherwise(case: Case) -> None:
    """One ended, one lost its job graph, one its newest checkpoint."""
    result(case, case.jobs["inlined"], "_DIRTY.json", "CANCELED")
    case.store.remove(case.store.graph(case.jobs["exclusive"]))
    case.store.mark(case.store.checkpoints(case.jobs["incremental"])[-1])


# --- odd values -------------------------------------------------------------------------------


@kind()
def pointers_to_each_other(case: Case) -> None:
    """The newest of two jobs whose operators have the same ids."""
    one, other = (case.store.checkpoints(case.jobs[job])[-1] for job in ("inlined", "exclusive"))
    kept = case.store.get(one)
    case.store.set(one, case.store.get(other))
    case.store.set(other, kept)


@kind()
def checkpoint_pointer_empty(case: Case) -> None:
    case.store.set(case.store.checkpoints(case.jobs["exclusive"])[-1], b"")


@kind()
def graph_pointer_empty(case: Case) -> None:
    case.store.set(case.store.graph(case.jobs["exclusive"]), b"")


@kind()
def checkpoint_pointer_is_of_a_job_graph(case: Case) -> None:
    """A pointer of the right class to a file of the wrong one."""
    graph = case.store.get(case.store.graph(case.jobs["exclusive"]))
    case.store.set(case.store.checkpoints(case.jobs["exclusive"])[-1], graph)


@kind()
def graph_pointer_is_of_a_checkpoint(case: Case) -> None:
    checkpoint = case.store.get(case.store.checkpoints(case.jobs["exclusive"])[-1])
    case.store.set(case.store.graph(case.jobs["exclusive"]), checkpoint)


@kind()
def pointer_to_a_folder(case: Case) -> None:
    """What stands there now is a folder of the name of the file."""
    file = ha_file(case, "inlined")
    file.unlink()
    file.mkdir()


@kind()
def counter_behind(case: Case) -> None:
    case.store.next_checkpoint(case.jobs["exclusive"], 1)


@kind()
def counter_unreadable(case: Case) -> None:
    entry = case.store.counter(case.jobs["exclusive"])
    case.store.set_text(entry, "abc")


@kind()
def dirty_result_empty(case: Case) -> None:
    empty(result(case, uuid.uuid4().hex, "_DIRTY.json"))


@kind()
def dirty_result_of_unknown_status(case: Case) -> None:
    result(case, case.jobs["inlined"], "_DIRTY.json", "DONE")


@kind()
def dirty_result_under_another_name(case: Case) -> None:
    """The file's name says one job, its content another: Flink believes the content."""
    file = result(case, case.jobs["inlined"], "_DIRTY.json")
    file.rename(file.with_name(f"{uuid.uuid4().hex}_DIRTY.json"))


@kind()
def checkpoint_under_a_name_without_number(case: Case) -> None:
    newest = case.store.checkpoints(case.jobs["inlined"])[-1]
    value = case.store.get(newest)
    if newest.key is None:
        case.store.set(Entry(f"{newest.place.rpartition('/')[0]}/newest"), value)
        case.store.set(Entry(f"{newest.place.rpartition('/')[0]}/newest/locks"), b"")
    else:
        case.store.set(Entry(newest.place, "checkpointID-newest"), value)


@kind()
def graph_under_a_name_that_is_not_an_id(case: Case) -> None:
    graph = case.store.graph(case.jobs["inlined"])
    value = case.store.get(graph)
    if graph.key is None:
        case.store.set(Entry(f"{graph.place.rpartition('/')[0]}/copy-of-it"), value)
        case.store.set(Entry(f"{graph.place.rpartition('/')[0]}/copy-of-it/locks"), b"")
    else:
        case.store.set(Entry(graph.place, f"{graph.key.partition('-')[0]}-copy"), value)


@kind("kubernetes")
def pointer_with_a_line_end(case: Case) -> None:
    """As an editor leaves it: base64 of Java's takes no line end."""
    newest = case.store.checkpoints(case.jobs["inlined"])[-1]
    case.store.set_text(newest, base64.b64encode(case.store.get(newest)).decode() + "\n")


@kind("kubernetes")
def pointer_without_padding(case: Case) -> None:
    """Which base64 of Java's does not need. Its last byte may be any: a stream may go on."""
    newest = case.store.checkpoints(case.jobs["inlined"])[-1]
    value = case.store.get(newest)
    value += bytes(1 if len(value) % 3 == 0 else 0)
    case.store.set_text(newest, base64.b64encode(value).decode().rstrip("="))


@kind("kubernetes")
def counter_with_a_blank(case: Case) -> None:
    entry = case.store.counter(case.jobs["exclusive"])
    case.store.set_text(entry, " 50")


@kind("kubernetes")
def job_map_without_data(case: Case) -> None:
    assert isinstance(case.store, KubernetesStore)
    case.store.remove_data(case.jobs["exclusive"])


@kind("kubernetes")
def cluster_map_without_data(case: Case) -> None:
    """Its annotation is there."""
    assert isinstance(case.store, KubernetesStore)
    case.store.remove_data()


@kind("kubernetes")
def leader_keys_unreadable(case: Case) -> None:
    assert isinstance(case.store, KubernetesStore)
    case.store.unreadable_leader_keys()


@kind()
def everything_gone(case: Case) -> None:
    """The store is empty, and the files are there."""
    case.store.write([])


@kind("zookeeper")
def leader_nodes_gone(case: Case) -> None:
    assert isinstance(case.store, ZooKeeperStore)
    case.store.remove(Entry(case.store.path("leader")))


@kind("zookeeper")
def leader_nodes_unreadable(case: Case) -> None:
    assert isinstance(case.store, ZooKeeperStore)
    for node in case.store.read():
        if node["path"].endswith("connection_info"):
            case.store.set(Entry(node["path"]), b"not java")


@kind("zookeeper")
def jobs_node_gone(case: Case) -> None:
    assert isinstance(case.store, ZooKeeperStore)
    case.store.remove(Entry(case.store.path("jobs")))


@kind("zookeeper")
def locks_without_session(case: Case) -> None:
    """A node that is not ephemeral at every checkpoint of a job."""
    for entry in case.store.checkpoints(case.jobs["exclusive"]):
        case.store.set(Entry(f"{entry.place}/locks/{uuid.uuid4()}"), b"127.0.0.1")
