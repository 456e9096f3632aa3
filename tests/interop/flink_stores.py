"""The HA store of a real Flink cluster as plain data: read whole, written back, dumped."""

from __future__ import annotations

import base64
import contextlib
import json
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import yaml
from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError, NoNodeError

from hawork.servers.kubernetes.control_plane import NAMESPACE, ControlPlane
from hawork.servers.zookeeper.ensemble import ZooKeeperServers
from hawork.testing import eventually
from tests.contract.zookeeper_harness import delete_tree

Entries = list[dict[str, Any]]
"""Znodes or ConfigMaps, each as its dump says it."""

SESSION_SECONDS = 4.0
GRAPHS = ("jobgraphs", "execution-plans")  # the second since Flink 2.0
GRAPH_KEYS = ("jobGraph-", "executionPlan-")
LEADER_KEY = "org.apache.flink.k8s.leader."
_MARK = 206  # where Flink's delete marker stands in a pointer on Kubernetes


class Entry(NamedTuple):
    """Where one value stands: a znode's path, or a ConfigMap's name and a key of it."""

    place: str
    key: str | None = None


class FlinkStore(Protocol):
    """One cluster-id in one store."""

    options: Mapping[str, str]
    kind: str

    def checkpoints(self, job: str) -> list[Entry]:
        """The pointers to a job's checkpoints, the oldest first."""

    def graph(self, job: str) -> Entry:
        """The pointer to a job's graph."""

    def counter(self, job: str) -> Entry: ...

    def get(self, entry: Entry) -> bytes:
        """The value, a pointer without its Base64."""

    def set(self, entry: Entry, value: bytes) -> None: ...

    def set_text(self, entry: Entry, text: str) -> None:
        """Write a value as it stands, without Base64 around it."""

    def remove(self, entry: Entry) -> None: ...

    def mark(self, entry: Entry) -> None:
        """Mark a pointer for deletion, as a removal does that was interrupted."""

    def remove_job(self, job: str) -> None:
        """Remove checkpoints and counter of a job, and what they stand in."""

    def remove_graphs(self) -> None:
        """Remove all job graph pointers and what they stand in."""

    def next_checkpoint(self, job: str, number: int) -> None:
        """Set the checkpoint id counter of a job."""

    def read(self) -> Entries: ...

    def write(self, entries: Entries) -> None:
        """Make the cluster's entries exactly these."""

    def wait_until_over(self) -> None:
        """Wait until a killed process has no session and no valid lease any more."""

    def dump(self, file: Path) -> str:
        """Write the dump that an engineer would have; the option of ``inspect`` that takes it."""

    def close(self) -> None: ...


class ZooKeeperStore:
    """Znodes below ``/flink/<cluster-id>``, with the fields of ``--zookeeper-dump``."""

    def __init__(self, servers: ZooKeeperServers) -> None:
        self._root = f"/flink/broken-{uuid.uuid4().hex[:8]}"
        self.client = KazooClient(servers.quorum)
        self.client.start()
        self.options: Mapping[str, str] = {
            "high-availability.type": "zookeeper",
            "high-availability.zookeeper.quorum": servers.quorum,
            "high-availability.cluster-id": self._root.rpartition("/")[2],
            "high-availability.zookeeper.client.session-timeout": f"{SESSION_SECONDS * 1000:.0f}",
        }

    def close(self) -> None:
        delete_tree(self.client, self._root)
        self.client.stop()
        self.client.close()

    def path(self, *parts: str) -> str:
        return "/".join((self._root, *parts))

    kind = "zookeeper"

    def checkpoints(self, job: str) -> list[Entry]:
        folder = self.path("jobs", job, "checkpoints")
        return [Entry(f"{folder}/{each}") for each in sorted(self.client.get_children(folder))]

    def graph(self, job: str) -> Entry:
        graphs = next(each for each in GRAPHS if self.client.exists(self.path(each)))
        return Entry(self.path(graphs, job))

    def counter(self, job: str) -> Entry:
        return Entry(self.path("jobs", job, "checkpoint_id_counter"))

    def get(self, entry: Entry) -> bytes:
        return bytes(self.client.get(entry.place)[0])

    def set(self, entry: Entry, value: bytes) -> None:
        self.client.ensure_path(entry.place)
        self.client.set(entry.place, value)

    def set_text(self, entry: Entry, text: str) -> None:
        self.set(entry, text.encode())

    def remove(self, entry: Entry) -> None:
        delete_tree(self.client, entry.place)

    def mark(self, entry: Entry) -> None:
        delete_tree(self.client, f"{entry.place}/locks")

    def remove_job(self, job: str) -> None:
        delete_tree(self.client, self.path("jobs", job))

    def remove_graphs(self) -> None:
        for each in GRAPHS:
            delete_tree(self.client, self.path(each))

    def next_checkpoint(self, job: str, number: int) -> None:
        self.set(self.counter(job), number.to_bytes(4, "big"))

    def read(self) -> Entries:
        found = []
        for path in self._below(self._root):
            with contextlib.suppress(NoNodeError):  # its session has just ended
                found.append(self._node(path))
        return found

    def write(self, entries: Entries) -> None:
        delete_tree(self.client, self._root)
        for node in sorted(entries, key=lambda each: each["path"]):
            assert node["ephemeralOwner"] is None, node["path"]
            self.client.ensure_path(node["path"].rpartition("/")[0])
            try:
                self.client.create(node["path"], base64.b64decode(node["data"] or ""))
            except NodeExistsError:
                self.client.set(node["path"], base64.b64decode(node["data"] or ""))

    def wait_until_over(self) -> None:
        eventually(
            lambda: all(node["ephemeralOwner"] is None for node in self.read()),
            timeout=10 * SESSION_SECONDS,
        )

    def dump(self, file: Path) -> str:
        parents = [{**self._node(path), "data": None} for path in ("/", "/flink")]
        file.write_text(json.dumps([*parents, *self.read()]))
        return "--zookeeper-dump"

    def _below(self, path: str) -> list[str]:
        try:
            children = sorted(self.client.get_children(path))
        except NoNodeError:  # its session has just ended
            return []
        return [path] + [each for child in children for each in self._below(f"{path}/{child}")]

    def _node(self, path: str) -> dict[str, Any]:
        data, stat = self.client.get(path)
        owner = stat.ephemeralOwner
        # A container's owner is the lowest of all numbers: no session.
        return {
            "path": path,
            "data": base64.b64encode(data or b"").decode(),
            "null": data is None,
            "ephemeralOwner": f"0x{owner:x}" if owner > 0 else None,
            "version": stat.version, "cversion": stat.cversion, "aversion": stat.aversion,
            "czxid": stat.czxid, "mzxid": stat.mzxid, "pzxid": stat.pzxid,
            "ctime": stat.ctime, "mtime": stat.mtime,
            "numChildren": stat.numChildren, "dataLength": stat.dataLength,
        }  # fmt: skip


class KubernetesStore:
    """ConfigMaps of one ``kubernetes.cluster-id``, dumped as ``kubectl get -o yaml`` does."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self._name = f"broken-{uuid.uuid4().hex[:8]}"
        self._admin = control_plane.admin
        self._collection = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
        self.options: Mapping[str, str] = {
            "high-availability.type": "kubernetes",
            "high-availability.cluster-id": self._name,
            "kubernetes.cluster-id": self._name,
            "kubernetes.namespace": NAMESPACE,
            "kubernetes.config.file": str(control_plane.kubeconfig("flink")),
            "high-availability.kubernetes.leader-election.lease-duration": "4 s",
            "high-availability.kubernetes.leader-election.renew-deadline": "3 s",
            "high-availability.kubernetes.leader-election.retry-period": "1 s",
            "jobmanager.rpc.port": "0",
        }

    def close(self) -> None:
        self.write([])

    kind = "kubernetes"

    def checkpoints(self, job: str) -> list[Entry]:
        keys = sorted(self._map(self.map_name(job))["data"])
        return [Entry(self.map_name(job), key) for key in keys if key.startswith("checkpointID-")]

    def graph(self, job: str) -> Entry:
        keys = self._map(self.map_name())["data"]
        found = next(key for each in GRAPH_KEYS if (key := f"{each}{job}") in keys)
        return Entry(self.map_name(), found)

    def counter(self, job: str) -> Entry:
        return Entry(self.map_name(job), "counter")

    def get(self, entry: Entry) -> bytes:
        return base64.b64decode(self._map(entry.place)["data"][entry.key])

    def set(self, entry: Entry, value: bytes) -> None:
        self.set_text(entry, base64.b64encode(value).decode())

    def set_text(self, entry: Entry, text: str) -> None:
        self._patch(entry, text)

    def remove(self, entry: Entry) -> None:
        self._patch(entry, None)

    def mark(self, entry: Entry) -> None:
        value = bytearray(self.get(entry))
        value[_MARK] = 1
        self.set(entry, bytes(value))

    def remove_job(self, job: str) -> None:
        self._admin.must("DELETE", f"{self._collection}/{self.map_name(job)}")

    def remove_graphs(self) -> None:
        self._admin.must("DELETE", f"{self._collection}/{self.map_name()}")

    def next_checkpoint(self, job: str, number: int) -> None:
        self.set_text(self.counter(job), str(number))

    def annotate(self, key: str, value: str | None) -> None:
        """Write an annotation of the cluster's ConfigMap; ``None``: remove it."""
        body = {"metadata": {"annotations": {key: value}}}
        self._admin.must("PATCH", f"{self._collection}/{self.map_name()}", body)

    def make_immutable(self, job: str | None = None) -> None:
        """The ConfigMap of a job, or of the cluster."""
        place = f"{self._collection}/{self.map_name(job)}"
        self._admin.must("PATCH", place, {"immutable": True})

    def remove_labels(self, job: str | None = None) -> None:
        place = f"{self._collection}/{self.map_name(job)}"
        labels = self._map(self.map_name(job))["metadata"]["labels"]
        self._admin.must("PATCH", place, {"metadata": {"labels": dict.fromkeys(labels)}})

    def delete_and_keep(self, job: str | None = None) -> None:
        """Delete a ConfigMap that a finalizer keeps."""
        place = f"{self._collection}/{self.map_name(job)}"
        self._admin.must("PATCH", place, {"metadata": {"finalizers": ["hawork.test/keeps"]}})
        self._admin.must("DELETE", place)

    def remove_data(self, job: str | None = None) -> None:
        """All keys of the ConfigMap of a job, or of the cluster."""
        place = f"{self._collection}/{self.map_name(job)}"
        self._admin.must("PATCH", place, {"data": None})

    def unreadable_leader_keys(self) -> None:
        keys = [key for key in self._map(self.map_name())["data"] if key.startswith(LEADER_KEY)]
        for key in keys:
            self._patch(Entry(self.map_name(), key), "not a session, not an address")

    def _map(self, name: str) -> Any:
        return self._admin.must("GET", f"{self._collection}/{name}")

    def _patch(self, entry: Entry, value: str | None) -> None:
        self._admin.must("PATCH", f"{self._collection}/{entry.place}", {"data": {entry.key: value}})

    def map_name(self, job: str | None = None) -> str:
        return f"{self._name}-{job}-config-map" if job else f"{self._name}-cluster-config-map"

    def read(self) -> Entries:
        """By their names: one may have lost its labels."""
        items = self._admin.must("GET", self._collection)["items"]
        return [{"apiVersion": "v1", "kind": "ConfigMap", **item} for item in items
                if item["metadata"]["name"].startswith(f"{self._name}-")]  # fmt: skip

    def write(self, entries: Entries) -> None:
        wanted = {item["metadata"]["name"]: item for item in entries}
        for item in self.read():
            place = f"{self._collection}/{item['metadata']['name']}"
            if item["metadata"].get("finalizers"):
                self._admin.must("PATCH", place, {"metadata": {"finalizers": None}})
            if "deletionTimestamp" not in item["metadata"]:
                self._admin.must("DELETE", place)
        for item in wanted.values():
            kept = ("name", "labels", "annotations")
            metadata = {key: item["metadata"][key] for key in kept if key in item["metadata"]}
            body = {"kind": "ConfigMap", "metadata": metadata, "data": item.get("data") or {}}
            self._admin.must("POST", self._collection, body)

    def wait_until_over(self) -> None:
        end = time.monotonic() + 2 * SESSION_SECONDS
        eventually(lambda: time.monotonic() > end, timeout=10 * SESSION_SECONDS)

    def dump(self, file: Path) -> str:
        listing = {"apiVersion": "v1", "kind": "List", "items": self.read()}
        file.write_text(yaml.safe_dump(listing))
        return "--configmaps"
