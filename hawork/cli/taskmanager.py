"""``hawork taskmanager``: one TaskManager in the foreground."""

from __future__ import annotations

import argparse

from hawork.cli.common import add_config
from hawork.cli.foreground import add_process_arguments, run_process


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    add_process_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run until it ends; SIGTERM and Ctrl-C end it gracefully, a second one at once."""
    return run_process("taskmanager", arguments)
