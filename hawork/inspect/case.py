"""A case: all that an inspection looked at, in one zip, for a colleague and for later.

Without secrets and without the state of jobs: options are redacted, job graphs are kept as what
was read out of them (they hold SQL and the options of connectors), state inside checkpoint files
is blanked, ``_metadata`` and files of state are listed only; those of hawork's own jobs with their
SHA-256.

::

    case.json            when, what, the listing of the storage
    config.yaml          or flink-conf.yaml
    configmaps.json      or zookeeper.json
    storage/<name>       files of storageDir
    inspection.json, inspection.html   what was found then
"""

from __future__ import annotations

import contextlib
import json
import posixpath
import secrets
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from hawork import __version__
from hawork.core.errors import ConfigurationError, HaworkError
from hawork.core.redaction import Redaction
from hawork.ha.job_files import CHECKPOINT_FILE
from hawork.ha.json_state import encode_json
from hawork.inspect.cluster import Checkpoint, Cluster, JobGraph
from hawork.inspect.configmaps import ConfigMap
from hawork.inspect.errors import UndecodableError
from hawork.inspect.inspection import Inspection
from hawork.inspect.java import BlockData, JavaArray, JavaObject, read_object
from hawork.inspect.job_graph_json import job_graph_to_json, read_job_graph
from hawork.inspect.own import own_digests
from hawork.inspect.report_html import as_page
from hawork.inspect.results import decode_own_pointer
from hawork.inspect.sources import FORMAT, member_of
from hawork.inspect.stored_files import StoredFiles
from hawork.inspect.zookeeper_dumps import write_zookeeper_dump

__all__ = ["save_case"]

_LEAST: Final = 16
"""Bytes of an array in a checkpoint from which on it is state, and blanked."""


def save_case(inspection: Inspection, path: Path) -> None:
    """Write a case to ``path``, which is replaced by a whole one or stays as it is."""
    part = path.with_name(f".{path.name}-{secrets.token_hex(6)}")
    try:
        _write_case(inspection, part)
        part.replace(path)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)


def _write_case(inspection: Inspection, path: Path) -> None:
    cluster = inspection.cluster
    redaction = Redaction.of(cluster.settings.values)
    facts: dict[str, Any] = {
        "format": FORMAT,
        "hawork": __version__,
        "taken_at": [cluster.moment.earliest, cluster.moment.latest],
        "store_read": cluster.store_read,
        "files": None,
    }
    if cluster.files is not None:
        facts["files"] = [[file.name, file.size, file.modified] for file in cluster.files]
        facts["mapping"] = list(cluster.files.mapping)
        facts["complete"] = cluster.files.complete
        facts["unseen"] = sorted(cluster.files.unseen)
        facts["folders"] = sorted(cluster.files.there)
        if (folder := _own_folder(cluster)) is not None:
            facts["digests"] = own_digests(cluster.files, folder)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("case.json", json.dumps(facts))
        if cluster.settings.source is not None:
            name = posixpath.basename(cluster.settings.source)
            old = name == "flink-conf.yaml"
            options = redaction.options(cluster.settings.values)
            lines = "".join(f"{key}: {_one_line(value)}\n" for key, value in options.items())
            file.writestr("flink-conf.yaml" if old else "config.yaml", lines)
        if cluster.maps:
            file.writestr("configmaps.json", redaction.text(_config_maps(cluster.maps)))
        elif cluster.tree is not None:
            znodes = [
                node if node.data is None else replace(node, data=redaction.data(node.data))
                for node in cluster.tree.znodes
            ]
            file.writestr("zookeeper.json", write_zookeeper_dump(znodes))
        for name, content in _contents(cluster, redaction):
            file.writestr(member_of(name), content)
        file.writestr("inspection.json", json.dumps(redaction.value(inspection.to_json())))
        file.writestr("inspection.html", redaction.text(as_page(inspection)))


def _one_line(value: str) -> str:
    return value if value.isprintable() and "#" not in value else json.dumps(value)


def _config_maps(maps: tuple[ConfigMap, ...]) -> str:
    items = [
        {
            "apiVersion": "v1", "kind": "ConfigMap", "data": dict(each.data),
            **({"immutable": True} if each.immutable else {}),
            "metadata": {"name": each.name, "namespace": each.namespace,
                         "labels": dict(each.labels), "annotations": dict(each.annotations),
                         "creationTimestamp": each.created_text,
                         **({"deletionTimestamp": each.deleted_text,
                             "finalizers": list(each.finalizers)} if each.deleted_text else {}),
                         "resourceVersion": str(each.resource_version or "")},
        }
        for each in maps
    ]  # fmt: skip
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def _contents(cluster: Cluster, redaction: Redaction) -> Iterator[tuple[str, bytes]]:
    """What is kept of the files in storageDir."""
    files = cluster.files
    if files is None:
        return
    graphs = {stored.file.name: stored.content for stored in cluster.pointers
              if isinstance(stored, JobGraph) and stored.file and stored.content}  # fmt: skip
    for loose_graph in cluster.loose:
        if loose_graph.kind != "completed checkpoint" and loose_graph.job_id is not None:
            with contextlib.suppress(HaworkError):  # it went while we looked
                graphs[loose_graph.name] = read_job_graph(files.read(loose_graph.name))
    for name, content in graphs.items():
        yield name, job_graph_to_json(content, redaction)
    checkpoints = {
        stored.file.name
        for stored in cluster.pointers
        if isinstance(stored, Checkpoint) and stored.file is not None
        and stored.file.size is not None
    }  # fmt: skip
    loose = {file.name for file in cluster.loose if file.kind == "completed checkpoint"}
    for name in sorted(checkpoints | loose):
        try:
            yield name, _blanked(files.read(name))
        except HaworkError:
            continue
    for name in _damaged(cluster):
        with contextlib.suppress(HaworkError):
            yield name, files.read(name)[:_LEAST]
    yield from _own_contents(cluster, files, redaction)
    for result in cluster.results:
        with contextlib.suppress(HaworkError):
            text = files.read(result.name).decode("utf-8", "surrogateescape")
            yield result.name, redaction.text(text).encode("utf-8", "surrogateescape")


def _damaged(cluster: Cluster) -> Iterator[str]:
    """Job graphs and ``_metadata`` that cannot be read: of these the beginning is kept, which
    cannot be read either, and of the others what was read, or nothing.
    """
    for stored in cluster.pointers:
        if isinstance(stored, JobGraph) and stored.file is not None and stored.file.error:
            yield stored.file.name
        if isinstance(stored, Checkpoint) and stored.metadata_error:
            yield stored.metadata_name
    for loose in cluster.loose:
        if loose.kind != "completed checkpoint" and loose.error:
            yield loose.name


def _own_folder(cluster: Cluster) -> str | None:
    """Where the files of hawork's own jobs are, when there are any."""
    url = cluster.settings.ha_directory
    if not cluster.own or cluster.files is None or url is None:
        return None
    return cluster.files.name_of(url)


def _own_contents(
    cluster: Cluster, files: StoredFiles, redaction: Redaction
) -> Iterator[tuple[str, bytes]]:
    """hawork's own job graphs without what the job was given, and its checkpoints.

    They are whole by their digests, which are kept as well.
    """
    folder = _own_folder(cluster)
    if folder is None:
        return
    graphs: dict[str, bytes] = {}
    names: list[str] = []
    for job in cluster.own.values():
        names += job.files
        for checkpoint in job.checkpoints:
            with contextlib.suppress(HaworkError):  # it is none, or set aside
                names.append(posixpath.join(folder, decode_own_pointer(checkpoint.value).path))
        if job.content is not None:
            whole = replace(job.content, name=redaction.text(job.content.name), config={})
            path = decode_own_pointer(job.graph_value).path
            graphs[posixpath.join(folder, path)] = encode_json(whole.to_json())
    yield from graphs.items()
    for name in dict.fromkeys(names):
        if posixpath.basename(name).startswith(CHECKPOINT_FILE.prefix):
            with contextlib.suppress(HaworkError, OSError, UnicodeDecodeError):
                yield name, redaction.text(files.read(name).decode()).encode()


def _blanked(data: bytes) -> bytes:
    """A checkpoint file of the same length and structure, without the state inside it."""
    try:
        value = read_object(data)
    except UndecodableError:
        return data[:_LEAST]  # damaged: what it holds cannot be told from state
    blank = bytearray(data)
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, bytes) and len(each) >= _LEAST:
            at = data.find(each)
            while at >= 0:
                blank[at : at + len(each)] = bytes(len(each))
                at = data.find(each, at + len(each))
        elif id(each) not in seen and not isinstance(each, (str, int, float, bytes, type(None))):
            seen.add(id(each))
            waiting += _inside(each)
    return bytes(blank)


def _inside(value: Any) -> list[Any]:
    if isinstance(value, JavaObject):
        written = [one for many in value.annotations.values() for one in many]
        return [*value.fields.values(), *(one for one in written if type(one) is not BlockData)]
    return value.values if isinstance(value, JavaArray) and isinstance(value.values, list) else []
