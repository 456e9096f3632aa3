"""Plans of repairs: each of the cases, and what a plan must not do."""

from __future__ import annotations

import copy
import errno
import json
import os
import shutil
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any

import ha_cases
import pytest
import yaml

from hawork.backends.kubernetes.layout import LOCK
from hawork.cli.main import main
from hawork.core.errors import (
    ConfigurationError,
    StoreUnavailableError,
)
from hawork.inspect.finding import Object
from hawork.inspect.pointers import decode_lock_record, encode_pointer
from hawork.inspect.repair import repairing
from hawork.inspect.repair.backup import Backup, BackupError, read_backup, write_backup
from hawork.inspect.repair.changes import ANNOTATION, CONFIGMAP, FILE, KEY, Change, Repair
from hawork.inspect.repair.image import Held
from hawork.inspect.repair.repairing import (
    RepairPlan,
    plan_repair,
    plan_restore,
    restore_warnings,
)
from hawork.inspect.repair.writers import ChangedMeanwhileError
from hawork.inspect.sources import Sources
from tests.flink_vectors import FILTER

MAPPING = {"file:/srv/flink": "."}
BETTER = ("unknown", "not-recovered", "restart-loop", "from-scratch", "removed-as-done", "restored")
UNREPAIRED = {
    "k8s120-address-without-lock", "k8s120-clean-result-with-graph", "k8s120-flapping",
    "k8s120-map-near-limit", "k8s120-two-holders", "zk120-dead-owner-lock",
    "zk120-dirty-result-with-pointers", "zk120-foreign-storage", "zk120-lock-without-address",
    "zk120-metadata-missing", "zk120-timeouts-unfit",
}  # fmt: skip
"""Cases whose safe action is none that one change of the store could be."""


def planned(name: str, directory: Path, **options: object) -> RepairPlan:
    case = ha_cases.unpack(name, directory)
    sources = Sources(config=case.config, storage=case.storage, mapping=MAPPING, **case.store)
    return plan_repair(sources, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ha_cases.names())
def test_a_plan_mends_what_it_names_and_makes_nothing_worse(name: str, tmp_path: Path) -> None:
    plan = planned(name, tmp_path)
    repaired = {repair.code for repair in plan.repairs}
    assert bool(repaired) == (bool(plan.before.alarms) and name not in UNREPAIRED)
    assert not repaired & {finding.code for finding in plan.after.alarms}
    assert {f.code for f, _ in plan.plan.left} | repaired == {f.code for f in plan.before.alarms}
    for change in plan.plan.changes:
        if change.object.kind != FILE:
            held = plan.image.get(change.object)
            assert change.before == (None if held is None else held.value)
    created = [change.object.name for change in plan.plan.changes if change.before is None]
    for number, name_of in enumerate(created):
        assert name_of.rpartition("/")[0] not in created[number + 1 :], "a parent after its child"
    if repaired:
        assert plan.after.recovery.jobmanager == "starts"
    gone = plan.before.recovery.jobmanager == "crash-loops"
    for job_id, before in plan.before.recovery.jobs.items():
        after = plan.after.recovery.jobs[job_id]
        if before.outcome in BETTER and not gone:
            assert BETTER.index(after.outcome) >= BETTER.index(before.outcome)
    given_up = {repair.job_id for repair in plan.repairs if repair.code == "HA201"}
    for job_id, checkpoint in plan.before.recovery.to_json()["newest_readable"].items():
        if repaired and job_id not in given_up:
            assert plan.after.recovery.jobs[job_id].outcome == "restored"
            assert (plan.after.recovery.jobs[job_id].checkpoint or 0) >= checkpoint


def test_only_and_skip_narrow_a_plan(tmp_path: Path) -> None:
    name = "zk120-newest-ha-file-missing"
    assert planned(name, tmp_path, skip=["HA101"]).repairs == ()
    assert planned(name, tmp_path, only=["HA209"]).repairs == ()
    assert len(planned(name, tmp_path, only=["HA101"]).repairs) == 1


def test_a_result_of_a_done_job_is_moved_only_when_it_is_asked_for(tmp_path: Path) -> None:
    name = "k8s120-clean-result-with-graph"
    (_, why), *_ = planned(name, tmp_path).plan.left
    assert "--only" in why
    asked = planned(name, tmp_path, only=["HA303"])
    assert {outcome.outcome for outcome in asked.after.recovery.jobs.values()} == {"restored"}


def test_the_last_whole_checkpoint_is_never_taken_away(tmp_path: Path) -> None:
    """Both checkpoints of a job are damaged: without pointers it would start from nothing."""
    case = ha_cases.unpack("zk120-newest-ha-file-missing", tmp_path)
    storage = tmp_path / "files"
    shutil.unpack_archive(case.storage, storage, **FILTER)
    before = plan_repair(
        Sources(config=case.config, storage=storage, mapping=MAPPING, **case.store)
    ).before
    (missing,) = before.alarms
    job = before.cluster.jobs[missing.job_id or ""]
    for checkpoint in job.checkpoints:
        assert checkpoint.file is not None
        (storage / checkpoint.file.name).unlink(missing_ok=True)
    plan = plan_repair(Sources(config=case.config, storage=storage, mapping=MAPPING, **case.store))
    assert plan.repairs == ()
    assert all("start from nothing" in why for _, why in plan.plan.left)


@pytest.mark.parametrize("name", ["zk120-healthy", "k8s120-stale-leader-keys"])
def test_a_store_that_is_lost_is_written_again_with_its_checkpoints(
    name: str, tmp_path: Path
) -> None:
    """Job graphs alone would start every job from nothing."""
    right = ha_cases.expected_of(name)["recovery"]["jobs"]
    config, files = ha_cases.config_of(name), ha_cases.files_of(name)
    case = ha_cases.write(name, tmp_path, {}, files, config, {})
    empty = "zookeeper.json" if name.startswith("zk") else "configmaps.yaml"
    (tmp_path / empty).write_text("[]" if name.startswith("zk") else "kind: List\nitems: []\n")
    plan = plan_repair(
        Sources(config=case.config, storage=case.storage, mapping=MAPPING, **case.store)
    )
    assert [repair.code for repair in plan.repairs] == ["HA206"] * 3 + ["HA207"] * 3
    assert plan.after.alarms == []
    restored = {job: each.checkpoint for job, each in plan.after.recovery.jobs.items()}
    assert restored == {job: each["checkpoint"] for job, each in right.items()}
    changed = [change.object for change in plan.plan.changes]
    assert len(changed) == len(set(changed))


def without_annotations(case: ha_cases.Case) -> None:
    path = case.store["configmaps"]
    dump = yaml.safe_load(path.read_text())
    for each in dump["items"]:
        each["metadata"].pop("annotations", None)
    path.write_text(yaml.safe_dump(dump))


def test_the_leader_annotation_is_written_as_that_of_a_free_lock(tmp_path: Path) -> None:
    case = ha_cases.unpack("k8s120-stale-leader-keys", tmp_path)
    without_annotations(case)
    plan = plan_repair(
        Sources(config=case.config, storage=case.storage, mapping=MAPPING, **case.store)
    )
    assert plan.before.recovery.jobmanager == "never-leads"
    (change,) = plan.plan.changes
    assert change.after is not None
    assert decode_lock_record(change.after.decode()).holder == ""
    assert plan.after.recovery.jobmanager == "starts"


def test_a_cluster_map_is_never_made_without_a_lock(tmp_path: Path) -> None:
    """Flink takes a ConfigMap without the annotation for no lock: it would never lead."""
    plan = planned("k8s120-cluster-map-deleted", tmp_path)
    made = {change.object.kind for change in plan.plan.changes}
    assert made == {CONFIGMAP, ANNOTATION, KEY}
    assert plan.after.recovery.jobmanager == "starts"


def test_what_the_api_server_would_refuse_is_not_planned(tmp_path: Path) -> None:
    """No key of an immutable ConfigMap changes; its annotations do."""
    case = ha_cases.unpack("k8s120-older-ha-file-missing", tmp_path)
    file = Path(case.store["configmaps"])
    listing = yaml.safe_load(file.read_text())
    for item in listing["items"]:
        item["immutable"] = True
    file.write_text(yaml.safe_dump(listing))
    plan = plan_repair(
        Sources(config=case.config, storage=case.storage, mapping=MAPPING, **case.store)
    )
    assert plan.repairs == ()
    why = {finding.code: why for finding, why in plan.plan.left}
    assert why["HA101"].endswith("-config-map is immutable: see HA607 first")
    assert "create it again from the backup without immutable" in why["HA607"]


def test_a_storage_that_is_not_mounted_is_not_a_damage(tmp_path: Path) -> None:
    case = ha_cases.unpack("zk120-healthy", tmp_path)
    empty = tmp_path / "files"
    (empty / "ha" / "flights-prod").mkdir(parents=True)
    (empty / "ha" / "flights-prod" / "something").write_bytes(b"x")
    plan = plan_repair(Sources(config=case.config, storage=empty, mapping=MAPPING, **case.store))
    assert plan.before.alarms and plan.repairs == ()
    without = plan_repair(Sources(config=case.config, **case.store))
    assert without.repairs == ()


def test_a_dump_is_planned_for_and_not_written_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = ha_cases.unpack("k8s120-older-ha-file-missing", tmp_path)
    where = [f"--config={case.config}", f"--storage={case.storage}", "--map=file:/srv/flink=."]
    command = ["repair", *where, f"--configmaps={case.store['configmaps']}"]
    assert main(command) == 1
    said = capsys.readouterr().out
    assert "HA101: remove the pointer of checkpoint 10; its files stay" in said
    assert "call again with --apply and without the dump, which cannot be repaired" in said
    assert main([*command, "--apply"]) == 2
    assert "a dump cannot be repaired" in capsys.readouterr().err
    assert main([*command, "--only", "HA999"]) == 64


def test_what_was_asked_for_and_not_done_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A lock that still lives is waited for: nothing is written, and how to go on is said."""
    case = ha_cases.unpack("zk120-newest-ha-file-missing", tmp_path)
    store = Path(case.store["zookeeper_dump"])
    znodes = json.loads(store.read_text())
    for lock in [each for each in znodes if each["path"].endswith("0000000000000000009/locks")]:
        path = f"{lock['path']}/me"
        znodes.append({**lock, "path": path, "ephemeralOwner": "0x7", "numChildren": 0})
    store.write_text(json.dumps(znodes))
    main([
        "repair", "--apply", f"--config={case.config}", f"--storage={case.storage}",
        "--map=file:/srv/flink=.", f"--zookeeper-dump={store}",
    ])  # fmt: skip
    said = capsys.readouterr().out
    assert "is locked by a session that lives: stop it, wait for its timeout" in said
    assert said.splitlines()[-1] == "nothing was written" or "\nnothing was written\n" in said


def test_the_name_of_a_job_cannot_write_a_line_of_a_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = ha_cases.unpack("k8s120-older-ha-file-missing", tmp_path)
    with tarfile.open(case.storage) as tar:
        tar.extractall(tmp_path / "files", **FILTER)
    forged = b"x\n\nthen: 0 errors"
    for file in (tmp_path / "files" / "ha").rglob("submittedJobGraph*"):
        content = file.read_bytes()
        for name in (b"orders-per-region", b"visits-per-user", b"clicks-per-session"):
            content = content.replace(name, forged[: len(name)].ljust(len(name)))
        file.write_bytes(content)
    main([
        "repair", f"--config={case.config}", f"--storage={tmp_path / 'files'}",
        "--map=file:/srv/flink=.", f"--configmaps={case.store['configmaps']}",
    ])  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("then:")] != []
    assert not any("0 err" in line for line in lines if line.startswith("then: 0"))
    assert any(r"x\n\nthen: 0" in line for line in lines)


# --- backups ---------------------------------------------------------------------------------

ENTRIES = {
    Object("znode", "/flink/c/jobs"): Held(b"", 3, null=True),
    Object("znode", "/flink/c/jobs/a"): Held(b"\x00\xff", 1),
    Object("configmap-key", "m", "k"): Held("ü".encode(), None, session=True),
}
REPAIRS = [Repair("HA302", "why", (Change(Object(FILE, "file:/x/a_DIRTY.json"), b"{", None),))]


def test_a_backup_is_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "backup.zip"
    written = write_backup(path, "zookeeper", "c", ENTRIES, REPAIRS)
    assert read_backup(path) == written
    assert written.entries == ENTRIES
    assert written.files == {"file:/x/a_DIRTY.json": b"{"}
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(BackupError, match="is there already"):
        write_backup(path, "zookeeper", "c", ENTRIES, REPAIRS)


def test_a_damaged_backup_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path, damaged = tmp_path / "backup.zip", tmp_path / "damaged.zip"
    write_backup(path, "zookeeper", "c", ENTRIES, REPAIRS)
    whole = path.read_bytes()
    good = read_backup(path)
    for place in range(0, len(whole), 7):
        for data in (
            whole[:place],
            whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :],
        ):
            damaged.write_bytes(data)
            try:
                assert read_backup(damaged) == good, "a byte that says nothing of the content"
            except BackupError as error:
                assert "backup" in str(error)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("manifest.json", "[]")
    with pytest.raises(BackupError):
        read_backup(tmp_path / "other.zip")
    with pytest.raises(BackupError, match="cannot be read"):
        read_backup(tmp_path / "absent.zip")


@pytest.mark.parametrize("name", ["zk120-healthy", "k8s120-older-ha-file-missing"])
def test_a_restore_says_that_a_jobmanager_has_run_since(name: str, tmp_path: Path) -> None:
    case = ha_cases.unpack(name, tmp_path)
    sources = Sources(config=case.config, storage=case.storage, mapping=MAPPING, **case.store)
    plan = plan_repair(sources)
    cluster = plan.before.cluster
    older = next(iter(cluster.jobs[plan_job(plan)].checkpoints)).entry
    thing, held = older.object, plan.image[older.object]
    service = "zookeeper" if cluster.backend == "zookeeper" else "kubernetes"
    gone = encode_pointer("file:/srv/flink/ha/flights-prod/completedCheckpoint000000000000", 7,
                          service)  # type: ignore[arg-type]  # fmt: skip
    changes = [Change(thing, held.value, gone, held.version)]

    def backup(created: float) -> Backup:
        return Backup(str(cluster.backend), cluster.cluster_id, created, plan.image, {})

    assert restore_warnings(sources, backup(time.time()), changes) == []
    run, lost = restore_warnings(sources, backup(1.0), changes)
    assert "a JobManager has run since the backup was made" in run
    assert str(thing) in lost or name != "zk120-healthy"


@pytest.mark.parametrize(
    ("name", "thing"),
    [
        ("zk120-healthy", Object("znode", "/flink/another-cluster/jobs")),
        ("zk120-healthy", Object("znode", "{root}/../../zookeeper/config")),
        ("zk120-healthy", Object("configmap-key", "{root}/jobs", "key")),
        ("k8s120-older-ha-file-missing", Object("configmap-key", "kube-root-ca.crt", "ca.crt")),
        ("k8s120-older-ha-file-missing", Object("znode", "/flink")),
        ("zk120-healthy", Object(FILE, "file:/etc/passwd")),
        ("zk120-healthy", Object(FILE, "file:/srv/flink/../../etc/cron.d/it")),
    ],
)
def test_a_restore_writes_nothing_that_is_not_its_clusters(
    name: str, thing: Object, tmp_path: Path
) -> None:
    """A backup is a file like any other: it was obeyed wherever it wanted to be written."""
    case = ha_cases.unpack(name, tmp_path)
    sources = Sources(config=case.config, storage=case.storage, mapping=MAPPING, **case.store)
    plan = plan_repair(sources)
    cluster = plan.before.cluster
    backend, cluster_id = str(cluster.backend), cluster.cluster_id
    assert plan_restore(sources, Backup(backend, cluster_id, 1.0, plan.image, {})) == []
    thing = Object(thing.kind, thing.name.replace("{root}", cluster.root), thing.key)
    entries, files = dict(plan.image), dict[str, bytes | None]()
    if thing.kind == FILE:
        files[thing.name] = b"it"
    else:
        entries[thing] = Held(b"it")
    with pytest.raises(ConfigurationError, match="it is not restored"):
        plan_restore(sources, Backup(backend, cluster_id, 1.0, entries, files))


def test_a_file_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was removed first, and on a full disk nothing came in its place."""
    path = tmp_path / "a_DIRTY.json"
    path.write_bytes(b"before")
    path.chmod(0o640)
    change = Change(Object(FILE, f"file:{path}"), b"before", b"after")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(StoreUnavailableError, match="could not be written"):
            repairing._write_file(change)
    assert path.read_bytes() == b"before"
    repairing._write_file(change)
    assert path.read_bytes() == b"after"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ChangedMeanwhileError, match="it was left alone"):
        repairing._write_file(change)


def test_a_backup_that_is_absurdly_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "backup.zip"
    write_backup(path, "zookeeper", "c", ENTRIES, REPAIRS)
    monkeypatch.setattr("hawork.inspect.repair.backup._LARGEST", 700)
    with pytest.raises(BackupError, match="bytes, and 700 is most"):
        read_backup(path)


def plan_job(plan: RepairPlan) -> str:
    return next(job.job_id for job in plan.before.cluster.jobs.values() if job.checkpoints)


def changed(name: str, directory: Path, store: dict[str, Any]) -> RepairPlan:
    """The plan for a case whose store is another."""
    case = ha_cases.write(
        name, directory, store, ha_cases.files_of(name), ha_cases.config_of(name), {}
    )
    return plan_repair(
        Sources(config=case.config, storage=case.storage, mapping=MAPPING, **case.store)
    )


@pytest.mark.parametrize("name", ["zk120-healthy", "k8s120-stale-leader-keys"])
def test_a_job_of_which_only_files_are_left_is_written_again_with_all_job_graphs(
    name: str, tmp_path: Path
) -> None:
    right = ha_cases.expected_of(name)["recovery"]["jobs"]
    job = next(iter(right))
    gone = ("jobgraphs", f"jobs/{job}", "cluster-config-map", f"{job}-config-map")
    store = {key: item for key, item in ha_cases.store_of(name).items()
             if not any(each in key for each in gone)}  # fmt: skip
    plan = changed(name, tmp_path, store)
    assert [repair.code for repair in plan.repairs] == ["HA206"] * 3 + ["HA207"]
    assert plan.after.alarms == []
    restored = {each: found.checkpoint for each, found in plan.after.recovery.jobs.items()}
    assert restored == {each: found["checkpoint"] for each, found in right.items()}


def test_a_leader_annotation_that_cannot_be_read_becomes_that_of_a_free_lock(
    tmp_path: Path,
) -> None:
    name = "k8s120-stale-leader-keys"
    store = copy.deepcopy(ha_cases.store_of(name))
    store["flights-prod-cluster-config-map"]["metadata"]["annotations"][LOCK] = "{oops"
    plan = changed(name, tmp_path, store)
    (change,) = plan.plan.changes
    assert (change.object.kind, change.before) == (ANNOTATION, b"{oops")
    assert plan.before.recovery.jobmanager == "never-leads"
    assert plan.after.recovery.jobmanager == "starts"
    assert change.after is not None
    written = decode_lock_record(change.after.decode())
    assert (written.holder, written.refused) == ("", "")
