"""Calling users' functions: whatever they raise becomes one sentence that names the place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from types import TracebackType

from hawork.core.errors import HaworkError, JobExecutionError

LONGEST_REASON = 300


def describe(error: BaseException) -> str:
    """An exception in one line, such as ``KeyError: 'dep_delay'``."""
    text = " ".join(str(error).split())
    if len(text) > LONGEST_REASON:
        text = text[: LONGEST_REASON - 3] + "..."
    name = type(error).__name__
    return f"{name}: {text}" if text else name


def name_of(function: object) -> str:
    """How a user would name the function: ``delays`` or ``lambda``."""
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return "lambda" if name.endswith("<lambda>") else str(name)


@contextmanager
def calling(role: str, function: object) -> Iterator[None]:
    """Raise ``JobExecutionError`` for anything that ``function`` raises.

    ``role`` is what the function is for, such as ``filter``. ``SystemExit`` and
    ``KeyboardInterrupt`` are included: a user's function may fail a task, never end it
    unheard. Errors of hawork pass as they are.
    """
    try:
        yield
    except HaworkError:
        raise
    except BaseException as error:
        where = _place(error.__traceback__, function)
        raise JobExecutionError(
            f"{role} {name_of(function)}{where} raised {describe(error)}"
        ) from error


def _place(traceback: TracebackType | None, function: object) -> str:
    """The last line of the user's own file that was being executed, if it is known."""
    code = getattr(function, "__code__", None)
    if code is None:
        return ""
    line = code.co_firstlineno
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == code.co_filename:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return f" ({PurePath(code.co_filename).name} line {line})"
