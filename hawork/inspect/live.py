"""A living cluster: its HA store and its files, found by its configuration. Only reads."""

from __future__ import annotations

from pathlib import Path

from hawork.backends.embedded.directory import directory_of
from hawork.backends.embedded.layout import DATABASE
from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.core.errors import ConfigurationError, HaworkError
from hawork.ha.configuration_file import load_configuration
from hawork.inspect.archive import UnionStorage, open_storage
from hawork.inspect.configmaps import Dump
from hawork.inspect.embedded import EmbeddedStore
from hawork.inspect.settings import Settings
from hawork.inspect.storage import Storage
from hawork.inspect.stored_files import comparable_url
from hawork.inspect.znodes import ZooKeeperTree

__all__ = ["live_storage", "read_live_store"]

_DIRECTORIES = (
    "high-availability.storageDir",
    "job-result-store.storage-path",
    "execution.checkpointing.dir",
    "state.checkpoints.dir",
    "execution.checkpointing.savepoint-dir",
    "state.savepoints.dir",
    "state.changelog.dstl.dfs.base-path",
    "dstl.dfs.base-path",
)
"""Where a cluster has files that its HA data lead to; the last but one is so called since 1.20."""


def read_live_store(given: Path | str | Configuration) -> Dump | ZooKeeperTree | EmbeddedStore:
    """What the HA store of this ``config.yaml`` holds now.

    ``ConfigurationError`` for a store of another type, or whose package is not installed;
    ``StoreUnavailableError`` when it does not answer.
    """
    config = given if isinstance(given, Configuration) else load_configuration(given)
    kind = str(config.get_option(options.HA_TYPE))
    try:
        if kind == "zookeeper":
            from hawork.inspect.live_zookeeper import read_live_zookeeper

            return read_live_zookeeper(config)
        if kind == "kubernetes":
            from hawork.inspect.live_kubernetes import read_live_kubernetes

            return read_live_kubernetes(config)
        if kind == "embedded":
            from hawork.inspect.embedded import read_embedded_store

            return read_embedded_store(directory_of(config) / DATABASE)
    except ImportError as error:
        raise ConfigurationError(
            f"high-availability.type {kind} needs a package that is not installed ({error}): "
            f"install 'hawork[{kind}]'"
        ) from None
    raise ConfigurationError(
        f"high-availability.type is {kind}: a store of this type is not looked into, only "
        "zookeeper, kubernetes and embedded are"
    )


def live_storage(settings: Settings) -> tuple[Storage, dict[str, str], list[str]]:
    """The directories that the configuration names: as one storage, by URL, and what is amiss."""
    parts: dict[str, Storage] = {}
    mapping: dict[str, str] = {}
    problems: list[str] = []
    urls = {comparable_url(url) for key in _DIRECTORIES if (url := settings.get(key))}
    for url in sorted(urls):
        if any(url.startswith(f"{other.rstrip('/')}/") for other in mapping):
            continue  # a directory below one that is listed
        try:
            storage = open_storage(url if "://" in url else url.removeprefix("file:"))
        except HaworkError as error:
            problems.append(str(error))
            continue
        prefix = url.partition(":")[2].strip("/")
        parts[prefix] = storage
        mapping[url] = prefix
    return UnionStorage(parts), mapping, problems
