"""What a user of the lab's API server may do: objects of RBAC, and kubeconfig files."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from hawork.backends.kubernetes.rights import READING, WRITING

RBAC = "rbac.authorization.k8s.io"
JOB_MANAGER_VERBS = (*READING, *WRITING)
"""On ConfigMaps: all that hawork ever asks for. Real Flink needs ``update`` as well."""
FLINK_JOB_MANAGER_VERBS = (*JOB_MANAGER_VERBS, "update")
"""On ConfigMaps: real Flink 1.20 patches its lock and replaces everything else."""
TASK_MANAGER_VERBS = READING
"""On ConfigMaps: a TaskManager retrieves the leader and writes nothing."""


def role(name: str, verbs: Iterable[str]) -> dict[str, Any]:
    """A Role that allows ``verbs`` on the ConfigMaps of its namespace."""
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": list(verbs)}
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "Role",
        "metadata": {"name": name},
        "rules": [rule] if rule["verbs"] else [],
    }


def role_binding(name: str, user: str) -> dict[str, Any]:
    """The RoleBinding that gives the Role of the same name to a user."""
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name},
        "subjects": [{"kind": "User", "name": user, "apiGroup": RBAC}],
        "roleRef": {"kind": "Role", "name": name, "apiGroup": RBAC},
    }


def write_kubeconfig(
    file: Path, server: str, ca_file: Path, user: str, token: str, namespace: str
) -> None:
    """A kubeconfig with one context, named as the user; readable by its owner only."""
    authority = base64.b64encode(ca_file.read_bytes()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": user,
        "contexts": [
            {"name": user, "context": {"cluster": "lab", "user": user, "namespace": namespace}}
        ],
        "clusters": [
            {"name": "lab", "cluster": {"server": server, "certificate-authority-data": authority}}
        ],
        "users": [{"name": user, "user": {"token": token}}],
    }
    text = yaml.safe_dump(config, sort_keys=False)
    if not file.exists() or file.read_text(encoding="utf-8") != text:  # somebody may be reading
        file.touch(0o600)
        file.write_text(text, encoding="utf-8")
