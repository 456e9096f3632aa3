"""Java and the jars of Apache Flink, found on this machine."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from hawork.core.errors import LabError


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


def flink_jars() -> list[Path]:
    """The jars of ``apache-flink-libraries``; empty when it is not installed."""
    spec = importlib.util.find_spec("pyflink")
    places = (spec.submodule_search_locations if spec else None) or ()
    jars = [jar for place in places for jar in sorted((Path(place) / "lib").glob("*.jar"))]
    return jars if any(jar.name.startswith("flink-dist") for jar in jars) else []
