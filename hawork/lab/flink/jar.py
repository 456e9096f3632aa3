"""A job in a jar: what is checked before Flink's client gets it, and what Flink says about it."""

from __future__ import annotations

import re
import subprocess
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hawork.core.errors import JobSubmissionError
from hawork.core.user_files import absolute, expanded
from hawork.lab.flink.log import CAUSE

JOB_ID = "$internal.pipeline.job-id"  # PipelineOptionsInternal.PIPELINE_FIXED_JOB_ID
_SUBMITTED = "Job has been submitted with JobID "
_EXPLAINED = 400  # characters of Flink's message


@dataclass(frozen=True, slots=True)
class JobJar:
    """A jar with a ``main`` that starts one job; ``JobSubmissionError`` when it is none."""

    path: Path
    entry_class: str | None = None
    arguments: tuple[str, ...] = ()

    @classmethod
    def of(cls, path: str, entry_class: str | None, arguments: Sequence[object]) -> JobJar:
        """A jar that is there; paths among the arguments become absolute."""
        file = absolute(expanded(path))
        if not file.is_file():
            raise JobSubmissionError(f"jar {path} is not there: give the path of a job's jar")
        if not zipfile.is_zipfile(file):
            raise JobSubmissionError(f"{path} is not a jar: build it with Maven, Gradle or 'jar'")
        if isinstance(arguments, str):
            raise JobSubmissionError(f"args is the text {arguments!r}: give a list, one by one")
        texts = (
            str(absolute(expanded(each)) if isinstance(each, Path) else each) for each in arguments
        )
        return cls(file, entry_class, tuple(texts))

    def command(self, settings: Mapping[str, str], job_id: str) -> list[str]:
        """The arguments of Flink's own ``flink`` that submit it and do not wait for its end."""
        values = {"execution.target": "remote", **settings, JOB_ID: job_id}
        main = ["--class", self.entry_class] if self.entry_class else []
        options = [f"-D{key}={value}" for key, value in values.items()]
        return ["run", "--detached", *options, *main, str(self.path), *self.arguments]


def check_submitted(jar: JobJar, done: subprocess.CompletedProcess[str], job_id: str) -> None:
    """``JobSubmissionError`` with Flink's message, unless the one job was taken and no other."""
    said = done.stdout + done.stderr
    taken = [line.removeprefix(_SUBMITTED) for line in said.splitlines()
             if line.startswith(_SUBMITTED)]  # fmt: skip
    if taken == [job_id] and done.returncode == 0:
        return
    begun = f"its first job {job_id} runs, but then: " if job_id in taken else ""
    raise JobSubmissionError(f"{jar.path.name}: {begun}{flinks_message(said)}")


def flinks_message(said: str) -> str:
    """What ``flink`` printed about a failure: its first message, and the innermost cause.

    >>> flinks_message("a.BException: no job\\n\\tat a.B.c\\nCaused by: a.CError: no file")
    'no job: no file'
    """
    lines = [line.strip() for line in said.splitlines()]
    messages = [match[2] or match[1] for line in lines if (match := CAUSE.match(line))]
    if not messages:
        spoken = [line for line in lines if line and not re.match(r"at |-+$|Usage|Use the", line)]
        return spoken[-1][:_EXPLAINED] if spoken else "Flink's client said nothing"
    first, last = messages[0], messages[-1]
    return (first if last in first else f"{first}: {last}")[:_EXPLAINED]
