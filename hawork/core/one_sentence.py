"""An error as one sentence in a notebook, and its traceback on request.

IPython asks an exception for ``_render_traceback_`` before it draws a traceback of its own. ``%tb``
asks once more, after the cell: then the traceback is wanted.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import traceback

_RED, _FAINT, _PLAIN = "\x1b[31m", "\x1b[2m", "\x1b[0m"
ON_REQUEST = "%tb shows the traceback"


def lines_in_notebook(error: BaseException, title: str, sentence: str) -> list[str]:
    """What a cell shows of ``error``: the sentence, and the line of the cell that raised it.

    The whole traceback with ``HAWORK_DEBUG=1``, and when none is being handled: ``%tb`` asks.
    """
    if os.environ.get("HAWORK_DEBUG") or sys.exc_info()[1] is None:
        return whole(error)
    line = _line_of_the_cell(error)
    where = f"line {line.lineno}: {line.line} · " if line is not None else ""
    return [f"{_RED}{title}{_PLAIN}: {sentence}", f"{_FAINT}{where}{ON_REQUEST}{_PLAIN}"]


def tell_interrupt(
    interrupt: BaseException, what: str, then: str = "run the cell again to go on"
) -> None:
    """Let a notebook show an interrupt as one sentence: what was stopped, and what to do then.

    It stays the object that it is: asyncio takes a cancellation by its type. The first sentence
    counts, which is that of the innermost wait.
    """
    if hasattr(interrupt, "_render_traceback_"):
        return
    sentence = f"stopped {what}: {then}"
    interrupt.args = (sentence,)
    rendered: Any = interrupt
    rendered._render_traceback_ = lambda: lines_in_notebook(interrupt, "Interrupted", sentence)


def whole(error: BaseException) -> list[str]:
    """The traceback as IPython draws it, or as Python does."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        import traceback  # each process would pay for it

        return "".join(traceback.format_exception(error)).splitlines()
    drawn: list[str] = shell.InteractiveTB.structured_traceback(
        type(error), error, error.__traceback__
    )
    return drawn


def _line_of_the_cell(error: BaseException) -> traceback.FrameSummary | None:
    """The innermost line that the notebook holds itself."""
    import traceback

    found = None
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_globals.get("__name__") == "__main__":
            found = (frame, number)
    if found is None:
        return None
    (line,) = traceback.StackSummary.extract(iter([found]))
    if not line.line or line.line.startswith("get_ipython()"):  # a magic, as IPython calls it
        return None
    return line
