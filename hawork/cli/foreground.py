"""Running one process of a cluster in the foreground, supervised."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from hawork.cli.common import find_config, read_config
from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.core.events import EventLog, EventSink, NullEventSink
from hawork.core.library_path import module_command
from hawork.core.private_files import private_directory, write_private
from hawork.core.user_files import temporary_directory
from hawork.ha.configuration_file import configuration_text


def add_process_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--name",
        help="name in the cluster and in events, such as jm-1 (default: role, host, process id and "
        "something random)",
    )
    parser.add_argument(
        "--run-directory", metavar="DIR", help="where events are written (default: nowhere)"
    )


def run_process(role: str, arguments: argparse.Namespace) -> int:
    """Run ``python -m hawork.runtime <role>`` under a supervisor; returns its exit status."""
    from hawork.runtime.process import unique_name
    from hawork.runtime.supervisor import supervise

    config = read_config(arguments)
    name = arguments.name or unique_name(role)
    directory = arguments.run_directory or config.get_option(options.RUN_DIRECTORY)
    events: EventSink = NullEventSink()
    if directory:
        private_directory(Path(directory))
        events = EventLog(
            f"supervisor-{name}", Path(directory) / "events" / f"supervisor-{name}.jsonl"
        )
    with tempfile.TemporaryDirectory(
        prefix="hawork-options-", dir=temporary_directory()
    ) as scratch:
        argv = module_command(
            "hawork.runtime", role,
            "--config", str(_options_file(arguments, config, Path(scratch))), "--name", name,
        )  # fmt: skip
        if directory:
            argv += ["--run-directory", str(directory)]
        release = config.get_option(options.SUPERVISOR)
        return supervise(name, argv, config, release=release, events=events)


def _options_file(arguments: argparse.Namespace, config: Configuration, scratch: Path) -> Path:
    """The file as given, or a copy with the options of the command line."""
    if not arguments.options:
        return find_config(arguments.config)
    path = scratch / "config.yaml"
    write_private(path, configuration_text(config))
    return path
