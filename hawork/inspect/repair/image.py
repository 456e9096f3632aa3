"""A cluster's entries in its HA store at one moment, as values by object."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from hawork.backends.kubernetes.layout import Names
from hawork.inspect.cluster import Cluster
from hawork.inspect.configmaps import ConfigMap
from hawork.inspect.finding import Object
from hawork.inspect.repair.changes import ANNOTATION, CONFIGMAP, FILE, KEY, ZNODE, Change
from hawork.inspect.sources import Repairable
from hawork.inspect.znodes import ZNode, ZooKeeperTree

__all__ = ["Held", "Image", "difference", "image_of", "is_own", "labels_of", "with_changes"]


@dataclass(frozen=True, slots=True)
class Held:
    """One value; ``session`` when it ends with a session, ``null`` when a znode holds null."""

    value: bytes
    version: int | None = None
    session: bool = False
    null: bool = False


Image = Mapping[Object, Held]


def image_of(raw: Repairable, cluster: Cluster) -> Image:
    """The entries that are this cluster's own."""
    if isinstance(raw, ZooKeeperTree):
        root = cluster.root
        return {
            Object(ZNODE, node.path): Held(
                node.data or b"", node.version, node.ephemeral_owner is not None, node.data is None
            )
            for node in raw.znodes
            if node.path == root or node.path.startswith(f"{root}/")
        }
    names = Names(cluster.cluster_id)
    image: dict[Object, Held] = {}
    for each in raw.maps:
        if names.has(each.name):
            version = each.resource_version
            image[Object(CONFIGMAP, each.name)] = Held(_labels(each.labels), version)
            for key, text in each.data.items():
                image[Object(KEY, each.name, key)] = Held(text.encode(), version)
            for key, text in each.annotations.items():
                image[Object(ANNOTATION, each.name, key)] = Held(text.encode(), version)
    return image


def is_own(thing: Object, cluster: Cluster) -> bool:
    """Whether an object of a store is this cluster's own, as those of ``image_of`` are."""
    if cluster.backend == "zookeeper":
        parts = thing.name.split("/")
        whole = not {"", ".", ".."} & set(parts[1:])
        below = thing.name == cluster.root or thing.name.startswith(f"{cluster.root}/")
        return thing.kind == ZNODE and thing.key is None and whole and below
    named = Names(cluster.cluster_id).has(thing.name)
    return named and thing.kind in (CONFIGMAP, KEY, ANNOTATION)


def labels_of(value: bytes) -> dict[str, str]:
    """The labels that the value of a ``configmap`` object says."""
    return {str(key): str(text) for key, text in json.loads(value).items()}


def _labels(labels: Mapping[str, str]) -> bytes:
    return json.dumps(dict(sorted(labels.items()))).encode()


def difference(now: Image, wanted: Image) -> list[Change]:
    """What turns ``now`` into ``wanted``, parents first; what ends with a session is left alone.

    A ConfigMap that is there keeps its labels.
    """
    changes = []
    for thing in sorted(wanted, key=_order):
        held, found = wanted[thing], now.get(thing)
        if held.session or (found is not None and (found.session or thing.kind == CONFIGMAP)):
            continue
        if found is None or found.value != held.value:
            version = None if found is None else found.version
            before = None if found is None else found.value
            changes.append(Change(thing, before, held.value, version))
    for thing in sorted(now, key=_order, reverse=True):
        if thing not in wanted and not now[thing].session:
            changes.append(Change(thing, now[thing].value, None, now[thing].version))
    return changes


def _order(thing: Object) -> tuple[str, bool, str]:
    return (thing.name, thing.kind != CONFIGMAP, thing.key or "")


def with_changes(raw: Repairable, changes: Iterable[Change]) -> Repairable:
    """The store as it will be; files are not in it."""
    listed = [change for change in changes if change.object.kind != FILE]
    if isinstance(raw, ZooKeeperTree):
        nodes = {node.path: node for node in raw.znodes}
        for change in listed:
            path = change.object.name
            if change.after is None:
                nodes.pop(path, None)
            else:
                nodes[path] = replace(nodes.get(path) or ZNode(path, b""), data=change.after)
        return replace(raw, znodes=tuple(nodes[path] for path in sorted(nodes)))
    maps = {each.name: each for each in raw.maps}
    namespace = next((each.namespace for each in raw.maps), "")
    for change in listed:
        maps.setdefault(change.object.name, ConfigMap(change.object.name, namespace))
        maps[change.object.name] = _changed(maps[change.object.name], change)
    gone = {each.object.name for each in listed if each.after is None
            and each.object.kind == CONFIGMAP}  # fmt: skip
    return replace(raw, maps=tuple(each for name, each in maps.items() if name not in gone))


def _changed(each: ConfigMap, change: Change) -> ConfigMap:
    if change.object.kind == CONFIGMAP:
        return replace(each, labels=labels_of(change.after or b"{}"))
    values = dict(each.data if change.object.kind == KEY else each.annotations)
    assert change.object.key is not None
    if change.after is None:
        values.pop(change.object.key, None)
    else:
        values[change.object.key] = change.after.decode()
    if change.object.kind == KEY:
        return replace(each, data=values)
    return replace(each, annotations=values)
