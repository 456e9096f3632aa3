"""Finding an API server of Kubernetes and its etcd on this machine.

Looked at in this order: ``KUBEBUILDER_ASSETS``, which is what envtest uses; what
``scripts/kube-assets`` has built in the user's cache folder; and the path of programs, where
conda-forge's ``kubernetes-server`` puts them.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hawork.core.errors import LabError
from hawork.core.user_files import expanded, is_directory, is_file

ASSETS = "KUBEBUILDER_ASSETS"
NAMES = ("etcd", "kube-apiserver")
FIX = (
    f"run scripts/kube-assets in hawork's sources on Debian, 'setup-envtest use -p path', or "
    f"'conda install kubernetes-server etcd', and set {ASSETS} to the directory of both programs"
)


@dataclass(frozen=True, slots=True)
class KubernetesPrograms:
    """The paths of the two programs that make a control plane."""

    etcd: str
    kube_apiserver: str

    @classmethod
    def find(cls) -> KubernetesPrograms:
        """The first ones installed. ``LabError`` says what to install when there are none."""
        assets = os.environ.get(ASSETS)
        if assets:
            missing = [name for name in NAMES if not _runs(Path(assets) / name)]
            if missing:
                raise LabError(f"{ASSETS} is {assets}, which lacks {' and '.join(missing)}: {FIX}")
            return cls(*(str(Path(assets) / name) for name in NAMES))
        for directory in _built():
            if all(_runs(directory / name) for name in NAMES):
                return cls(*(str(directory / name) for name in NAMES))
        etcd, kube_apiserver = map(shutil.which, NAMES)
        if etcd is None or kube_apiserver is None:
            missing = [name for name in NAMES if shutil.which(name) is None]
            raise LabError(f"no Kubernetes: {' and '.join(missing)} not found: {FIX}")
        return cls(etcd, kube_apiserver)

    def version(self) -> tuple[int, int] | None:
        """Of the API server, such as ``(1, 20)``; ``None`` when it does not say."""
        return _version(self.kube_apiserver)


@functools.cache
def _version(program: str) -> tuple[int, int] | None:
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=30, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None  # starting it will say why
    found = re.match(r"Kubernetes v(\d+)\.(\d+)\.", said)
    return (int(found[1]), int(found[2])) if found else None


def _built() -> list[Path]:
    """What scripts/kube-assets has made, the newest first."""
    named = os.environ.get("KUBE_ASSETS_DIR")
    cache = Path(named) if named else expanded("~/.cache/kube-assets")
    folders: list[Path] = []
    with contextlib.suppress(OSError):  # a home that is another user's
        folders += [path for path in cache.iterdir() if is_directory(path)]
    return sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True)


def _runs(program: Path) -> bool:
    return is_file(program) and os.access(program, os.X_OK)
