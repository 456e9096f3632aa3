"""Class data archives: what Java makes of a program's classes, kept for its next start.

A JVM reads and verifies thousands of classes each time a JobManager of Flink or a ZooKeeper server
starts. The first ones of a class path write down which classes they load; while they run, Java
makes an archive of these in the background (JEP 310), and later ones map it into memory.

An archive is a cache: without one, or with one that does not fit, a start takes longer and nothing
else (``-Xshare:auto``). It is kept below ``~/.cache/hawork/classes``, some 60 to 100 MB for a
class path of Flink's, and the ones that were not used for longest go.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from hawork.core.errors import UntrustedPathError
from hawork.core.library_path import module_command
from hawork.core.private_files import private_directory
from hawork.core.user_files import home_directory, where_programs_run
from hawork.runtime.parent_death import die_with_creator
from hawork.servers.machine import available

KEPT = 6
"""Archives of other class paths that stay."""
_ARCHIVE, _FAILED, _LISTED, _LOADING = "classes.jsa", "failed", ".listed", ".loading"
_FREE = 1 << 30
"""Bytes of memory that have to be free for an archive to be made."""
_SECONDS = 300
_AGAIN = 24 * 3600
"""Seconds after which a Java that could not make an archive is asked again."""
_WAITING = 4
"""Lists of one program that are not in an archive yet; no more of them are needed."""
_numbers = itertools.count()


def archive_flags(java: str, class_path: str, program: str) -> list[str]:
    """What a JVM is told to use the archive of its class path, or to prepare one.

    ``program`` names what it runs: what several programs load comes into one archive. Empty
    where nothing can be kept.
    """
    place = _place(java, class_path)
    if place is None:
        return []
    # Other JVMs than HotSpot do not know these; warnings belong to the log of the program.
    flags = ["-XX:+IgnoreUnrecognizedVMOptions", "-Xshare:auto", "-Xlog:disable",
             "-Xlog:all=warning:stderr"]  # fmt: skip
    archive = place / _ARCHIVE
    if archive.exists():
        flags.append(f"-XX:SharedArchiveFile={archive}")
    if os.access(place, os.W_OK):
        os.utime(place)
        waiting = len(list(place.glob(f"{program}.*{_LOADING}")))
        if waiting < _WAITING and not (place / f"{program}{_LISTED}").exists():
            written = place / f"{program}.{os.getpid()}-{next(_numbers)}{_LOADING}"
            flags.append(f"-XX:DumpLoadedClassList={written}")
    return flags


class ArchiveMaker:
    """Makes an archive in a process of the lowest priority, while the programs run.

    Nothing waits for it, and it ends with ``stop`` at the latest: then it is made another time.
    It does not start where memory is short.
    """

    def __init__(self, java: str, class_path: str) -> None:
        self._arguments = (java, class_path)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it if programs have listed classes that are in no archive; they go on listing."""
        place = _place(*self._arguments)
        if self.process is not None or place is None or _has_failed(place):
            return
        wanted = list(place.glob(f"*{_LOADING}")) or not _is_complete(place)
        if not wanted or available().free < _FREE:
            return
        with contextlib.suppress(OSError):  # there can be no more processes
            self.process = subprocess.Popen(
                module_command("hawork.servers.class_archive", *self._arguments),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd=where_programs_run(),
            )  # fmt: skip

    def stop(self) -> None:
        """End it; repeatable."""
        process, self.process = self.process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def build(java: str, class_path: str) -> Path | None:
    """Make the archive from the lists that were written; ``None`` when there is none to make."""
    place = _place(java, class_path)
    if place is None:
        return None
    with (place / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for scratch in [each for each in place.iterdir() if each.is_dir()]:
            shutil.rmtree(scratch)  # of one that was ended
        for written in sorted(place.glob(f"*{_LOADING}"), key=lambda each: each.stat().st_size):
            _take(written, place / f"{written.name.partition('.')[0]}{_LISTED}")
        if _is_complete(place):  # another process was faster, or nothing was listed
            return place / _ARCHIVE if (place / _ARCHIVE).exists() else None
        listed = sorted(place.glob(f"*{_LISTED}"))
        names = dict.fromkeys(name for file in listed for name in file.read_text().splitlines())
        with tempfile.TemporaryDirectory(dir=place) as folder:
            classes, archive = Path(folder) / "names", Path(folder) / _ARCHIVE
            classes.write_text("".join(f"{name}\n" for name in names))
            try:
                subprocess.run(
                    [java, "-Xshare:dump", f"-XX:SharedClassListFile={classes}",
                     f"-XX:SharedArchiveFile={archive}", "-cp", class_path],
                    stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=True,
                    preexec_fn=die_with_creator,
                )  # fmt: skip
            except subprocess.CalledProcessError as error:
                if error.returncode > 0:  # else it was killed, as where memory is short
                    (place / _FAILED).write_bytes((error.stderr + error.stdout)[-2000:])
                raise
            (place / _FAILED).unlink(missing_ok=True)
            archive.replace(place / _ARCHIVE)  # a JVM that has the old one mapped keeps it
        _forget(place)
    return place / _ARCHIVE


def _place(java: str, class_path: str) -> Path | None:
    """The folder of one Java and one class path; ``None`` where nothing can be kept.

    Java refuses an archive when a jar is not the one that it was made of; so does the name.
    """
    home = home_directory()
    if home is None:
        return None
    digest = hashlib.sha256()
    for name in (os.path.realpath(java), *class_path.split(os.pathsep)):
        with contextlib.suppress(OSError):
            found = Path(name).stat()
            digest.update(f"{name} {found.st_size} {found.st_mtime_ns}\n".encode())
    place = home / ".cache" / "hawork" / "classes" / digest.hexdigest()[:32]
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        private_directory(place)  # what lies there is run
    except (OSError, UntrustedPathError):
        return None
    return place


def _has_failed(place: Path) -> bool:
    """Whether this Java could not make one, and was asked not long ago."""
    try:
        failed = (place / _FAILED).stat().st_mtime
    except FileNotFoundError:
        return False
    return time.time() - failed < _AGAIN


def _is_complete(place: Path) -> bool:
    """Whether all classes that were listed are in the archive; also when none were."""
    archive = place / _ARCHIVE
    made = archive.stat().st_mtime_ns if archive.exists() else 0
    return all(each.stat().st_mtime_ns < made for each in place.glob(f"*{_LISTED}"))


def _take(written: Path, listed: Path) -> None:
    """Keep the classes that a JVM has listed, without what its end cut off."""
    names = list(_names(written.read_text(errors="replace")))
    if names:
        whole = listed.with_suffix(".part")
        whole.write_text("".join(f"{name}\n" for name in names))
        whole.replace(listed)
    written.unlink()


def _names(text: str) -> Iterator[str]:
    """Lines of a class list, as every Java from 11 on takes them."""
    for line in text.splitlines(keepends=True):
        if not line.endswith("\n") or line.startswith("#") or "source:" in line:
            continue  # cut off; a remark; of a class loader of the program's own
        yield line.rstrip() if line.startswith("@") else line.split()[0]


def _forget(place: Path) -> None:
    """Remove the archives that were not used for longest."""
    others = [each for each in place.parent.iterdir() if each != place]
    for each in sorted(others, key=lambda each: each.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(each, ignore_errors=True)


if __name__ == "__main__":
    die_with_creator()
    os.nice(19)
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        build(*sys.argv[1:])
