"""The inspector on a real server: every znode as it is, and what may not be read."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from kazoo.security import make_acl

from hawork.backends.zookeeper import multi_read
from hawork.core.options import checked
from hawork.ha.configuration_file import configuration_text
from hawork.inspect.cluster import Cluster
from hawork.inspect.live_zookeeper import read_live_zookeeper
from hawork.inspect.pointers import encode_counter, encode_pointer
from hawork.inspect.settings import parse_settings
from hawork.inspect.sources import Sources, read_sources, znodes_into
from hawork.inspect.znodes import ZNode
from tests.backends.zookeeper.zookeeper_setup import ClusterUnderTest

JOB = "00000000000000000000000000000007"


def fill(cluster: ClusterUnderTest) -> str:
    root, kazoo = cluster.paths.cluster, cluster.kazoo
    pointer = encode_pointer("file:/ha/completedCheckpoint0", 7, "zookeeper")
    for number in (4, 5):
        path = f"{root}/jobs/{JOB}/checkpoints/{number:019d}"
        kazoo.create(path, pointer, makepath=True)
        kazoo.create(f"{path}/locks", b"127.0.0.1")
        kazoo.create(f"{path}/locks/me ä", b"", ephemeral=True)
    kazoo.create(f"{root}/jobs/{JOB}/checkpoint_id_counter", encode_counter(6, "zookeeper"))
    kazoo.ensure_path(f"{root}/jobgraphs")
    return root


def seen_by_kazoo(cluster: ClusterUnderTest, path: str) -> list[ZNode]:
    data, stat = cluster.kazoo.get(path)
    owner = stat.ephemeralOwner or None
    nodes = [ZNode(
        path, data, owner, stat.version, stat.cversion, stat.aversion, stat.czxid, stat.mzxid,
        stat.pzxid, stat.ctime, stat.mtime, stat.numChildren,
        "ephemeral" if owner else "persistent",
    )]  # fmt: skip
    for name in cluster.kazoo.get_children(path):
        nodes += seen_by_kazoo(cluster, f"{path}/{name}")
    return nodes


@pytest.mark.parametrize("old_server", [False, True])
def test_every_znode_is_read_whole(
    cluster: ClusterUnderTest, old_server: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if old_server:  # one that does not know the request answers as to any other unknown one
        monkeypatch.setattr(multi_read.MultiRead, "type", 99)
    root = fill(cluster)
    tree = read_live_zookeeper(cluster.config())
    ours = [znode for znode in tree.znodes if f"{znode.path}/".startswith(f"{root}/")]
    assert ours == sorted(seen_by_kazoo(cluster, root), key=lambda znode: znode.path)
    assert tree.notes == () and tree.owners_known and tree.moment is not None


def test_other_clusters_are_seen_and_not_looked_into(cluster: ClusterUnderTest) -> None:
    fill(cluster)
    cluster.kazoo.ensure_path(f"{cluster.paths.cluster}-other/jobs/{JOB}")
    paths = {znode.path for znode in read_live_zookeeper(cluster.config()).znodes}
    assert f"{cluster.paths.cluster}-other" in paths
    assert f"{cluster.paths.cluster}-other/jobs" not in paths


def test_a_wrong_cluster_id_is_told_with_the_clusters_that_there_are(
    cluster: ClusterUnderTest,
) -> None:
    root = fill(cluster)
    for wrong in (
        {"high-availability.cluster-id": f"/nowhere-{uuid.uuid4()}"},
        {"high-availability.zookeeper.path.root": "/nowhere"},
    ):
        found = Cluster(settings=parse_settings(configuration_text(cluster.values | wrong), "c"))
        znodes_into(found, read_live_zookeeper(checked(cluster.values | wrong)))
        (missed,) = [each.why for each in found.not_looked_at]
        assert (
            missed.startswith("there are no znodes below ")
            and root in missed.split("; there is ")[1]
        )
        assert not found.jobs


def test_a_znode_that_may_not_be_read_is_named(cluster: ClusterUnderTest) -> None:
    root = fill(cluster)
    unread = make_acl("world", "anyone", write=True, create=True, delete=True, admin=True)
    paths = [f"{root}/jobs/{JOB}/{name}" for name in ("checkpoint_id_counter", "checkpoints")]
    for path in paths:
        cluster.kazoo.set_acls(path, [unread])
    tree = read_live_zookeeper(cluster.config())
    for path in paths:
        cluster.kazoo.set_acls(path, [make_acl("world", "anyone", all=True)])
    assert {note.partition(" may not")[0] for note in tree.notes} == {
        f"{what}znode {path}" for what in ("", "the children of ") for path in paths
    }
    assert f"{root}/jobs/{JOB}" in {znode.path for znode in tree.znodes}


def test_a_configuration_alone_leads_to_the_living_cluster(
    cluster: ClusterUnderTest, tmp_path: Any
) -> None:
    fill(cluster)
    storage = tmp_path / "ha" / cluster.paths.cluster.rpartition("/")[2]
    storage.mkdir(parents=True)
    (storage / "completedCheckpoint0").write_bytes(b"x" * 7)
    config = tmp_path / "config.yaml"
    config.write_text(configuration_text(
        {**cluster.values, "high-availability.storageDir": f"file://{tmp_path}/ha"}
    ))  # fmt: skip
    found = read_sources(Sources(config=config))
    assert found.live and found.backend == "zookeeper" and found.store_looked
    assert [each.checkpoint_id for each in found.job(JOB).checkpoints] == [4, 5]
    assert found.job(JOB).counter is not None
    assert found.files is not None
    name = found.files.name_of(f"file://{storage}/completedCheckpoint0")
    assert name is not None and found.files.read(name) == b"x" * 7
