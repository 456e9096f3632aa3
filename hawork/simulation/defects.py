"""Deliberate defects of the HA core, in memory: what a simulation is worth shows by what it finds.

A defect replaces a piece of a function's source and compiles that anew. The function object stays
the same, so that everything which holds it has the defect, until the end of the ``with`` block.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from hawork.core.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Defect:
    """``old`` is replaced by ``new`` in the function ``where``, which is ``module:qualified.name``.

    ``backends`` are those on which it can show.
    """

    name: str
    where: str
    old: str
    new: str
    backends: tuple[str, ...] = ("embedded", "kubernetes", "zookeeper")

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Have the defect for a while. ``ConfigurationError`` when the source reads otherwise."""
        function = self._function()
        code = function.__code__
        function.__code__ = self._broken(function)
        try:
            yield
        finally:
            function.__code__ = code

    def _function(self) -> FunctionType:
        module, _, name = self.where.partition(":")
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = inspect.getattr_static(found, part)
        found = inspect.unwrap(getattr(found, "__func__", found))  # of a context manager, too
        if not isinstance(found, FunctionType):
            raise ConfigurationError(f"defect {self.name!r}: {self.where} is not a function")
        return found

    def _broken(self, function: FunctionType) -> CodeType:
        path = Path(inspect.getfile(function))
        lines, first = inspect.getsourcelines(function)
        source = "".join(lines)
        if source.count(self.old) != 1:
            raise ConfigurationError(
                f"defect {self.name!r}: {self.where} has {self.old!r} {source.count(self.old)} "
                "times, and not once: correct the defect"
            )
        whole = path.read_text().splitlines(keepends=True)
        before, after = "".join(whole[: first - 1]), "".join(whole[first - 1 + len(lines) :])
        text = before + source.replace(self.old, self.new) + after
        compiled = compile(text, str(path), "exec", flags=function.__code__.co_flags & 0x1000000)
        code = _find(compiled, function.__code__.co_qualname)
        if code is None or code.co_freevars != function.__code__.co_freevars:
            raise ConfigurationError(f"defect {self.name!r} changes what {self.where} closes over")
        return code


def _find(code: CodeType, name: str) -> CodeType | None:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_qualname == name:
                return constant
            if (found := _find(constant, name)) is not None:
                return found
    return None


BROKEN_FENCE = Defect(
    "the fence of SQLite's transactions is left out",
    "hawork.backends.embedded.lease_table:fence",
    "if present != str(session_id):",
    "if present is None:",
    ("embedded",),
)
"""For a lesson: a deposed leader's writes are accepted as long as any other one leads."""
