"""The inspector on 1,000 jobs with 10 checkpoints each, beside reading the same bytes undecoded.

The job graphs, checkpoints and metadata are those of a real Flink 1.20.5, told apart by their ids.
The damage that ``make test`` samples is done here in full.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import secrets
import shutil
import struct
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from hawork.core.options import checked
from hawork.inspect.archive import open_storage
from hawork.inspect.configmaps import read_configmaps
from hawork.inspect.live_zookeeper import read_live_zookeeper
from hawork.inspect.pointers import encode_counter, encode_pointer
from hawork.inspect.storage import read_file
from hawork.inspect.znodes import ZNode
from hawork.inspect.zookeeper_dumps import write_zookeeper_dump
from hawork.servers.zookeeper.ensemble import ZooKeeperServers
from hawork.servers.zookeeper.program import ZooKeeperProgram
from tests.benchmarks.figures import Table
from tests.flink_vectors import FILTER
from tests.inspect_fuzz import kinds, mutations, outcomes, truncations
from tests.unit.ha_cases import HERE

JOBS, CHECKPOINTS = 1000, 10
MUTATIONS = 20_000
ROUNDS = 3
JOB = "62f6a8b83a1b44313a74d89f6e50b70c"
"""The job of the base that keeps its state in files of its own."""
ROOT = "/flink/flights-prod"
HA = "ha/flights-prod"
STORAGE = "file:/srv/flink"


class Copies:
    """One real job, again and again under other ids; every length stays what it was."""

    def __init__(self) -> None:
        with tarfile.open(HERE / "zk120.tar.xz") as tar:
            files = {
                member.name: content.read()
                for member in tar
                if (content := tar.extractfile(member)) is not None
            }
        chk = f"checkpoints/{JOB}/chk-10"
        self.metadata = files[f"{chk}/_metadata"]
        self.state = {
            name.rpartition("/")[2]: len(data)
            for name, data in files.items()
            if name.startswith(f"{chk}/") and not name.endswith("_metadata")
        }
        binary = bytes.fromhex(JOB)
        self.graph = next(
            data for name, data in files.items()
            if name.startswith(f"{HA}/submittedJobGraph") and binary[:8] in data
        )  # fmt: skip
        self.checkpoint = next(
            data for name, data in files.items()
            if name.startswith(f"{HA}/completedCheckpoint") and b"/chk-10" in data
            and JOB.encode() in data
        )  # fmt: skip

    def of_job(self, job_id: str) -> bytes:
        return self._renamed(self.graph, job_id)

    def of_checkpoint(self, job_id: str, number: int) -> tuple[bytes, bytes]:
        """The file in storageDir, and ``_metadata``."""
        checkpoint = self._renamed(self.checkpoint, job_id)
        checkpoint = checkpoint.replace(b"/chk-10", b"/chk-%d" % number)
        checkpoint = checkpoint.replace(struct.pack(">q", 10), struct.pack(">q", number), 1)
        return checkpoint, self.metadata[:8] + struct.pack(">q", number) + self.metadata[16:]

    def _renamed(self, data: bytes, job_id: str) -> bytes:
        old, new = bytes.fromhex(JOB), bytes.fromhex(job_id)
        data = data.replace(JOB.encode(), job_id.encode())
        return data.replace(old[:8], new[:8]).replace(old[8:], new[8:])


def job_ids(count: int) -> list[str]:
    return [f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC834 % (1 << 128):032x}"
            for number in range(1, count + 1)]  # fmt: skip


def make_storage(path: Path, copies: Copies, jobs: int) -> None:
    """A ``tar.gz``, as an engineer has it."""
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:

        def add(name: str, data: bytes) -> None:
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(data), 1_795_970_000
            tar.addfile(member, io.BytesIO(data))

        for number, job_id in enumerate(job_ids(jobs)):
            add(f"{HA}/submittedJobGraph{number:012x}", copies.of_job(job_id))
            for checkpoint in range(10, 10 + CHECKPOINTS):
                whole, metadata = copies.of_checkpoint(job_id, checkpoint)
                add(f"{HA}/completedCheckpoint{number << 8 | checkpoint:012x}", whole)
                folder = f"checkpoints/{job_id}/chk-{checkpoint}"
                add(f"{folder}/_metadata", metadata)
                for name, size in copies.state.items():
                    add(f"{folder}/{name}", bytes(size))


def znodes(copies: Copies, jobs: int, storage: str = STORAGE) -> list[ZNode]:
    """The tree of a cluster after its JobManager died and its session is over."""
    found: list[ZNode] = []

    def add(path: str, data: bytes = b"") -> None:
        found.append(ZNode(path, data, ctime=1_795_970_000_000, mtime=1_795_970_000_000))

    def pointer(path: str, name: str, size: int) -> None:
        add(path, encode_pointer(f"{storage}/{HA}/{name}", size, "zookeeper"))
        add(f"{path}/locks", b"127.0.0.1")

    for path in ("", "/jobs", "/jobgraphs", "/leader", "/leader/latch"):
        add(ROOT + path)
    for number, job_id in enumerate(job_ids(jobs)):
        graph = f"submittedJobGraph{number:012x}"
        pointer(f"{ROOT}/jobgraphs/{job_id}", graph, len(copies.graph))
        add(f"{ROOT}/jobs/{job_id}")
        add(f"{ROOT}/jobs/{job_id}/checkpoints")
        counter = encode_counter(10 + CHECKPOINTS, "zookeeper")
        add(f"{ROOT}/jobs/{job_id}/checkpoint_id_counter", counter)
        for checkpoint in range(10, 10 + CHECKPOINTS):
            name = f"completedCheckpoint{number << 8 | checkpoint:012x}"
            path = f"{ROOT}/jobs/{job_id}/checkpoints/{checkpoint:019d}"
            pointer(path, name, len(copies.checkpoint))
    return found


LOCK = json.dumps({
    "holderIdentity": "", "leaseDuration": 1.0, "acquireTime": "2026-11-29T16:40:48.947547Z",
    "renewTime": "2026-11-29T16:53:00.400111Z", "leaderTransitions": 0,
})  # fmt: skip


def config_maps(copies: Copies, jobs: int) -> dict[str, Any]:
    """What ``kubectl get configmap`` prints of the same cluster."""
    items: list[dict[str, Any]] = []

    def add(name: str, data: dict[str, str], annotations: dict[str, str]) -> None:
        metadata = {
            "name": name, "namespace": "default", "resourceVersion": "360",
            "creationTimestamp": "2026-11-29T16:40:49Z", "annotations": annotations,
            "labels": {"app": "flights-prod", "configmap-type": "high-availability"},
        }  # fmt: skip
        items.append({"apiVersion": "v1", "kind": "ConfigMap", "data": data, "metadata": metadata})

    def pointer(name: str, size: int) -> str:
        return encode_pointer(f"{STORAGE}/{HA}/{name}", size, "kubernetes").decode()

    graphs: dict[str, str] = {}
    add(
        "flights-prod-cluster-config-map",
        graphs,
        {"control-plane.alpha.kubernetes.io/leader": LOCK},
    )
    for number, job_id in enumerate(job_ids(jobs)):
        graph = f"submittedJobGraph{number:012x}"
        graphs[f"jobGraph-{job_id}"] = pointer(graph, len(copies.graph))
        data = {"counter": str(10 + CHECKPOINTS)}
        for checkpoint in range(10, 10 + CHECKPOINTS):
            name = f"completedCheckpoint{number << 8 | checkpoint:012x}"
            key = f"checkpointID-{checkpoint:019d}"
            data[key] = pointer(name, len(copies.checkpoint))
        add(f"flights-prod-{job_id}-config-map", data, {})
    return {"apiVersion": "v1", "kind": "List", "items": items}


CONFIG = {
    "high-availability.type": "zookeeper",
    "high-availability.cluster-id": "/flights-prod",
    "high-availability.storageDir": f"{STORAGE}/ha",
    "execution.checkpointing.dir": f"{STORAGE}/checkpoints",
    "execution.checkpointing.num-retained": str(CHECKPOINTS),
}


@pytest.mark.timeout(600)
def test_a_dump_of_a_thousand_jobs(tmp_path: Path) -> None:
    """From the files of an incident to the answer, in a process of its own."""
    copies = Copies()
    make_storage(tmp_path / "storage.tar.gz", copies, JOBS)
    (tmp_path / "zookeeper.json").write_bytes(write_zookeeper_dump(znodes(copies, JOBS)))
    (tmp_path / "config.yaml").write_text(
        "".join(f"{key}: {value}\n" for key, value in CONFIG.items())
    )
    table = Table("A dump: 1,000 jobs, 10 checkpoints each", "s", 2)
    plain = [undecoded(tmp_path) for _ in range(ROUNDS)]
    whole = [inspected(tmp_path) for _ in range(ROUNDS)]
    table.add("the same bytes, read and not decoded", plain)
    table.add("inspected", [seconds for seconds, _ in whole], at_most=10)
    table.print()
    peak = max(megabytes for _, megabytes in whole)
    ratio = min(seconds for seconds, _ in whole) / min(plain)
    print(f"\n{ratio:.1f} times the reading alone; {peak:.0f} MB at most")
    assert peak < 300


@pytest.mark.timeout(900)
@pytest.mark.parametrize("form", ["json", "yaml"])
def test_a_dump_of_the_configmaps_of_a_thousand_jobs(form: str, tmp_path: Path) -> None:
    """``kubectl get configmap -o json``, and ``-o yaml``."""
    copies = Copies()
    make_storage(tmp_path / "storage.tar.gz", copies, JOBS)
    maps, dump = config_maps(copies, JOBS), tmp_path / f"configmaps.{form}"
    write = json.dumps if form == "json" else yaml_text
    dump.write_text(write(maps))
    options = {**CONFIG, "high-availability.type": "kubernetes",
               "kubernetes.cluster-id": "flights-prod"}  # fmt: skip
    (tmp_path / "config.yaml").write_text(
        "".join(f"{key}: {value}\n" for key, value in options.items())
    )
    table = Table(f"ConfigMaps as {form}: 1,000 jobs, 10 checkpoints each", "s", 2)
    whole = [inspected(tmp_path, "configmaps", dump.name) for _ in range(ROUNDS)]
    started = time.perf_counter()
    read_configmaps(dump)
    table.add("the ConfigMaps alone, read", [time.perf_counter() - started])
    table.add("inspected", [seconds for seconds, _ in whole], at_most=10)
    table.print()
    peak = max(megabytes for _, megabytes in whole)
    print(f"\n{dump.stat().st_size / 1e6:.0f} MB of {form}; {peak:.0f} MB at most")
    assert peak < 300


def yaml_text(value: object) -> str:
    """As kubectl writes it: a value in one line, however long."""
    return str(
        yaml.dump(value, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), width=1 << 30)
    )


def undecoded(directory: Path) -> float:
    """Every byte of the dump that is looked at: listed, unpacked, read."""
    started = time.perf_counter()
    json.loads((directory / "zookeeper.json").read_bytes())
    storage = open_storage(str(directory / "storage.tar.gz"))
    for file in storage.listing():
        if file.name.startswith(HA) or file.name.endswith("_metadata"):
            read_file(storage, file.name)
    return time.perf_counter() - started


PROGRAM = """
import json, resource, sys, time
from hawork.inspect.inspector import inspect_paths
started = time.perf_counter()
dump = {} if sys.argv[1] == "config" else {
    sys.argv[1]: sys.argv[2], "storage": "storage.tar.gz", "mapping": {"file:/srv/flink": "."}}
found = inspect_paths(config="config.yaml", **dump)
took = time.perf_counter() - started
jobs = found.recovery.jobs
who = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN  # the second: what helps to decode
print(json.dumps([took, sum(resource.getrusage(each).ru_maxrss for each in who) / 1024, len(jobs),
                  sorted({job.outcome for job in jobs.values()})]))
"""


def inspected(
    directory: Path, option: str = "zookeeper_dump", dump: str = "zookeeper.json"
) -> tuple[float, float]:
    """Seconds and megabytes."""
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, option, dump], cwd=directory, capture_output=True,
        check=True, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    took, megabytes, jobs, outcomes_found = json.loads(run.stdout)
    assert jobs == JOBS and outcomes_found == ["restored"], outcomes_found
    return took, megabytes


@pytest.mark.timeout(600)
def test_a_living_zookeeper_with_a_thousand_jobs(tmp_path: Path) -> None:
    """All znodes by the requests of the inspector, by one request each; and the whole look."""
    copies = Copies()
    # A path as long as the one in the checkpoints, so that it can be put in its place.
    root = Path(f"/tmp/{secrets.token_hex(3)[:5]}")
    copies.checkpoint = copies.checkpoint.replace(b"/srv/flink", str(root).encode())
    make_storage(tmp_path / "storage.tar.gz", copies, JOBS)
    with tarfile.open(tmp_path / "storage.tar.gz") as tar:
        tar.extractall(root, **FILTER)
    try:
        _living(tmp_path, copies, root)
    finally:
        shutil.rmtree(root)


def _living(tmp_path: Path, copies: Copies, root: Path) -> None:
    program = RoomyProgram(**dataclasses.asdict(ZooKeeperProgram.find()))
    with ZooKeeperServers(tmp_path, program=program) as servers:
        config = checked({**CONFIG, "high-availability.zookeeper.quorum": servers.quorum})
        made = znodes(copies, JOBS, f"file:{root}")
        fill(servers.quorum, made)
        table = Table("A living ZooKeeper: 1,000 jobs, 10 checkpoints each", "s", 2)
        whole, one = [], []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            tree = read_live_zookeeper(config)
            whole.append(time.perf_counter() - started)
        assert {znode.path for znode in made} <= {znode.path for znode in tree.znodes}
        one.append(one_by_one(servers.quorum, [znode.path for znode in made]))
        table.add("every znode by a request of its own (kazoo)", one)
        table.add("read by the inspector", whole, at_most=5)
        options = {
            **CONFIG, "high-availability.zookeeper.quorum": servers.quorum,
            "high-availability.storageDir": f"file://{root}/ha",
            "execution.checkpointing.dir": f"file://{root}/checkpoints",
        }  # fmt: skip
        (tmp_path / "config.yaml").write_text(
            "".join(f"{key}: {value}\n" for key, value in options.items())
        )
        runs = [inspected(tmp_path, "config", "config.yaml") for _ in range(ROUNDS)]
        table.add("inspected, with all files in a directory", [took for took, _ in runs], at_most=5)
        table.print()
        assert max(megabytes for _, megabytes in runs) < 300


class RoomyProgram(ZooKeeperProgram):
    """A server with room for the tree; those of tests have little."""

    def command(self, properties: dict[str, str], heap: str, config: Path) -> list[str]:
        return super().command(properties, "512m", config)


def fill(quorum: str, made: list[ZNode]) -> None:
    from kazoo.client import KazooClient

    client = KazooClient(quorum, timeout=60)
    client.start()
    client.ensure_path(ROOT)
    for start in range(0, len(made), 200):
        with client.transaction() as transaction:
            for znode in made[start : start + 200]:
                if znode.path != ROOT:
                    transaction.create(znode.path, znode.data)
    client.stop()
    client.close()


def one_by_one(quorum: str, paths: list[str]) -> float:
    from kazoo.client import KazooClient

    client = KazooClient(quorum, timeout=60)
    client.start()
    started = time.perf_counter()
    for start in range(0, len(paths), 100):
        for found in [client.get_async(path) for path in paths[start : start + 100]]:
            found.get()
    took = time.perf_counter() - started
    client.stop()
    client.close()
    return took


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", list(kinds()))
def test_every_truncation_and_many_mutations(kind: str) -> None:
    data, decode = kinds()[kind]
    started = time.perf_counter()
    cut = outcomes(decode, truncations(data, most=len(data)))
    damaged = outcomes(decode, mutations(data, MUTATIONS, seed=11))
    values, errors = cut[0] + damaged[0], cut[1] + damaged[1]
    took = time.perf_counter() - started
    print(f"\n{kind}: of {values + errors} damaged ones {errors} are errors; {took:.0f} s")
