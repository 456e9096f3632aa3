"""``hawork leader``: who leads, by leader retrieval."""

from __future__ import annotations

import argparse
import json
import sys

from hawork.cli.common import add_config, open_client, read_config
from hawork.runtime.token import read_token


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument(
        "--wait", type=float, default=5.0, metavar="SECONDS", help="how long to wait for one"
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print one JSON object")
    shown.add_argument(
        "--flink-headers",
        action="store_true",
        help="print the line for a shell that lets Flink's own client in, with the token",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print address and session id; status 1 when nobody leads."""
    if arguments.flink_headers:
        token = read_token(read_config(arguments))
        # No space after the colon: Flink's client would take it for a part of the value.
        sys.stdout.write(f"export FLINK_REST_CLIENT_HEADERS='Authorization:Bearer {token}'\n")
        return 0
    with open_client(arguments) as client:
        leader = client.leader(arguments.wait)
    if arguments.json:
        found = {"address": leader.address, "session_id": str(leader.session_id)}
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        sys.stdout.write(f"{leader.address}  session id {leader.session_id}\n")
    return 0
