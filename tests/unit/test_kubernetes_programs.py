"""The version of an API server: it decides what is switched off."""

from __future__ import annotations

from pathlib import Path

import pytest

from hawork.servers.kubernetes.program import KubernetesPrograms


@pytest.mark.parametrize(
    ("says", "version"),
    [
        ("Kubernetes v1.20.2", (1, 20)),
        ("Kubernetes v1.31.0-rc.1+k3s1", (1, 31)),
        ("Kubernetes v1", None),
        ("", None),
    ],
)
def test_a_server_is_asked_for_its_version(
    tmp_path: Path, says: str, version: tuple[int, int] | None
) -> None:
    program = tmp_path / "kube-apiserver"
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    assert KubernetesPrograms("etcd", str(program)).version() == version


def test_a_server_that_cannot_be_started_has_none(tmp_path: Path) -> None:
    assert KubernetesPrograms("etcd", str(tmp_path / "missing")).version() is None
