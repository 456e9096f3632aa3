"""What hawork must be allowed to do with the ConfigMaps of its namespace: the exact minimum.

Looking for a leader takes the first three verbs, standing in the election and keeping HA data
all of them. There is no ``update``: every write is a patch of what changed.
"""

from collections.abc import Iterable
from typing import Any

READING = ("get", "list", "watch")
WRITING = ("create", "patch", "delete")
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
