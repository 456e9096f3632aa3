"""Clusters made from the real ones: on the other store, of another release, with faults.

A fault is written once and done to every cluster, on ZooKeeper and on Kubernetes.
"""

from __future__ import annotations

import base64
import copy
import json
import posixpath
from dataclasses import dataclass
from typing import Any

import ha_cases
from hawork.core.types import LeaderInformation, LeaderSessionID
from hawork.inspect.cluster import Cluster, Moment
from hawork.inspect.configmap_keys import read_config_maps
from hawork.inspect.configmaps import parse_configmaps
from hawork.inspect.inspector import ShownInspection, judge
from hawork.inspect.pointers import (
    MARKER_UID_1_19,
    decode_pointer,
    encode_connection_info,
    encode_counter,
    encode_pointer,
)
from hawork.inspect.settings import parse_settings
from hawork.inspect.sources import znodes_into
from hawork.inspect.storage import StoredFile
from hawork.inspect.stored_files import StoredFiles
from hawork.inspect.zookeeper_dumps import read_zookeeper_dump

ROOT = "/srv/flink"
SESSION = "0x10000462f4a0001"
LOCK = "control-plane.alpha.kubernetes.io/leader"
LATEST = 1795980000.0
"""Hours after the clusters died."""
LEADER = "org.apache.flink.k8s.leader."

TERM = "2e3aa11b-aaf6-4586-8903-9b4340de0ee3"
"""The leader session id of the ConfigMaps."""

Name = tuple[str, str, str | None]
"""Kind, name and key of an object."""


@dataclass
class Made:
    """A cluster to break: its store, its files by name with content and time, its options."""

    backend: str
    store: dict[str, Any]
    files: dict[str, tuple[bytes, float]]
    config: dict[str, str]
    jobs: dict[str, str]
    """Ids by what the job is like: ``inlined``, ``exclusive``, ``incremental``, ``finished``."""
    cluster_id: str = "flights-prod"
    uid: int = MARKER_UID_1_19

    # --- names -------------------------------------------------------------------------

    @property
    def root(self) -> str:
        return f"/flink/{self.cluster_id}"

    @property
    def cluster_map(self) -> str:
        return f"{self.cluster_id}-cluster-config-map"

    def job_map(self, job: str) -> str:
        return f"{self.cluster_id}-{self.jobs[job]}-config-map"

    def job_place(self, job: str) -> Name:
        if self.backend == "zookeeper":
            return ("znode", f"{self.root}/jobs/{self.jobs[job]}", None)
        return ("configmap", self.job_map(job), None)

    def graphs_place(self) -> Name:
        if self.backend == "zookeeper":
            return ("znode", f"{self.root}/jobgraphs", None)
        return ("configmap", self.cluster_map, None)

    def graph(self, job: str) -> Name:
        if self.backend == "zookeeper":
            return ("znode", f"{self.root}/jobgraphs/{self.jobs[job]}", None)
        return ("configmap-key", self.cluster_map, f"jobGraph-{self.jobs[job]}")

    def checkpoint(self, job: str, number: int) -> Name:
        if self.backend == "zookeeper":
            path = f"{self.root}/jobs/{self.jobs[job]}/checkpoints/{number:019d}"
            return ("znode", path, None)
        return ("configmap-key", self.job_map(job), f"checkpointID-{number:019d}")

    def counter(self, job: str) -> Name:
        if self.backend == "zookeeper":
            return ("znode", f"{self.root}/jobs/{self.jobs[job]}/checkpoint_id_counter", None)
        return ("configmap-key", self.job_map(job), "counter")

    def job(self, job: str) -> Name:
        return ("job", self.jobs[job], None)

    def result(self, job: str, dirty: bool = False) -> str:
        name = f"{self.jobs[job]}{'_DIRTY' if dirty else ''}.json"
        return f"ha/job-result-store/{self.cluster_id}/{name}"

    def ids(self, job: str) -> list[int]:
        """Its checkpoints, the oldest first."""
        if self.backend == "zookeeper":
            parent = f"{self.root}/jobs/{self.jobs[job]}/checkpoints"
            return sorted(int(path.rpartition("/")[2]) for path in self.store
                          if posixpath.dirname(path) == parent)  # fmt: skip
        data = self.store[self.job_map(job)]["data"]
        return sorted(int(key.rpartition("-")[2]) for key in data if key != "counter")

    # --- entries -----------------------------------------------------------------------

    def get(self, name: Name) -> bytes:
        _, place, key = name
        if self.backend == "zookeeper":
            return base64.b64decode(self.store[place]["data"])
        return str(self.store[place]["data"][key]).encode()

    def put(self, name: Name, value: bytes, owner: str | None = None) -> None:
        _, place, key = name
        if self.backend == "kubernetes":
            self.store[place]["data"][key] = value.decode("latin-1")
            return
        like = dict(self.store.get(place) or next(iter(self.store.values())))
        if place not in self.store:
            like.update(path=place, version=0, ephemeralOwner=owner, numChildren=0)
        like.update(data=base64.b64encode(value).decode(), null=False, dataLength=len(value))
        self.store[place] = like

    def remove(self, name: Name) -> None:
        _, place, key = name
        if self.backend == "kubernetes" and key is not None:
            del self.store[place]["data"][key]
        else:
            for path in [each for each in self.store if each == place
                         or each.startswith(f"{place}/")]:  # fmt: skip
                del self.store[path]

    def file(self, name: Name) -> str:
        """The file that a pointer leads to, by its name in the storage."""
        pointer = decode_pointer(self.get(name), self.backend)  # type: ignore[arg-type]
        return pointer.path.removeprefix(f"file:{ROOT}/")

    def point(self, name: Name, file: str, size: int | None = None) -> None:
        length = len(self.files[file][0]) if size is None else size
        url = f"file:{ROOT}/{file}"
        value = encode_pointer(
            url,
            length,
            self.backend,
            serial_version_uid=self.uid,  # type: ignore[arg-type]
        )
        self.put(name, value)

    def mark(self, name: Name) -> None:
        """Mark a pointer for deletion."""
        if self.backend == "zookeeper":
            self.remove(("znode", f"{name[1]}/locks", None))
            return
        file = self.file(name)
        self.put(name, encode_pointer(
            f"file:{ROOT}/{file}", len(self.files[file][0]), "kubernetes",
            marked_for_deletion=True, serial_version_uid=self.uid,
        ))  # fmt: skip

    def set_counter(self, job: str, value: int) -> None:
        service: Any = self.backend
        self.put(self.counter(job), encode_counter(value, service))

    def change(self, file: str, content: bytes) -> None:
        self.files[file] = (content, self.files[file][1])

    # --- leadership --------------------------------------------------------------------

    def led(self) -> Made:
        """As it was while a JobManager led; on Kubernetes nothing differs."""
        if self.backend == "zookeeper":
            latch = f"{self.root}/leader/latch/_c_9ad7c9eb-3031-4809-b1bd-9a6c64faf800-latch-"
            self.put(("znode", f"{latch}0000000000", None), b"", SESSION)
            for component in self.components():
                self.publish(component, TERM)
            for job in self.jobs:
                if job != "finished":
                    lock = f"{self.graph(job)[1]}/locks/9a0e059e-3407-4858-97f0-d91b208eb3eb"
                    self.put(("znode", lock, None), b"127.0.0.1", SESSION)
        return self

    def components(self) -> list[str]:
        on_zookeeper = ["dispatcher", "resource_manager", "rest_server"]
        fixed = on_zookeeper
        if self.backend == "kubernetes":
            fixed = ["dispatcher", "resourcemanager", "restserver"]
        return fixed + [f"job-{self.jobs[job]}" for job in self.jobs if job != "finished"]

    def address(self, component: str) -> Name:
        if self.backend == "zookeeper":
            return ("znode", f"{self.root}/leader/{component}/connection_info", None)
        return ("configmap-key", self.cluster_map, f"{LEADER}{component}")

    def publish(self, component: str, session: str) -> None:
        address = f"pekko.tcp://flink@127.0.0.1:6123/user/rpc/{component}_1"
        if self.backend == "kubernetes":
            self.put(self.address(component), f"{session},{address}".encode())
            return
        information = LeaderInformation(LeaderSessionID(session), address)
        self.put(self.address(component), encode_connection_info(information), SESSION)

    def lock(self) -> Name:
        """What is locked: the node that leads, or the ConfigMap."""
        if self.backend == "kubernetes":
            return ("configmap", self.cluster_map, None)
        latch = f"{self.root}/leader/latch"
        return ("znode", min(each for each in self.store if each.startswith(f"{latch}/")), None)

    def record(self, **changed: Any) -> None:
        """Change the lock record of the ConfigMap."""
        annotations = self.store[self.cluster_map]["metadata"]["annotations"]
        annotations[LOCK] = json.dumps({**json.loads(annotations[LOCK]), **changed})

    # --- the answer --------------------------------------------------------------------

    def look(
        self, target: str | None = None, *, config: bool = True, latest: float = LATEST
    ) -> ShownInspection:
        """What the inspector says of a dump that was written at ``latest``."""
        lines = "\n".join(f"{key}: {value}" for key, value in self.config.items())
        cluster = Cluster(settings=parse_settings(lines, "config.yaml")) if config else Cluster()
        if self.backend == "zookeeper":
            dump = json.dumps(list(self.store.values())).encode()
            znodes_into(cluster, read_zookeeper_dump(dump))
        else:
            dump = json.dumps({"kind": "List", "items": list(self.store.values())}).encode()
            read_config_maps(cluster, parse_configmaps(dump, "configmaps.json").maps)
        listing = [StoredFile(name, len(content), modified)
                   for name, (content, modified) in self.files.items()]  # fmt: skip
        cluster.files = StoredFiles(
            listing, lambda name: self.files[name][0], {f"file:{ROOT}": "."}
        )
        cluster.moment = Moment()
        return judge(cluster, latest=latest, target_version=target)


def real(base: str) -> Made:
    """One of the three real clusters."""
    backend = "kubernetes" if base.startswith("k8s") else "zookeeper"
    name = {
        "zk119": "zk119-healthy",
        "zk120": "zk120-healthy",
        "k8s120": "k8s120-stale-leader-keys",
    }
    expected = ha_cases.expected_of(name[base])
    config = dict(line.split(": ", 1) for line in ha_cases.config_of(name[base]).splitlines())
    jobs = {key: job_id for job_id, key in expected["jobs"].items()}
    return Made(
        backend, copy.deepcopy(ha_cases.store_of(name[base])), ha_cases.files_of(name[base]),
        config, jobs,
    )  # fmt: skip


def on_kubernetes(made: Made) -> Made:
    """The same cluster, as if it had run on Kubernetes; right after its leader was killed."""
    other = copy.deepcopy(made)
    other.backend, other.store = "kubernetes", {}
    other.config = {key: value for key, value in made.config.items() if "zookeeper" not in key}
    other.config |= {
        "high-availability.type": "kubernetes",
        "kubernetes.cluster-id": made.cluster_id,
    }
    lease = (
        '{"holderIdentity":"e2a92c5a-3f07-4a5d-b2c2-24ebb0d4f22f","leaseDuration":15.000000000,'
        '"acquireTime":"2026-11-29T17:10:48.947547Z","renewTime":"2026-11-29T17:12:00.400111Z",'
        '"leaderTransitions":0}'
    )
    components = ["dispatcher", "resourcemanager", "restserver"]
    running = [job for job in made.jobs if job != "finished"]
    components += [f"job-{made.jobs[job]}" for job in running]
    data = {f"{LEADER}{each}": f"{TERM},pekko.tcp://flink@127.0.0.1:6123/user/rpc/x_1"
            for each in components}  # fmt: skip
    other.store[other.cluster_map] = _map(other.cluster_map, data, {LOCK: lease})
    for job in running:
        other.store[other.job_map(job)] = _map(other.job_map(job), {}, {})
        other.point(other.graph(job), made.file(made.graph(job)))
        for number in made.ids(job):
            other.point(other.checkpoint(job, number), made.file(made.checkpoint(job, number)))
        counter = int.from_bytes(made.get(made.counter(job)), "big")
        other.set_counter(job, counter)
    return other


def _map(name: str, data: dict[str, str], annotations: dict[str, str]) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "name": name, "namespace": "default", "creationTimestamp": "2026-11-29T17:10:49Z",
        "resourceVersion": "360", "annotations": annotations,
    }  # fmt: skip
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def clusters() -> dict[str, Made]:
    """Both stores, two releases; one of them made from the other's data."""
    found = {base: real(base) for base in ("zk119", "zk120", "k8s120")}
    found["k8s119"] = on_kubernetes(found["zk119"])
    return found
