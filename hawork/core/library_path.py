"""Files beside a notebook or a script do not stand in for the modules of libraries.

Python looks for modules in the folder of the script, or in the working directory, first: a
``random.py`` of exercise 3 there is what ``secrets`` of the standard library imports. A process
that hawork starts is told not to look there (``python -P``). In a process that it did not start, a
kernel for example, ``guard`` lets an import by a library find libraries only. What is imported by a
notebook's cell, or by a file of that folder, is looked up as ever.

This module is imported before any other, and imports only what Python has loaded at its start.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import FrameType, ModuleType
    from typing import Any


def guard() -> None:
    """Let libraries find libraries; repeatable. Nothing under ``python -P``, which has no need."""
    if sys.flags.safe_path or any(isinstance(each, _Guard) for each in sys.meta_path):
        return
    if sys.argv[:1] == ["-m"]:  # 'python -m hawork...', which is being looked up just now
        del sys.path[0]
        return
    folder = _users_folder()
    finders: list[Any] = [each for each in sys.meta_path if _is_path_finder(each)]
    if folder is not None and finders:
        sys.meta_path.insert(sys.meta_path.index(finders[0]), _Guard(folder, finders[0]))


def module_command(module: str, *arguments: str) -> list[str]:
    """``python -m module`` that imports nothing from the working directory.

    >>> module_command("hawork.runtime")[1:]
    ['-P', '-m', 'hawork.runtime']
    """
    return [sys.executable, "-P", "-m", module, *arguments]


class _Guard:
    """Asks Python's own finder, without the user's folder, for what a library imports."""

    def __init__(self, folder: str, finder: Any) -> None:
        self._folder = folder
        self._finder = finder

    def find_spec(
        self, name: str, path: object = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is not None or not self._is_by_library(sys._getframe(1)):
            return None
        others = [each for each in sys.path if each != self._folder]
        found: ModuleSpec | None = self._finder.find_spec(name, others, target)
        if found is None and name in sys.stdlib_module_names:
            # Python's own, and not here, as _winapi: the library goes on without it.
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return found

    def _is_by_library(self, frame: FrameType | None) -> bool:
        """Whether the code that imports is not a cell's and not a file's of the folder."""
        while frame is not None and frame.f_code.co_filename.startswith("<frozen importlib"):
            frame = frame.f_back
        spec = None if frame is None else frame.f_globals.get("__spec__")
        if spec is None or not spec.has_location:
            return spec is not None and spec.origin == "frozen"  # a module in Python itself
        return bool(os.path.dirname(spec.origin) != (self._folder or _working_directory()))


def _working_directory() -> str | None:
    """``None`` for one that was removed, as by a new clone under a kernel."""
    try:
        return os.getcwd()
    except OSError:
        return None


def _users_folder() -> str | None:
    """The entry of ``sys.path`` for the script's folder or the working directory."""
    if "" in sys.path:
        return ""
    first = sys.path[0] if sys.path else ""
    if not first or first.endswith(".zip") or first == os.path.dirname(os.__file__):
        return None
    return first


def _is_path_finder(finder: object) -> bool:
    return getattr(finder, "__name__", "") == "PathFinder"
