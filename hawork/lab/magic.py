"""``%%artifact flights.py``: a cell that becomes a job's code, and is not executed.

::

    %load_ext hawork.lab

    %%artifact flights.py
    from hawork.job import CsvSource, FileSink, Pipeline
    ...

The text is kept in this kernel until ``lab.submit("flights.py:delays", ...)`` packs it. It
is checked for syntax, so that a typing error shows here and not in a TaskManager. A name that
ends in ``.sql`` is a script for a lab of real Flink.
"""

from __future__ import annotations

import re
from typing import Any

from hawork.core.errors import JobSubmissionError
from hawork.lab.artifacts import keep_artifact
from hawork.lab.flink.script import split


def write_artifact(name: str, source: str) -> str:
    """Keep a module's source under a file name; returns a sentence for the reader.

    ``ValueError`` for a bad name, ``SyntaxError`` for a bad source.
    """
    if re.fullmatch(r"[A-Za-z_]\w*\.sql", name):
        return _write_script(name, source)
    if not re.fullmatch(r"[A-Za-z_]\w*\.py", name):
        raise ValueError(
            f"artifact name {name!r} is not a module file: write a name such as flights.py, or "
            "flights.sql for real Flink"
        )
    tree = compile(source, name, "exec", dont_inherit=True)
    functions = [const.co_name for const in tree.co_consts if hasattr(const, "co_name")]
    keep_artifact(name, source)
    entry_points = ", ".join(f"{name}:{each}" for each in functions if each.isidentifier())
    return f"{name}: {len(source.splitlines())} lines, not executed; submit {entry_points}"


def _write_script(name: str, source: str) -> str:
    """Keep an SQL script for a lab of real Flink; its placeholders are filled when submitted."""
    try:
        statements = split(source)
    except JobSubmissionError as error:
        raise ValueError(str(error)) from None
    keep_artifact(name, source)
    return f"{name}: {len(statements)} statements, not executed; submit {name}"


def register_magic(shell: Any) -> None:
    """Register ``%%artifact`` with an IPython shell."""

    from IPython.core.error import UsageError

    from hawork.story.display import show

    def artifact(line: str, cell: str) -> None:
        try:
            message = write_artifact(line.strip(), cell)
        except ValueError as error:
            raise UsageError(str(error)) from None
        show({"text/plain": message, "text/html": f"<small><code>{message}</code></small>"})

    shell.register_magic_function(artifact, magic_kind="cell", magic_name="artifact")
