"""What the inspector is given: a store or a dump of one, a storage, a configuration."""

from __future__ import annotations

import contextlib
import json
import posixpath
import tempfile
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hawork.backends.embedded.layout import DATABASE
from hawork.core.configuration import Configuration
from hawork.core.errors import ConfigurationError, HaworkError, StoreUnavailableError
from hawork.core.user_files import absolute
from hawork.inspect.archive import FileStorage, ZipStorage, open_storage
from hawork.inspect.cluster import Cluster, LeaderAddress, Leadership, Moment
from hawork.inspect.configmap_keys import read_config_maps
from hawork.inspect.configmaps import MAX_BYTES, Dump, parse_configmaps, read_configmaps
from hawork.inspect.embedded import EmbeddedStore, read_embedded_store
from hawork.inspect.entries import Entry
from hawork.inspect.errors import UndecodableError
from hawork.inspect.finding import Object
from hawork.inspect.live import live_storage, read_live_store
from hawork.inspect.probes import probe
from hawork.inspect.settings import Settings, parse_settings, read_settings
from hawork.inspect.storage import Storage, StoredFile, read_file
from hawork.inspect.stored_files import StoredFiles, comparable_url
from hawork.inspect.tar import is_tar
from hawork.inspect.znode_tree import read_znodes
from hawork.inspect.znodes import ZNode, ZooKeeperTree, session_text
from hawork.inspect.zookeeper_data import is_server_file, read_zookeeper_data
from hawork.inspect.zookeeper_dumps import read_zookeeper_dump
from hawork.story.packed_files import DAMAGED, open_unpacked, read_unpacked

__all__ = [
    "FORMAT", "Raw", "Repairable", "Sources", "cluster_of", "member_of", "read_sources",
    "read_store", "znodes_into",
]  # fmt: skip

Raw = Dump | ZooKeeperTree | EmbeddedStore
"""What a store holds, not yet understood."""
Repairable = Dump | ZooKeeperTree
"""Stores of Flink's; what is damaged in hawork's own, hawork passes over by itself."""
FORMAT: Final = 1
"""Of a saved case."""
_MOST: Final = 10_000
_HEAD: Final = 1 << 12
_STORAGE: Final = "storage/"
_BY_BYTES: Final = "storage-by-bytes/"


def member_of(name: str) -> str:
    """Where in a saved case a file of storageDir is. Names in a zip are text; others go by bytes.

    >>> member_of("ha/x"), member_of("ha/\\udcff")
    ('storage/ha/x', 'storage-by-bytes/68612fff')
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        return f"{_BY_BYTES}{name.encode('utf-8', 'surrogateescape').hex()}"
    return f"{_STORAGE}{name}"


@dataclass(frozen=True)
class Sources:
    """Paths as they stand on the command line; ``mapping`` is that of ``--map``."""

    config: Path | str | Configuration | None = None
    configmaps: Path | str | None = None
    zookeeper_dump: Path | str | None = None
    zookeeper_data: Path | str | None = None
    storage: Path | str | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    case: Path | str | None = None
    """What ``--save`` wrote; nothing else is looked at then."""
    store_itself: bool = False
    """Ask the store itself also where its files are given."""

    @property
    def has_dump(self) -> bool:
        """Whether a dump of the store was given."""
        dumps = (self.configmaps, self.zookeeper_dump, self.zookeeper_data, self.case)
        return any(dump is not None for dump in dumps)

    @property
    def live(self) -> bool:
        """Whether the cluster itself is to be looked at: nothing of it was given but its options.

        A storage beside the options is part of a dump: then no server is asked for anything, unless
        it is asked for.
        """
        given = self.has_dump or (self.storage is not None and not self.store_itself)
        return self.config is not None and not given

    def newest_change(self) -> float:
        """When the store's dump was written; it is not older than what is in it."""
        times = []
        for given in (self.configmaps, self.zookeeper_dump, self.zookeeper_data):
            if given is None:
                continue
            path = Path(given)
            with contextlib.suppress(OSError):
                # A folder is as old as its newest name, its files go on being written.
                inside = sorted(path.iterdir())[:_MOST] if path.is_dir() else []
                times += [each.stat().st_mtime for each in (path, *inside)]
        return max(times, default=time.time())


def read_sources(sources: Sources) -> Cluster:
    """Everything that the sources have in them, not yet followed to the files.

    ``ConfigurationError`` for a source that is not there, or is not what it should be.
    """
    try:
        return cluster_of(sources, read_store(sources))
    except HaworkError as error:
        if not sources.live:
            raise
        return cluster_of(sources, None, str(error))


def read_store(sources: Sources) -> Raw | None:
    """The store as its dump has it, or as it is now; ``None`` when no store was given.

    ``ConfigurationError`` for a dump that is none, ``StoreUnavailableError`` for a store that does
    not answer.
    """
    if sources.case is not None:
        found = read_case(Path(sources.case))
        return found.tree if found.tree is not None else Dump(found.maps)
    if sources.configmaps is not None:
        try:
            return read_configmaps(sources.configmaps)
        except ConfigurationError as error:
            raise ConfigurationError(f"{error}{_meant_for(Path(sources.configmaps))}") from None
    if sources.zookeeper_dump is not None:
        path = Path(sources.zookeeper_dump)
        try:
            return read_zookeeper_dump(read_unpacked(path, MAX_BYTES))
        except UndecodableError as error:
            raise ConfigurationError(f"{path}: {error}{_meant_for(path)}") from None
    if sources.zookeeper_data is not None:
        path = Path(sources.zookeeper_data)
        try:
            given = FileStorage(path) if is_server_file(path) else open_storage(str(path))
        except ConfigurationError as error:
            raise ConfigurationError(f"{error}{_meant_for(path)}") from None
        return read_zookeeper_data(given)
    if sources.config is None or not sources.live:
        return None
    return read_live_store(sources.config)


def _meant_for(path: Path) -> str:
    """The end of a sentence on a file that was given with the wrong option; empty otherwise."""
    try:
        if is_server_file(path) or (path.is_file() and is_tar(path)):
            return ". Is it a server's own data? Give it with --zookeeper-data"
        if not path.is_file():
            return ""
        with open_unpacked(path) as file:
            head = file.read(_HEAD).lstrip()
    except (HaworkError, *DAMAGED):
        return ""
    if b"apiVersion" in head:
        return ". It is what kubectl prints: give it with --configmaps"
    if head.startswith((b"[", b"{")) and (b'"path"' in head or b'"/' in head):
        return ". It is a dump of znodes: give it with --zookeeper-dump"
    return ""


def cluster_of(sources: Sources, raw: Raw | None, missed: str = "") -> Cluster:
    """The cluster that a store's entries are of; ``missed`` says why there are none."""
    if sources.case is not None:
        return read_case(Path(sources.case), raw)
    settings = settings_of(sources.config)
    cluster = Cluster(settings=settings)
    for problem in settings.problems:
        cluster.miss("configuration", problem)
    if raw is None and sources.storage is not None and settings.of_embedded_store:
        cluster.backend = "embedded"
    elif raw is None:
        cluster.backend = settings.backend  # type: ignore[assignment]
        cluster.cluster_id = settings.kubernetes_cluster_id or settings.cluster_id or ""
        none = "none was given: use --configmaps or --zookeeper-dump"
        cluster.miss("HA store", missed or none)
    elif isinstance(raw, ZooKeeperTree):
        znodes_into(cluster, raw)
    elif isinstance(raw, EmbeddedStore):
        embedded_into(cluster, raw)
    else:
        for problem in raw.problems:
            cluster.miss("ConfigMaps", problem)
        read_config_maps(cluster, raw.maps, whole=raw.whole)
    if raw is not None and settings.backend not in (None, cluster.backend):
        cluster.miss(
            "configuration",
            f"its high-availability.type is {settings.backend}, and the "
            f"dump is of {cluster.backend}: is it the configuration of this cluster?",
        )
    if sources.live and raw is not None:
        cluster.live = True
        cluster.probes = probe(sources.config or "", _local_path(settings.storage_dir))
        cluster.store_moment = cluster.store_moment or time.time()
        cluster.store_read = time.time()
    if sources.storage is not None:
        _storage(cluster, str(sources.storage), sources.mapping)
        if cluster.backend == "embedded" and not cluster.store_looked:
            _embedded_in(cluster)
    elif sources.live:
        _live_storage(cluster)
    else:
        cluster.miss("storageDir", "no storage was given: use --storage and --map")
    return cluster


def settings_of(config: Path | str | Configuration | None) -> Settings:
    """The options of a file, or of a configuration that was read already."""
    if isinstance(config, Configuration):
        return Settings(dict(config), "config.yaml")
    return Settings() if config is None else read_settings(config)


def _local_path(url: str | None) -> str | None:
    """A directory of this machine; ``None`` for any other URL."""
    whole = comparable_url(url) if url else ""
    return whole.removeprefix("file:") if whole.startswith("file:") else None


def read_case(path: Path, raw: Raw | None = None) -> Cluster:
    """What ``save_case`` wrote, or ``raw`` in place of its store.

    ``ConfigurationError`` for any other file.
    """
    case = ZipStorage(path)
    names = {file.name for file in case.listing()}
    try:
        facts = json.loads(read_file(case, "case.json"))
        if facts["format"] != FORMAT:
            raise ValueError(f"its format is {facts['format']!r}, not {FORMAT}")
        config = next((each for each in ("config.yaml", "flink-conf.yaml") if each in names), None)
        settings = Settings()
        if config is not None:
            settings = parse_settings(read_file(case, config).decode(), config)
        cluster = Cluster(settings=settings)
        earliest, latest = facts["taken_at"]
        cluster.moment = Moment(earliest, latest)
        cluster.store_read = facts.get("store_read")
        if isinstance(raw, ZooKeeperTree):
            znodes_into(cluster, raw)
        elif isinstance(raw, Dump):
            read_config_maps(cluster, raw.maps)
        elif "configmaps.json" in names:
            dump = parse_configmaps(read_file(case, "configmaps.json"), "configmaps.json")
            read_config_maps(cluster, dump.maps)
        elif "zookeeper.json" in names:
            znodes_into(cluster, read_zookeeper_dump(read_file(case, "zookeeper.json")))
        else:
            cluster.miss("HA store", "the case has none")
        if facts["files"] is None:
            cluster.miss("storageDir", "the case has none")
        else:
            listing = [StoredFile(str(name), int(size), modified)
                       for name, size, modified in facts["files"]]  # fmt: skip
            cluster.files = StoredFiles(
                listing,
                lambda name: read_file(case, member_of(name)),
                dict(facts["mapping"]),
                complete=bool(facts["complete"]),
                unseen=frozenset(map(str, facts.get("unseen", ()))),
                there=frozenset(map(str, facts.get("folders", ()))),
                digests={str(name): str(each) for name, each in facts.get("digests", {}).items()},
            )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError,
            StoreUnavailableError) as error:  # fmt: skip
        raise ConfigurationError(f"{path} is not a case of 'hawork inspect': {error}") from None
    return cluster


def znodes_into(cluster: Cluster, tree: ZooKeeperTree) -> None:
    """Put what a tree holds of the cluster into ``cluster``, with what the tree's source lacks."""
    for note in tree.notes:
        cluster.miss("HA store", note)
    if not tree.owners_known:
        cluster.miss(
            "owners of znodes",
            "this form of dump does not tell ephemeral znodes from persistent ones: a lock that "
            "belongs to no session cannot be seen",
        )
    cluster.store_moment, cluster.tree = tree.moment, tree
    read_znodes(cluster, [_entry(node, tree.owners_known) for node in tree.znodes])
    paths = [node.path for node in tree.znodes]
    below = f"{cluster.root}/"
    if tree.notes and not any(path.startswith(below) for path in paths):
        cluster.store_looked = False  # it may be in what could not be read
    part = posixpath.commonpath(paths) if paths else ""
    if part.startswith(below) and part != "/":
        cluster.store_looked = False
        cluster.miss("HA store", f"the dump is of {part} alone: give all below {cluster.root}")


def embedded_into(cluster: Cluster, store: EmbeddedStore) -> None:
    """Put what the embedded store holds into ``cluster``."""
    cluster.backend, cluster.store_looked = "embedded", True
    cluster.cluster_id = store.cluster_id
    place = Object("row", "lease")
    leadership = cluster.leadership = Leadership(place, exists=True, record=store.lease)
    for component, information in store.addresses:
        entry = Entry("embedded", "leader_information", None, component)
        error = "" if information is not None else "its session id is none"
        leadership.addresses.append(LeaderAddress(component, entry, information, error))
    for namespace, name, value, entry in store.pointers:
        kind, _, job_id = namespace.partition("/")
        cluster.own.add(kind, job_id, name, entry, value)


def _entry(node: ZNode, owners_known: bool) -> Entry:
    return Entry(
        "zookeeper",
        node.path,
        node.data,
        version=node.version,
        owner=None if node.ephemeral_owner is None else session_text(node.ephemeral_owner),
        owner_known=owners_known,
        created=node.ctime / 1000 if node.ctime else None,
        changed=node.mtime / 1000 if node.mtime else None,
    )


def _storage(cluster: Cluster, place: str, mapping: Mapping[str, str]) -> None:
    try:
        storage = open_storage(place)
    except (ConfigurationError, StoreUnavailableError) as error:
        if not (cluster.store_looked and ("://" in place or Path(place).exists())):
            raise
        cluster.miss("storage", str(error))  # the store is still worth an answer
        return
    listing = _listing(cluster, storage)
    if listing is not None:
        mapped = dict(mapping) or _guessed(cluster, place, [file.name for file in listing])
        _files(cluster, storage, listing, mapped)


def _live_storage(cluster: Cluster) -> None:
    """The directories that the configuration names."""
    storage, mapping, problems = live_storage(cluster.settings)
    for problem in problems:
        cluster.miss("storage", problem)
    listing = _listing(cluster, storage) if mapping else None
    if listing is not None:
        _files(cluster, storage, listing, mapping)


def _embedded_in(cluster: Cluster) -> None:
    """The embedded store as a copy of storageDir has it: read from a copy of its file."""
    files, settings = cluster.files, cluster.settings
    url = settings.get("high-availability.embedded.directory") or settings.ha_directory
    folder = files.name_of(url) if files is not None and url is not None else None
    if files is None or folder is None:
        cluster.miss("HA store", f"{url} is not in the storage: use --map")
        return
    with tempfile.TemporaryDirectory() as scratch:
        try:
            for suffix in ("", "-wal"):
                name = posixpath.join(folder, f"{DATABASE}{suffix}")
                if files.get(name) is not None:
                    (Path(scratch) / f"{DATABASE}{suffix}").write_bytes(files.read(name))
            embedded_into(cluster, read_embedded_store(Path(scratch) / DATABASE))
        except HaworkError as error:
            cluster.miss("HA store", str(error).replace(scratch, folder))


def _listing(cluster: Cluster, storage: Storage) -> Sequence[StoredFile] | None:
    try:
        return storage.listing()
    except HaworkError as error:
        cluster.miss("storage", str(error))
        return None


def _files(
    cluster: Cluster, storage: Storage, listing: Sequence[StoredFile], mapping: Mapping[str, str]
) -> None:
    mapping = _existing(cluster, mapping, listing, storage.folders)
    for note in storage.notes:
        cluster.miss("storage", note)
    cluster.files = StoredFiles(
        listing, lambda name: read_file(storage, name), mapping,
        complete=storage.whole, unseen=storage.unseen, there=storage.folders,
    )  # fmt: skip


def _existing(
    cluster: Cluster,
    mapping: Mapping[str, str],
    listing: Sequence[StoredFile],
    folders: Set[str],
) -> Mapping[str, str]:
    """Without what is mapped to a folder that the storage does not have: it was not looked at."""
    found = {}
    for url, path in mapping.items():
        folder = posixpath.normpath(path.strip("/") or ".")
        inside = f"{folder}/"
        if (folder == "." or not listing or folder in folders
                or any(each.name.startswith(inside) for each in listing)):  # fmt: skip
            found[url] = path
        else:
            cluster.miss("storage", f"there is no folder {path} in it, which {url} is mapped to")
    return found


def _guessed(cluster: Cluster, place: str, names: list[str]) -> dict[str, str]:
    """Where the URLs of the data lie in a storage that nothing was said of.

    The longest end of a directory's URL that is a folder of the storage is taken for it.
    """
    folders = {""}
    for name in names:
        while name := posixpath.dirname(name):
            if name in folders:
                break
            folders.add(name)
    urls = [url for key in ("high-availability.storageDir", "execution.checkpointing.dir",
                            "execution.checkpointing.savepoint-dir")
            if (url := cluster.settings.get(key))]  # fmt: skip
    urls += [posixpath.dirname(stored.pointer.path) for stored in cluster.pointers
             if stored.pointer is not None][:100]  # fmt: skip
    mapped: dict[str, str] = {}
    here = comparable_url(str(absolute(place))) if "://" not in place else place
    for url in dict.fromkeys(urls):
        whole = comparable_url(url)
        if f"{whole}/".startswith(f"{here}/"):
            mapped[here] = "."
            continue
        parts = whole.partition(":")[2].strip("/").split("/")
        for first in range(len(parts)):
            end = "/".join(parts[first:])
            if end in folders:
                root = whole[: -len(end)].rstrip("/")
                mapped[root or whole] = "." if root else end
                break
    return mapped
