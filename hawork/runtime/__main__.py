"""``python -m hawork.runtime jobmanager|taskmanager``: one process of a cluster.

People use ``hawork jobmanager`` and ``hawork taskmanager``; this is what the supervisor
starts.
"""

from __future__ import annotations

import gc

if __name__ == "__main__":
    gc.disable()  # what is imported stays: to look there for garbage takes a fifth of a start

import argparse
import asyncio
import os
import sys
import traceback
from collections import deque
from pathlib import Path

from hawork.core.descriptors import ensure_standard_descriptors
from hawork.core.errors import HaworkError
from hawork.ha.configuration_file import load_configuration
from hawork.runtime.own_thread import hanging_threads
from hawork.runtime.process import (
    ParentWatch,
    ProcessContext,
    supervisor_of_environment,
    unique_name,
)


def main(arguments: list[str] | None = None) -> int:
    ensure_standard_descriptors()
    parser = argparse.ArgumentParser(prog="python -m hawork.runtime", description=__doc__)
    parser.add_argument("role", choices=("jobmanager", "taskmanager"))
    parser.add_argument("--config", type=Path, required=True, help="Flink's config.yaml")
    parser.add_argument("--name", help="name in events, such as jm-1")
    parser.add_argument("--run-directory", type=Path, help="where events and armed steps are kept")
    given = parser.parse_args(arguments)
    parent = ParentWatch()
    supervisor = supervisor_of_environment()
    told: deque[str] = deque(maxlen=20)

    def tell(message: str) -> None:
        """Write a sentence, unless it was written a moment ago; a full disk stops nothing."""
        if message in told:
            return
        told.append(message)
        text = f"hawork {given.role}: {message}\n"
        try:
            os.write(2, text.encode(errors="backslashreplace"))
        except OSError:
            if supervisor is not None:  # which may still write there
                supervisor.said(text)

    try:
        config = load_configuration(given.config)
        name = given.name or unique_name(given.role)
        context = ProcessContext.create(name, config, given.run_directory, tell)
        if given.role == "jobmanager":
            from hawork.runtime.job_manager import run_job_manager

            _collect()
            return asyncio.run(run_job_manager(context, parent))
        from hawork.runtime.task_manager import run_task_manager

        _collect()
        return asyncio.run(run_task_manager(context))
    except HaworkError as error:
        tell(str(error))
        return 1
    except Exception:  # noqa: BLE001 - Python would print it, too, and only where it can
        tell(traceback.format_exc().rstrip())
        return 1


def _collect() -> None:
    """Look for garbage as often as Python does from now on, and not among what was imported."""
    gc.freeze()
    gc.enable()


if __name__ == "__main__":
    status = main()
    if hanging_threads():  # on a disk that does not answer: they would keep the process for ever
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
