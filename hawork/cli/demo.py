"""``hawork demo``: the main job in a terminal."""

from __future__ import annotations

import argparse
from pathlib import Path

from hawork.cli.common import add_ha
from hawork.cli.output import say, say_json, tell
from hawork.client.job_details import JobDetails
from hawork.core.errors import LabError
from hawork.core.user_files import absolute, is_directory, is_writable
from hawork.lab.progress import open_progress
from hawork.lessons.demonstration import DemoResult, Teller, run_demo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_ha(parser)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object as the last line"
    )
    parser.add_argument("--seed", type=int, help="repeat a run's moment of the kill")
    parser.add_argument("--bundle", metavar="FILE", help="keep the run in one file, to be shared")
    parser.add_argument("--directory", metavar="DIR", help="keep everything of the run there")


def run(arguments: argparse.Namespace) -> int:
    """Status 0 only when the recovered result equals the batch result."""
    from hawork.lab.flights import DEPARTED

    # With --json, standard output belongs to the machine that reads it.
    story = tell if arguments.json else say

    def pausing(sentence: str) -> None:
        view.pause()
        story(sentence)

    view = _Progress(DEPARTED)
    directory = Path(arguments.directory) if arguments.directory else None
    bundle = absolute(arguments.bundle) if arguments.bundle else None
    if bundle is not None and not (is_directory(bundle.parent) and is_writable(bundle.parent)):
        # Now, and not when the run is over.
        raise LabError(f"bundle {bundle} cannot be written there: choose another path")
    try:
        result, timeline = run_demo(
            Teller(pausing, view.update), ha=arguments.ha, seed=arguments.seed, directory=directory,
            bundle=bundle,
        )  # fmt: skip
    finally:
        view.pause()
    story(f"\n{_verdict(result)}\n\n{timeline}\n\n{_how_to_go_on(arguments)}")
    if arguments.json:
        say_json(result.to_json())
    return 0 if result.equal and result.failovers else 1


class _Progress:
    """A progress view that makes room for sentences."""

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._view = open_progress(expected)

    def update(self, details: JobDetails) -> None:
        self._view.update(details)

    def pause(self) -> None:
        self._view.close()
        self._view = open_progress(self._expected)


def _verdict(result: DemoResult) -> str:
    equal = "equals" if result.equal else "DIFFERS from"
    return (
        f"The streamed, crashed and recovered result {equal} pandas' groupby of the same file:\n"
        f"  {result.records:,} flights in {result.groups} groups, {result.lost} lost, "
        f"{result.duplicated} duplicated.\n"
        f"  {result.checkpoints} checkpoints; after the kill the job went on from checkpoint "
        f"{result.restored_from}.\n"
        f"  Failover took {result.failover_seconds:.3f} s, all of it {result.seconds:.1f} s "
        f"(seed {result.seed})."
    )


def _how_to_go_on(arguments: argparse.Namespace) -> str:
    kept = f"Everything of this run is in {arguments.directory}.\n" if arguments.directory else ""
    return f"{kept}See the same in the browser, step by step: make lab (or: hawork lab)"
