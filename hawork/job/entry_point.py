"""From ``module:function`` to the function, imported from an artifact and nowhere else."""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import sys
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hawork.core.errors import ArtifactError
from hawork.job.user_code import calling, describe

if TYPE_CHECKING:
    from hawork.job.pipeline import Pipeline

JobFunction = Callable[[dict[str, Any]], "Pipeline"]


def parse_entry_point(entry_point: str) -> tuple[str, str]:
    """Module and function of ``module:function``; ``flights.py:delays`` is understood, too.

    ``ArtifactError`` for anything else.

    >>> parse_entry_point("flights.py:delays")
    ('flights', 'delays')
    """
    module, _, function = entry_point.partition(":")
    module = module.removesuffix(".py").replace("/", ".")
    if not function.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise ArtifactError(
            f"entry point {entry_point!r} is none: write module:function, such as flights:delays"
        )
    return module, function


def load_entry_point(entry_point: str, directory: str | os.PathLike[str]) -> JobFunction:
    """Import a job's function from the unpacked artifact in ``directory``.

    The directory stays at the front of ``sys.path``, so that the job's modules find each
    other. ``ArtifactError`` in one sentence when module or function is missing, is Python's
    or hawork's own, cannot be imported, or is not callable. Its cause is the ``ImportError``
    of what is missing outside of the artifact, as that may be a passing fault of the machine.
    """
    module_name, function_name = parse_entry_point(entry_point)
    root = Path(directory).resolve()
    present = _top_level_modules(root)
    _refuse_shadowing(present)
    top = module_name.partition(".")[0]
    if top not in present:
        raise ArtifactError(
            f"entry point {entry_point!r} is not in the artifact, which holds "
            f"{', '.join(sorted(present)) or 'no module'}: correct the module's name"
        )
    module = _import(module_name, root, present)
    function = getattr(module, function_name, None)
    if function is None:
        raise ArtifactError(f"module {module_name} has no function {function_name}: correct one")
    if not callable(function):
        raise ArtifactError(
            f"entry point {entry_point} is of type {type(function).__name__}: name a function"
        )
    return function  # type: ignore[no-any-return]


def build_pipeline(
    entry_point: str, directory: str | os.PathLike[str], config: Mapping[str, Any]
) -> Pipeline:
    """The complete pipeline that an entry point makes of ``config``.

    ``ArtifactError`` as above and when it returns no pipeline, ``ConfigurationError`` when
    the pipeline is wrong, ``JobExecutionError`` when the function raises.
    """
    from hawork.job.pipeline import Pipeline  # a JobManager only parses entry points

    function = load_entry_point(entry_point, directory)
    with calling("entry point", function):
        pipeline = function(dict(config))
    if not isinstance(pipeline, Pipeline):
        raise ArtifactError(
            f"entry point {entry_point} returned {pipeline!r:.80}: return the Pipeline"
        )
    return pipeline.complete()


def _top_level_modules(root: Path) -> set[str]:
    return {
        path.stem
        for path in root.iterdir()
        if path.suffix == ".py" or (path.is_dir() and path.name.isidentifier())
    }


def _refuse_shadowing(names: set[str]) -> None:
    """A job's ``random.py`` would be imported by everything that wants Python's own."""
    for name in sorted(names):
        if name in sys.stdlib_module_names or name == "hawork":
            owner = "hawork" if name == "hawork" else "Python"
            raise ArtifactError(
                f"module {name} of the artifact hides {owner}'s own {name}: give it another name"
            )


def _import(name: str, root: Path, present: Container[str]) -> ModuleType:
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if error.name == name and isinstance(error, ModuleNotFoundError):
            raise ArtifactError(f"module {name} is not in the artifact: correct its name") from None
        if error.name is None or error.name.partition(".")[0] in present:
            raise ArtifactError(f"module {name} cannot be imported: {describe(error)}") from None
        if not isinstance(error, ModuleNotFoundError):
            raise ArtifactError(f"module {name} cannot be imported: {describe(error)}") from error
        raise ArtifactError(
            f"module {name} cannot be imported, because {error.name} is not there: pack it into "
            "the artifact, or install it where the TaskManagers run"
        ) from error
    except BaseException as error:
        raise ArtifactError(f"module {name} cannot be imported: {describe(error)}") from error
    origin = getattr(module, "__file__", None)
    if origin is None or not Path(origin).resolve().is_relative_to(root):
        raise ArtifactError(
            f"module {name} was imported from {origin or 'a namespace'} and not from the artifact: "
            "give it another name"
        )
    return module
