"""``hawork inspect``: what the HA data of a Flink cluster says, and what Flink would do with it.

Reads only. Exit status: 0 nothing found, 1 findings, 2 could not look, 64 the command line was
wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from pathlib import Path
from typing import Final

from hawork.cli.output import complain, is_terminal, say, say_json, show
from hawork.core.errors import ConfigurationError, HaworkError
from hawork.inspect.configmaps import parse_time
from hawork.inspect.inspection import Inspection
from hawork.inspect.inspector import inspect
from hawork.inspect.report import as_text
from hawork.inspect.sources import Sources
from hawork.story.ring import case_of, is_ring

USAGE: Final = 64


class _Once(argparse.Action):
    """An option of one value; a second one would silently take the place of the first."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        if getattr(namespace, self.dest) is not None:
            raise argparse.ArgumentError(self, "given twice: put what you have into one folder")
        setattr(namespace, self.dest, values)


def add_sources(parser: argparse.ArgumentParser) -> None:
    """What says where to look."""
    parser.add_argument(
        "case", nargs="?", metavar="CASE.ZIP",
        help="what --save has written, or the folder of 'hawork watch' (its newest case, or with "
        "--at the newest before that)",
    )  # fmt: skip
    parser.add_argument(
        "--config",
        metavar="FILE",
        action=_Once,
        help="the JobManager's config.yaml or flink-conf.yaml, or their directory",
    )
    parser.add_argument(
        "--configmaps",
        metavar="FILE|DIR|TAR",
        action=_Once,
        help="what 'kubectl get configmap -o yaml' (or json) prints, or several such files",
    )
    parser.add_argument(
        "--zookeeper-dump", metavar="FILE", action=_Once, help="a dump of the znodes, as JSON"
    )
    parser.add_argument(
        "--zookeeper-data",
        metavar="DIR|TAR",
        action=_Once,
        help="a ZooKeeper server's dataDir (version-2)",
    )
    parser.add_argument(
        "--storage", metavar="DIR|TAR|ZIP", action=_Once,
        help="the files: storageDir and checkpoints, as a folder, a tar (gz, xz), a zip or a URL",
    )  # fmt: skip
    parser.add_argument(
        "--map", dest="mapping", metavar="URL=PATH", action="append", default=[],
        help="which folder of the storage a URL in the data stands for, such as "
        "file:/srv/flink=. ; may be repeated",
    )  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sources(parser)
    parser.add_argument(
        "--target-version", metavar="V", help="what Flink V, such as 2.1.1, would do with it"
    )
    parser.add_argument(
        "--at", metavar="TIME",
        help="when the data was taken (2026-11-29T16:49:39Z, or seconds since 1970); default: the "
        "newest time in it",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--html", metavar="FILE", help="write one page there, for a browser")
    parser.add_argument(
        "--save", metavar="CASE.ZIP", help="keep all that was looked at there, without secrets"
    )
    parser.add_argument(
        "--watch", metavar="SECONDS", nargs="?", type=_seconds, const=5.0,
        help="look again every so often, and print when something changed",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    try:
        sources = sources_of(arguments)
        target = version_of(arguments.target_version)
        in_ring = sources.case is not None and sources.case != arguments.case
        at = None if in_ring else _moment(arguments.at)  # a case of a ring has its own moment
    except ConfigurationError as error:
        complain(error)
        return USAGE
    except HaworkError as error:
        return _could_not_look(str(error), arguments)
    try:
        if arguments.watch is not None:
            return _watch(sources, target, arguments)
        progress = _progress(arguments)
        try:
            inspection = inspect(sources, target_version=target, at=at, progress=progress)
        finally:
            if progress is not None:
                show("\r\x1b[K", on_error=True)  # nothing of it stands before the answer
        _write(inspection, arguments)
        if arguments.save:
            from hawork.inspect.case import save_case

            save_case(inspection, Path(arguments.save))
    except HaworkError as error:
        return _could_not_look(str(error), arguments)
    except Exception as error:
        if os.environ.get("HAWORK_DEBUG"):
            raise
        from hawork.cli.main import sentence_of

        return _could_not_look(sentence_of(error), arguments)
    return inspection.exit_status


def _could_not_look(why: str, arguments: argparse.Namespace) -> int:
    """Not even the first look was possible: never to be mistaken for a clean cluster."""
    complain(f"could not look: {why}")
    if arguments.json:
        nothing = {
            "could_not_look": why,
            "findings": [],
            "recovery": {"jobmanager": "unknown", "jobs": {}},
        }
        say_json(nothing)
    return 2


def sources_of(arguments: argparse.Namespace) -> Sources:
    """What ``add_sources`` was given. ``ConfigurationError`` says what is wrong with it."""
    mapping = {}
    for given in arguments.mapping:
        url, equals, path = given.rpartition("=")
        if not equals or not url or not path:
            raise ConfigurationError(f"'--map {given}' is not a pair: write URL=PATH")
        if ".." in path.split("/"):
            raise ConfigurationError(
                f"'--map {given}' leads out of the storage: write a folder in it, or '.'"
            )
        mapping[url] = path
    sources = Sources(
        arguments.config, arguments.configmaps, arguments.zookeeper_dump,
        arguments.zookeeper_data, arguments.storage, mapping,
    )  # fmt: skip
    given = [sources.config, sources.configmaps, sources.zookeeper_dump, sources.zookeeper_data,
             sources.storage]  # fmt: skip
    if arguments.case is not None:
        if any(each is not None for each in given):
            raise ConfigurationError("a saved case is whole: give nothing else to look at")
        case: Path | str = arguments.case
        if str(case).endswith((".yaml", ".yml", ".json")):
            raise ConfigurationError(
                f"{case} is not a case that --save has written: name it with --config, "
                "--configmaps or --zookeeper-dump"
            )
        if is_ring(case):
            case = case_of(case, _moment(getattr(arguments, "at", None)))
        return Sources(case=case)
    if sum(each is not None for each in given[1:4]) > 1:
        raise ConfigurationError(
            "--configmaps, --zookeeper-dump and --zookeeper-data are each a store: give one"
        )
    if all(each is None for each in given):
        from hawork.cli.common import find_config

        try:
            return Sources(config=find_config(None))
        except ConfigurationError as error:
            raise ConfigurationError(
                f"{error}; or give what you have of it: --configmaps, --zookeeper-dump or "
                "--zookeeper-data, and --storage"
            ) from None
    return sources


def version_of(text: str | None) -> str | None:
    """A release as it stands on the command line. ``ConfigurationError`` for anything else."""
    if text is None:
        return None
    parts = text.split(".")
    if not 2 <= len(parts) <= 3 or not all(part.isascii() and part.isdigit() for part in parts):
        raise ConfigurationError(f"'--target-version {text}' is none: write it as 2.1.1")
    return text


def _moment(text: str | None) -> float | None:
    if text is None:
        return None
    found = parse_time(text)
    if found is None:
        try:
            found = float(text)
        except ValueError:
            raise ConfigurationError(
                f"'--at {text}' is not a time: write 2026-11-29T16:49:39Z, or seconds since 1970"
            ) from None
    return found


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.1 <= seconds <= 86400:
        raise argparse.ArgumentTypeError("write seconds from 0.1 to 86400")
    return seconds


def _write(inspection: Inspection, arguments: argparse.Namespace) -> None:
    if arguments.html:
        from hawork.inspect.report_html import as_page

        Path(arguments.html).write_text(as_page(inspection), encoding="utf-8")
    if arguments.json:
        say_json(inspection.to_json())
        return
    coloured = is_terminal() and not os.environ.get("NO_COLOR")
    columns = shutil.get_terminal_size((100, 24)).columns
    show(as_text(inspection, colour=coloured, width=min(columns, 120)) + "\n")


def _progress(arguments: argparse.Namespace):  # type: ignore[no-untyped-def]
    if arguments.json or not is_terminal(on_error=True):
        return None
    last = time.monotonic()

    def tell(what: str, done: int, of: int) -> None:
        nonlocal last
        if not of:
            show(f"\r{what} \x1b[K", on_error=True)
        elif time.monotonic() - last > 0.5:
            last = time.monotonic()
            show(f"\r{what}: {done} of {of} \x1b[K", on_error=True)

    return tell


def _watch(sources: Sources, target: str | None, arguments: argparse.Namespace) -> int:
    """Look again and again; what is printed is what changed. Ends with control-C."""
    before: str | None = None
    status = 0
    while True:
        try:
            inspection = inspect(sources, target_version=target)
        except HaworkError as error:
            shown, status = f"could not look: {error}", 2
        else:
            status = inspection.exit_status
            told = inspection.to_json()
            told.pop("taken_at")
            shown = json.dumps(told)
        if shown != before:
            before = shown
            if status == 2 and shown.startswith("could not look"):
                say(shown)
            else:
                _write(inspection, arguments)
        try:
            time.sleep(arguments.watch)
        except KeyboardInterrupt:
            return status
