"""``hawork drill``: random faults upon a cluster of its own, judged from outside."""

from __future__ import annotations

import argparse
import dataclasses
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from hawork.cli.common import add_ha, at_least, command_line, duration_of
from hawork.cli.output import say, say_json, tell
from hawork.core.user_files import absolute

if TYPE_CHECKING:
    from hawork.lab.nemesis.drill import DrillReport


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_ha(parser)
    parser.add_argument("--seed", metavar="SEED", help="repeat the faults of a drill, such as n2-7")
    parser.add_argument(
        "--minutes", type=duration_of(0.01), default=1.0, help="how long faults are done (1)"
    )
    parser.add_argument(
        "--faults", type=at_least(1), metavar="N", help="so many, instead of --minutes"
    )
    parser.add_argument("--only", metavar="N,N", help="of these, only the faults with such numbers")
    parser.add_argument(
        "--flink", action="store_true", help="JobManagers of real Flink (zookeeper, kubernetes)"
    )
    parser.add_argument(
        "--servers", type=int, default=1, metavar="N", help="ZooKeeper servers: 1, 3 or 5 (1)"
    )
    parser.add_argument(
        "--minimize", action="store_true",
        help="after a broken promise, look for the fewest faults that break it again",
    )  # fmt: skip
    parser.add_argument(
        "--directory",
        metavar="DIR",
        help="keep everything of the drill there; no disk is filled then",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object as the last line"
    )


def run(arguments: argparse.Namespace) -> int:
    """Status 0 only when every promise was kept. SIGTERM heals first, as Ctrl-C does."""
    from hawork.lab.drills import DrillSetup, run_drill
    from hawork.lab.nemesis.minimal import fewest
    from hawork.lab.nemesis.plan import seed_of

    with command_line():
        seed, only = seed_of(arguments.seed), _numbers(arguments.only)
    story = tell if arguments.json else say
    setup = DrillSetup(
        ha=arguments.ha, store_servers=arguments.servers, flink=arguments.flink,
        own_disk=not arguments.directory,
        directory=absolute(arguments.directory) if arguments.directory else None,
        task_managers=1 if arguments.flink else 2,
    )  # fmt: skip

    def drill(numbers: Sequence[int] | None) -> DrillReport:
        return run_drill(
            setup, seed, minutes=arguments.minutes, faults=arguments.faults, only=numbers,
            tell=story,
        )  # fmt: skip

    before = signal.signal(signal.SIGTERM, _interrupted)
    try:
        report = drill(only)
        if arguments.minimize and not report.valid:
            setup = dataclasses.replace(setup, directory=None)
            report = fewest(report, drill, tell=story)
    finally:
        signal.signal(signal.SIGTERM, before)
    story(f"\n{report}")
    if arguments.json:
        say_json(report.to_json())
    return 0 if report.valid else 1


def _numbers(text: str | None) -> list[int] | None:
    from hawork.core.errors import LabError

    try:
        return None if text is None else sorted({int(each) for each in text.split(",")})
    except ValueError:
        raise LabError(f"--only {text!r} is not a list of numbers: write --only 3,17") from None


def _interrupted(*_: object) -> NoReturn:
    raise KeyboardInterrupt
