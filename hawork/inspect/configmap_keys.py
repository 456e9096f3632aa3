"""A cluster in Kubernetes: what the keys of its ConfigMaps mean.

Source: ``KubernetesLeaderElectionHaServices``, ``KubernetesStateHandleStore``,
``KubernetesCheckpointIDCounter``, ``Constants``.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from typing import Final

from hawork.backends.kubernetes.layout import OURS, decode_entry, name_of, prefix_of
from hawork.ha.pointer_store import Namespace
from hawork.inspect.cluster import (
    Checkpoint,
    Cluster,
    Counter,
    Fault,
    JobGraph,
    LeaderAddress,
    Leadership,
    OtherCluster,
    StoredPointer,
    job_of_component,
)
from hawork.inspect.configmaps import LOCK_ANNOTATION, ConfigMap
from hawork.inspect.entries import Entry
from hawork.inspect.errors import UndecodableError
from hawork.inspect.finding import Object
from hawork.inspect.java import is_java_stream
from hawork.inspect.pointers import (
    decode_counter,
    decode_leader_text,
    decode_lock_record,
    decode_pointer,
)

__all__ = ["CLUSTER_MAP", "LEADER", "java_base64", "read_config_maps"]

CLUSTER_MAP: Final = "-cluster-config-map"
LEADER: Final = "org.apache.flink.k8s.leader."
_JOB_MAP: Final = re.compile(r"(.*)-([0-9a-f]{32})-config-map", re.DOTALL)
_JOB_KEY: Final = re.compile(r"(jobGraph-|executionPlan-)([0-9a-f]{32})")
_CHECKPOINT: Final = "checkpointID-"
_NOT_BASE64: Final = re.compile(rb"[^A-Za-z0-9+/]")


def read_config_maps(cluster: Cluster, maps: Iterable[ConfigMap], *, whole: bool = True) -> None:
    """Put what the ConfigMaps hold of ``cluster.settings``' cluster into ``cluster``.

    Without a configuration the cluster with most pointers is taken; the others are named. Of
    ConfigMaps that are not ``whole`` a missing one was not looked at.
    """
    cluster.backend = "kubernetes"
    cluster.store_looked = True
    cluster.maps = tuple(each for each in maps if each.name.endswith("-config-map"))
    groups = _groups(cluster.maps, cluster)
    chosen = _choose(cluster, groups)
    cluster.cluster_id = chosen
    for name, group in groups.items():
        if name != chosen:
            cluster.others.append(_other(name, group))
    group = groups.get(chosen, [])
    by_name = {each.name: each for each in group}
    cluster.maps = tuple(each for each in cluster.maps if by_name.get(each.name, each) is each)
    for each in group:
        cluster.sizes[each.name] = each.size
    cluster_map = by_name.pop(f"{chosen}{CLUSTER_MAP}", None)
    cluster.graphs_place = Object("configmap", f"{chosen}{CLUSTER_MAP}")
    cluster.graphs_place_exists = cluster_map is not None
    _leadership(cluster, cluster_map)
    if cluster_map is not None:
        _own(cluster, cluster_map, "")
        for key in sorted(cluster_map.data):
            if match := _JOB_KEY.fullmatch(key):
                graph = JobGraph(_entry(cluster_map, key), plan=match[1] == "executionPlan-")
                _pointer(graph, cluster_map.data[key])
                cluster.job(match[2]).graphs.append(graph)
    for each in by_name.values():
        if match := _JOB_MAP.fullmatch(each.name):
            _job(cluster, each, match[2])
    for job in cluster.jobs.values():
        job.place = job.place or cluster.place_of(job.job_id)
    absent = [str(job.place) for job in cluster.jobs.values() if not job.place_exists]
    absent += [str(cluster.graphs_place)] * (not cluster.graphs_place_exists)
    if absent and not whole:
        cluster.store_looked = False
        cluster.miss(
            "HA store",
            f"the dump is not of all ConfigMaps, and {', '.join(absent[:3])} is not among them: "
            "give the whole List of the namespace",
        )


def _groups(maps: Iterable[ConfigMap], cluster: Cluster) -> dict[str, list[ConfigMap]]:
    """The ConfigMaps of each cluster-id; those that are not of high availability are left out."""
    found: dict[str, list[ConfigMap]] = {}
    namespaces: dict[str, set[str]] = {}
    seen: set[tuple[str, str]] = set()
    wanted = cluster.settings.get("kubernetes.namespace")
    if wanted is None and cluster.settings.source is not None:
        wanted = "default"  # Flink's own
    for each in maps:
        if each.name.endswith(CLUSTER_MAP):
            name = each.name.removesuffix(CLUSTER_MAP)
        elif match := _JOB_MAP.fullmatch(each.name):
            name = match[1]
        else:
            continue
        if (each.namespace, each.name) in seen:
            cluster.miss(f"ConfigMap {each.name}", "it is in the dump twice; the first was taken")
            continue
        seen.add((each.namespace, each.name))
        namespaces.setdefault(name, set()).add(each.namespace)
        found.setdefault(name, []).append(each)
    for name, spaces in namespaces.items():
        if len(spaces) > 1:  # clusters of one name in two namespaces are two clusters
            space = wanted if wanted in spaces else sorted(spaces)[0]
            whole = found[name]
            found[name] = [each for each in whole if each.namespace == space]
            if space == wanted:
                for other in sorted(spaces - {space}):
                    group = [each for each in whole if each.namespace == other]
                    cluster.others.append(_other(f"{name} in namespace {other}", group))
                continue
            others = ", ".join(sorted(spaces - {space}))
            cluster.miss(
                f"cluster {name} in namespace {others}",
                f"one cluster is looked at a time; this is the one in namespace {space}",
            )
    return found


def _choose(cluster: Cluster, groups: Mapping[str, list[ConfigMap]]) -> str:
    wanted = cluster.settings.kubernetes_cluster_id
    if wanted is not None:
        if wanted not in groups:
            space = cluster.settings.get("kubernetes.namespace")
            where = f" in namespace {space}" if space else ""
            there = f"; there are those of {', '.join(sorted(groups))}" if groups else (
                ", and none of another cluster"
            )  # fmt: skip
            cluster.miss(
                "HA store", f"there are no ConfigMaps of cluster-id {wanted}{where}{there}"
            )
        return wanted
    if not groups:
        return cluster.settings.cluster_id or "default"
    return max(groups, key=lambda name: _weight(groups[name]))


def _weight(group: Iterable[ConfigMap]) -> tuple[float, int]:
    """A cluster whose leader renewed last is the one that is asked about."""
    renewed, keys = 0.0, 0
    for each in group:
        keys += len(each.data)
        renewed = max(renewed, each.created or 0.0, _renewed(each) or 0.0)
    return renewed, keys


def _renewed(each: ConfigMap) -> float | None:
    if LOCK_ANNOTATION not in each.annotations:
        return None
    try:
        return decode_lock_record(each.annotations[LOCK_ANNOTATION]).renew_time
    except UndecodableError:
        return None


def _other(name: str, group: Iterable[ConfigMap]) -> OtherCluster:
    ordered = sorted(group, key=lambda each: each.name)
    other = OtherCluster(name, tuple(Object("configmap", each.name) for each in ordered))
    times = [time for each in ordered if (time := _renewed(each)) is not None]
    other.renewed = max(times, default=None)
    for each in ordered:
        for key, value in each.data.items():
            if key.startswith(_CHECKPOINT) or _JOB_KEY.fullmatch(key):
                stored = StoredPointer(_entry(each, key))
                _pointer(stored, value)
                if stored.pointer is not None:
                    other.urls.append(stored.pointer.path)
    return other


def _entry(each: ConfigMap, key: str) -> Entry:
    text = each.data.get(key)
    return Entry(
        "kubernetes",
        each.name,
        None if text is None else text.encode("utf-8", "surrogatepass"),
        key,
        version=each.resource_version,
        created=each.created,
    )


def _leadership(cluster: Cluster, cluster_map: ConfigMap | None) -> None:
    assert cluster.graphs_place is not None
    leadership = Leadership(cluster.graphs_place, cluster_map is not None)
    cluster.leadership = leadership
    if cluster_map is None:
        return
    leadership.created = cluster_map.created
    if LOCK_ANNOTATION in cluster_map.annotations:
        try:
            leadership.record = decode_lock_record(cluster_map.annotations[LOCK_ANNOTATION])
        except UndecodableError as error:
            leadership.record_error = str(error)
    for key in sorted(cluster_map.data):
        if not key.startswith(LEADER):
            continue
        component = key.removeprefix(LEADER)
        job_id = job_of_component(component)
        if job_id is not None:
            leadership.jobs.add(job_id)
        address = LeaderAddress(component, _entry(cluster_map, key), None, job_id=job_id)
        try:
            address.information = decode_leader_text(cluster_map.data[key])
        except UndecodableError as error:
            address.error = str(error)
        leadership.addresses.append(address)


def _pointer(stored: StoredPointer, text: str) -> None:
    stored.fault, stored.reason = _read_pointer(stored, text)


def _read_pointer(stored: StoredPointer, text: str) -> tuple[Fault | None, str]:
    decoded = java_base64(text)
    if decoded is None:
        return "not-base64", "pointer cannot be read: it is not base64"
    if not is_java_stream(decoded):
        return "not-java", (
            f"pointer cannot be read: its {len(decoded)} bytes are not a Java object stream"
        )
    try:
        stored.pointer = decode_pointer(decoded, "kubernetes")
    except UndecodableError as error:
        return "not-java", str(error)
    stored.marked = bool(stored.pointer.marked_for_deletion)
    return None, ""


def java_base64(text: str) -> bytes | None:
    """What ``java.util.Base64.getDecoder()`` makes of it; ``None`` where that throws.

    Unlike Python's, it takes text whose padding is missing.
    """
    raw = text.encode("utf-8", "replace")
    body = raw.rstrip(b"=")
    padding = len(raw) - len(body)
    if _NOT_BASE64.search(body) or len(body) % 4 == 1:
        return None
    if padding and (padding > 2 or (len(body) + padding) % 4):
        return None
    return base64.b64decode(body + b"=" * (-len(body) % 4))


def _own(cluster: Cluster, each: ConfigMap, job_id: str) -> None:
    """hawork's own pointers. Source: ``hawork.backends.kubernetes.layout``."""
    kinds = ("checkpoints", "counters") if job_id else ("jobgraphs", "results")
    for key in sorted(each.data):
        for kind in kinds:
            namespace = Namespace(kind)
            if key.startswith(prefix_of(namespace)):
                value = decode_entry(each.data[key]).value
                name = name_of(namespace, key)
                cluster.own.add(kind, job_id, name, _entry(each, key), value)


def _job(cluster: Cluster, each: ConfigMap, job_id: str) -> None:
    _own(cluster, each, job_id)
    if each.data and all(key.startswith(OURS) for key in each.data):
        return  # Flink knows nothing of it
    job = cluster.job(job_id)
    job.place, job.place_exists = Object("configmap", each.name), True
    for key in sorted(each.data):
        if key.startswith(_CHECKPOINT):
            digits = key.removeprefix(_CHECKPOINT)
            number = int(digits) if digits.isascii() and digits.isdigit() else None
            checkpoint = Checkpoint(_entry(each, key), checkpoint_id=number)
            _pointer(checkpoint, each.data[key])
            job.checkpoints.append(checkpoint)
    if "counter" in each.data:
        job.counter = Counter(_entry(each, "counter"), None)
        try:
            job.counter.value = decode_counter(each.data["counter"].encode(), "kubernetes")
        except UndecodableError as error:
            job.counter.reason = str(error)
