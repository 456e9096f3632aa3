"""hawork reads a configuration as Flink's own classes do, or the table says why it does not.

``flink_values.tsv`` holds what Flink 1.20.5 said; ``scripts/flink-values`` asks it again, and
``tests/interop/test_flink_values.py`` compares.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from hawork.backends.zookeeper.settings import parse_quorum
from hawork.cli.common import add_config, read_config
from hawork.core import options
from hawork.core.configuration import Configuration, Option
from hawork.core.errors import ConfigurationError
from hawork.core.units import parse_duration
from hawork.ha.configuration_file import load_configuration

TABLE = Path(__file__).with_name("flink_values.tsv")
PSEUDO = {
    "@mode": options.HA_TYPE,
    "@ports": options.REST_BIND_PORT,
    "@cleanup": options.CLEANUP_STRATEGY,
    "@restart": options.RESTART_STRATEGY,
}
"""What Flink makes of a text elsewhere than in an option's type, and where hawork does."""


class Row(NamedTuple):
    file: str
    text: str
    option: str
    flink: str
    difference: str


def table() -> Iterator[Row]:
    for line in TABLE.read_text(encoding="utf-8").splitlines()[1:]:
        yield Row(*line.split("\t"))


def test_the_table_is_worth_its_name() -> None:
    rows = list(table())
    assert len({row[:3] for row in rows}) == len(rows) > 600
    assert {row.file for row in rows} == {"config", "legacy", "both", "dynamic", "names"}
    assert all(row.flink for row in rows if row.option != "high-availability.cluster-id")


def test_every_value_is_read_as_flink_reads_it(tmp_path: Path) -> None:
    wrong = []
    for row in table():
        ours = escaped(reads(row, tmp_path))
        if (ours == row.flink) == bool(row.difference):
            wrong.append(
                f"{row.file} {row.text!r} {row.option}: Flink {row.flink!r}, hawork {ours!r}, "
                f"explained by {row.difference!r}"
            )
    if wrong:
        pytest.fail(f"{len(wrong)} differ:\n" + "\n".join(wrong))


def reads(row: Row, directory: Path) -> str:
    """What hawork reads for one row, as the table writes it."""
    if row.file == "names":
        return names(options.ALL_OPTIONS[row.option])
    try:
        return value(load(row.file, unescaped(row.text), directory), row.option)
    except ConfigurationError:
        return "refused"


def load(file: str, text: str, directory: Path) -> Configuration:
    first, *given = text.split("|-D")
    legacy, _, standard = first.partition("\n|")
    texts = {
        "legacy": {"flink-conf.yaml": first},
        "both": {"flink-conf.yaml": f"{legacy}\n", "config.yaml": standard},
    }.get(file, {"config.yaml": first})
    for name in ("flink-conf.yaml", "config.yaml"):
        (directory / name).unlink(missing_ok=True)
        if name in texts:
            (directory / name).write_bytes(texts[name].encode())
    if file != "dynamic":
        return load_configuration(directory)
    parser = argparse.ArgumentParser()
    add_config(parser)
    words = [word for each in given for word in f"-D{each}".replace("-D|", "-D\0").split("\0")]
    return read_config(parser.parse_args(["--config", str(directory), *words]))


def value(config: Configuration, key: str) -> str:
    if key == "@quorum":
        servers, chroot = parse_quorum(config[options.ZK_QUORUM.key])
        return ",".join(servers) + chroot
    option = PSEUDO.get(key) or options.ALL_OPTIONS.get(key)
    if option is None:
        return config.get(key, "-")
    found = config.get_option(option)
    if key == "@ports":
        return ",".join(map(str, found[:6]))
    return rendered(option, found)


def names(option: Option[Any]) -> str:
    default = None if option.default == {} else option.default
    return " ".join([rendered(option, default).replace(" ", ""), *option.deprecated])


def rendered(option: Option[Any], found: Any) -> str:
    if found is None:
        return "-"
    if option.parse is parse_duration:
        return f"{found:.9f}".rstrip("0").rstrip(".") + " s"
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, dict):
        return json.dumps(dict(sorted(found.items())), ensure_ascii=False)
    if isinstance(found, tuple):
        return ",".join(map(str, found))
    return str(found)


def escaped(text: str) -> str:
    known = {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return "".join(known.get(c) or (c if c.isprintable() else f"\\u{ord(c):04x}") for c in text)


def unescaped(text: str) -> str:
    known = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}
    return re.sub(
        r"\\(?:u([0-9a-f]{4})|(.))",
        lambda found: chr(int(found[1], 16)) if found[1] else known[found[2]],
        text,
    )
