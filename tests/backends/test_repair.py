"""Repairs of living stores: written on conditions, and taken back byte for byte."""

from __future__ import annotations

import datetime
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hawork.backends.kubernetes.layout import LOCK
from hawork.cli.main import main
from hawork.inspect.repair.backup import read_backup
from hawork.inspect.repair.repairing import (
    LeaderRunsError,
    RepairPlan,
    apply,
    plan_repair,
    plan_restore,
    restore,
)
from hawork.inspect.repair.writers import ChangedMeanwhileError
from hawork.inspect.sources import Sources
from tests.contract.kubernetes_server import shared_control_plane
from tests.contract.zookeeper_harness import shared_servers
from tests.interop.flink_stores import Entries, Entry, FlinkStore, KubernetesStore, ZooKeeperStore
from tests.unit import ha_cases

CASES = {
    "zookeeper": ("zk120-newest-ha-file-missing", 8),
    "kubernetes": ("k8s120-older-ha-file-missing", 11),
}


class Broken:
    """The data of a broken cluster in a living store, under a name of its own."""

    def __init__(self, store: FlinkStore, name: str, directory: Path) -> None:
        case = ha_cases.unpack(name, directory)
        cluster = store.options["high-availability.cluster-id"]
        self.store = store
        self.job = case.expected["job"]
        if isinstance(store, ZooKeeperStore):
            text = case.store["zookeeper_dump"].read_text()
            text = text.replace("/flink/flights-prod", f"/flink/{cluster}")
            nodes = json.loads(text)
            store.write([each for each in nodes if each["path"].startswith(f"/flink/{cluster}")])
        else:
            text = case.store["configmaps"].read_text().replace("flights-prod", cluster)
            store.write(yaml.safe_load(text)["items"])
        options = {
            **yaml.safe_load(case.config.read_text()),
            **store.options,
            # Files are found by the cluster-id; ConfigMaps by that of Kubernetes.
            "high-availability.cluster-id": cluster,
        }
        config = directory / "conf" / "config.yaml"
        config.parent.mkdir()
        config.write_text("".join(f"{key}: {json.dumps(options[key])}\n" for key in options))
        self.sources = Sources(
            config=config, storage=case.storage, mapping={"file:/srv/flink": "."}, store_itself=True
        )

    def plan(self) -> RepairPlan:
        return plan_repair(self.sources)


@pytest.fixture(params=["zookeeper", "kubernetes"])
def broken(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broken]:
    store: ZooKeeperStore | KubernetesStore
    if request.param == "zookeeper":
        store = ZooKeeperStore(shared_servers())
    else:
        store = KubernetesStore(shared_control_plane())
    yield Broken(store, CASES[request.param][0], tmp_path)
    store.close()


def said(entries: Entries) -> dict[str, object]:
    return {each.get("path") or each["metadata"]["name"]: each.get("data") for each in entries}


def test_a_repair_is_written_and_taken_back(broken: Broken, tmp_path: Path) -> None:
    before = said(broken.store.read())
    planned = broken.plan()
    assert {repair.code for repair in planned.repairs} == {"HA101"}
    told: list[str] = []
    after = apply(planned, tmp_path / "backup.zip", told.append)
    assert "HA101" not in {finding.code for finding in after.alarms}
    assert after.recovery.jobs[broken.job].checkpoint == CASES[broken.store.kind][1]
    assert len(told) == 1 + len(planned.plan.changes)
    assert said(broken.store.read()) != before
    changes = plan_restore(broken.sources, read_backup(tmp_path / "backup.zip"))
    restore(broken.sources, changes, told.append)
    assert said(broken.store.read()) == before
    assert plan_restore(broken.sources, read_backup(tmp_path / "backup.zip")) == []


def test_what_has_changed_since_is_not_written_over(broken: Broken, tmp_path: Path) -> None:
    planned = broken.plan()
    pointer = next(change for change in planned.plan.changes if change.before)
    entry = Entry(pointer.object.name, pointer.object.key)
    broken.store.set(entry, b"another hand was here")
    before = said(broken.store.read())
    with pytest.raises(ChangedMeanwhileError, match="has changed since it was looked at"):
        apply(planned, tmp_path / "backup.zip", lambda _: None)
    assert said(broken.store.read()) == before
    assert not (tmp_path / "backup.zip").exists()


def test_nothing_is_written_while_a_jobmanager_leads(
    broken: Broken, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = said(broken.store.read())
    ended = threading.Event()
    renewing = threading.Thread(target=lambda: renew(broken.store, ended))
    if isinstance(broken.store, ZooKeeperStore):
        path = broken.store.path("leader", "latch", "_c_1-latch-0000000000")
        broken.store.client.create(path, ephemeral=True, makepath=True)
        before = said(broken.store.read())
    else:
        renew(broken.store, None)
        renewing.start()
    try:
        with pytest.raises(LeaderRunsError, match="a JobManager leads"):
            apply(broken.plan(), tmp_path / "backup.zip", lambda _: None)
        config = tmp_path / "config.yaml"
        # Where the files were once; on this machine something else may be at that place.
        elsewhere = str(tmp_path / "gone")
        config.write_text(
            Path(str(broken.sources.config)).read_text().replace("/srv/flink", elsewhere)
        )
        assert main(["repair", f"--config={config}", "--apply"]) == 2, "storageDir is not here"
        assert "not looked at" in capsys.readouterr().out
    finally:
        ended.set()
        if renewing.is_alive():
            renewing.join()
    assert said(broken.store.read()) == before
    assert not list(tmp_path.glob("*.zip"))


def renew(store: FlinkStore, ended: threading.Event | None) -> None:
    """Renew the lease of a leader until ``ended``; once without it."""
    assert isinstance(store, KubernetesStore)
    while True:
        now = datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z")
        record = {
            "holderIdentity": "a-jobmanager", "leaseDuration": 1.0, "acquireTime": now,
            "renewTime": now, "leaderTransitions": 0,
        }  # fmt: skip
        store.annotate(LOCK, json.dumps(record))
        if ended is None or ended.wait(0.2):
            return
