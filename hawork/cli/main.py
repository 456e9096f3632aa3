"""``hawork``: finds the command, runs it, and turns errors into one sentence.

Exit statuses: see ``EXIT_STATUSES``. Set ``HAWORK_DEBUG=1`` to see tracebacks.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from hawork import __version__
from hawork.cli.output import complain, flush, say_no_more
from hawork.core.descriptors import ensure_standard_descriptors
from hawork.core.errors import HaworkError

COMMANDS = {
    "demo": ("kill the leader of a real job and compare the result", "hawork demo"),
    "drill": (
        "break a cluster at random for minutes, and judge it from outside",
        "hawork drill --ha zookeeper --minutes 2",
    ),
    "lab": ("open the notebooks in JupyterLab", "hawork lab"),
    "jobmanager": (
        "run a JobManager, supervised",
        "hawork jobmanager --config config.yaml --name jm-1",
    ),
    "taskmanager": (
        "run a TaskManager",
        "hawork taskmanager --config config.yaml --name tm-1",
    ),
    "submit": (
        "submit a job to the leader",
        "hawork submit job.py:build --config config.yaml --set output=/tmp/out",
    ),
    "list": ("list the jobs", "hawork list --config config.yaml"),
    "cancel": ("cancel a job", "hawork cancel 3f1c... --config config.yaml"),
    "leader": ("say who leads, and at which address", "hawork leader --config config.yaml"),
    "manifests": (
        "print the Kubernetes objects of a cluster",
        "hawork manifests --image hawork:latest --cluster-id my-cluster --storage-dir s3://ha",
    ),
    "report": ("say what a recorded run was like, and write it as HTML", "hawork report run.zip"),
    "watch": (
        "record a Flink cluster before it breaks",
        "hawork watch --config config.yaml --keep 24h",
    ),
    "inspect": (
        "say what the HA data of a Flink cluster means to Flink",
        "hawork inspect --config config.yaml --configmaps cm.yaml --storage ha.tar.xz",
    ),
    "repair": (
        "print what would mend HA data; --apply does it, after a backup",
        "hawork repair --config config.yaml",
    ),
    "restore": (
        "put the HA data back as it was before a repair",
        "hawork restore --config config.yaml hawork-backup-20261129-030507.zip",
    ),
    "doctor": ("check this machine, and say how to fix what is missing", "hawork doctor"),
    "class": (
        "show who is where in a class, from what learners hand in",
        "hawork class /srv/class --html class.html",
    ),
    "completion": (
        "print what completes this command in bash and zsh",
        'eval "$(hawork completion)"',
    ),
}
"""What each command does, and an example. Its code is in the module of the same name."""

_MODULES = {"list": "list_jobs", "class": "class_table"}
_USAGE = {"inspect": 64, "repair": 64, "restore": 64}
"""Exit status of a wrong command line, where it is not 2."""
_MISTAKE = {"inspect": 2, "repair": 2, "restore": 2}
"""Exit status after a mistake of hawork's own, where it is not 1, which there says *found*."""

EXIT_STATUSES = {
    0: "it is done; `inspect` found nothing",
    1: "it did not work, and one sentence says why; `inspect` found something",
    2: "the command line is wrong; `inspect` could not look, for whatever reason",
    64: "the command line of `inspect` is wrong",
    130: "interrupted",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    if arguments is None:
        ensure_standard_descriptors()
    given = list(sys.argv[1:] if arguments is None else arguments)
    command = next((word for word in given if not word.startswith("-")), None)
    try:
        # Only the chosen command's module is imported, to be quick and to need little.
        parsed, others = build_parser(command).parse_known_args(given)
        if others:
            command_parser(str(command)).error(f"unrecognized arguments: {' '.join(others)}")
        status: int = parsed.run(parsed)
        flush()
        return status
    except SystemExit as end:  # argparse: help was shown, or the command line is wrong
        status = end.code if isinstance(end.code, int) else 2
        return _USAGE.get(command or "", 2) if status == 2 else status
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        say_no_more()  # the reader of our output, such as 'head', has seen enough
        return 128 + signal.SIGPIPE
    except Exception as error:
        if os.environ.get("HAWORK_DEBUG"):
            raise
        complain(sentence_of(error))
        from hawork.cli.common import CommandLineError

        if isinstance(error, CommandLineError):
            return _USAGE.get(command or "", 2)
        return _MISTAKE.get(command or "", 1)


def sentence_of(error: BaseException) -> str:
    """An error as one line for people, without secrets: a URL may have held a password."""
    from hawork.core.redaction import Redaction

    return Redaction().text(_sentence_of(error))


def _sentence_of(error: BaseException) -> str:
    if isinstance(error, HaworkError):
        return " ".join(str(error).split())
    if isinstance(error, ModuleNotFoundError):
        return _not_installed(error.name or "")
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return (
            f"{error.filename or 'a file'} cannot be opened: {error.strerror}; run 'ulimit -n 512' "
            "before"
        )
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or type(error).__name__}: {error.strerror}"
    return (
        f"{type(error).__name__}: {error} (this is a mistake in hawork; run the command again "
        "with HAWORK_DEBUG=1 and report the traceback)"
    )


def _not_installed(module: str) -> str:
    """What to install for a module that is missing: the package that hawork asks for."""
    name = module.partition(".")[0]
    package, extra = next(
        (
            (name if name in _NAMED_ALIKE else needed[0], extra)
            for extra, needed in _MODULES_OF.items()
            if name in needed
        ),
        (name, "lab"),
    )
    if name == "hawork":
        return f"module {module} is not there: install hawork again"
    asked = f"'hawork[{extra}]'" if extra else "hawork"
    return f'package {package} is not installed: run "pip install {asked}"'


_MODULES_OF = {
    "": ("PyYAML", "yaml", "psutil", "tornado"),
    "kubernetes": ("kubernetes", "urllib3", "google", "oauthlib", "requests", "websocket"),
    "zookeeper": ("kazoo",),
    "flink": ("apache-flink-libraries", "pyflink", "py4j"),
    "storage": ("fsspec",),
}
"""By the extra that brings it: a package, and the modules that come with it."""
_NAMED_ALIKE = ("psutil", "tornado")


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """The parser; only ``command``'s own arguments are known to it."""
    width = max(map(len, COMMANDS)) + 2
    listed = "\n".join(f"  {name:<{width}}{meaning}" for name, (meaning, _) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="hawork",
        usage="hawork [--version] COMMAND ...     (hawork COMMAND --help says more)",
        add_help=False,
        description=f"JobManager High Availability as Apache Flink 1.20 defines it.\n{listed}",
        epilog="Exit status: 0 done, 1 failed, 2 the command line is wrong, 130 interrupted.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-h", "--help", action="help", help=argparse.SUPPRESS)
    version = f"hawork {__version__}"
    parser.add_argument("--version", action="version", version=version, help=argparse.SUPPRESS)
    commands = parser.add_subparsers(
        prog="hawork", metavar="COMMAND", required=True, help=argparse.SUPPRESS
    )
    for name in COMMANDS:
        sub = commands.add_parser(name, **_describe(name))
        if name == command:
            _complete(sub, name)
    return parser


def command_parser(name: str) -> argparse.ArgumentParser:
    """The parser of one command, as ``hawork NAME --help`` shows it."""
    parser = argparse.ArgumentParser(prog=f"hawork {name}", **_describe(name))
    _complete(parser, name)
    return parser


def _describe(name: str) -> dict[str, Any]:
    meaning, example = COMMANDS[name]
    return {
        "description": f"{meaning[0].upper()}{meaning[1:]}.",
        "epilog": f"example:\n  {example}",
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


def _complete(parser: argparse.ArgumentParser, name: str) -> None:
    """Import the command, and let it add its arguments."""
    module = importlib.import_module(f"hawork.cli.{_MODULES.get(name, name)}")
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)


if __name__ == "__main__":
    sys.exit(main())
