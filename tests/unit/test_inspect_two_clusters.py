"""Two clusters in one dump: each is looked at by itself, though they share namespace and directory.

``high-availability.cluster-id`` stays ``/default`` on standalone Kubernetes while ConfigMaps are
named by ``kubernetes.cluster-id``: then both have their files in one directory.
"""

from __future__ import annotations

import base64
import copy
from dataclasses import replace
from typing import Any

import pytest
from ha_cases.made import Made, clusters

from hawork.inspect.checkpoints import decode_completed_checkpoint
from hawork.inspect.cluster import Checkpoint, Cluster
from hawork.inspect.entries import Entry
from hawork.inspect.errors import UndecodableError
from hawork.inspect.evidence import find_versions
from hawork.inspect.pointers import FlinkPointer, Service, decode_pointer, encode_pointer
from hawork.inspect.report import as_text, headline, verdict
from hawork.inspect.versions import FlinkVersions
from tests.flink_vectors import vector

CLUSTERS = clusters()
SIMILAR = ("flights", "flights-prod-2", "prod")


class Another:
    """The same cluster under another name: other job ids, and files of other names beside them."""

    def __init__(self, made: Made, cluster_id: str) -> None:
        self._made, self._id = made, cluster_id
        self._jobs = {job: job[::-1] for job in made.jobs.values()}

    def joined(self) -> Made:
        """Both in one dump and one storage."""
        made = copy.deepcopy(self._made)
        for name, (content, modified) in self._made.files.items():
            made.files[self._file(name)] = (self._content(content), modified)
        for place, item in self._made.store.items():
            renamed = self._text(place).replace("flights-prod", self._id, 1)
            made.store[renamed] = self._item(copy.deepcopy(item), renamed)
        return made

    def _text(self, text: str) -> str:
        for old, new in self._jobs.items():
            text = text.replace(old, new)
        return text

    def _content(self, content: bytes) -> bytes:
        for old, new in self._jobs.items():
            was, becomes = bytes.fromhex(old), bytes.fromhex(new)
            content = content.replace(old.encode(), new.encode())
            content = content.replace(was[:8], becomes[:8]).replace(was[8:], becomes[8:])
        return content

    def _file(self, name: str) -> str:
        folder, _, base = self._text(name).rpartition("/")
        if base.startswith(("completedCheckpoint", "submittedJobGraph")):
            base = base[:-12] + base[-12:][::-1]
        return f"{folder}/{base}"

    def _item(self, item: dict[str, Any], place: str) -> dict[str, Any]:
        if self._made.backend == "zookeeper":
            pointer = self._pointed(base64.b64decode(item["data"] or ""), "zookeeper")
            data = {} if pointer is None else {"data": base64.b64encode(pointer).decode()}
            return {**item, "path": place, **data}
        item["metadata"] = {**item["metadata"], "name": place}
        data = {key: value.encode() for key, value in item["data"].items()}
        item["data"] = {
            self._text(key): (self._pointed(value, "kubernetes") or value).decode()
            for key, value in data.items()
        }
        return item

    def _pointed(self, value: bytes, service: Service) -> bytes | None:
        try:
            found: FlinkPointer = decode_pointer(value, service)
        except UndecodableError:
            return None
        return encode_pointer(self._file(found.path), found.size, service)


@pytest.mark.parametrize("config", [True, False])
@pytest.mark.parametrize("other", SIMILAR)
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_the_other_cluster_of_a_dump_is_named_and_no_alarm(
    cluster: str, other: str, config: bool
) -> None:
    made = CLUSTERS[cluster]
    found = Another(made, other).joined().look(config=config)
    assert found.alarms == []
    (told,) = [each for each in found.findings if each.name == "another-cluster"]
    assert f"cluster {other} " in told.title or not config
    assert "12 files of it" in str(told.evidence) or "9 files of it" in str(told.evidence)
    outcomes = {each.outcome for each in found.recovery.jobs.values()}
    assert (len(found.recovery.jobs), outcomes) == (3, {"restored"})


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_what_the_other_cluster_lost_is_its_own_trouble(cluster: str) -> None:
    made = CLUSTERS[cluster]
    joined = Another(made, "flights").joined()
    mine = set(made.files)
    for name in [each for each in joined.files if each not in mine and each.startswith("ha/fl")]:
        del joined.files[name]
    assert joined.look().alarms == []


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_cluster_of_which_the_store_has_nothing_is_not_said_to_start(cluster: str) -> None:
    """Its id is wrong, mostly. The clusters that there are stand right below the headline."""
    made = copy.deepcopy(CLUSTERS[cluster])
    for key in ("high-availability.cluster-id", "kubernetes.cluster-id"):
        if key in made.config:
            made.config[key] = "flight-prod"
    found = made.look()
    text = as_text(found)
    assert headline(found)[0] == "THERE IS NO SUCH CLUSTER" and "WILL START" not in text
    assert "it has flights-prod: see" in verdict(found)
    assert found.exit_status == 2
    (missed,) = [each.why for each in found.cluster.not_looked_at if each.what == "HA store"]
    there = missed.partition("; there ")[2]
    assert there in ("is /flink/flights-prod", "are those of flights-prod")


@pytest.mark.parametrize("namespace", ["", "default"])
def test_one_of_the_same_name_in_another_namespace_is_another_cluster(namespace: str) -> None:
    """As in what 'kubectl get configmap -A' prints; what is wrong with it is its own trouble."""
    made = copy.deepcopy(CLUSTERS["k8s120"])
    made.config.pop("kubernetes.namespace", None)
    if namespace:
        made.config["kubernetes.namespace"] = namespace
    for name, item in list(made.store.items()):
        metadata = {**item["metadata"], "namespace": "a-staging"}
        made.store[f"a-staging/{name}"] = {**item, "metadata": metadata, "immutable": True}
    found = made.look()
    assert found.alarms == []
    assert (found.exit_status, found.recovery.jobmanager) == (0, "starts")
    (told,) = [each for each in found.findings if each.name == "another-cluster"]
    assert "cluster flights-prod in namespace a-staging " in told.title


def test_a_root_that_is_wrong_is_told_with_the_path_that_there_is() -> None:
    """Its name alone had been told, which the configuration had already."""
    made = copy.deepcopy(CLUSTERS["zk120"])
    made.config["high-availability.zookeeper.path.root"] = "/prod"
    said = verdict(made.look())
    assert "it has /flink/flights-prod: see" in said
    assert "high-availability.zookeeper.path.root and high-availability.cluster-id" in said


def test_of_two_releases_the_one_that_wrote_last_is_taken() -> None:
    """An upgrade that was broken off leaves data of both: the job that came first had decided."""
    contents = {release: decode_completed_checkpoint(vector(f"{release}.completedCheckpoint"))
                for release in ("1.18.1", "2.1.1")}  # fmt: skip
    for newest in contents:
        cluster = Cluster()
        for number, (release, content) in enumerate(contents.items()):
            pointer = Checkpoint(Entry("zookeeper", f"/{number}", b""), checkpoint_id=number)
            moment = 2_000_000 if release == newest else 1_000_000
            pointer.content = replace(content, completion_timestamp=moment)
            cluster.job(f"{number:032x}").checkpoints.append(pointer)
        versions, because = find_versions(cluster)
        assert newest in versions
        assert because[-1].startswith("but checkpoint of ")


def test_overlapping_releases() -> None:
    middle = FlinkVersions("1.18", "1.20")
    assert middle.overlaps(FlinkVersions("1.20")) and middle.overlaps(FlinkVersions(last="1.18"))
    assert not middle.overlaps(FlinkVersions("2.0")) and not FlinkVersions("2.0").overlaps(middle)
    assert middle & FlinkVersions("2.0") == middle
