"""``hawork submit``: submit a job, and wait for its end if wanted."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from hawork.cli.common import CommandLineError, add_config, at_least, command_line, open_client
from hawork.cli.output import complain, say
from hawork.core.errors import JobSubmissionError
from hawork.core.types import JobID


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument("job", help="file.py:function, or a package directory or zip and :function")
    parser.add_argument("--name", help="the job's name (default: the function's)")
    parser.add_argument(
        "--job-id", metavar="ID",
        help="32 hexadecimal digits: the same command with the same id may be repeated until it is "
        "answered, and runs the job once",
    )  # fmt: skip
    parser.add_argument("--parallelism", type=at_least(1), metavar="N", help="number of subtasks")
    parser.add_argument(
        "--checkpoint-interval", metavar="TIME", help="pause between checkpoints, such as '500 ms'"
    )
    parser.add_argument(
        "--set", dest="values", metavar="KEY=VALUE", action="append", default=[],
        help="an entry of the job's config; VALUE is JSON or else text; may be repeated",
    )  # fmt: skip
    parser.add_argument("--job-config", metavar="FILE", help="a JSON file with the job's config")
    parser.add_argument("--wait", action="store_true", help="wait for the job's end")


def run(arguments: argparse.Namespace) -> int:
    """Print the job id; with ``--wait`` status 0 only when the job FINISHED."""
    from hawork.client.submission import make_submission
    from hawork.lab.progress import open_progress

    submission = make_submission(
        arguments.job, job_config(arguments), arguments.parallelism,
        arguments.checkpoint_interval, arguments.name,
    )  # fmt: skip
    if arguments.job_id is not None:
        with command_line():
            submission = replace(submission, job_id=JobID(arguments.job_id))
    with open_client(arguments) as client:
        job_id = client.submit(submission)
        say(job_id)
        if not arguments.wait:
            return 0
        view = open_progress()
        try:
            details = client.wait(job_id, on_progress=view.update)
        finally:
            view.close()
    if details.failure:
        complain(f"job {job_id} is {details.status}: {details.failure}")
    return 0 if details.status == "FINISHED" else 1


def job_config(arguments: argparse.Namespace) -> dict[str, Any]:
    """The job's config from ``--job-config`` and ``--set``, which wins."""
    config: dict[str, Any] = {}
    if arguments.job_config:
        try:
            config = json.loads(Path(arguments.job_config).read_bytes())
        except ValueError as error:
            raise JobSubmissionError(f"{arguments.job_config} is not JSON: {error}") from None
        if not isinstance(config, dict):
            raise JobSubmissionError(f"{arguments.job_config} is not a JSON object: write {{...}}")
    for text in arguments.values:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise CommandLineError(f"'--set {text}' is not an entry: write --set key=value")
        try:
            config[key] = json.loads(value)
        except ValueError:
            config[key] = value
    return config
