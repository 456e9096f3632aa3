"""``hawork watch``: record a Flink cluster before it breaks. Only reads; ends with control-C."""

from __future__ import annotations

import argparse
import re
import signal
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from hawork.backends.registry import check_backend
from hawork.cli.common import add_config, find_config, read_config
from hawork.cli.output import complain, say, say_line
from hawork.core.configuration import Configuration
from hawork.core.events import Event
from hawork.core.private_files import write_private
from hawork.core.units import format_duration, parse_duration, parse_size
from hawork.core.user_files import temporary_directory
from hawork.ha.configuration_file import configuration_text
from hawork.ha.layout import cluster_name
from hawork.story.display import clock_time
from hawork.story.facts import Facts

T = TypeVar("T", int, float)
_LEAST_KEPT = 60.0
_LEAST_SIZE = 1 << 20
_MOST_SIZE = 400 << 20
"""What ``open_bundle`` reads, and a little less."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument(
        "--to", metavar="DIR", type=Path,
        help="the folder of the ring (default: hawork-watch-CLUSTER-ID in this folder)",
    )  # fmt: skip
    parser.add_argument(
        "--keep", metavar="TIME", type=_at_least(parse_duration, _LEAST_KEPT, "1 min"),
        default=parse_duration("24 h"), help="for how long what was seen is kept (default: 24h)",
    )  # fmt: skip
    parser.add_argument(
        "--size", metavar="SIZE", type=_at_least(parse_size, _LEAST_SIZE, "1m", _MOST_SIZE),
        default=parse_size("64m"), help="the most that it may take on the disk (default: 64m)",
    )  # fmt: skip
    parser.add_argument(
        "--case-every", metavar="TIME", type=_at_least(parse_duration, 1.0, "1 s"),
        default=parse_duration("10 min"),
        help="how often the HA data is kept for 'hawork inspect' (default: 10min)",
    )  # fmt: skip
    parser.add_argument(
        "--logs", metavar="FILE", nargs="+", default=[],
        help="logs of JobManagers to follow, such as what 'kubectl logs -f' writes",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    from hawork.lab.flink.recorder import Recorder

    config = read_config(arguments)
    check_backend(config)  # before a ring is begun that would stay empty
    ring = arguments.to or Path(f"hawork-watch-{_name_of(config)}")
    done = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: done.set())
    begun = (
        f"recording into {ring} for {format_duration(arguments.keep)}; look with "
        f"'hawork report {ring}' and 'hawork inspect {ring}', end with control-C"
    )
    with tempfile.TemporaryDirectory(
        prefix="hawork-options-", dir=temporary_directory()
    ) as scratch:
        file = find_config(arguments.config)
        if arguments.options:
            file = Path(scratch) / "config.yaml"
            write_private(file, configuration_text(config))
        recorder = Recorder(
            config, file, ring, keep=arguments.keep, size=arguments.size,
            case_every=arguments.case_every, logs=arguments.logs, told=_News().see,
            trouble=complain, begun=lambda: say(begun),
        )  # fmt: skip
        recorder.run(done)
    return 0


class _News:
    """Prints what a reader should hear of."""

    def __init__(self) -> None:
        self._facts = Facts()
        self._last: object = None

    def see(self, event: Event) -> None:
        self._facts.see(event)
        newest = self._facts.news[-1] if self._facts.news else None
        if newest is not None and newest is not self._last:
            self._last = newest
            say_line(f"{clock_time(newest[0])}  {newest[1]}")


def _name_of(config: Configuration) -> str:
    """A file name for the cluster-id."""
    return re.sub(r"[^\w.-]+", "-", cluster_name(config)).strip("-.") or "cluster"


def _at_least(
    parse: Callable[[str], T], least: float, said: str, most: float = float("inf")
) -> Callable[[str], T]:
    def parsed(text: str) -> T:
        try:
            value = parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        if value < least:
            raise argparse.ArgumentTypeError(f"{text} is too little: give {said} or more")
        if value > most:
            raise argparse.ArgumentTypeError(f"{text} is too much: give {most // (1 << 20):.0f}m")
        return value

    return parsed
