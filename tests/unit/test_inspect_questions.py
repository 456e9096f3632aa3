"""Questions that a dump does not answer: rights, load, mounts, jars."""

from __future__ import annotations

import copy
import json
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from ha_cases.made import clusters

from hawork.core.errors import ConfigurationError
from hawork.inspect import probes
from hawork.inspect.case import _config_maps
from hawork.inspect.cluster import Cluster, Moment, PointedFile
from hawork.inspect.configmaps import parse_configmaps
from hawork.inspect.finding import Object
from hawork.inspect.inspection import Inspection
from hawork.inspect.inspector import judge
from hawork.inspect.pointers import LockRecord
from hawork.inspect.probes import Probes, ServerLoad, mount_of, probe
from hawork.inspect.questions.artifacts import jars
from hawork.inspect.questions.facts import Facts
from hawork.inspect.recovery import predict, running_versions
from hawork.inspect.settings import parse_settings

CLUSTERS = clusters()
MOUNTS = """\
22 1 0:20 / / rw,relatime - ext4 /dev/vda rw
23 22 0:21 / /mnt/my\\040ha rw shared:1 - nfs4 server:/ha rw
24 22 0:22 / /tmp rw - tmpfs tmpfs rw
no mount
"""


def answer(found: Inspection, number: int) -> tuple[str, str]:
    return next((each.state, each.why) for each in found.answers if each.question.number == number)


def judged(cluster: Cluster) -> Inspection:
    cluster.store_looked = True
    return judge(cluster, 1.0)


def test_what_a_dump_does_not_tell_is_said_with_what_would() -> None:
    found = copy.deepcopy(CLUSTERS["k8s120"]).look()
    state, why = answer(found, 16)
    assert state == "not looked" and "--config of a cluster that runs" in why
    assert answer(found, 18) == ("not looked", "it is asked of ZooKeeper only")
    state, why = answer(found, 25)
    assert state == "not looked" and "on the JobManagers' machines" in why
    assert answer(found, 17)[0] == "not looked"
    assert answer(found, 21) == ("clean", "")


@pytest.mark.parametrize("url", ["s3://prod/flink", "hdfs://nn/flink", "abfss://c@a/flink"])
def test_an_object_store_is_shared(url: str) -> None:
    settings = parse_settings(f"high-availability.storageDir: {url}", "config.yaml")
    assert answer(judged(Cluster(settings=settings)), 25)[0] == "clean"


def test_each_missing_right_is_named() -> None:
    rights = {verb: verb not in ("watch", "patch") for verb in probes.VERBS}
    cluster = Cluster(backend="kubernetes", probes=Probes(rights=rights))
    (finding,) = judged(cluster).alarms
    assert (finding.code, finding.questions) == ("HA604", (16,))
    assert "may not watch, patch ConfigMaps" in finding.title
    assert finding.safe.startswith("add the verbs watch, patch to the Role")
    cluster.probes = Probes(rights=rights, only={"watch": "a-cluster-config-map"})
    (finding,) = judged(cluster).alarms
    said = "may not patch ConfigMaps, nor watch ConfigMaps other than a-cluster-config-map in "
    assert said in finding.title
    whole = Cluster(backend="kubernetes", probes=Probes(rights=dict.fromkeys(probes.VERBS, True)))
    assert answer(judged(whole), 16) == ("clean", "")


def test_only_flink_needs_the_right_to_update() -> None:
    rights = {verb: verb != "update" for verb in probes.VERBS}
    own = Cluster(backend="kubernetes", probes=Probes(rights=rights))
    assert judged(own).alarms == []
    cluster = copy.deepcopy(CLUSTERS["k8s120"]).look().cluster
    cluster.probes = Probes(rights=rights)
    found = judge(cluster, 1795980000.0)
    assert "HA604" in [each.code for each in found.alarms]


@pytest.mark.parametrize(("later", "lacks", "severity"), [
    (1.0, ("update", "watch"), "info"),  # a colleague's rights to read, and a cluster that runs
    (1.0, ("update", "delete"), "warning"),  # no leader needs to delete before a job ends
    (11.0, ("update",), "warning"),  # its lease ran out: perhaps for this reason
    (-1.0, ("update",), "warning"),
])  # fmt: skip
def test_a_leader_that_renews_its_lease_has_the_rights_of_a_leader(
    later: float, lacks: tuple[str, ...], severity: str
) -> None:
    cluster = copy.deepcopy(CLUSTERS["k8s120"]).look().cluster
    assert cluster.leadership is not None
    record = LockRecord("jm-1", 10.0, None, 1795980000.0, 1, "number")
    cluster.leadership.record = record
    cluster.probes = Probes(rights={verb: verb not in lacks for verb in probes.VERBS})
    cluster.moment = Moment(1795980000.0 + later, 1795980000.0 + later)
    (finding,) = [each for each in judge(cluster, 0.0).findings if each.code == "HA604"]
    assert finding.severity == severity


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/mnt/my ha/flink", "nfs4"), ("/tmp/ha", "tmpfs"), ("/srv/flink", "ext4"), ("/tmp", "tmpfs")],
)
def test_the_mount_of_a_directory(path: str, kind: str, tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(MOUNTS)
    assert mount_of(path, table) == kind
    assert mount_of(path, tmp_path / "none") == ""


@pytest.mark.parametrize(
    ("hosts", "kind", "code"),
    [
        (("10.0.0.1", "10.0.0.2"), "ext4", "HA605"),
        (("10.0.0.1", "10.0.0.2"), "nfs4", None),
        (("10.0.0.1", "10.0.0.1"), "ext4", None),
        (("10.0.0.1", "10.0.0.1"), "tmpfs", "HA606"),
    ],
)
def test_a_directory_of_one_machine_is_not_shared(
    hosts: tuple[str, str], kind: str, code: str | None
) -> None:
    made = copy.deepcopy(CLUSTERS["k8s120"])
    for component, host in zip(made.components(), hosts, strict=False):
        term = "2e3aa11b-aaf6-4586-8903-9b4340de0ee3"
        name = made.address(component)
        made.put(name, f"{term},pekko.tcp://flink@{host}:6123/user/rpc/x".encode())
    for component in made.components()[2:]:
        made.remove(made.address(component))
    cluster = made.look().cluster
    cluster.probes = Probes(mount=kind)
    found = judge(cluster, 1795980000.0)
    assert [each.code for each in found.findings if 25 in each.questions] == [code] * bool(code)


def test_a_server_says_how_many_clients_it_has(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                assert connection.recv(4) == b"mntr"
                connection.sendall(b"zk_num_alive_connections\t3\nzk_watch_count\t41\n")

        thread = threading.Thread(target=serve)
        thread.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        config = tmp_path / "config.yaml"
        config.write_text(
            "high-availability.type: zookeeper\n"
            f"high-availability.zookeeper.quorum: {address},127.0.0.1:1\n"
        )
        found = probe(config, None)
        thread.join()
    assert found.loads == (ServerLoad(address, 3, 41),)
    assert "127.0.0.1:1 does not answer 'mntr'" in found.why_not["watches"]
    told = answer(judged(Cluster(backend="zookeeper", probes=found)), 18)
    assert told == ("clean", f"{address} has 3 connections and 41 watches of all its clients")


def test_a_jar_that_is_missing_or_damaged_ends_the_jobmanager() -> None:
    made = copy.deepcopy(CLUSTERS["zk120"])
    cluster = made.look().cluster
    job = cluster.jobs[made.jobs["inlined"]]
    for artifact, code in (
        (PointedFile("blob_p-00", looked=True), "HA213"),
        (PointedFile("blob_p-00", looked=True, size=3, error="the SHA-1 is another"), "HA214"),
    ):
        for graph in job.graphs:
            graph.artifacts = [artifact]
        recovery = predict(cluster)
        assert recovery.jobmanager == "crash-loops"
        facts = Facts(cluster, recovery, running_versions(cluster, None))
        assert [(each.code, each.severity) for each in jars(facts)] == [(code, "fatal")]


HELD = b"""apiVersion: v1
kind: ConfigMap
immutable: true
metadata:
  name: orders-cluster-config-map
  deletionTimestamp: "2026-11-29T10:00:00Z"
  finalizers: [example.com/audit]
data: {}
"""


def test_a_map_that_cannot_be_written_or_is_on_its_way_out() -> None:
    """Both had passed for sound."""
    as_json = json.dumps({"items": [yaml.safe_load(HELD)]}).encode()
    for written in (HELD, as_json):
        maps = parse_configmaps(written, "cm").maps
        (saved,) = parse_configmaps(_config_maps(maps).encode(), "cm.json").maps
        assert (saved,) == maps, "a saved case keeps it"
        cluster = Cluster(backend="kubernetes", maps=maps, sizes={maps[0].name: 0})
        found = {each.code: each for each in judged(cluster).findings}
        assert found["HA607"].severity == "stuck"
        assert "waits for example.com/audit" in found["HA608"].evidence
    plain = replace(maps[0], immutable=False, deleted_text="")
    cluster = Cluster(backend="kubernetes", maps=(plain,), sizes={plain.name: 0})
    assert not {"HA607", "HA608"} & {each.code for each in judged(cluster).findings}


@pytest.mark.parametrize(
    "said",
    [
        "Warning: Use tokens from the TokenRequest API\n",
        "Throttling request took 1.50705208s, request: GET:https://10.0.0.1:6443/api?limit=1\n",
        "W1129 10:00:00.000000   77 warnings.go:70] v1 ComponentStatus is deprecated\nWarning: x\n",
    ],
)
def test_warnings_that_kubectl_put_before_its_answer(said: str) -> None:
    """agapoff/check_kubernetes 19 and 42: ``kubectl ... > file 2>&1``."""
    expected = parse_configmaps(HELD, "cm")
    as_json = json.dumps({"items": [yaml.safe_load(HELD)]}, indent=4).encode()
    for written in (HELD, as_json):
        assert parse_configmaps(said.encode() + written, "cm").maps == expected.maps
        assert not parse_configmaps(said.encode() + written, "cm").problems


def test_an_error_before_an_answer_is_no_warning() -> None:
    with pytest.raises(ConfigurationError, match="begins with 'Unable to connect"):
        parse_configmaps(b"Unable to connect to the server: EOF\n", "cm")


def test_an_immutable_map_of_the_cluster_ends_each_jobmanager_that_leads() -> None:
    """Seen on real Flink 1.20.5: that of a job does not, and its jobs are restored."""
    made = copy.deepcopy(CLUSTERS["k8s120"])
    whole = made.look()
    assert whole.recovery.jobmanager == "starts"
    for each in whole.cluster.maps:
        cluster = made.look().cluster
        cluster.maps = tuple(replace(one, immutable=one.name == each.name) for one in cluster.maps)
        found = judge(cluster, 1795980000.0)
        (finding,) = [one for one in found.findings if one.code == "HA607"]
        assert finding.objects == (Object("configmap", each.name),)
        if each.name.endswith("-cluster-config-map"):
            assert (found.recovery.jobmanager, finding.severity) == ("crash-loops", "fatal")
            assert "cannot be published" in found.recovery.because
        else:
            assert (found.recovery.jobmanager, finding.severity) == ("starts", "stuck")
            assert found.recovery.jobs == whole.recovery.jobs


@pytest.mark.parametrize("live", [False, True])
def test_a_map_that_a_dump_lacks_may_have_lost_its_labels(live: bool) -> None:
    """Real Flink 1.20.5 restores jobs from such; ``kubectl -l`` does not list them."""
    made = copy.deepcopy(CLUSTERS["k8s120"])
    job = made.jobs["inlined"]
    for place in [name for name in made.store if name.endswith("-cluster-config-map")]:
        del made.store[place]
    for place in [name for name in made.store if job in name]:
        del made.store[place]
    cluster = made.look().cluster
    cluster.live = live
    told = [each for each in judge(cluster, 1795980000.0).findings if each.code == "HA206"]
    assert len(told) == 1
    assert ("labels (-l)" in str(told[0].evidence)) is not live
