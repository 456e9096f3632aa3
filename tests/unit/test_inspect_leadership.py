"""Locks, addresses and what they say of each other, on ZooKeeper and on Kubernetes."""

from __future__ import annotations

import copy
import struct

import pytest
from ha_cases.made import LATEST, LOCK, SESSION, Made, Name, clusters

from hawork.inspect.inspection import Inspection
from hawork.inspect.questions.facts import Facts
from hawork.inspect.questions.leadership import flapping
from hawork.inspect.versions import FlinkVersions
from tests.lock_records import READABLE, UNREADABLE

CLUSTERS = clusters()
ON_ZOOKEEPER = [name for name, made in CLUSTERS.items() if made.backend == "zookeeper"]
ON_KUBERNETES = [name for name, made in CLUSTERS.items() if made.backend == "kubernetes"]


def led(cluster: str) -> Made:
    return copy.deepcopy(CLUSTERS[cluster]).led()


def said(found: Inspection) -> list[tuple[str, str, set[Name]]]:
    return [(each.name, each.severity, {(one.kind, one.name, one.key) for one in each.objects})
            for each in found.alarms]  # fmt: skip


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_the_lock_is_held_and_no_address_is_published(cluster: str) -> None:
    made = led(cluster)
    for component in made.components():
        made.remove(made.address(component))
    found = made.look()
    assert said(found) == [("leader-without-address", "stuck", {made.lock()})]
    assert found.recovery.jobmanager == "starts"


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_addresses_are_published_and_the_lock_is_free(cluster: str) -> None:
    made = led(cluster)
    if made.backend == "zookeeper":
        made.remove(made.lock())
        place: set[Name] = {made.address(each) for each in made.components()}
        place.add(("znode", f"{made.root}/leader/latch", None))
    else:
        made.record(holderIdentity="", leaseDuration=1.0)
        place = {made.lock()}
    found = made.look()
    assert said(found) == [("address-without-lock", "warning", place)]
    assert found.recovery.jobmanager == "starts"


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_two_leader_session_ids(cluster: str) -> None:
    made = led(cluster)
    made.publish("dispatcher", "4a64ccd0-17f2-4b3d-b9f4-aa23610c8a6b")
    found = made.look()
    assert said(found) == [("two-leaders", "fatal", {made.address("dispatcher")})]
    assert found.recovery.jobmanager == "starts"


@pytest.mark.parametrize("cluster", ON_KUBERNETES)
def test_leader_keys_of_jobs_that_are_no_more_say_nothing(cluster: str) -> None:
    made = led(cluster)
    for number in range(20):
        made.publish(f"job-{number:032x}", f"4a64ccd0-17f2-4b3d-b9f4-{number:012x}")
    assert made.look().alarms == []


@pytest.mark.parametrize("cluster", ON_KUBERNETES)
def test_three_hundred_terms_are_flapping(cluster: str) -> None:
    made = led(cluster)
    made.record(leaderTransitions=300)
    assert said(made.look()) == [("flapping", "warning", {made.lock()})]


@pytest.mark.parametrize(("version", "told"), [("1.15", False), ("1.17", False), ("1.18", True)])
@pytest.mark.parametrize("cluster", ON_KUBERNETES)
def test_renewals_are_no_terms(cluster: str, version: str, told: bool) -> None:
    """Flink 1.15.4 counts them in leaderTransitions; its lock was taken once, when it was made."""
    made = led(cluster)
    made.record(leaderTransitions=300)
    found = made.look()
    found.cluster.versions = FlinkVersions(version, version)
    facts = Facts(found.cluster, found.recovery, found.cluster.versions)
    assert [each.name for each in flapping(facts)] == ["flapping"] * told
    found.cluster.leadership.created -= 3600  # type: ignore[union-attr, operator]
    assert [each.name for each in flapping(facts)] == ["flapping"]


@pytest.mark.parametrize("cluster", ON_ZOOKEEPER)
def test_a_high_number_in_a_young_latch_is_flapping(cluster: str) -> None:
    made = led(cluster)
    made.remove(made.lock())
    latch = f"{made.root}/leader/latch"
    name: Name = (
        "znode",
        f"{latch}/_c_9ad7c9eb-3031-4809-b1bd-9a6c64faf800-latch-0000000300",
        None,
    )
    made.put(name, b"", SESSION)
    assert said(made.look()) == [("flapping", "warning", {name, ("znode", latch, None)})]


@pytest.mark.parametrize("cluster", ON_KUBERNETES)
def test_one_term_a_month_is_not_flapping(cluster: str) -> None:
    made = led(cluster)
    made.record(leaderTransitions=12)
    made.store[made.cluster_map]["metadata"]["creationTimestamp"] = "2025-11-29T16:40:49Z"
    assert made.look().alarms == []


@pytest.mark.parametrize("cluster", ON_KUBERNETES)
def test_a_lease_in_the_future_is_never_taken(cluster: str) -> None:
    made = led(cluster)
    made.record(renewTime="2031-01-01T00:00:00.000000Z")
    found = made.look()
    assert said(found) == [("lease-in-the-future", "fatal", {made.lock()})]
    assert found.recovery.jobmanager == "never-leads"
    assert {job.outcome for job in found.recovery.jobs.values()} == {"not-recovered"}


@pytest.mark.parametrize("cluster", ON_KUBERNETES)
def test_a_lease_without_a_holder_may_have_any_time(cluster: str) -> None:
    made = led(cluster)
    made.record(renewTime="2031-01-01T00:00:00.000000Z", holderIdentity="")
    assert made.look().recovery.jobmanager == "starts"


@pytest.mark.parametrize("cluster", ON_KUBERNETES)
@pytest.mark.parametrize("published", [True, False])
def test_a_config_map_without_its_leader_annotation_is_no_lock(
    cluster: str, published: bool
) -> None:
    """Real Flink 1.20.5 tries to create the ConfigMap again and again, and never leads."""
    made = led(cluster)
    del made.store[made.cluster_map]["metadata"]["annotations"]
    if not published:
        for each in made.components():
            made.remove(made.address(each))
    found = made.look()
    assert said(found) == [("lock-record-missing", "fatal", {made.lock()})]
    assert found.recovery.jobmanager == "never-leads"


@pytest.mark.parametrize("cluster", ON_KUBERNETES)
def test_a_lease_that_ran_out_before_the_newest_data_is_that_of_a_dead_leader(cluster: str) -> None:
    made = led(cluster)
    made.record(renewTime="2026-11-29T16:41:00.000000Z")
    addresses = {made.address(each) for each in made.components()}
    assert said(made.look()) == [("leader-dead", "warning", addresses)]


@pytest.mark.parametrize("cluster", ON_ZOOKEEPER)
def test_a_latch_node_without_a_session_stands_first_for_ever(cluster: str) -> None:
    made = copy.deepcopy(CLUSTERS[cluster])
    latch = f"{made.root}/leader/latch/_c_0df27387-3187-4903-8a36-132f0d8d11e7-latch-0000000000"
    made.put(("znode", latch, None), b"")
    found = made.look()
    assert said(found) == [("latch-without-session", "fatal", {("znode", latch, None)})]
    assert found.recovery.jobmanager == "never-leads"


@pytest.mark.parametrize("cluster", ON_ZOOKEEPER)
def test_a_lock_without_a_session_is_never_released(cluster: str) -> None:
    made = copy.deepcopy(CLUSTERS[cluster])
    lock: Name = ("znode", f"{made.graph('inlined')[1]}/locks/726ecef1-1764-4190-9027-cd7f6a327c45",
                  None)  # fmt: skip
    made.put(lock, b"127.0.0.1")
    assert said(made.look()) == [("persistent-lock", "stuck", {lock, made.job("inlined")})]


@pytest.mark.parametrize("cluster", ON_ZOOKEEPER)
def test_job_graphs_locked_in_a_dump_may_be_those_of_a_dead_process(cluster: str) -> None:
    made = led(cluster)
    found = made.look()
    assert [(each.name, each.severity) for each in found.findings] == [
        ("lock-of-dead-owner", "warning")
    ]


NEWEST = {"zk119": 1795972270.0, "zk120": 1795970882.0}
"""When the data was made."""


@pytest.mark.parametrize("cluster", ON_ZOOKEEPER)
def test_a_fresh_dump_of_a_cluster_that_runs_has_nothing_to_tell(cluster: str) -> None:
    """The session that holds the locks stands in the latch, and its jobs make checkpoints."""
    assert led(cluster).look(latest=NEWEST[cluster] + 60).findings == []


@pytest.mark.parametrize("cluster", ON_ZOOKEEPER)
def test_a_lock_of_a_session_that_is_no_contender_is_that_of_a_dead_owner(cluster: str) -> None:
    made = led(cluster)
    lock: Name = ("znode", f"{made.graph('inlined')[1]}/locks/726ecef1-1764-4190-9027-cd7f6a327c45",
                  None)  # fmt: skip
    made.put(lock, b"127.0.0.1", "0x10000462f4a0009")
    found = made.look(latest=NEWEST[cluster] + 60)
    assert said(found) == [("lock-of-dead-owner", "warning", {lock})]


def test_files_that_were_dumped_long_after_the_store_do_not_end_its_lease() -> None:
    """The cluster ran on; a pointer of the store is what proves how young the store is."""
    made = led("k8s120")
    made.files["ha/flights-prod/later"] = (b"", 1795970979.0 + 3600)
    assert made.look().alarms == []
    made.record(acquireTime="2026-11-29T17:49:30.000000Z", renewTime="2026-11-29T17:49:39.000000Z")
    for component in made.components():
        made.remove(made.address(component))
    found = made.look()
    assert [(each.name, each.severity) for each in found.findings] == [
        ("leader-without-address", "info")
    ]


def led_on(made: Made, job: str, steps: int) -> None:
    """A leader made so many checkpoints after the store was dumped, and removed as many."""
    ids = made.ids(job)
    newest = made.file(made.checkpoint(job, ids[-1]))
    content, modified = made.files[newest]
    chk = f"checkpoints/{made.jobs[job]}/chk-"
    metadata = made.files[f"{chk}{ids[-1]}/_metadata"]
    for step in range(1, steps + 1):
        number = ids[-1] + step
        old = content.replace(struct.pack(">q", ids[-1]), struct.pack(">q", number), 1)
        made.files[f"ha/flights-prod/completedCheckpoint{number:012x}"] = (old, modified + step)
        made.files[f"{chk}{number}/_metadata"] = metadata
    for number in ids[:steps]:
        del made.files[made.file(made.checkpoint(job, number))]
        for name in [each for each in made.files if each.startswith(f"{chk}{number}/")]:
            del made.files[name]


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_checkpoints_that_a_leader_replaced_between_two_dumps_are_no_damage(
    cluster: str, steps: int
) -> None:
    made = led(cluster)
    newest = made.ids("exclusive")[-1]
    led_on(made, "exclusive", steps)
    found = made.look(latest=NEWEST.get(cluster, LATEST) + 60)
    assert found.alarms == []
    assert "dump-of-two-moments" in [each.name for each in found.findings]
    outcome = found.recovery.jobs[made.jobs["exclusive"]]
    assert (outcome.outcome, outcome.checkpoint) == (
        "restored", newest + 2 if steps == 2 else newest,
    )  # fmt: skip


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_file_that_is_missing_beside_a_half_written_checkpoint_is_damage(cluster: str) -> None:
    """As a kill leaves it: real Flink 2.1.1 on Kubernetes. Its ``_metadata`` is there still."""
    made = led(cluster)
    older = made.checkpoint("exclusive", made.ids("exclusive")[0])
    lost = made.file(older)
    kept = {name: content for name, content in made.files.items() if name != lost}
    led_on(made, "exclusive", 1)
    made.files = {**made.files, **kept}
    found = made.look(latest=NEWEST.get(cluster, LATEST) + 60)
    told = (
        "checkpoint-file-missing",
        "fatal",
        {older, ("file", lost, None), made.job("exclusive")},
    )
    assert said(found) == [told]
    assert found.recovery.jobmanager == "crash-loops"


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_files_that_were_listed_before_the_store_moved_on_are_no_damage(cluster: str) -> None:
    """``checkpoints`` before ``ha``: there is ``_metadata`` of the one that was replaced then, and
    none of the one that replaced it."""
    made = led(cluster)
    _, newest = made.ids("exclusive")
    chk = f"checkpoints/{made.jobs['exclusive']}/chk-"
    kept = {name: content for name, content in made.files.items() if name.startswith(chk)}
    led_on(made, "exclusive", 1)
    del made.files[f"{chk}{newest + 1}/_metadata"]
    made.files.update(kept)
    found = made.look(latest=NEWEST.get(cluster, LATEST) + 60)
    assert found.alarms == []
    assert found.recovery.jobs[made.jobs["exclusive"]].checkpoint == newest


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_folders_that_were_copied_before_the_files_are_no_damage_when_a_leader_went_on(
    cluster: str,
) -> None:
    """``checkpoints`` first: of one job both folders are there, and the older one's file is gone.

    As a copy of storageDir under real Flink 1.20.5 on ZooKeeper had it.
    """
    made = led(cluster)
    older = made.file(made.checkpoint("exclusive", made.ids("exclusive")[0]))
    kept = {name: content for name, content in made.files.items() if name != older}
    led_on(made, "exclusive", 1)
    made.files = {**made.files, **kept}
    led_on(made, "inlined", 1)
    found = made.look(latest=NEWEST.get(cluster, LATEST) + 60)
    assert found.alarms == []
    for job in ("exclusive", "inlined"):
        outcome = found.recovery.jobs[made.jobs[job]]
        assert (outcome.outcome, outcome.checkpoint) == ("restored", made.ids(job)[-1])


@pytest.mark.parametrize("cluster", ON_ZOOKEEPER)
def test_without_a_leader_the_same_is_a_store_that_was_set_back(cluster: str) -> None:
    made = copy.deepcopy(CLUSTERS[cluster])
    led_on(made, "exclusive", 2)
    found = made.look()
    assert found.recovery.jobmanager == "crash-loops"
    assert [each.name for each in found.alarms] == ["checkpoint-file-missing"] * 2


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_pointers_that_are_younger_than_the_storage_are_no_damage(cluster: str) -> None:
    made = led(cluster)
    older, newest = made.ids("inlined")
    chk = f"checkpoints/{made.jobs['inlined']}/chk-"
    content, modified = made.files[made.file(made.checkpoint("inlined", older))]
    before = content.replace(struct.pack(">q", older), struct.pack(">q", older - 1), 1)
    made.files["ha/flights-prod/completedCheckpoint00000000000a"] = (before, modified)
    del made.files[made.file(made.checkpoint("inlined", newest))]
    for name in [each for each in made.files if each.startswith(f"{chk}{newest}/")]:
        del made.files[name]
    found = made.look(latest=NEWEST.get(cluster, LATEST) + 60)
    assert found.alarms == []
    outcome = found.recovery.jobs[made.jobs["inlined"]]
    assert (outcome.outcome, outcome.checkpoint) == ("restored", newest)


@pytest.mark.parametrize("cluster", ON_KUBERNETES)
def test_the_first_checkpoints_of_a_job_may_come_after_the_store_was_dumped(cluster: str) -> None:
    made = led(cluster)
    for number in made.ids("inlined"):
        made.remove(made.checkpoint("inlined", number))
    made.set_counter("inlined", 1)
    assert made.look().alarms == []
    made.set_counter("inlined", 40)
    assert [each.name for each in made.look().alarms] == ["checkpoints-lost"]


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=list(UNREADABLE))
def test_a_lock_record_that_flink_cannot_read_keeps_all_from_leading(text: str) -> None:
    """Each was tried on real Flink 1.20.5: ``tests/benchmarks/bench_prediction.py``."""
    made = led("k8s120")
    made.store[made.cluster_map]["metadata"]["annotations"] = {LOCK: text}
    found = made.look()
    assert said(found) == [("lock-record-unreadable", "fatal", {made.lock()})]
    assert found.recovery.jobmanager == "never-leads"
    assert {each.outcome for each in found.recovery.jobs.values()} == {"not-recovered"}


@pytest.mark.parametrize("text", READABLE.values(), ids=list(READABLE))
def test_an_odd_lock_record_that_flink_reads_keeps_none_from_leading(text: str) -> None:
    made = led("k8s120")
    made.store[made.cluster_map]["metadata"]["annotations"] = {LOCK: text}
    found = made.look()
    assert found.recovery.jobmanager == "starts"
    assert "fatal" not in {each.severity for each in found.alarms}


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_an_address_that_cannot_be_read_is_named(cluster: str) -> None:
    made = led(cluster)
    made.put(made.address("dispatcher"), b"\xff\xfe", SESSION)
    assert "leader-information-unreadable" in [each.name for each in made.look().alarms]
