"""Archives of classes: made from what programs load, used by the next ones, never in their way."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hawork.servers import class_archive
from hawork.servers.class_archive import ArchiveMaker, archive_flags, build
from hawork.servers.zookeeper.program import ZooKeeperProgram
from hawork.testing import eventually

SECONDS = 60


@pytest.fixture
def zookeeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ZooKeeperProgram:
    """A program with a class path, and a home without archives."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return ZooKeeperProgram.find()


def archives(home: Path) -> list[Path]:
    return sorted(home.glob(".cache/hawork/classes/*/classes.jsa"))


def flags(program: ZooKeeperProgram, name: str = "version") -> list[str]:
    return archive_flags(program.java, program.class_path, name)


def run(program: ZooKeeperProgram, *more: str) -> str:
    """Run the smallest program of ZooKeeper's, with the flags of now; what it says."""
    argv = [program.java, *flags(program), *more, "-cp", program.class_path,
            f"{program.package}org.apache.zookeeper.Version", "--full"]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert "3." in done.stdout or "Usage" in done.stdout, done.stdout + done.stderr
    return done.stdout


def from_the_archive(program: ZooKeeperProgram) -> bool:
    """Whether a class of ZooKeeper's own comes out of an archive."""
    said = run(program, "-Xlog:class+load:stdout")
    (line,) = [each for each in said.splitlines() if "zookeeper.Version source:" in each]
    return "shared objects file" in line


def test_what_one_run_lists_the_next_one_finds(zookeeper: ZooKeeperProgram, tmp_path: Path) -> None:
    assert not from_the_archive(zookeeper)
    made = build(zookeeper.java, zookeeper.class_path)
    assert made is not None and [made] == archives(tmp_path / "home")
    assert from_the_archive(zookeeper)
    assert not [flag for flag in flags(zookeeper) if "DumpLoaded" in flag], "all is listed"
    assert [flag for flag in flags(zookeeper, "another") if "DumpLoaded" in flag]
    mode = made.parent.stat().st_mode & 0o777
    assert mode == 0o700, "no other user may write what is run here"


def cut_short(archive: Path) -> None:
    archive.chmod(0o600)
    archive.write_bytes(archive.read_bytes()[:5000])


def exchanged(archive: Path) -> None:
    archive.chmod(0o600)
    archive.write_bytes(b"no archive of Java's at all" * 1000)


def gone(archive: Path) -> None:
    archive.unlink()
    archive.symlink_to(archive.with_name("nothing"))


@pytest.mark.parametrize("damage", [cut_short, exchanged, gone])
def test_a_damaged_archive_is_in_nobodys_way(
    zookeeper: ZooKeeperProgram, damage: Callable[[Path], None]
) -> None:
    run(zookeeper)
    made = build(zookeeper.java, zookeeper.class_path)
    assert made is not None
    damage(made)
    assert not from_the_archive(zookeeper)


def test_two_processes_make_one_archive(zookeeper: ZooKeeperProgram, tmp_path: Path) -> None:
    run(zookeeper)
    code = f"from tests.backends.zookeeper.test_class_archive import *; made({zookeeper!r})"
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [each.wait(SECONDS) for each in both] == [0, 0]
    assert len(archives(tmp_path / "home")) == 1
    assert from_the_archive(zookeeper)


def made(program: ZooKeeperProgram) -> None:
    assert build(program.java, program.class_path) is not None


def test_a_maker_works_in_the_background_and_ends_when_it_is_told(
    zookeeper: ZooKeeperProgram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = ArchiveMaker(zookeeper.java, zookeeper.class_path)
    maker.start()  # nothing was listed yet
    assert maker.process is None
    run(zookeeper)
    with monkeypatch.context() as busy:
        busy.setattr(class_archive, "_FREE", 1 << 60)
        maker.start()
        assert maker.process is None, "memory is short"
    began = time.monotonic()
    maker.start()
    process = maker.process
    assert process is not None and time.monotonic() - began < SECONDS
    maker.stop()
    assert process.returncode is not None
    maker.start()  # goes on where it was ended, whatever that was
    assert maker.process is not None
    assert maker.process.wait(SECONDS) == 0
    maker.stop()
    maker.start()
    assert maker.process is None, "the archive is there, and has all"
    left = tmp_path / "home" / ".cache" / "hawork" / "classes"
    assert not [each for each in left.rglob("*.jsa") if each.parent.parent != left]


def without_archive(zookeeper: ZooKeeperProgram, java: Path, end: str) -> ZooKeeperProgram:
    """A program whose Java has just ended with ``end`` when it was to make an archive."""
    java.write_text(f'#!/bin/sh\n[ "$1" != -Xshare:dump ] && exec {zookeeper.java} "$@"\n{end}\n')
    java.chmod(0o755)
    program = replace(zookeeper, java=str(java))
    run(program)
    with pytest.raises(subprocess.CalledProcessError):
        build(program.java, program.class_path)
    return program


def test_a_java_that_cannot_make_archives_is_asked_once_a_day(
    zookeeper: ZooKeeperProgram, tmp_path: Path
) -> None:
    program = without_archive(zookeeper, tmp_path / "java", "echo no archives >&2; exit 1")
    maker = ArchiveMaker(program.java, program.class_path)
    maker.start()
    assert maker.process is None
    assert not from_the_archive(program)
    (failed,) = (tmp_path / "home").rglob("failed")
    assert failed.read_text() == "no archives\n"
    yesterday = failed.stat().st_mtime - 25 * 3600
    os.utime(failed, (yesterday, yesterday))
    maker.start()
    assert maker.process is not None
    maker.stop()


def test_a_java_that_is_killed_as_it_makes_an_archive_is_asked_again(
    zookeeper: ZooKeeperProgram, tmp_path: Path
) -> None:
    """As the system does where memory is short."""
    without_archive(zookeeper, tmp_path / "java", "kill -9 $$")
    assert not list((tmp_path / "home").rglob("failed"))


def test_nothing_is_kept_where_there_is_no_place(
    zookeeper: ZooKeeperProgram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").write_text("a file")
    assert flags(zookeeper) == []
    monkeypatch.setattr(class_archive, "home_directory", lambda: None)
    assert flags(zookeeper) == []


def test_a_list_without_its_end_is_taken_as_far_as_it_goes(
    zookeeper: ZooKeeperProgram, tmp_path: Path
) -> None:
    run(zookeeper)
    (written,) = (tmp_path / "home").rglob("*.loading")
    text = written.read_text()
    written.write_text(text[: len(text) * 9 // 10])
    assert build(zookeeper.java, zookeeper.class_path) is not None
    assert not list((tmp_path / "home").rglob("*.loading"))


def test_archives_that_were_not_used_for_longest_go(
    zookeeper: ZooKeeperProgram, tmp_path: Path
) -> None:
    folder = tmp_path / "home" / ".cache" / "hawork" / "classes"
    old = [folder / f"{number:032x}" for number in range(class_archive.KEPT + 2)]
    for number, each in enumerate(old):
        each.mkdir(parents=True)
        os.utime(each, (number, number))
    run(zookeeper)
    build(zookeeper.java, zookeeper.class_path)
    eventually(lambda: [each.exists() for each in old] == [False] * 2 + [True] * class_archive.KEPT)
