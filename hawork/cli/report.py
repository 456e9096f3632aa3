"""``hawork report``: what a recorded run was like."""

from __future__ import annotations

import argparse
from pathlib import Path

from hawork.cli.output import say
from hawork.story.report import report
from hawork.story.run_bundle import open_bundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bundle", metavar="FILE",
        help="what export_bundle of a lab has written, or the folder of 'hawork watch'",
    )  # fmt: skip
    parser.add_argument(
        "--logs", metavar="FILE", nargs="+", default=[],
        help="logs of its JobManagers, laid beside the events, such as what 'kubectl logs' printed",
    )  # fmt: skip
    parser.add_argument("--html", metavar="FILE", help="write the report there, for a browser")


def run(arguments: argparse.Namespace) -> int:
    """Print the verdict and the story; status 1 when it was not valid, or ends in silence."""
    recorded = open_bundle(arguments.bundle)
    if arguments.logs:
        recorded = recorded.with_logs(arguments.logs)
    verdict = recorded.verdict()
    say(f"{recorded!r}\n\n{verdict}\n\n{recorded.timeline()}")
    if arguments.html:
        page = report(recorded).encode(errors="backslashreplace")
        Path(arguments.html).write_bytes(page)
        say(f"\nThe report is in {arguments.html}.")
    return 0 if verdict.valid and verdict.unheard_since is None else 1
