"""What several commands share: the configuration, the client, tables."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hawork.client.cluster_client import ClusterClient
from hawork.core.configuration import Configuration
from hawork.core.errors import ConfigurationError, HaworkError

CONFIG_VARIABLE = "HAWORK_CONFIG"
FLINK_VARIABLE = "FLINK_CONF_DIR"


class CommandLineError(ConfigurationError):
    """What was typed is wrong, whatever the machine is like: exit status 2."""


@contextlib.contextmanager
def command_line() -> Iterator[None]:
    """Errors of hawork that come of what was typed become ``CommandLineError``."""
    try:
        yield
    except HaworkError as error:
        raise CommandLineError(str(error)) from None


def add_ha(parser: argparse.ArgumentParser) -> None:
    """``--ha``: the backend of a lab."""
    parser.add_argument(
        "--ha", default="embedded", metavar="TYPE", type=str.lower, choices=_BACKENDS,
        help=f"high-availability.type: {', '.join(_BACKENDS)} (%(default)s)",
    )  # fmt: skip


_BACKENDS = ("embedded", "zookeeper", "kubernetes")


def at_least(least: int) -> Callable[[str], int]:
    """The type of an argument that is a whole number."""

    def number(text: str) -> int:
        if not re.fullmatch("[+-]?[0-9]{1,18}", text) or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of {least} or more")
        return int(text)

    return number


def one_word(text: str) -> str:
    """The type of an argument that names something: an unset variable of a shell leaves nothing."""
    if len(text.split()) != 1 or text != text.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not a name")
    return text


def duration_of(least: float) -> Callable[[str], float]:
    """The type of an argument that is a number of seconds or minutes, and ends some time."""

    def number(text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            found = -1.0
        if not least <= found < 1e7:  # neither inf nor nan
            raise argparse.ArgumentTypeError(f"{text!r} is not a number of {least:g} or more")
        return found

    return number


def add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="Flink's config.yaml or flink-conf.yaml, or their directory (default: "
        f"${CONFIG_VARIABLE}, ${FLINK_VARIABLE}, the working directory)",
    )
    parser.add_argument(
        "-D",
        dest="options",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="an option that wins over the file; may be repeated",
    )


def find_config(given: str | None) -> Path:
    """The configuration file: as given, from the environment, or in this directory.

    A directory stands for the file that Flink takes from it.
    """
    from hawork.ha.configuration_file import in_directory

    for place in (given, os.environ.get(CONFIG_VARIABLE)):
        if place:
            return in_directory(Path(place))
    for place in (os.environ.get(FLINK_VARIABLE), "."):
        if place:
            with contextlib.suppress(ConfigurationError):
                found = in_directory(Path(place))
                if found.is_file():
                    return found
    raise ConfigurationError(
        f"no configuration was found: name a config.yaml with --config, or set {CONFIG_VARIABLE}"
    )


def read_config(arguments: argparse.Namespace) -> Configuration:
    """The checked configuration of a command line."""
    from hawork.core.options import checked
    from hawork.ha.configuration_file import load_configuration

    config = load_configuration(find_config(arguments.config))
    return checked(config.with_values(option_pairs(arguments.options)))


def open_client(arguments: argparse.Namespace) -> ClusterClient:
    return ClusterClient(read_config(arguments))


def option_pairs(given: Sequence[str]) -> dict[str, str]:
    """The options of ``-D key=value``. ``CommandLineError`` for one that is none."""
    return dict(map(_pair, given))


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise CommandLineError(f"'-D {text}' is not an option: write -D key=value")
    return key, value
