"""A JobManager's configuration file, as far as the inspector needs it, and without checking it.

The cluster is broken; its configuration may be, too. An option that makes no sense is left out
and named in ``problems``, and never ends the look.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hawork.core.errors import ConfigurationError
from hawork.core.units import parse_duration
from hawork.ha.configuration_file import in_directory

__all__ = ["Settings", "backend_named", "parse_settings", "read_settings"]

MAX_BYTES: Final = 8 << 20
_FORMER_KEYS: Final = {
    "high-availability.type": ("high-availability", "recovery.mode"),
    "high-availability.cluster-id": (
        "high-availability.zookeeper.path.namespace",
        "recovery.zookeeper.path.namespace",
    ),
    "high-availability.storageDir": (
        "high-availability.zookeeper.storageDir",
        "recovery.zookeeper.storageDir",
    ),
    "high-availability.zookeeper.path.root": ("recovery.zookeeper.path.root",),
    "high-availability.zookeeper.path.jobgraphs": ("recovery.zookeeper.path.jobgraphs",),
    "state.backend.type": ("state.backend",),
    "execution.checkpointing.num-retained": ("state.checkpoints.num-retained",),
    "execution.checkpointing.dir": ("state.checkpoints.dir",),
    "execution.checkpointing.savepoint-dir": ("state.savepoints.dir",),
}
"""The names that Flink reads when the present one is not set, in its order."""


_BACKENDS: Final = {
    "hashmap": "hashmap", "memory": "hashmap", "fs": "hashmap", "jobmanager": "hashmap",
    "filesystem": "hashmap", "rocksdb": "rocksdb", "embeddedrocksdb": "rocksdb", "forst": "forst",
}  # fmt: skip


_FILES: Final = ("config.yaml", "flink-conf.yaml")
_RESULTS: Final = "job-result-store.storage-path"
_IDS: Final = (
    ("kubernetes.cluster-id", "name"), ("high-availability.cluster-id", "name"),
    ("kubernetes.namespace", "namespace"),
)  # fmt: skip
_PREFIXES: Final = (
    "high-availability", "recovery.", "jobmanager.", "taskmanager.", "state.", "execution.",
    "rest.", "kubernetes.", "job-result-store.", "parallelism.", "env.", "fs.", "s3.", "security.",
    "metrics.", "akka.", "pekko.", "blob.", "web.", "cluster.", "restart-strategy", "io.", "table.",
    "pipeline.", "yarn.", "zookeeper.", "heartbeat.", "hawork.", "slotmanager.", "classloader.",
    "dstl.", "historyserver.", "containerized.", "jobstore.", "resourcemanager.", "client.",
)  # fmt: skip
"""How the options begin that any JobManager's configuration has some of."""


@dataclass(frozen=True)
class Settings:
    """The options of a file as text; ``source`` is its name, or ``None`` when there is none."""

    values: Mapping[str, str] = field(default_factory=dict)
    source: str | None = None
    problems: tuple[str, ...] = ()

    def get(self, key: str) -> str | None:
        """The value under its present or a former name; ``None`` when it is not set."""
        for name in (key, *_FORMER_KEYS.get(key, ())):
            if value := self.values.get(name, "").strip():
                return value
        return None

    @property
    def backend(self) -> str | None:
        """``zookeeper`` or ``kubernetes``; ``None``: another one, or not known."""
        kind = (self.get("high-availability.type") or "").lower()
        if kind in ("zookeeper", "kubernetes"):
            return kind
        if kind.endswith("kuberneteshaservicesfactory"):
            return "kubernetes"
        return None

    @property
    def of_embedded_store(self) -> bool:
        """Whether hawork's own store is named, which has no server."""
        return (self.get("high-availability.type") or "").lower() == "embedded"

    @property
    def cluster_id(self) -> str | None:
        """``high-availability.cluster-id`` without slashes around it."""
        found = self.get("high-availability.cluster-id")
        return found.strip("/") if found else None

    @property
    def kubernetes_cluster_id(self) -> str | None:
        """What ConfigMaps are named by."""
        return self.get("kubernetes.cluster-id")

    @property
    def zookeeper_root(self) -> str | None:
        """The znode of the cluster. Source: ``ZooKeeperUtils.startCuratorFramework``.

        ``None`` without a configuration, and with one that says nothing of high availability.
        """
        if not any(key.startswith(("high-availability", "recovery.")) for key in self.values):
            return None
        root = (self.get("high-availability.zookeeper.path.root") or "/flink").strip("/")
        return "/" + "/".join(part for part in (root, self.cluster_id or "default") if part)

    @property
    def job_graphs_path(self) -> str:
        return (self.get("high-availability.zookeeper.path.jobgraphs") or "/jobgraphs").strip("/")

    @property
    def storage_dir(self) -> str | None:
        return self.get("high-availability.storageDir")

    @property
    def ha_directory(self) -> str | None:
        """``<storageDir>/<cluster-id>``, as a URL."""
        if self.storage_dir is None:
            return None
        return f"{self.storage_dir.rstrip('/')}/{self.cluster_id or 'default'}"

    @property
    def job_result_directory(self) -> str | None:
        """Source: ``FileSystemJobResultStore.createDefaultJobResultStorePath``."""
        if given := self.get("job-result-store.storage-path"):
            return given
        if self.storage_dir is None:
            return None
        folder = posixpath.join("job-result-store", self.cluster_id or "default")
        return f"{self.storage_dir.rstrip('/')}/{folder}"

    @property
    def retained(self) -> int | None:
        """``execution.checkpointing.num-retained``; Flink's own is 1, and at least 1."""
        if self.source is None:
            return None
        text = self.get("execution.checkpointing.num-retained")
        try:
            return max(1, int(text)) if text else 1
        except ValueError:
            return None

    @property
    def state_backend(self) -> str:
        """That of jobs which do not name their own; Flink's own is ``hashmap``."""
        return backend_named(self.get("state.backend.type")) or "hashmap"

    def duration(self, key: str) -> float | None:
        """Seconds of an option; ``None`` when it is not set, or is not a duration."""
        text = self.get(key)
        if text is None:
            return None
        try:
            return parse_duration(text)
        except ValueError:
            return None


def backend_named(name: str | None) -> str | None:
    """``hashmap``, ``rocksdb``, ``forst``, or the name itself.

    ``name`` is what an option says: a short name, also a former one, or the class of a backend or
    of its factory.
    """
    if not name:
        return None
    simple = name.rpartition(".")[2].removesuffix("Factory").lower()
    return _BACKENDS.get(simple.removesuffix("statebackend"), name)


def read_settings(path: Path | str) -> Settings:
    """The options of ``config.yaml`` or ``flink-conf.yaml``, or of their directory.

    ``ConfigurationError`` when the file cannot be read at all.
    """
    path = in_directory(Path(path))
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(
            f"configuration file {path} cannot be read: {error.strerror or error}"
        ) from None
    if len(content) > MAX_BYTES:
        raise ConfigurationError(f"configuration file {path} has more than {MAX_BYTES} bytes")
    return parse_settings(content.decode("utf-8", "replace"), str(path))


def parse_settings(text: str, name: str) -> Settings:
    """The same of text; a file named ``flink-conf.yaml`` is read line by line."""
    tree = None if name.endswith("flink-conf.yaml") else _tree(text)
    if isinstance(tree, dict) and "apiVersion" in tree and "kind" in tree:
        return _of_kubernetes(tree, name)
    values = _flat(tree) if isinstance(tree, dict) else _lines(text)
    if values and not any(key.startswith(_PREFIXES) for key in values):
        return Settings(problems=(
            f"{name} has no option of Flink's: give the JobManager's config.yaml or "
            "flink-conf.yaml, the ConfigMap that it is in, or the FlinkDeployment",
        ))  # fmt: skip
    return Settings(values, name, tuple(_problems(values)))


def _of_kubernetes(thing: Mapping[str, Any], name: str) -> Settings:
    """What ``kubectl get -o yaml`` prints of what holds a configuration: its ConfigMap, or the
    ``FlinkDeployment`` of the Flink Kubernetes Operator.

    Source: ``FlinkConfMountDecorator``, which names the file; ``FlinkConfigBuilder``,
    ``ApplicationReconciler`` and ``KubernetesClusterDescriptor``, which set the ids; and the folder
    of results, a new one for each start.
    """
    found = []
    for item in _items(thing):
        data, spec, metadata = (_map(item, key) for key in ("data", "spec", "metadata"))
        for file in _FILES:
            if isinstance(data.get(file), str):
                found.append(parse_settings(data[file], f"{name} ({file})"))
                break
        else:
            if item.get("kind") == "FlinkDeployment":
                values = {key: str(metadata[each]) for key, each in _IDS if each in metadata}
                job = _map(_map(item, "status"), "jobStatus").get("jobId")
                if isinstance(job, str) and "job" in spec:
                    values["$internal.pipeline.job-id"] = job
                values |= _flat(_map(spec, "flinkConfiguration"))
                problems = _problems(values)
                if "job" in spec and _RESULTS not in values:
                    problems.append(
                        f"results of jobs lie where the operator chose, by {_RESULTS} in the "
                        f"ConfigMap flink-config-{metadata.get('name', '')}: give that"
                    )
                found.append(Settings(values, name, tuple(problems)))
    if len(found) == 1:
        return found[0]
    amount = f"{len(found)} configurations" if found else "no configuration"
    return Settings(problems=(f"{name} has {amount} of Flink's in it: give one",))


def _items(thing: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    items = thing.get("items")
    if not isinstance(items, list):
        return [thing]
    return [item for item in items if isinstance(item, dict)]


def _map(thing: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = thing.get(key)
    return value if isinstance(value, dict) else {}


def _tree(text: str) -> Any:
    import yaml

    # Only texts, lists and maps come out of it.
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        return yaml.load(text, Loader=loader)
    except (yaml.YAMLError, RecursionError, ValueError):
        return None  # Flink would not start on it either, but its lines still tell much.


def _flat(tree: Mapping[Any, Any]) -> dict[str, str]:
    """Nested keys joined by dots; what contains itself is left out."""
    values: dict[str, str] = {}
    waiting: list[tuple[str, Any, int]] = [("", tree, 0)]
    while waiting:
        name, value, depth = waiting.pop()
        if isinstance(value, dict):
            if depth < 20:
                waiting.extend(
                    (f"{name}.{key}" if name else str(key), below, depth + 1)
                    for key, below in value.items()
                )
        elif isinstance(value, list):
            values[name] = ";".join(str(each) for each in value if isinstance(each, str))
        else:
            values[name] = str(value)
    return values


def _lines(text: str) -> dict[str, str]:
    """Source: ``GlobalConfiguration.loadLegacyYAMLResource``: the last of equal keys wins."""
    values = {}
    for line in text.splitlines():
        key, separator, value = line.partition("#")[0].partition(": ")
        if separator and key.strip():
            values[key.strip()] = value.strip()
    return values


def _problems(values: Mapping[str, str]) -> list[str]:
    found = []
    for key in sorted(values):
        if key.endswith(("-timeout", "-duration", "-deadline", "-period")):
            try:
                parse_duration(values[key])
            except ValueError as error:
                found.append(f"option {key} is {values[key]!r}: {error}")
    return found
