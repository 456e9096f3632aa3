"""A cluster in ZooKeeper: what the znodes below its root mean.

Source: ``ZooKeeperUtils``, ``ZooKeeperStateHandleStore``, Curator's ``LeaderLatch`` and
``SharedCount``.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping
from typing import Final

from hawork.backends.zookeeper.paths import name_of_entry
from hawork.inspect.cluster import (
    Checkpoint,
    Cluster,
    Counter,
    JobGraph,
    LatchNode,
    LeaderAddress,
    Leadership,
    LockNode,
    OtherCluster,
    StoredPointer,
    job_of_component,
)
from hawork.inspect.entries import Entry
from hawork.inspect.errors import UndecodableError
from hawork.inspect.finding import Object
from hawork.inspect.pointers import decode_connection_info, decode_counter, decode_pointer
from hawork.inspect.settings import Settings

__all__ = ["MARKS", "read_znodes"]

JOB_ID: Final = re.compile(r"[0-9a-f]{32}")
_SEQUENCE: Final = re.compile(r".*latch-(-?\d+)", re.DOTALL)
MARKS: Final = ("leader", "jobs", "jobgraphs", "execution-plans")
"""What lies right below the root of a cluster, and tells it."""
PLANS: Final = "execution-plans"
_POINTER: Final = re.compile(r"(.*?)/[^/]+/[0-9a-f]{32}(?:/checkpoints/\d+)?", re.DOTALL)


def read_znodes(cluster: Cluster, entries: Iterable[Entry]) -> None:
    """Put what a tree holds of ``cluster.settings``' cluster into ``cluster``.

    Without a configuration the cluster with most entries is taken; the others are named.
    """
    tree = {entry.name: entry for entry in entries}
    cluster.backend = "zookeeper"
    cluster.store_looked = True
    roots = _roots(tree, cluster.settings)
    root = _choose(cluster, roots)
    others: dict[str, OtherCluster] = {}
    for other in roots:
        if other != root:
            name = other.rpartition("/")[2] or "/"
            cluster.others.append(OtherCluster(name, (Object("znode", other or "/"),)))
            others[other] = cluster.others[-1]
    _urls_of(others, tree)
    cluster.root = root
    cluster.cluster_id = cluster.settings.cluster_id or root.rpartition("/")[2]
    children = _children(tree, root)
    _leadership(cluster, tree, children, root)
    plans, graphs = f"{root}/{PLANS}", f"{root}/{cluster.settings.job_graphs_path}"
    has_plans = plans in tree
    cluster.graphs_place = Object("znode", plans if has_plans and graphs not in tree else graphs)
    cluster.graphs_place_exists = graphs in tree or has_plans
    for place, plan in ((graphs, False), (plans, True)):
        for path in children.get(place, ()):
            _job_graph(cluster, tree, children, path, plan)
    for path in children.get(f"{root}/jobs", ()):
        _job(cluster, tree, children, path)
    for job in cluster.jobs.values():
        job.place = job.place or cluster.place_of(job.job_id)
    _own(cluster, tree, f"{root}/hawork/")


def _urls_of(others: Mapping[str, OtherCluster], tree: Mapping[str, Entry]) -> None:
    """Where the pointers of the other clusters lead to."""
    for path, entry in tree.items() if others else ():
        match = _POINTER.fullmatch(path)
        if match and match[1] in others:
            with contextlib.suppress(UndecodableError):
                found = decode_pointer(entry.data or b"", "zookeeper")
                others[match[1]].urls.append(found.path)


def _roots(tree: Mapping[str, Entry], settings: Settings) -> dict[str, int]:
    """What looks like the root of a cluster, with the number of entries that say so."""
    marks = {*MARKS, settings.job_graphs_path}
    found: dict[str, int] = {}
    for path in tree:
        parent, _, name = path.rpartition("/")
        if name in marks or (JOB_ID.fullmatch(name) and parent.rpartition("/")[2] in marks):
            root = parent if name in marks else parent.rpartition("/")[0]
            found[root] = found.get(root, 0) + 1
    # A job or a component may be called like a mark, and hawork's own entries are below its name:
    # the outermost one is the root.
    inside = {*marks, "hawork"}
    return {root: size for root, size in found.items()
            if not any(root.startswith(f"{other}/") and root != other
                       and root[len(other) + 1 :].partition("/")[0] in inside
                       for other in found)}  # fmt: skip


def _choose(cluster: Cluster, roots: Mapping[str, int]) -> str:
    wanted = cluster.settings.zookeeper_root
    if wanted is None or wanted in roots:
        return wanted or (max(roots, key=lambda root: roots[root]) if roots else "/flink/default")
    # A dump of a subtree, or a quorum with a path of its own, leaves out the beginning.
    ends = [root for root in roots if wanted.endswith(root) or root.endswith(wanted)]
    if len(ends) == 1:
        return ends[0]
    there = ", ".join(sorted(root or "/" for root in roots))
    other = f"; there is {there}" if there else ", and there is no other cluster"
    cluster.miss("HA store", f"there are no znodes below {wanted}{other}")
    return wanted


def _children(tree: Mapping[str, Entry], root: str) -> dict[str, list[str]]:
    """Paths by parent. A parent that a dump left out is implied by what lies below it."""
    found: dict[str, set[str]] = {}
    prefix = f"{root}/"
    for path in tree:
        while path.startswith(prefix):
            parent = path.rpartition("/")[0]
            siblings = found.setdefault(parent, set())
            if path in siblings:
                break
            siblings.add(path)
            path = parent
    return {parent: sorted(paths) for parent, paths in found.items()}


def _leadership(
    cluster: Cluster,
    tree: Mapping[str, Entry],
    children: Mapping[str, list[str]],
    root: str,
) -> None:
    latch = f"{root}/leader/latch"
    place = tree.get(latch)
    leadership = Leadership(
        Object("znode", latch), place is not None, place.created if place else None
    )
    for path in children.get(latch, ()):
        match = _SEQUENCE.fullmatch(path)
        if match and path in tree:
            leadership.latch.append(LatchNode(tree[path], int(match[1])))
    leadership.latch.sort(key=lambda node: node.sequence)
    for folder in children.get(f"{root}/leader", ()):
        path = f"{folder}/connection_info"
        component = folder.rpartition("/")[2]
        job_id = job_of_component(component)
        if job_id is not None:
            leadership.jobs.add(job_id)
        if path not in tree:
            continue
        address = LeaderAddress(component, tree[path], None, job_id=job_id)
        try:
            address.information = decode_connection_info(tree[path].data or b"")
        except UndecodableError as error:
            address.error = str(error)
        leadership.addresses.append(address)
    cluster.leadership = leadership


def _pointer(
    stored: StoredPointer, tree: Mapping[str, Entry], children: Mapping[str, list[str]]
) -> None:
    path = stored.entry.name
    # Source: ZooKeeperStateHandleStore: without this child getAndLock finds nothing to lock.
    stored.marked = f"{path}/locks" not in tree and not children.get(path)
    try:
        stored.pointer = decode_pointer(stored.entry.data or b"", "zookeeper")
    except UndecodableError as error:
        stored.fault, stored.reason = "not-java", str(error)


def _locks(
    cluster: Cluster,
    tree: Mapping[str, Entry],
    children: Mapping[str, list[str]],
    stored: StoredPointer,
    job_id: str,
) -> None:
    for path in children.get(f"{stored.entry.name}/locks", ()):
        if path not in tree:
            continue
        of_graph = isinstance(stored, JobGraph)
        cluster.locks.append(LockNode(tree[path], stored.entry, job_id, of_graph))


def _job_graph(
    cluster: Cluster,
    tree: Mapping[str, Entry],
    children: Mapping[str, list[str]],
    path: str,
    plan: bool,
) -> None:
    job_id = path.rpartition("/")[2]
    if not JOB_ID.fullmatch(job_id) or path not in tree:
        return  # Flink passes over names that are not job ids.
    graph = JobGraph(tree[path], plan=plan)
    _pointer(graph, tree, children)
    cluster.job(job_id).graphs.append(graph)
    _locks(cluster, tree, children, graph, job_id)


def _job(
    cluster: Cluster, tree: Mapping[str, Entry], children: Mapping[str, list[str]], path: str
) -> None:
    job_id = path.rpartition("/")[2]
    if not JOB_ID.fullmatch(job_id):
        return
    job = cluster.job(job_id)
    job.place, job.place_exists = Object("znode", path), True
    for name in children.get(f"{path}/checkpoints", ()):
        if name not in tree:
            continue
        digits = name.rpartition("/")[2]
        checkpoint = Checkpoint(tree[name], checkpoint_id=_id(digits))
        _pointer(checkpoint, tree, children)
        job.checkpoints.append(checkpoint)
        _locks(cluster, tree, children, checkpoint, job_id)
    counter = tree.get(f"{path}/checkpoint_id_counter")
    if counter is not None:
        job.counter = Counter(counter, None)
        try:
            job.counter.value = decode_counter(counter.data or b"", "zookeeper")
        except UndecodableError as error:
            job.counter.reason = str(error)


def _own(cluster: Cluster, tree: Mapping[str, Entry], prefix: str) -> None:
    """hawork's own pointers. Source: ``hawork.backends.zookeeper.paths``."""
    graphs = cluster.settings.job_graphs_path
    for path, entry in tree.items():
        if not path.startswith(prefix):
            continue
        parts = [name_of_entry(part) for part in path[len(prefix) :].split("/")]
        value = entry.data or b""
        if len(parts) == 2 and parts[0] in (graphs, "results"):
            kind = "results" if parts[0] == "results" else "jobgraphs"
            cluster.own.add(kind, "", parts[1], entry, value)
        elif len(parts) == 4 and parts[0] == "jobs":
            kind = "counters" if parts[2] == "checkpoint_id_counter" else parts[2]
            cluster.own.add(kind, parts[1], parts[3], entry, value)


def _id(digits: str) -> int | None:
    """Source: ``ZooKeeperCheckpointStoreUtil.nameToCheckpointID``."""
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 20 else None
