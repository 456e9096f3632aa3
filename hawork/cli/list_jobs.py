"""``hawork list``: the jobs that the leader knows."""

from __future__ import annotations

import argparse
import time

from hawork.cli.common import add_config, open_client
from hawork.cli.output import say, say_json, say_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object per job")


def run(arguments: argparse.Namespace) -> int:
    """Print a table of the jobs, running ones first."""
    with open_client(arguments) as client:
        jobs = client.jobs()
    if arguments.json:
        for job in jobs:
            line = {
                "id": job.job_id, "name": job.name, "status": job.status.value,
                "records": None if job.foreign else job.records,
                "checkpoints": None if job.foreign else job.checkpoints,
                "restored_from": job.restored_checkpoint_id, "start_time": job.start_time,
                "end_time": job.end_time, "failure": job.failure,
            }  # fmt: skip
            say_json(line)
        return 0
    if not jobs:
        say("no jobs")
        return 0
    rows = [
        (
            job.job_id, job.name, job.status, "-" if job.foreign else f"{job.records:,}",
            "-" if job.foreign else job.checkpoints,
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(job.start_time / 1000)),
        )
        for job in jobs
    ]  # fmt: skip
    say_table(("job", "name", "status", "records", "checkpoints", "started"), rows)
    return 0
