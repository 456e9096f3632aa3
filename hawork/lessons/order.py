"""A cell that is run before its turn, or interrupted, shows one sentence and no traceback."""

from __future__ import annotations

import asyncio
import difflib
import sys
from types import CodeType, TracebackType
from typing import Any, cast

from hawork.core.one_sentence import lines_in_notebook, tell_interrupt

__all__ = ["tell_in_sentences"]

_CELL = "<module>"
_INTERRUPTS = (KeyboardInterrupt, asyncio.CancelledError)
"""A cell that awaits is cancelled; any other one is interrupted."""


def tell_in_sentences() -> None:
    """From now on a notebook answers a name that is not there, and an interrupt, with one sentence.

    That includes a name that a function of a cell asks for: of a lesson's, which was called before
    its turn, or of the reader's own, which has to be mended. An error within a library keeps its
    traceback. Without effect where no notebook runs; repeatable.
    """
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython is not None else None
    if shell is not None and NameError not in shell.custom_exceptions:
        shell.set_custom_exc((NameError, *_INTERRUPTS), _show)


def _show(
    shell: Any, kind: type[BaseException], error: BaseException, trace: TracebackType | None,
    tb_offset: int | None = None,
) -> None:  # fmt: skip
    if isinstance(error, _INTERRUPTS):
        tell_interrupt(error, "at this line")
    elif isinstance(error, NameError) and error.name and (code := _of_a_cell(trace, shell)):
        sentence, rendered = _sentence(error.name, code, shell.user_ns), cast(Any, error)
        rendered._render_traceback_ = lambda: lines_in_notebook(error, kind.__name__, sentence)
    shell.showtraceback((kind, error, trace), tb_offset=tb_offset)


def _of_a_cell(trace: TracebackType | None, shell: Any) -> CodeType | None:
    """The code in which it went wrong, when that is a cell's or a function's of one."""
    frame = None
    while trace is not None:
        frame, trace = trace.tb_frame, trace.tb_next
    return frame.f_code if frame is not None and frame.f_globals is shell.user_ns else None


def _sentence(name: str, code: CodeType, known: dict[str, Any]) -> str:
    names = [each for each in (*code.co_varnames, *known) if not each.startswith("_")]
    near = difflib.get_close_matches(name, names, 1, cutoff=0.75)
    meant = f"is {near[0]!r} meant? Else " if near else ""
    first = "run the cells above first, in their order"
    if code.co_name == _CELL:
        return f"{name!r} is not there yet: {meant}{first}"
    return f"{name!r}, which {code.co_name}() asks for, is not there yet: {meant}{first}"
