"""``hawork cancel``: cancel a job."""

from __future__ import annotations

import argparse

from hawork.cli.common import add_config, open_client
from hawork.cli.output import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument("job", help="the job's id, as printed by 'hawork list'")
    parser.add_argument(
        "--no-wait", action="store_true", help="return once the leader was asked, not at the end"
    )


def run(arguments: argparse.Namespace) -> int:
    """Cancel and wait for the end; status 1 when the job is not known or ended otherwise."""
    with open_client(arguments) as client:
        client.cancel(arguments.job)
        if arguments.no_wait:
            say(f"job {arguments.job} is being cancelled")
            return 0
        details = client.wait(arguments.job)
    say(f"job {arguments.job} is {details.status}")
    return 0 if details.status == "CANCELED" else 1
