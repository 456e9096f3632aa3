"""HA data of real Flink clusters, whole and broken, with what a right inspector says of each.

Three clusters (``<base>.tar.xz``: the files of its storage) and what each case changes in one
(``cases.json.xz``): znodes or ConfigMaps, files, configuration. ``unpack`` builds a case again,
``python -m ha_cases DIR``, from here, packs a directory of whole ones (``pack``).
"""

from __future__ import annotations

import base64
import functools
import io
import json
import lzma
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
BASES = {"zk119": "open-zk119-healthy", "zk120": "open-zk120-healthy",
         "k8s120": "open-k8s120-stale-leader-keys"}  # fmt: skip
KEPT = ("fault", "backend", "flink_version", "cluster_id", "jobs", "job", "findings", "recovery",
        "dump_taken_at")  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A case on disk: what the command line is given, and what is expected."""

    name: str
    directory: Path
    expected: dict[str, Any]

    @property
    def config(self) -> Path:
        return self.directory / "config.yaml"

    @property
    def store(self) -> dict[str, Path]:
        """The store's dump, by the name of its option."""
        dump = self.directory / "zookeeper.json"
        if dump.exists():
            return {"zookeeper_dump": dump}
        return {"configmaps": self.directory / "configmaps.yaml"}

    @property
    def storage(self) -> Path:
        return self.directory / "storage.tar"


@functools.cache
def packed() -> dict[str, Any]:
    with lzma.open(HERE / "cases.json.xz") as file:
        return dict(json.load(file))


def names() -> list[str]:
    return sorted(packed()["cases"])


@functools.cache
def base_files(base: str) -> dict[str, tuple[bytes, float]]:
    return _files(HERE / f"{base}.tar.xz")


def files_of(name: str) -> dict[str, tuple[bytes, float]]:
    """Content and time of every file of a case's storage."""
    case = packed()["cases"][name]
    files = dict(base_files(case["base"]))
    for gone in case["gone"]:
        del files[gone]
    for path, (content, modified) in case["files"].items():
        files[path] = (base64.b64decode(content), modified)
    return files


def store_of(name: str) -> dict[str, Any]:
    """The znodes by path, or the ConfigMaps by name, of a case."""
    case = packed()["cases"][name]
    store = dict(packed()["stores"][case["base"]])
    for gone in case["store_gone"]:
        del store[gone]
    for key, changed in case["store"].items():
        store[key] = _merged(store.get(key), changed)
    return store


def config_of(name: str) -> str:
    case = packed()["cases"][name]
    return str(case["config"] or packed()["configs"][case["base"]])


def expected_of(name: str) -> dict[str, Any]:
    return dict(packed()["cases"][name]["expected"])


def unpack(name: str, directory: Path) -> Case:
    """Build a case in ``directory``."""
    return write(
        name, directory, store_of(name), files_of(name), config_of(name), expected_of(name)
    )


def write(
    name: str,
    directory: Path,
    store: dict[str, Any],
    files: dict[str, tuple[bytes, float]],
    config: str,
    expected: dict[str, Any],
) -> Case:
    """Write a cluster as an engineer would have it."""
    case = Case(name, directory, expected)
    case.config.write_text(config)
    if any(key.startswith("/") for key in store):
        (directory / "zookeeper.json").write_text(json.dumps(list(store.values())))
    else:
        dump = {"apiVersion": "v1", "kind": "List", "items": list(store.values())}
        (directory / "configmaps.yaml").write_text(json_as_yaml(dump))
    with tarfile.open(case.storage, "w") as tar:
        for path, (content, modified) in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mtime = len(content), int(modified)
            tar.addfile(member, io.BytesIO(content))
    return case


def json_as_yaml(value: Any) -> str:
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump(value, Dumper=dumper, allow_unicode=True))


def _merged(before: Any, change: Any) -> Any:
    """``change`` over ``before``; ``{"-": [...]}`` names keys that are gone."""
    if not isinstance(before, dict) or not isinstance(change, dict):
        return change
    after = {key: value for key, value in before.items() if key not in change.get("-", ())}
    for key, value in change.items():
        if key != "-":
            after[key] = _merged(before.get(key), value)
    return after


def _difference(before: Any, after: Any) -> Any:
    if not isinstance(before, dict) or not isinstance(after, dict):
        return after
    changed = {key: _difference(before.get(key), value) for key, value in after.items()
               if before.get(key) != value or key not in before}  # fmt: skip
    gone = [key for key in before if key not in after]
    return {**changed, **({"-": gone} if gone else {})}


def _files(path: Path) -> dict[str, tuple[bytes, float]]:
    found = {}
    with tarfile.open(path) as tar:
        for member in tar:
            if member.isfile():
                file = tar.extractfile(member)
                assert file is not None
                found[member.name] = (file.read(), member.mtime)
    return found


def _store(directory: Path) -> dict[str, Any]:
    if (directory / "zookeeper.json").exists():
        nodes = json.loads((directory / "zookeeper.json").read_text())
        return {node["path"]: node for node in nodes}
    dump = yaml.load((directory / "configmaps.yaml").read_text(), Loader=yaml.CSafeLoader)
    return {item["metadata"]["name"]: item for item in dump["items"]}


def pack(root: Path) -> None:
    stores, configs, files = {}, {}, {}
    for base, name in BASES.items():
        stores[base] = _store(root / name)
        configs[base] = (root / name / "config.yaml").read_text()
        files[base] = _files(root / name / "storage.tar.xz")
        (HERE / f"{base}.tar.xz").write_bytes((root / name / "storage.tar.xz").read_bytes())
    cases = {}
    for directory in sorted(root.glob("*/expected.json")):
        folder = directory.parent
        expected = json.loads(directory.read_text())
        base = expected["base"]
        store, present = _store(folder), _files(folder / "storage.tar.xz")
        config = (folder / "config.yaml").read_text()
        cases[folder.name.removeprefix("open-")] = {
            "base": base,
            "config": None if config == configs[base] else config,
            "store_gone": [key for key in stores[base] if key not in store],
            "store": {key: _difference(stores[base].get(key), value)
                      for key, value in store.items() if stores[base].get(key) != value},
            "gone": [path for path in files[base] if path not in present],
            "files": {path: (base64.b64encode(content).decode(), modified)
                      for path, (content, modified) in present.items()
                      if files[base].get(path) != (content, modified)},
            "expected": {key: expected[key] for key in KEPT},
        }  # fmt: skip
    whole = {"stores": stores, "configs": configs, "cases": cases}
    text = json.dumps(whole, separators=(",", ":")).encode()
    (HERE / "cases.json.xz").write_bytes(lzma.compress(text, preset=9))
