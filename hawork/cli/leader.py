"""``hawork leader``: who leads, by leader retrieval; and how full the HA store is."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from hawork.backends.registry import open_backend
from hawork.cli.common import add_config, duration_of, open_client, read_config
from hawork.cli.output import say, say_json
from hawork.client.token import read_token
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.configuration import Configuration
from hawork.core.events import NullEventSink
from hawork.ha.backend import Fullness


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument(
        "--wait",
        type=duration_of(0),
        default=5.0,
        metavar="SECONDS",
        help="how long to wait for one",
    )
    parser.add_argument(
        "--verbose", action="store_true", help="also say what in the HA store is closest to a limit"
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print one JSON object")
    shown.add_argument(
        "--flink-headers",
        action="store_true",
        help="print the line for a shell that lets Flink's own client in, with the token",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print address and session id; status 1 when there is no leader."""
    if arguments.flink_headers:
        token = read_token(read_config(arguments))
        # No space after the colon: Flink's client would take it for a part of the value.
        say(f"export FLINK_REST_CLIENT_HEADERS='Authorization:Bearer {token}'")
        return 0
    with open_client(arguments) as client:
        leader = client.leader(arguments.wait)
    fullest = _fullest(read_config(arguments)) if arguments.verbose else None
    if arguments.json:
        found: dict[str, Any] = {"address": leader.address, "session_id": str(leader.session_id)}
        if fullest is not None:
            found["fullest"] = dataclasses.asdict(fullest)
        say_json(found)
        return 0
    say(f"{leader.address}  session id {leader.session_id}")
    if fullest is not None:
        say(str(fullest))
    return 0


def _fullest(config: Configuration) -> Fullness:
    backend = open_backend(config, SYSTEM_CLOCK, NullEventSink())
    try:
        return backend.fullest()
    finally:
        backend.close()
