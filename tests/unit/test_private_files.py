"""What another user can have made, read or exchanged is neither read nor written into."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hawork.client.token import ensure_token, find_token, read_token
from hawork.core import private_files
from hawork.core.configuration import Configuration
from hawork.core.errors import ConfigurationError, LabError, UntrustedPathError
from hawork.core.private_files import (
    check_way,
    create_private,
    private_directory,
    read_private,
    write_private,
)
from hawork.lab.run_directory import LOCK, RunDirectory, remove_abandoned

NOBODY = 65534
AS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(
    not AS_ROOT, reason="not run: only root can act as another user of this machine"
)
TOKEN = "a-token-that-is-long-enough"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder such as ``/tmp``: everybody may make files there."""
    with tempfile.TemporaryDirectory() as above:
        Path(above).chmod(0o755)
        folder = Path(above) / "shared"
        folder.mkdir()
        folder.chmod(0o1777)
        yield folder


def as_neighbour(code: str, *arguments: object) -> None:
    """Run Python as another user, who has the same way to the files."""
    setting = f"import os, sys; os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
    command = [sys.executable, "-I", "-S", "-c", setting + code, *map(str, arguments)]
    subprocess.run(command, check=True, timeout=30)


# --- directories --------------------------------------------------------------------------


def test_a_directory_is_made_for_its_user_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        private_directory(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert mode(tmp_path / "a") == mode(tmp_path / "a" / "b") == 0o700
    private_directory(tmp_path / "a" / "b")


@pytest.mark.parametrize("mode_there", [0o755, 0o750, 0o711, 0o2755])
@pytest.mark.parametrize("content", [None, "events", "jm.out"])
def test_a_directory_that_others_cannot_write_is_closed_to_them(
    tmp_path: Path, mode_there: int, content: str | None
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(mode_there)
    if content:  # as 'mkdir run; hawork jobmanager --run-directory run > run/jm.out'
        (folder / content).touch()
    private_directory(folder)
    assert mode(folder) == 0o700
    assert os.listdir(folder) == ([content] if content else [])


@pytest.mark.parametrize("mode_there", [0o777, 0o770, 0o720, 0o702])
def test_a_directory_into_which_others_can_have_written_is_refused(
    tmp_path: Path, mode_there: int
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(mode_there)
    (folder / LOCK).touch()
    with pytest.raises(UntrustedPathError, match=f"mode {mode_there:04o}.*chmod 700"):
        private_directory(folder)
    assert mode(folder) == mode_there, "what is refused stays as it is"
    (folder / LOCK).unlink()
    private_directory(folder)
    assert mode(folder) == 0o700


def test_a_sticky_directory_with_files_of_ours_alone_is_closed(tmp_path: Path) -> None:
    """As the root of a new tmpfs, with the output of a process in it."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "tm.out").touch()
    for name, plant in (
        ("a link", lambda path: path.symlink_to("tm.out")),
        ("a second name", lambda path: path.hardlink_to(folder / "tm.out")),
        ("a directory", lambda path: path.mkdir()),
    ):
        folder.chmod(0o1777)
        plant(folder / name)
        with pytest.raises(UntrustedPathError, match="mode 1777"):
            private_directory(folder)
        assert mode(folder) == 0o777 | stat.S_ISVTX
        (folder / name).rmdir() if name == "a directory" else (folder / name).unlink()
    private_directory(folder)
    assert mode(folder) == 0o700


@needs_root
def test_a_sticky_directory_with_a_file_of_a_neighbour_is_refused(shared: Path) -> None:
    as_neighbour("open(sys.argv[1], 'w')", shared / "order")
    with pytest.raises(UntrustedPathError, match="mode 1777"):
        private_directory(shared)


@needs_root
@pytest.mark.parametrize("place", ["/", "/tmp", "/dev/shm"])
def test_a_place_of_the_whole_machine_stays_open(place: str) -> None:
    before = mode(Path(place))
    with pytest.raises(UntrustedPathError, match="whole machine"):
        private_directory(Path(place))
    assert mode(Path(place)) == before


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("target")
    with pytest.raises(UntrustedPathError, match="symbolic link"):
        private_directory(tmp_path / "link")
    private_directory(tmp_path / "link" / "below")  # a link of ours on the way is ours
    assert (tmp_path / "target" / "below").is_dir()


def test_a_parent_that_others_can_write_is_refused(tmp_path: Path) -> None:
    open_folder = tmp_path / "open"
    open_folder.mkdir()
    open_folder.chmod(0o777)
    for path in (open_folder / "run", open_folder / "a" / "b", tmp_path / "link" / "run"):
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to(open_folder)
        with pytest.raises(UntrustedPathError, match=r"open can be written by other users"):
            private_directory(path)
    assert list(open_folder.iterdir()) == []
    open_folder.chmod(0o1777)  # as /tmp
    private_directory(open_folder / "run")


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(UntrustedPathError, match="too many"):
        check_way(tmp_path / "a" / "x")


@needs_root
@pytest.mark.parametrize("kind", ["directory", "link", "file", "parent"])
def test_what_a_neighbour_prepared_is_refused(shared: Path, kind: str) -> None:
    path = shared / "ha"
    victim = shared.parent / "mine"
    victim.mkdir(mode=0o700)
    if kind == "link":
        as_neighbour("os.symlink(sys.argv[2], sys.argv[1])", path, victim)
    elif kind == "file":
        as_neighbour("open(sys.argv[1], 'w')", path)
    else:
        as_neighbour("os.mkdir(sys.argv[1]); os.chmod(sys.argv[1], 0o777)", path)
    target = path / "run" if kind == "parent" else path
    with pytest.raises((UntrustedPathError, NotADirectoryError)):
        private_directory(target)
    with pytest.raises(LabError, match="ha"):
        RunDirectory(target)
    assert list(victim.iterdir()) == []


# --- files --------------------------------------------------------------------------------


def test_a_file_is_made_once_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "token"
    assert create_private(path, "one")
    assert not create_private(path, "two")
    assert (path.read_text(), mode(path), mode(path.parent)) == ("one", 0o600, 0o700)
    assert os.listdir(path.parent) == ["token"]


def test_a_file_is_written_in_place_of_a_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "config.yaml").symlink_to("victim")
    write_private(tmp_path / "config.yaml", "a: 1")
    assert (tmp_path / "victim").read_text() == "mine"
    assert (tmp_path / "config.yaml").read_text() == "a: 1"
    assert mode(tmp_path / "config.yaml") == 0o600


def to_another_folder(path: Path) -> None:
    (path.parent / "elsewhere").mkdir()
    (path.parent / "elsewhere" / "token").write_text(TOKEN)
    path.symlink_to(path.parent.parent / path.parent.name / ".." / "outside")
    (path.parent.parent / "outside").write_text(TOKEN)
    (path.parent.parent / "outside").chmod(0o600)


def readable(path: Path) -> None:
    path.write_text(TOKEN)
    path.chmod(0o640)


def pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize("prepare", [to_another_folder, readable, pipe])
def test_a_token_that_others_may_know_is_refused(
    tmp_path: Path, prepare: Callable[[Path], None]
) -> None:
    path = tmp_path / "run" / "token"
    path.parent.mkdir(mode=0o700)
    prepare(path)
    config = Configuration({"hawork.rest.token-file": str(path)})
    for read in (read_token, find_token, ensure_token):
        with pytest.raises(UntrustedPathError, match="token") as caught:
            read(config)
        assert str(path) in str(caught.value) and TOKEN not in str(caught.value)


@needs_root
def test_a_token_that_a_neighbour_prepared_is_refused(shared: Path) -> None:
    config = Configuration({"high-availability.storageDir": f"file://{shared}/ha"})
    as_neighbour(
        "p = sys.argv[1]; os.makedirs(p); f = open(p + '/rest-token', 'w')\n"
        f"f.write('{TOKEN}'); f.close(); os.chmod(p + '/rest-token', 0o644)",
        shared / "ha" / "default",
    )
    for read in (read_token, find_token, ensure_token):
        with pytest.raises(UntrustedPathError, match="set hawork"):
            read(config)
    own = config.with_values({"hawork.rest.token-file": str(shared.parent / "own" / "token")})
    assert ensure_token(own) == read_token(own), "the documented way on a storageDir of others"


@needs_root
def test_a_token_that_a_neighbour_linked_is_refused(shared: Path) -> None:
    secret = shared.parent / "secret"
    secret.mkdir(mode=0o700)
    as_neighbour("os.symlink(sys.argv[2], sys.argv[1])", shared / "token", secret / "key")
    (secret / "key").write_text(TOKEN)
    (secret / "key").chmod(0o600)
    with pytest.raises(UntrustedPathError, match="65534"):
        read_token(Configuration({"hawork.rest.token-file": str(shared / "token")}))


def test_a_token_as_kubernetes_mounts_it_is_read(tmp_path: Path) -> None:
    data = tmp_path / "..2026_11_29"
    data.mkdir()
    (data / "token").write_text(TOKEN)
    (data / "token").chmod(0o400)
    (tmp_path / "..data").symlink_to(data.name)
    (tmp_path / "token").symlink_to("..data/token")
    assert read_private(tmp_path / "token") == TOKEN


@pytest.mark.parametrize("letter", ["\ufeff", "\u00fc", "\n", " ", "\x07"])
def test_a_token_that_no_header_takes_is_refused(tmp_path: Path, letter: str) -> None:
    """Saved by an editor, or two lines: the JobManager started, and each client failed."""
    path = tmp_path / "token"
    path.write_text(f"abcdefghijkl{letter}mnopqrstuvwxyz\r\n", encoding="utf-8")
    path.chmod(0o600)
    for read in (read_token, find_token, ensure_token):
        with pytest.raises(ConfigurationError, match="no HTTP header takes"):
            read(Configuration({"hawork.rest.token-file": str(path)}))


def test_a_token_that_can_be_guessed_is_refused(tmp_path: Path) -> None:
    config = Configuration({"hawork.rest.token-file": str(tmp_path / "token")})
    assert find_token(config) is None
    create_private(tmp_path / "token", "secret")
    with pytest.raises(ConfigurationError, match="6 characters"):
        find_token(config)


@pytest.mark.parametrize(
    ("place", "owner", "mapped", "ours"),
    [
        ("/tmp", 65534, "0 1000 1", True),
        ("/srv/mallory", 65534, "0 1000 1", False),
        ("/tmp", 1001, "0 1000 1", False),
        ("/tmp", 65534, "0 0 4294967295", False),  # a user of that number, and no namespace
    ],
)
def test_root_is_known_where_a_user_namespace_does_not_map_it(
    monkeypatch: pytest.MonkeyPatch, place: str, owner: int, mapped: str, ours: bool
) -> None:
    """As in a container without root: all that is not mapped has the id 65534."""
    monkeypatch.setattr(Path, "read_text", lambda _: mapped)
    monkeypatch.setattr(private_files.os, "stat", lambda _: SimpleNamespace(st_uid=65534))
    status: Any = SimpleNamespace(st_uid=owner)
    assert private_files._is_roots(Path(place), status) is ours


# --- the places that use them -------------------------------------------------------------


def test_the_run_directory_and_its_options_are_private(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        run = RunDirectory(tmp_path / "run")
        run.write_options({"x.password": "hunter2"})
        run.close()
    finally:
        os.umask(before)
    assert (mode(run.path), mode(run.config_file)) == (0o700, 0o600)


@needs_root
def test_a_storage_directory_of_others_needs_an_option(shared: Path) -> None:
    import hawork
    from hawork.backends import registry

    assert registry
    as_neighbour("os.mkdir(sys.argv[1]); os.chmod(sys.argv[1], 0o777)", shared / "ha")
    config = {
        "high-availability.type": "embedded",
        "high-availability.storageDir": f"file://{shared}/ha",
        "high-availability.embedded.directory": str(shared.parent / "own"),
    }
    with hawork.open_ha_services(config) as ha, pytest.raises(UntrustedPathError, match="storage"):
        ha.check_storage()
    with hawork.open_ha_services({**config, "hawork.storage.shared": True}) as ha:
        ha.check_storage()
    del config["high-availability.embedded.directory"]
    with pytest.raises(ConfigurationError, match="directory of the HA store"):
        hawork.open_ha_services({**config, "hawork.storage.shared": True}).close()


@needs_root
def test_an_abandoned_directory_that_a_neighbour_linked_stays(shared: Path) -> None:
    kept = shared.parent / "kept"
    kept.mkdir(mode=0o700)
    (kept / LOCK).touch()
    os.utime(kept, (1, 1))
    as_neighbour("os.symlink(sys.argv[2], sys.argv[1])", shared / "hawork-lab-x", kept)
    assert remove_abandoned(shared) == []
    assert (kept / LOCK).exists()
