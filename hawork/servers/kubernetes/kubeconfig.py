"""What a user of the lab's API server may do: objects of RBAC, and kubeconfig files."""

from __future__ import annotations

import base64
from pathlib import Path

import yaml

from hawork.core.private_files import write_private


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
    if not file.exists() or file.read_text(encoding="utf-8") != text:  # it may be read just now
        write_private(file, text)
