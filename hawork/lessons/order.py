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

    A name that a function of the reader's own asks for keeps its traceback: there it is an error in
    what the reader wrote. Without effect where no notebook runs; repeatable.
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
    elif isinstance(error, NameError) and error.name and _is_of_a_cell(trace):
        sentence, rendered = _sentence(error.name, shell.user_ns), cast(Any, error)
        rendered._render_traceback_ = lambda: lines_in_notebook(error, kind.__name__, sentence)
    shell.showtraceback((kind, error, trace), tb_offset=tb_offset)


def _is_of_a_cell(trace: TracebackType | None) -> bool:
    code: CodeType | None = None
    while trace is not None:
        code, trace = trace.tb_frame.f_code, trace.tb_next
    return code is not None and code.co_name == _CELL


def _sentence(name: str, known: dict[str, Any]) -> str:
    public = [each for each in known if not each.startswith("_")]
    near = difflib.get_close_matches(name, public, 1, cutoff=0.75)
    meant = f"is {near[0]!r} meant? Else " if near else ""
    return f"{name!r} is not there yet: {meant}run the cells above first, in their order"
