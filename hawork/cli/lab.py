"""``hawork lab``: JupyterLab on the notebooks."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path

from hawork.cli.notebooks import (
    DELIVERED,
    TOUR,
    bring_along,
    installed_notebooks,
    is_new,
    place_for_notebooks,
)
from hawork.cli.output import complain, flush
from hawork.core.errors import LabError
from hawork.core.library_path import module_command
from hawork.core.user_files import (
    absolute,
    fallback_directory,
    home_directory,
    is_there,
    is_writable,
)

_EXTENSIONS = Path(__file__).resolve().parents[1] / "panels" / "labextension"
PAGE_STYLE = (
    f"--LabApp.extra_labextensions_path={_EXTENSIONS}",
    f"--JupyterNotebookApp.extra_labextensions_path={_EXTENSIONS}",
)
"""How pages show what cells print, with a panel or without. An installed hawork brings it along;
a checkout does not."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--notebooks",
        metavar="DIR",
        help="where the notebooks are (default: found), or a new folder to copy them to",
    )
    parser.add_argument(
        "jupyter", nargs="*", metavar="-- ARGUMENT", help="passed on to 'jupyter lab'"
    )


def run(arguments: argparse.Namespace) -> int:
    """Become JupyterLab; does not return when that works."""
    directory = find_notebooks(arguments.notebooks)
    if importlib.util.find_spec("jupyterlab") is None:
        raise LabError("package jupyterlab is not installed: run 'pip install hawork[lab]'")
    command = [
        *module_command("hawork.cli.jupyter"), f"--notebook-dir={directory}",
        f"--LabApp.default_url=/lab/tree/{TOUR}", *PAGE_STYLE, *arguments.jupyter,
    ]  # fmt: skip
    if os.geteuid() == 0:
        # Jupyter asks root to be sure; in a container root is often the only user.
        command.append("--allow-root")
    flush()
    os.execve(sys.executable, command, {**_environment(), **_places()})


def _environment() -> dict[str, str]:
    """Without numbers that are none, on which Jupyter would end with a traceback.

    In the namespace of a Service named ``jupyter`` Kubernetes gives each pod ``JUPYTER_PORT`` as a
    URL (jupyter/docker-stacks 2106).
    """
    found = dict(os.environ)
    for name in ("JUPYTER_PORT", "JUPYTER_PORT_RETRIES"):
        value = found.get(name, "0")
        if not (value.isascii() and value.isdigit()):
            complain(f"{name} is {value!r}, which is not a number: left out")
            del found[name]
    return found


def _places() -> dict[str, str]:
    """Where Jupyter and IPython keep their files when the home is missing or read-only."""
    home = home_directory()
    if home is None:
        return {"HOME": str(fallback_directory())}
    if is_writable(home):
        return {}
    place = fallback_directory()
    return {
        name: str(place / name.lower())
        for name in (
            "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTERLAB_SETTINGS_DIR",
            "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR", "MPLCONFIGDIR",
        )
        if name not in os.environ
    }  # fmt: skip


def find_notebooks(given: str | None) -> Path:
    """The directory of ``00_tour.ipynb``: as given, below here or above, or in the checkout.

    An installed hawork copies its notebooks to a folder, and says which on standard error.
    """
    if given is not None:
        return _named(absolute(given))
    here = absolute(Path())
    checkout = Path(__file__).resolve().parents[2]
    for place in (here, *here.parents, checkout):
        for directory in (place / "notebooks", place):
            if is_there(directory / TOUR) and not is_there(directory / DELIVERED):
                return directory
    source = installed_notebooks()
    if source is None:
        raise LabError(
            "the notebooks were not found here: run this in a clone of hawork, or name them with "
            "--notebooks DIR"
        )
    folder = here if is_there(here / DELIVERED) else place_for_notebooks()
    return _brought(source, folder)


def _named(folder: Path) -> Path:
    """A folder that was given: hawork's notebooks are there, or are copied to it if it is new."""
    source = installed_notebooks()
    if source is not None and (is_there(folder / DELIVERED) or is_new(folder)):
        return _brought(source, folder)
    if not is_there(folder / TOUR):
        fix = "name hawork's notebooks directory"
        if source is not None:
            fix += ", or a new one, to which they are copied"
        raise LabError(f"directory {folder} holds no {TOUR}: {fix}")
    return folder


def _brought(source: Path, folder: Path) -> Path:
    for sentence in bring_along(source, folder):
        complain(sentence)
    return folder
