"""Apache Flink's jars, found on this machine, and how a Java program of theirs is run."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hawork.core.errors import LabError
from hawork.core.user_files import expanded
from hawork.lab.flink.login import login_flags
from hawork.servers.class_archive import archive_flags
from hawork.servers.java import find_java, flink_jars, java_version

OLDEST_JAVA = 11

_NO_FLINK = (
    "Apache Flink is not installed: run 'pip install hawork[flink]', or give the folder of a "
    "distribution (the one with lib/flink-dist-...jar) in flink_home"
)
# What Flink's own config.yaml opens to itself on Java 17 (env.java.opts.all).
_OPENED = (
    "java.base/java.lang", "java.base/java.net", "java.base/java.io", "java.base/java.nio",
    "java.base/sun.nio.ch", "java.base/java.lang.reflect", "java.base/java.text",
    "java.base/java.time", "java.base/java.util", "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic", "java.base/java.util.concurrent.locks",
)  # fmt: skip
# A JVM verifies the bytecode of each class that is in no archive, as those of Flink's SQL planner
# are not: a sixth of the processor time of a lab's start. It finds files that no javac wrote, and
# these jars are releases of Flink. A JVM that does not know these options verifies.
_UNVERIFIED = (
    "-XX:+IgnoreUnrecognizedVMOptions", "-XX:+UnlockDiagnosticVMOptions",
    "-XX:-BytecodeVerificationRemote",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FlinkDistribution:
    """The jars of one Flink version, and the Java that runs them."""

    java: str
    jars: tuple[Path, ...]
    version: str

    @classmethod
    def find(cls, folder: Path | str | None = None) -> FlinkDistribution:
        """The one below ``folder``, or that of the installed ``apache-flink-libraries``.

        ``LabError`` says what to install when Java or Flink is missing, and what is wrong
        when Java is too old or jars of several versions are mixed.
        """
        jars = flink_jars() if folder is None else _jars_below(expanded(folder))
        if not jars:
            raise LabError(_NO_FLINK)
        version = _version_of(jars)
        java = find_java()
        check_java(java)
        return cls(java, tuple(jars), version)

    @property
    def home(self) -> Path:
        """The folder with ``lib`` and ``opt``."""
        return self.jars[0].parent.parent

    @property
    def class_path(self) -> str:
        return os.pathsep.join(map(str, self.jars))

    def command(
        self, main: str, *arguments: str, memory: Sequence[str], conf: Path, python: bool = False
    ) -> list[str]:
        """The command line of a Java program of Flink's.

        ``memory`` are options of the JVM, ``conf`` the folder with ``log4j2.properties``;
        ``python`` adds the jar with the gateway that PyFlink talks to.
        """
        jars = list(self.jars)
        # Made for the jars that all programs have: more of them may follow.
        archive = archive_flags(self.java, self.class_path, main.rpartition(".")[2])
        if python:
            jars += sorted((self.home / "opt").glob("flink-python*.jar"))
        opened = [f"--add-opens={package}=ALL-UNNAMED" for package in _OPENED]
        return [
            self.java, *archive, *memory, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            *_UNVERIFIED, "-XX:-UsePerfData", "-Djava.net.preferIPv4Stack=true", *opened,
            f"-Dlog4j.configurationFile=file:{conf / 'log4j2.properties'}", *login_flags(conf),
            "-cp", os.pathsep.join(map(str, jars)), main, *arguments,
        ]  # fmt: skip


def check_java(java: str) -> None:
    """``LabError`` when a Java does not run, or is older than Flink needs."""
    said, version = java_version(java)
    if version is not None and version < OLDEST_JAVA:
        raise LabError(
            f"Java is {said!r}, and Apache Flink needs {OLDEST_JAVA} or later: install a newer "
            "one, or point JAVA_HOME to it"
        )


def _jars_below(folder: Path) -> list[Path]:
    """The jars of a distribution; its folder, or the ``lib`` in it, was given."""
    for place in (folder / "lib", folder, folder / "pyflink" / "lib"):
        jars = sorted(place.glob("*.jar"))
        if any(jar.name.startswith("flink-dist") for jar in jars):
            return jars
    raise LabError(
        f"there is no lib/flink-dist-...jar in {folder}: give the folder of an unpacked Apache "
        "Flink, or leave out flink_home and run 'pip install hawork[flink]'"
    )


def _version_of(jars: Sequence[Path]) -> str:
    """The version in the names of the jars that Flink releases together."""
    found = {
        match[1]
        for jar in jars
        if (
            match := re.fullmatch(r"flink-(?:dist|table|csv|json|cep)[\w.-]*?-(\d[\w.]*)", jar.stem)
        )
    }
    if len(found) != 1:
        raise LabError(
            f"the jars in {jars[0].parent} are of several Flink versions "
            f"({', '.join(sorted(found))}): use a folder with one"
        )
    return found.pop()
