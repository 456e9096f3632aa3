"""What a job of Flink is given as; SQL from text with placeholders to single statements."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hawork.core.errors import JobSubmissionError
from hawork.core.user_files import absolute, expanded
from hawork.lab.artifacts import written_artifacts
from hawork.lab.flink.jar import JobJar

_TOKEN = re.compile(
    # A hint, /*+ ... */, is not a comment.
    r"""(?P<comment>--[^\n]*|/\*(?!\+).*?\*/)|(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`)"""
    r"""|(?P<open>['"`]|/\*(?!\+))|(?P<end>;)""",
    re.DOTALL,
)
_SET = re.compile(r"SET\s+'((?:[^']|'')*)'\s*=\s*'((?:[^']|'')*)'\s*", re.IGNORECASE)
_BLOCK = re.compile(r"\s*(EXECUTE\s+STATEMENT\s+SET|BEGIN\s+STATEMENT\s+SET)\b", re.IGNORECASE)
_BLOCK_END = re.compile(r"(;|\bBEGIN)\s*END\s*$", re.IGNORECASE)  # and not that of a CASE


@dataclass(frozen=True, slots=True)
class SqlScript:
    """``settings`` are those of ``SET 'key' = 'value'``; ``statements`` are all others."""

    settings: Mapping[str, str]
    statements: tuple[str, ...]

    @classmethod
    def of(cls, script: str, config: Mapping[str, Any]) -> SqlScript:
        """A script, given as text, as the path of a ``.sql`` file, or as one of ``%%artifact``.

        ``${name}`` stands for a value of ``config``. ``JobSubmissionError`` says what is wrong.
        """
        settings: dict[str, str] = {}
        statements = []
        for statement in split(fill(read(script), config)):
            match = _SET.fullmatch(statement)
            if match is not None:
                settings[match[1].replace("''", "'")] = match[2].replace("''", "'")
            else:
                statements.append(statement)
        if not statements:
            raise JobSubmissionError("the SQL script is empty: write statements that end with ';'")
        return cls(settings, tuple(statements))


def work_of(
    job: str, config: Mapping[str, Any], entry_class: str | None, args: Sequence[object]
) -> SqlScript | JobJar:
    """What was given to ``submit``: a jar by its name, else SQL."""
    if job.strip().lower().endswith(".jar"):
        return JobJar.of(job.strip(), entry_class, args)
    if entry_class is not None or args:
        raise JobSubmissionError(
            "entry_class and args are for a jar, and a script has neither: give the path of a "
            ".jar, or config for the ${...} of SQL"
        )
    return SqlScript.of(job, config)


def read(script: str) -> str:
    """The text of a script, whichever way it was given."""
    name = script.strip()
    if "\n" in name or not name.lower().endswith(".sql"):
        return script
    if (written := written_artifacts().get(name)) is not None:
        return written
    try:
        return expanded(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise JobSubmissionError(
            f"SQL file {name} cannot be read ({getattr(error, 'strerror', None) or error}): write "
            f"it with %%artifact {Path(name).name}, or give its path"
        ) from None


def fill(text: str, config: Mapping[str, Any]) -> str:
    """``text`` with ``${name}`` replaced; quotes in a value are doubled, as SQL wants."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in config:
            raise JobSubmissionError(
                f"the SQL script has ${{{match[1]}}} and config has no {match[1]!r}: submit it "
                f"with config={{{match[1]!r}: ...}}"
            )
        given = config[match[1]]
        given = absolute(expanded(given)) if isinstance(given, Path) else given
        return str(given).replace("'", "''")

    return re.sub(r"\$\{(\w+)\}", value, text)


def split(text: str) -> list[str]:
    """The statements of a script, without comments.

    >>> split("SET 'a' = ';'; -- why\\nSELECT 1")
    ["SET 'a' = ';'", 'SELECT 1']
    """
    found, current, position = [], "", 0
    for token in _TOKEN.finditer(text):
        current += text[position : token.start()]
        position = token.end()
        if token["open"]:
            line = text.count("\n", 0, token.start()) + 1
            raise JobSubmissionError(f"SQL line {line}: {token[0]} is never closed")
        if token["comment"]:
            current += " "
        elif token["text"]:
            current += token[0]
        elif _BLOCK.match(current) and not _BLOCK_END.search(current):
            current += ";"  # one of the statements between BEGIN and END
        else:
            found.append(current.strip())
            current = ""
    found.append((current + text[position:]).strip())
    return [statement for statement in found if statement]
