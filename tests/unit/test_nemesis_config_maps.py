"""The history of ConfigMaps where an API server forgets the past: ``outdate_watches``."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes import client, config, watch
from kubernetes.client import ApiException

from hawork.backends.kubernetes.layout import LOCK, Names
from hawork.lab.nemesis.config_maps import ConfigMapHistory
from hawork.testing import eventually

MAP = Names("lab").cluster_map
FORGOTTEN = 5
"""Watches from before this version are refused."""


def cluster_map(version: int, holder: str, **data: str) -> SimpleNamespace:
    lock = json.dumps({"holderIdentity": holder, "renewed": version})
    metadata = SimpleNamespace(name=MAP, resource_version=str(version), annotations={LOCK: lock})
    return SimpleNamespace(metadata=metadata, data=data)


class Server:
    """An API server with one ConfigMap: what it remembers of it, and what it is now."""

    def __init__(self, *versions: SimpleNamespace) -> None:
        self._before, *self._later = versions
        self._asked = threading.Event()

    def list_namespaced_config_map(self, **_: object) -> SimpleNamespace:
        now = self._later[0] if self._asked.is_set() else self._before
        version = now.metadata.resource_version
        return SimpleNamespace(items=[now], metadata=SimpleNamespace(resource_version=version))

    def stream(self, *_: object, resource_version: str, **__: object) -> Iterator[dict[str, Any]]:
        self._asked.set()
        if int(resource_version) < FORGOTTEN:
            raise ApiException(status=410)
        for each in self._later:
            if int(each.metadata.resource_version) > int(resource_version):
                yield {"type": "MODIFIED", "object": each}


def judged(
    monkeypatch: pytest.MonkeyPatch, *versions: SimpleNamespace, flink: bool = False
) -> tuple[int, list[str]]:
    server = Server(*versions)
    monkeypatch.setattr(config, "new_client_from_config", lambda _: None)
    monkeypatch.setattr(client, "CoreV1Api", lambda _: server)
    monkeypatch.setattr(watch, "Watch", lambda: server)
    last = versions[-1].metadata.resource_version
    plane: Any = SimpleNamespace(kubeconfig=lambda _: Path(), namespace="hawork")
    history = ConfigMapHistory(plane, "lab", flink=flink)
    eventually(lambda: history._judge.versions()[MAP] == last)
    return history.judge()


def test_what_was_only_renewed_meanwhile_is_judged_on(monkeypatch: pytest.MonkeyPatch) -> None:
    writes, broken = judged(
        monkeypatch, cluster_map(3, "a"), cluster_map(6, "a"), cluster_map(7, "b"),
        cluster_map(8, "a"),
    )  # fmt: skip
    assert writes == 0
    assert broken == [f"{MAP} at version 8: the lock came back to a"]


def test_of_what_was_not_seen_none_is_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    writes, broken = judged(
        monkeypatch, cluster_map(3, "a"), cluster_map(6, "b"), cluster_map(7, "a")
    )
    assert (writes, broken) == (0, [])


@pytest.mark.parametrize(("holder", "wrong"), [("a", 0), ("b", 1)])
def test_a_process_of_flink_leads_again_under_its_name_and_writes_while_it_leads(
    monkeypatch: pytest.MonkeyPatch, holder: str, wrong: int
) -> None:
    graph = {"jobGraph-1": "bytes"}
    writes, broken = judged(
        monkeypatch, cluster_map(6, "a"), cluster_map(7, "b"), cluster_map(8, "a"),
        cluster_map(9, holder, **graph), flink=True,
    )  # fmt: skip
    assert (writes, len(broken)) == (1, wrong)
