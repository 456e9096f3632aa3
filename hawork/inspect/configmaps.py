"""ConfigMaps as ``kubectl get configmap -o yaml`` and ``-o json`` print them."""

from __future__ import annotations

import calendar
import contextlib
import json
import re
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hawork.core.errors import ConfigurationError, HaworkError
from hawork.ha import core_schema
from hawork.inspect.archive import open_storage
from hawork.inspect.entries import readable
from hawork.inspect.storage import Storage, read_file
from hawork.inspect.tar import is_tar
from hawork.story.packed_files import read_unpacked

__all__ = ["ConfigMap", "Dump", "config_map_of", "parse_time", "read_configmaps"]

MAX_BYTES: Final = 512 << 20
"""A ConfigMap has at most 1 MiB: that many clusters are in no dump."""

_TEXTS: Final = (".yaml", ".yml", ".json")
_MOST_WARNINGS: Final = 50
_KEY: Final = re.compile(r"[a-z]\w*:")
_ANSWERS: Final = ("{", "[", "---", "apiVersion:", "items:", "kind:")
"""What begins an answer of kubectl's, below its warnings."""

LOCK_ANNOTATION: Final = "control-plane.alpha.kubernetes.io/leader"


@dataclass(frozen=True, slots=True)
class ConfigMap:
    """One ConfigMap; ``data`` as text, as Kubernetes keeps it."""

    name: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    created_text: str = ""
    resource_version: int | None = None
    immutable: bool = False
    deleted_text: str = ""
    """When it was asked to be deleted: it goes as soon as ``finalizers`` are removed."""
    finalizers: tuple[str, ...] = ()

    @property
    def created(self) -> float | None:
        """Seconds since 1970."""
        return parse_time(self.created_text)

    @property
    def size(self) -> int:
        """Bytes of keys and values, which Kubernetes limits to 1 MiB."""
        return sum(len(key.encode()) + len(value.encode()) for key, value in self.data.items())


@dataclass(frozen=True, slots=True)
class Dump:
    """What a file had in it; ``problems`` says what could not be read."""

    maps: tuple[ConfigMap, ...]
    problems: tuple[str, ...] = ()
    whole: bool = True
    """Whether what is not in it is not there: not of single ConfigMaps, nor of a file cut off."""


def read_configmaps(path: Path | str) -> Dump:
    """Every ConfigMap of a file, which may be packed: one, a ``List``, or several documents; or of
    the YAML and JSON files of a folder, a tar or a zip, such as a backup of Velero's.

    ``ConfigurationError`` when there is no such file, or it is not what kubectl prints.
    """
    path = Path(path)
    with contextlib.suppress(OSError):
        if path.is_dir() or (path.is_file() and (zipfile.is_zipfile(path) or is_tar(path))):
            return _of_files(open_storage(str(path)), path)
    return parse_configmaps(read_unpacked(path, MAX_BYTES), str(path))


def _of_files(storage: Storage, path: Path) -> Dump:
    """What is in several files; ConfigMaps that are in two of them in the same form count once."""
    files = [file.name for file in storage.listing() if file.name.lower().endswith(_TEXTS)]
    maps: dict[tuple[str, str], list[ConfigMap]] = {}
    problems = list(storage.notes)
    whole = False
    for name in sorted(files):
        try:
            parsed = _parsed(read_file(storage, name, MAX_BYTES), name)
        except HaworkError as error:
            problems.append(str(error))
            continue
        problems += parsed.problems
        whole |= parsed.listed
        for each in parsed.maps:
            same = maps.setdefault((each.namespace, each.name), [])
            if each not in same:
                same.append(each)
    found = tuple(each for same in maps.values() for each in same)
    if not found:
        raise ConfigurationError(
            f"{path}: there is no ConfigMap in its {len(files)} YAML and JSON files; give what "
            "'kubectl get configmap -o yaml' (or json) prints"
        )
    return Dump(found, tuple(problems), whole and not problems)


@dataclass(slots=True)
class _Parsed:
    text: str
    maps: list[ConfigMap] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    other: int = 0
    """Objects of other kinds."""
    listed: bool = False
    """Whether one of the documents is a whole list."""


def _parsed(content: bytes, name: str) -> _Parsed:
    """``ConfigurationError`` for what is not text."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # PowerShell's '>' writes UTF-16.
        if not content.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise ConfigurationError(f"{name} is not UTF-8 text: {error}") from None
        text = content.decode("utf-16", "replace")
    text = _without_warnings(text)
    parsed = _Parsed(text)
    binary: list[str] = []
    is_json = text.lstrip()[:1] in ("{", "[")
    for document in _documents(text, is_json, name, parsed.problems):
        parsed.listed |= _is_whole_list(document, is_json, name, parsed.problems)
        for item in _items(document):
            if item.get("kind", "ConfigMap") != "ConfigMap":
                parsed.other += 1
                continue
            found = config_map_of(item)
            if found is None:
                parsed.problems.append(f"{name}: an item has no metadata.name and was left out")
            else:
                parsed.maps.append(found)
                if found.name.endswith("-config-map") and item.get("binaryData"):
                    binary.append(found.name)
    parsed.listed &= not parsed.problems
    parsed.problems += [
        f"{name}: values of {each} are in binaryData, which Flink does not read" for each in binary
    ]
    return parsed


def parse_configmaps(content: bytes, name: str) -> Dump:
    """The same of bytes; ``name`` is for messages."""
    parsed = _parsed(content, name)
    text, problems, whole = parsed.text, parsed.problems, parsed.listed
    if not parsed.maps and (parsed.other or not whole):  # 'kubectl get all' prints all other kinds
        reason = problems[0] if problems else name
        reason = f"{reason} has {parsed.other} other objects in it" if parsed.other else reason
        reason = f"{name} is empty" if not text.strip() else f"{reason}{_beginning(text)}"
        raise ConfigurationError(
            f"{reason}: there is no ConfigMap in it; give what 'kubectl get configmap -o yaml' (or "
            "json) prints"
        )
    if not parsed.maps:
        problems.append(f"{name} has no ConfigMaps in it")
    return Dump(tuple(parsed.maps), tuple(problems), whole)


def _without_warnings(text: str) -> str:
    """Without the lines that kubectl writes on standard error before its answer: warnings and
    waits, which ``2>&1`` puts into the same file. What follows an error is not an answer.
    """
    rest = text
    for _ in range(_MOST_WARNINGS):
        line, _, after = rest.partition("\n")
        if not line[:1].isalpha() or _KEY.match(line):
            return rest if rest.startswith(_ANSWERS) else text
        rest = after
    return text


def _is_whole_list(document: Any, is_json: bool, name: str, problems: list[str]) -> bool:
    """Whether it is a list of objects. In YAML kubectl prints ``kind`` behind the items: a file
    that was cut off between two of them is a list, too, but has none.
    """
    if isinstance(document, list):
        return all(isinstance(item, dict) for item in document)
    if not (isinstance(document, dict) and isinstance(document.get("items"), list)):
        return False
    if not (is_json or str(document.get("kind", "")).endswith("List")):
        problems.append(
            f"{name} is not whole: behind the items of its list no 'kind: List' stands, as kubectl "
            "prints it"
        )
    return True


def _beginning(text: str) -> str:
    """What a file that is none of kubectl's begins with: most often the error of a command."""
    first = text.strip().partition("\n")[0].strip()
    its_own = first.startswith(("{", "[", "-", "apiVersion:"))
    return "" if its_own else f" (it begins with {first[:100]!r})"


def _documents(text: str, is_json: bool, name: str, problems: list[str]) -> Iterator[Any]:
    """The documents up to the first that cannot be read."""
    if is_json:
        try:
            yield from _json_documents(text)
            return
        except (ValueError, RecursionError) as error:
            reason = " ".join(str(error).split())
            problems.append(f"{name} is not valid JSON: {reason}")
            return
    import yaml

    try:
        # Only texts, lists and maps come out of it: a time stays what was written.
        loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)(text)
        while loader.check_data():
            yield loader.get_data()
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        problems.append(f"{name} is not valid YAML: {core_schema.reason_of(error)}")


def _json_documents(text: str) -> Iterator[Any]:
    decoder = json.JSONDecoder()
    at = 0
    while at < len(text):
        document, at = decoder.raw_decode(text, at)
        yield document
        while at < len(text) and text[at].isspace():
            at += 1


def _items(document: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(document, list):
        for item in document:
            if isinstance(item, dict):
                yield item
    elif isinstance(document, dict):
        items = document.get("items")
        if isinstance(items, list):
            for item in items:
                if isinstance(item, dict):
                    yield {"kind": "ConfigMap", **item} if "kind" not in item else item
        elif str(document.get("kind", "")).endswith("List"):
            return
        else:
            yield document


def config_map_of(item: Mapping[str, Any]) -> ConfigMap | None:
    """A ConfigMap as the API server writes it; ``None`` when it has no name."""
    metadata = item.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        return None
    version = str(metadata.get("resourceVersion", ""))
    return ConfigMap(
        readable(metadata["name"]),
        readable(str(metadata.get("namespace") or "")),
        _texts(metadata.get("labels")),
        _texts(metadata.get("annotations")),
        _texts(item.get("data")),
        str(metadata.get("creationTimestamp") or ""),
        int(version) if version.isascii() and version.isdigit() and len(version) < 20 else None,
        str(item.get("immutable")).lower() == "true",
        readable(str(metadata.get("deletionTimestamp") or "")),
        _list(metadata.get("finalizers")),
    )


def _list(value: Any) -> tuple[str, ...]:
    found = value if isinstance(value, list) else []
    return tuple(readable(each) for each in found if isinstance(each, str))


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {readable(key): readable(text) for key, text in value.items()
            if isinstance(key, str) and isinstance(text, str)}  # fmt: skip


_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(\.\d+)?(Z|z|[+-]\d\d:?\d\d)?")


def parse_time(text: str) -> float | None:
    """Seconds since 1970 of a time as Kubernetes writes it; ``None`` when it is none."""
    match = _TIME.fullmatch(text.strip().strip("'\""))
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        whole = calendar.timegm(
            time.strptime(f"{year}-{month}-{day} {hour}:{minute}:{second}", "%Y-%m-%d %H:%M:%S")
        )
    except ValueError:
        return None
    seconds = whole + float(fraction or 0)
    if zone and zone not in "Zz":
        sign = 1 if zone[0] == "+" else -1
        seconds -= sign * (int(zone[1:3]) * 3600 + int(zone[-2:]) * 60)
    return seconds
