"""Names of entries and files in HA data, as a reader writes them: copied from where they stand."""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from typing import Any, Final

__all__ = ["name_of", "split_key"]

_KIND: Final = re.compile(r"(?:znode|file|directory|configmap(?:-key)?)\s+", re.IGNORECASE)
"""What the inspector writes before a name."""
_PLACE: Final = re.compile(r"(?:file:/{1,3}|/)srv/flink/+|(?:\./+)?storage/+|\./+")
_KEYED: Final = re.compile(r"([^/\[\]]+)\[([^\[\]]+)\]")


def name_of(given: Any, storage: Path) -> str | None:
    """The name that is meant, as the copy has it; ``None`` for what is not a name.

    A file may be named by its URL, by its path or below ``storage``; a key of a ConfigMap by a
    pair, as ``data.remove`` takes it.

    >>> name_of("file:///srv/flink/ha/x", Path("/tmp/storage"))
    'ha/x'
    >>> name_of(("cluster-config-map", "counter"), Path("/tmp/storage"))
    'cluster-config-map[counter]'
    """
    if isinstance(given, tuple | list) and len(given) == 2:
        place, key = given
        if isinstance(place, str) and isinstance(key, str):
            return f"{place.strip()}[{key.strip()}]"
    if isinstance(given, PurePath):
        given = given.as_posix()
    if not isinstance(given, str):
        return None
    text = given.strip()
    if kind := _KIND.match(text):
        text = text[kind.end() :]
    text = text.removeprefix(f"{storage.as_posix()}/")
    if place := _PLACE.match(text):
        text = text[place.end() :]
    return text


def split_key(name: str) -> tuple[str, str | None]:
    """The ConfigMap and the key of a name that has both, as tables show it.

    >>> split_key("cluster-config-map[counter]"), split_key("ha/x")
    (('cluster-config-map', 'counter'), ('ha/x', None))
    """
    found = _KEYED.fullmatch(name)
    return (found[1], found[2]) if found else (name, None)
