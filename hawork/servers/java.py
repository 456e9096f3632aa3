"""Java and the jars of Apache Flink, found on this machine."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

from hawork.core.errors import LabError
from hawork.core.user_files import where_programs_run

_JAVA_SECONDS = 20.0


def find_java(program: str = "Apache Flink") -> str:
    """The path of Java for a program. ``LabError`` says what to install when there is none."""
    home = os.environ.get("JAVA_HOME")
    candidates = [str(Path(home) / "bin" / "java")] if home else []
    for candidate in (*candidates, "java"):
        found = shutil.which(candidate)
        if found is not None:
            return found
    raise LabError(
        f"Java is not installed, and {program} needs it: run 'apt-get install "
        "default-jre-headless' or 'conda install openjdk', or set JAVA_HOME"
    )


def java_version(java: str) -> tuple[str, int | None]:
    """What ``java -version`` calls its version, and the first number of it.

    ``LabError`` when it does not run. Other lines come before, as with ``JAVA_TOOL_OPTIONS``.

    >>> java_version("/usr/bin/java")                                   # doctest: +SKIP
    ('openjdk version "17.0.15" 2025-04-15', 17)
    """
    try:
        answer = subprocess.run(
            [java, "-version"], capture_output=True, text=True, errors="replace",
            timeout=_JAVA_SECONDS, check=True, cwd=where_programs_run(),
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise LabError(f"Java ({java}) does not run: {why_not_run(error)}") from None
    for line in answer.stderr.splitlines() + answer.stdout.splitlines():
        # Before 9 the version of Java 8 was written 1.8.
        found = re.search(r'^\S.* version "(?:1\.)?(\d+)', line)
        if found is not None:
            return line, int(found[1])
    return answer.stderr.partition("\n")[0] or "an unknown version", None


def why_not_run(error: OSError | subprocess.SubprocessError) -> str:
    """Why a program gave no version, in its own words where it had any.

    >>> why_not_run(subprocess.CalledProcessError(127, "java", stderr="no libjli.so\\n"))
    'status 127: no libjli.so'
    """
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, subprocess.TimeoutExpired):
        return f"it gave no version within {error.timeout:g} s"
    if not isinstance(error, subprocess.CalledProcessError):
        return str(error)
    said = error.stderr or error.stdout or ""
    text = said if isinstance(said, str) else said.decode(errors="replace")
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    # The first lines say what is missing, and later ones how Java is to be called.
    telling = [line for line in lines if not line.startswith("Picked up")]
    return ": ".join([f"status {error.returncode}", *telling[:2]])[:300]


def flink_jars() -> list[Path]:
    """The jars of ``apache-flink-libraries``; empty when it is not installed."""
    spec = importlib.util.find_spec("pyflink")
    places = (spec.submodule_search_locations if spec else None) or ()
    jars = [jar for place in places for jar in sorted((Path(place) / "lib").glob("*.jar"))]
    return jars if any(jar.name.startswith("flink-dist") for jar in jars) else []
