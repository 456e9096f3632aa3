"""Reading Flink's own configuration files.

Source: Flink 1.20's ``config.yaml`` (YAML, nested or flat keys) and the ``key: value``
lines of the older ``flink-conf.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hawork.core.configuration import Configuration, flatten
from hawork.core.errors import ConfigurationError
from hawork.core.options import ALL_OPTIONS, NAMESPACES, checked
from hawork.core.units import parse_map


def load_configuration(path: Path | str) -> Configuration:
    """The checked configuration of a file.

    Every scalar stays the text it is in the file (``off`` is no boolean). A file named
    ``flink-conf.yaml`` is read line by line as older Flink versions do. ``ConfigurationError``
    names file and reason when it cannot be read or understood.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"configuration file {path} cannot be read: {error.strerror or error}"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"configuration file {path} is not UTF-8 text: {error}") from error
    try:
        values = _parse_lines(text) if path.name == "flink-conf.yaml" else _parse_yaml(text)
        return checked(values)
    except ConfigurationError as error:
        raise ConfigurationError(f"configuration file {path}: {error}") from None


def _parse_lines(text: str) -> dict[str, str]:
    """Source: ``GlobalConfiguration.loadLegacyYAMLResource``; the last of equal keys wins there,
    here they are refused.
    """
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        key, separator, value = content.partition(": ")
        if not separator or not key.strip() or not value.strip():
            raise ConfigurationError(f"line {number} is {content!r}: write 'key: value'")
        if key.strip() in values:
            raise ConfigurationError(f"option {key.strip()} is given twice: keep one of them")
        values[key.strip()] = value.strip()
    return values


def _parse_yaml(text: str) -> dict[str, str]:
    import yaml

    try:
        node = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ConfigurationError(f"it is not valid YAML: {reason}") from None
    if node is None:
        return {}
    tree = _plain(node, "")
    if not isinstance(tree, dict):
        raise ConfigurationError("it is no mapping: write 'key: value' lines")
    return _join_maps(flatten(tree))


def _plain(node: Any, key: str) -> Any:
    """The texts and mappings below a YAML node; the loader itself would drop duplicates."""
    import yaml

    if isinstance(node, yaml.ScalarNode):
        return node.value
    if isinstance(node, yaml.SequenceNode):
        if not key or key in ALL_OPTIONS or key.startswith(NAMESPACES):
            raise ConfigurationError(
                f"{f'option {key}' if key else 'the file'} is a list: write one text instead"
            )
        # Somebody else's option; Flink joins lists in this way.
        return ";".join(str(_plain(item, f"{key}[]")) for item in node.value)
    tree: dict[str, Any] = {}
    for name_node, value_node in node.value:
        if not isinstance(name_node, yaml.ScalarNode):
            raise ConfigurationError(f"a key below {key or 'the top'} is no text: write a name")
        name = name_node.value
        path = f"{key}.{name}" if key else name
        if name in tree:
            raise ConfigurationError(f"option {path} is given twice: keep one of them")
        tree[name] = _plain(value_node, path)
    return tree


def _join_maps(flat: Mapping[str, str]) -> dict[str, str]:
    """Options that are maps may be written as nested keys, too: make them one text again."""
    values = dict(flat)
    for option in ALL_OPTIONS.values():
        if option.parse is not parse_map or option.key in values:
            continue
        prefix = f"{option.key}."
        parts = [key for key in values if key.startswith(prefix)]
        if parts:
            pairs = [f"{key.removeprefix(prefix)}:{values.pop(key)}" for key in parts]
            values[option.key] = ",".join(pairs)
    return values
