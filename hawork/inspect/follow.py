"""From pointers to files: each is followed to the last file that it leads to.

pointer -> file in storageDir -> every file of state, and ``_metadata``, which has the same
handles and so is the only checksum there is.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections import Counter as Multiset
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal

from hawork.core.errors import HaworkError
from hawork.inspect.checkpoints import CompletedCheckpoint, decode_completed_checkpoint
from hawork.inspect.cluster import (
    Checkpoint,
    Cluster,
    JobGraph,
    LooseFile,
    MissingState,
    PointedFile,
    ResultFile,
    StoredPointer,
)
from hawork.inspect.decoding import Decoding, decoding
from hawork.inspect.errors import UndecodableError
from hawork.inspect.handles import OperatorFacts, StateHandle
from hawork.inspect.job_graph_json import read_job_graph
from hawork.inspect.job_graphs import JobGraphFacts
from hawork.inspect.lost_jobs import find_lost_jobs
from hawork.inspect.metadata import decode_metadata
from hawork.inspect.moments import mark_later, mark_moments, times_are_original
from hawork.inspect.own import follow_own
from hawork.inspect.results import decode_result
from hawork.inspect.storage import SilentStorageError, archive_in
from hawork.inspect.stored_files import StoredFile, StoredFiles, comparable_url

__all__ = ["covered", "follow", "follow_pointer", "missing_state", "not_mapped", "read_whole"]

MAX_FILE: Final = 256 << 20
"""Bytes of a file in storageDir that are read; a larger one is named, not read."""

_PREFIXES: Final[dict[str, Literal["job graph", "execution plan", "completed checkpoint"]]] = {
    "submittedJobGraph": "job graph",
    "submittedExecutionPlan": "execution plan",
    "completedCheckpoint": "completed checkpoint",
}
_RESULT: Final = re.compile(r"([0-9a-f]{32})(_DIRTY)?\.json")
_CHK: Final = re.compile(r"(?:(.*)/)?chk-(\d{1,19})/_metadata", re.DOTALL)
_JOB_FOLDER: Final = re.compile(
    r"(.+?)/(?:[0-9a-f]{32}|savepoint-[0-9a-f]{6}-[0-9a-f]{12}|chk-\d+|shared|taskowned)/.*",
    re.DOTALL,
)
Progress = Callable[[str, int, int], None]


def follow(cluster: Cluster, progress: Progress | None = None) -> None:
    """Look for the files of every pointer in ``cluster.files``, and for those of no pointer."""
    files = cluster.files
    if files is None:
        return
    if cluster.own or cluster.backend == "embedded":
        url = cluster.settings.ha_directory
        folder = files.name_of(url) if url is not None else None
        if folder is not None:
            follow_own(cluster.own, files, folder)
        else:
            where = url or "high-availability.storageDir"
            cluster.miss("files of hawork's jobs", f"{where} is not in the storage: use --map")
    pointers = list(cluster.pointers)
    # _metadata is compared where recovery would begin, or where state is missing: it is the only
    # checksum, and of older checkpoints nothing depends on it.
    newest = {id(job.checkpoints[-1]) for job in cluster.jobs.values() if job.checkpoints}
    located = [
        (stored, found)
        for stored in pointers
        if stored.pointer is not None and (found := _locate(cluster, files, stored)) is not None
    ]
    checkpoints = [found for stored, found in located if isinstance(stored, Checkpoint)]
    with decoding(lambda file: read_whole(files, file), checkpoints) as decoder:
        for number, (stored, found) in enumerate(located):
            if progress is not None and number % 100 == 0:
                progress("pointers", number, len(located))
            _read_pointed(cluster, files, stored, found, decoder, newest=id(stored) in newest)
    gone = [stored for stored in pointers if stored.file is not None and stored.file.missing]
    if len(gone) > 1 and all(stored.pointer is None or stored in gone for stored in pointers):
        cluster.miss("files of pointers", "none of them is in the storage: is --map right?")
    folders = _ha_folders(cluster, files)
    _results(cluster, files, folders)
    _loose(cluster, files, folders)
    cluster.checkpoint_folders = _checkpoint_folders(cluster, files)
    cluster.original_times = times_are_original(cluster)
    mark_later(cluster)
    find_lost_jobs(cluster)
    for loose in cluster.loose:
        if loose.job_id in cluster.jobs:
            job = cluster.jobs[loose.job_id]
            job.name_in_files = job.name_in_files or loose.job_name
    mark_moments(cluster)


def _checkpoint_folders(cluster: Cluster, files: StoredFiles) -> dict[str, list[int]]:
    """Ids of a job's checkpoints that have a ``_metadata``, by job.

    Their folder has the job's id, but for ``state.checkpoints.create-subdir: false``: then its
    checkpoints say themselves where they lie.
    """
    owners: dict[str, str] = {}
    for job in cluster.jobs.values():
        for each in job.checkpoints:
            if each.content is not None and each.content.job_id == job.job_id:
                name = files.name_of(each.content.external_pointer.rstrip("/"))
                if name is not None:
                    owners[posixpath.dirname(name)] = job.job_id
    ids: dict[str, list[int]] = {}
    for file in files:
        if file.name.endswith("_metadata") and (match := _CHK.fullmatch(file.name)):
            folder = match[1] or ""
            owner = owners.get(folder) or posixpath.basename(folder)
            ids.setdefault(owner, []).append(int(match[2]))
    return {job_id: sorted(found) for job_id, found in ids.items()}


def follow_pointer(
    cluster: Cluster, files: StoredFiles, stored: StoredPointer, newest: bool = True
) -> None:
    """Look for the file of a pointer that could be decoded, and for all that the file names.

    ``newest``: it is the one that recovery begins with, whose ``_metadata`` is compared.
    """
    found = _locate(cluster, files, stored)
    if found is not None:
        decoder = Decoding(lambda file: read_whole(files, file))
        _read_pointed(cluster, files, stored, found, decoder, newest=newest)


def _locate(cluster: Cluster, files: StoredFiles, stored: StoredPointer) -> StoredFile | None:
    """The file that a pointer leads to; ``None``: it is not there, or could not be looked at."""
    assert stored.pointer is not None
    url = stored.pointer.path
    name = files.name_of(url)
    if name is None:
        stored.file = PointedFile(url, looked=False)
        other = files.elsewhere(url)
        better = f", such as {_map_to(url, other)}" if other is not None else ""
        cluster.miss("files of pointers", f"{not_mapped(url)}{better}")
        return None
    found = files.get(name)
    # The folder of a cluster is made by Flink; an empty storageDir may only be not mounted.
    folder = posixpath.dirname(name)
    empty = files.would_list(name) and folder in files.there
    looked = found is not None or empty or covered(
        cluster, files, url, name, posixpath.dirname(folder)
    )  # fmt: skip
    stored.file = PointedFile(name, looked)
    if found is not None:
        stored.file.size = found.size
    return found


def _read_pointed(
    cluster: Cluster,
    files: StoredFiles,
    stored: StoredPointer,
    found: StoredFile,
    decoder: Decoding,
    *,
    newest: bool,
) -> None:
    assert stored.file is not None
    name = found.name
    try:
        if isinstance(stored, Checkpoint):
            stored.content = decoder.checkpoint(found)
        elif isinstance(stored, JobGraph):
            stored.content = read_job_graph(read_whole(files, found))
            stored.artifacts = list(_artifacts(cluster, files, name, stored.content))
    except UndecodableError as error:
        stored.file.error, stored.file.offset = str(error), error.offset
    except (OSError, HaworkError) as error:
        stored.file.looked = False
        _miss_file(cluster, name, error)
    if isinstance(stored, Checkpoint) and stored.content is not None:
        _state_files(cluster, files, stored, stored.content)
        compare = newest or bool(stored.missing)
        _metadata(cluster, files, stored, stored.content, compare=compare)


def _miss_file(cluster: Cluster, name: str, error: Exception) -> None:
    """Of a storage that has fallen silent one sentence, however many files are in it."""
    silent = isinstance(error, SilentStorageError)
    cluster.miss("storage" if silent else f"file {name}", str(error))


def _artifacts(
    cluster: Cluster, files: StoredFiles, graph: str, content: JobGraphFacts
) -> Iterator[PointedFile]:
    """The jars of a job, beside its graph. Source: ``BlobUtils.getStorageLocationPath``."""
    for key in content.artifacts:
        name = posixpath.join(posixpath.dirname(graph), "blob", f"job_{content.job_id}", key)
        found = files.get(name)
        artifact = PointedFile(name, looked=found is not None or files.would_list(name))
        if found is not None:
            artifact.size = found.size
            try:
                if hashlib.sha1(read_whole(files, found)).hexdigest() not in key:
                    artifact.error = f"the SHA-1 of {name} is another than its name says"
            except (OSError, HaworkError) as error:
                artifact.looked = False
                _miss_file(cluster, name, error)
        yield artifact


def covered(cluster: Cluster, files: StoredFiles, url: str, name: str, folder: str) -> bool:
    """Whether a file that is not listed is missing.

    Not where nothing of ``folder`` is listed: it was not copied, or the map is wrong.
    """
    if not files.would_list(name):
        why = "it, or a folder of it, is there and was not looked at"
        cluster.miss(
            f"file {name}", why if files.complete else "the storage could not be listed whole"
        )
        return False
    if files.has_below(folder):
        return True
    root = comparable_url(url).removesuffix(name[len(folder) :]).rstrip("/")
    if any(missed.what == root for missed in cluster.not_looked_at):
        return False
    if (other := files.elsewhere(name)) is not None:
        why = f"{root} is not where --map says: {_map_to(url, other)} would lead to {other}"
    else:
        packed = archive_in(file.name for file in files)
        why = f"nothing of {root} is in the storage: is it copied, and --map right?{packed}"
    cluster.miss(root, why)
    return False


def _map_to(url: str, name: str) -> str:
    """The ``--map`` by which a URL leads to a file.

    >>> _map_to("file:/srv/flink/ha/x", "backup/flink/ha/x")
    '--map file:/srv=backup'
    """
    wanted, there = comparable_url(url).split("/"), name.split("/")
    while wanted and there and wanted[-1] == there[-1]:
        wanted.pop()
        there.pop()
    return f"--map {'/'.join(wanted)}={'/'.join(there) or '.'}"


def not_mapped(url: str) -> str:
    root = url.rpartition("/")[0]
    return f"{root} is below no URL that is mapped: give its storage with --storage and --map"


def read_whole(files: StoredFiles, file: StoredFile) -> bytes:
    if file.size > MAX_FILE:
        raise HaworkError(f"it has {file.size} bytes; files of up to {MAX_FILE} are read")
    return files.read(file.name)


def _state_files(
    cluster: Cluster, files: StoredFiles, checkpoint: Checkpoint, content: CompletedCheckpoint
) -> None:
    checkpoint.state_looked, checkpoint.missing = missing_state(cluster, files, content.handles)


def missing_state(
    cluster: Cluster, files: StoredFiles, handles: Iterable[StateHandle]
) -> tuple[bool, list[MissingState]]:
    """Whether every file of these handles could be looked for, and those that are not whole."""
    looked = True
    missing: list[MissingState] = []
    seen: set[tuple[str, int]] = set()
    for handle in handles:
        if handle.path is None or handle.kind == "empty":
            continue
        wanted = handle.start + handle.size
        if (handle.path, wanted) in seen:
            continue
        seen.add((handle.path, wanted))
        name = files.name_of(handle.path)
        if name is None:
            looked = False
            cluster.miss("state files", not_mapped(handle.path))
            continue
        found = files.get(name)
        folder = _checkpoint_dir(name)
        if found is None and not (
            (files.would_list(name) and folder in files.there)
            or covered(cluster, files, handle.path, name, folder)
        ):
            looked = False
        elif found is None or found.size < wanted:
            size = None if found is None else found.size
            missing.append(MissingState(name, wanted, size, handle.owner))
    return looked, missing


def _checkpoint_dir(name: str) -> str:
    """The folder that has those of the jobs, of checkpoints as of a changelog, or the savepoints;
    ``""``: that of the storage itself.
    """
    match = _JOB_FOLDER.fullmatch(name)
    return match[1] if match else ""


def _metadata(
    cluster: Cluster,
    files: StoredFiles,
    checkpoint: Checkpoint,
    content: CompletedCheckpoint,
    *,
    compare: bool,
) -> None:
    path = content.metadata_path or f"{content.external_pointer.rstrip('/')}/_metadata"
    name = files.name_of(path)
    if content.metadata_path is None and content.metadata_size:
        return  # The metadata itself lies in the file in storageDir.
    if name is None:
        return
    checkpoint.metadata_name = name
    found = files.get(name)
    if found is None:
        folder = _checkpoint_dir(name)
        covered = files.would_list(name) and (folder in files.there or files.has_below(folder))
        checkpoint.metadata = "missing" if covered else "not looked"
        return
    checkpoint.metadata = "there"
    if not compare:
        return
    try:
        metadata = decode_metadata(read_whole(files, found), path.rpartition("/")[0])
    except UndecodableError as error:
        checkpoint.metadata_error = str(error)
        return
    except (OSError, HaworkError) as error:
        checkpoint.metadata = "not looked"
        if isinstance(error, SilentStorageError):  # recovery does without this file
            _miss_file(cluster, name, error)
        return
    if metadata.checkpoint_id != content.checkpoint_id:
        checkpoint.metadata_differs = (
            f"it is of checkpoint {metadata.checkpoint_id}, not {content.checkpoint_id}"
        )
        return
    ours, theirs = _handles(content.operators), _handles(metadata.operators)
    if ours != theirs:
        only_ours, only_theirs = ours - theirs, theirs - ours
        checkpoint.only_in_metadata = [
            each for _, path, _, _ in only_theirs if path and (each := files.name_of(path))
        ]
        checkpoint.metadata_differs = "; ".join(
            [f"only in the file in storageDir: {_shown(files, each)}"
             for each in list(only_ours)[:3]]
            + [f"only in _metadata: {_shown(files, each)}" for each in list(only_theirs)[:3]]
        )  # fmt: skip


_Key = tuple[str, str | None, int, int]


def _handles(operators: Iterable[OperatorFacts]) -> Multiset[_Key]:
    """What both files must say the same of. A relative and an absolute handle are one file."""
    return Multiset(
        (operator.operator_id, handle.path, handle.start, handle.size)
        for operator in operators
        for handle in operator.handles
    )


def _shown(files: StoredFiles, key: _Key) -> str:
    operator_id, path, _, size = key
    what = files.shown(path) if path else "state inside the file"
    return f"{what} ({size} bytes, operator {operator_id})"


def _ha_folders(cluster: Cluster, files: StoredFiles) -> set[str]:
    """Where the files of this cluster lie: by configuration, and by its own pointers."""
    folders: set[str] = set()
    if (url := cluster.settings.ha_directory) and (name := files.name_of(url)) is not None:
        folders.add(name)
    for stored in cluster.pointers:
        if stored.file is not None and stored.pointer is not None:
            name = files.name_of(stored.pointer.path)
            if name is not None:
                folders.add(posixpath.dirname(name))
    pointed = any(stored.pointer is not None for stored in cluster.pointers)
    if not folders and not pointed:  # nothing says where: what is called as Flink calls it
        found = {posixpath.dirname(file.name) for file in files
                 if posixpath.basename(file.name).startswith(tuple(_PREFIXES))}  # fmt: skip
        ours = {folder for folder in found
                if posixpath.basename(folder) == cluster.cluster_id}  # fmt: skip
        folders = ours or (found if len(found) == 1 else set())
    covered = not pointed or any(
        folder in files.there or files.has_below(folder)
        or files.has_below(posixpath.dirname(folder)) for folder in folders
    )  # fmt: skip
    seen = files.complete and all(map(files.would_list_below, folders))
    cluster.storage_looked = bool(folders) and seen and covered
    if not folders:
        wanted = cluster.settings.ha_directory or "high-availability.storageDir"
        cluster.miss("storageDir", f"{wanted} is not in the storage that was given: use --map")
    return folders


def _results(cluster: Cluster, files: StoredFiles, ha_folders: set[str]) -> None:
    places: set[str] = set()
    if url := cluster.settings.job_result_directory:
        if (name := files.name_of(url)) is not None:
            places.add(name)
        else:
            cluster.miss("job result store", f"{url} is below no URL that is mapped")
    else:
        for folder in ha_folders:
            parent, cluster_id = posixpath.split(folder)
            places.add(posixpath.join(parent, "job-result-store", cluster_id))
    found = cluster.storage_looked or any(files.has_below(place) for place in places)
    seen = all(map(files.would_list_below, places))
    cluster.results_looked = bool(places) and seen and found
    for place in sorted(places):
        for file in sorted(files.folder(place), key=lambda file: file.name):
            if match := _RESULT.fullmatch(posixpath.basename(file.name)):
                result = _result(cluster, files, file, match[1], bool(match[2]))
            elif file.name.endswith("_DIRTY.json"):
                # Flink parses it whatever it is called.
                result = _result(cluster, files, file, "", True)
            else:
                continue
            cluster.results.append(result)
            job_id = result.content_id or result.job_id
            if job_id and (result.dirty or match):
                job = cluster.job(job_id)
                if result.dirty:
                    job.dirty = result
                else:
                    cluster.job(result.job_id).clean = result


def _result(
    cluster: Cluster, files: StoredFiles, file: StoredFile, job_id: str, dirty: bool
) -> ResultFile:
    result = ResultFile(file.name, job_id, dirty, modified=file.modified)
    try:
        decoded = decode_result(read_whole(files, file))
    except UndecodableError as error:
        result.error = str(error)
    except (OSError, HaworkError) as error:  # Flink may be able to read it
        _miss_file(cluster, file.name, error)
    else:
        result.content_id, result.status = decoded.job_id, decoded.application_status.value
    return result


def _loose(cluster: Cluster, files: StoredFiles, folders: set[str]) -> None:
    used = {stored.file.name for stored in cluster.pointers if stored.file is not None}
    # Clusters that share a directory are normal: their own pointers say whose a file is.
    used |= {name for other in cluster.others for url in other.urls
             if (name := files.name_of(url)) is not None}  # fmt: skip
    for file in _in(files, folders):
        base = posixpath.basename(file.name)
        kind = next((kind for prefix, kind in _PREFIXES.items() if base.startswith(prefix)), None)
        if kind is None or file.name in used:
            continue
        loose = LooseFile(file.name, file.size, file.modified, kind)
        try:
            data = read_whole(files, file)
            if kind == "completed checkpoint":
                content = decode_completed_checkpoint(data)
                loose.job_id, loose.checkpoint_id = content.job_id, content.checkpoint_id
                loose.content = content
            else:
                graph = read_job_graph(data)
                loose.job_id, loose.job_name = graph.job_id, graph.name or ""
        except UndecodableError as error:
            loose.error = str(error)
        except (OSError, HaworkError) as error:
            _miss_file(cluster, file.name, error)
            continue
        cluster.loose.append(loose)


def _in(files: StoredFiles, folders: Iterable[str]) -> Iterator[StoredFile]:
    for folder in sorted(folders):
        yield from sorted(files.folder(folder), key=lambda file: file.name)
