"""Users without a home, daemons without descriptors, Javas with more to say: other machines."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

import hawork
from hawork.backends.embedded.directory import file_system_of
from hawork.cli import doctor, lab
from hawork.cli.doctor import java, service, system
from hawork.cli.main import main, sentence_of
from hawork.core.errors import ConfigurationError, LabError
from hawork.core.user_files import (
    expanded,
    fallback_directory,
    home_directory,
    temporary_directory,
)
from hawork.lab import hosted
from hawork.lab.flights import cache_directory
from hawork.lab.flink.distribution import check_java
from hawork.lab.run_directory import RunDirectory
from hawork.servers.java import java_version
from hawork.servers.machine import available


@pytest.mark.parametrize(
    ("name", "release", "place", "ok", "said"),
    [
        ("Windows", "11", "C:\\Temp", False, "run 'wsl --install' once"),
        ("Linux", "5.15.90.1-microsoft-standard-WSL2", "/tmp", True, "WSL (Linux 5.15"),
        ("Linux", "5.15.90.1-microsoft-standard-WSL2", "/mnt/c/tmp", False, "set TMPDIR to"),
        ("Darwin", "23.1.0", "/tmp", True, "macOS (Darwin 23.1.0): the embedded lessons work"),
        ("Linux", "6.1.0-18-amd64", "/tmp", True, "Linux 6.1.0-18-amd64"),
    ],
)
def test_the_system_is_said(
    monkeypatch: pytest.MonkeyPatch, name: str, release: str, place: str, ok: bool, said: str
) -> None:
    monkeypatch.setattr("platform.system", lambda: name)
    monkeypatch.setattr("platform.release", lambda: release)
    monkeypatch.setattr("tempfile.tempdir", place)
    found = system()
    assert (found.ok, found.needed) == (ok, name == "Windows")
    assert said in f"{found.found}; {found.fix}"


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without an entry in the password file and without HOME, as in OpenShift."""

    def unknown(user: int) -> pwd.struct_passwd:
        raise KeyError(f"getpwuid(): uid not found: {user}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "XDG_CACHE_HOME", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_a_user_without_a_home_keeps_things_among_the_temporary_files(nobody: Path) -> None:
    assert home_directory() is None
    assert expanded("~/x") == Path("~/x")
    place = nobody / f"hawork-{os.geteuid()}"
    assert cache_directory() == place == fallback_directory()
    assert place.stat().st_mode & 0o777 == 0o700
    assert lab._places() == {"HOME": str(place)}


@pytest.mark.parametrize("taken", ["file", "open", "link"])
def test_a_place_that_somebody_else_made_is_not_taken(nobody: Path, taken: str) -> None:
    place = nobody / f"hawork-{os.geteuid()}"
    if taken == "file":
        place.touch()
    elif taken == "open":
        place.mkdir()
        place.chmod(0o777)
    else:
        (nobody / "other").mkdir(mode=0o700)
        place.symlink_to(nobody / "other")
    assert fallback_directory() not in (place, nobody / "other")


def test_a_home_that_is_read_only(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/proc")
    allowed = os.access  # root may write wherever a mode says no
    monkeypatch.setattr(
        os, "access", lambda path, *a, **k: path != Path("/proc") and allowed(path, *a, **k)
    )
    assert cache_directory().parent == nobody
    places = lab._places()
    assert "HOME" not in places and places["JUPYTER_RUNTIME_DIR"].startswith(str(nobody))
    monkeypatch.setenv("HOME", str(nobody))
    assert lab._places() == {}
    assert cache_directory() == nobody / ".cache" / "hawork"


@pytest.mark.parametrize(
    ("variable", "name"),
    [("COLAB_RELEASE_TAG", "Google Colab"), ("KAGGLE_KERNEL_RUN_TYPE", "Kaggle")],
)
def test_a_notebook_service_and_its_limits_are_told_once(
    variable: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hosted, "_told", False)
    assert service().ok
    hosted.tell_limits()
    monkeypatch.setenv(variable, "x")
    assert service().found == name and "live panels" in service().fix
    hosted.tell_limits()
    hosted.tell_limits()
    assert capsys.readouterr().err.count(f"On {name}: live panels") == 1


def test_a_daemon_has_no_descriptors() -> None:
    """What is opened next must not become its standard error."""
    code = (
        "import os\n"
        "for number in range(3): os.close(number)\n"
        "import sys\n"
        "sys.stdin = sys.stdout = sys.stderr = None\n"
        "from hawork.core.descriptors import ensure_standard_descriptors\n"
        "ensure_standard_descriptors()\n"
        "opened = os.open(os.devnull, os.O_RDONLY)\n"
        "sys.stderr.write('nothing'); sys.stdout.write('nothing'); assert sys.stdin.read() == ''\n"
        "assert os.readlink('/proc/self/fd/2') == os.devnull\n"
        "os._exit(opened)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=30).returncode == 3


def stub(folder: Path, *lines: str) -> str:
    program = folder / "bin" / "java"
    program.parent.mkdir(exist_ok=True)
    said = "".join(f"echo '{line}' >&2\n" for line in lines)
    program.write_text(f"#!/bin/sh\n{said}")
    program.chmod(0o755)
    return str(program)


PICKED_UP = ("Picked up JAVA_TOOL_OPTIONS: -Dx=\"version 1\"", "Picked up _JAVA_OPTIONS: -Xmx1g",
             "OpenJDK 64-Bit Server VM warning: Options -Xverify:none are deprecated")  # fmt: skip


def test_java_may_say_more_than_its_version(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(programs))
    program = stub(programs, *PICKED_UP, 'openjdk version "17.0.15" 2025-04-15', "OpenJDK Server")
    assert java_version(program) == ('openjdk version "17.0.15" 2025-04-15', 17)
    assert java().found.startswith('openjdk version "17.0.15"')
    check_java(program)
    program = stub(programs, *PICKED_UP, 'java version "1.8.0_402"')
    with pytest.raises(LabError, match=r'1\.8\.0_402".* needs 11 or later'):
        check_java(program)
    assert java_version(stub(programs, "Free Java")) == ("Free Java", None)


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("urllib3", "kubernetes"),
        ("kubernetes.client", "kubernetes"),
        ("kazoo.client", "zookeeper"),
        ("py4j.java_gateway", "flink"),
        ("pandas", "lab"),
        ("yaml", ""),
        ("tornado.web", ""),
    ],
)
def test_a_missing_module_names_the_package_to_install(module: str, package: str) -> None:
    said = sentence_of(ModuleNotFoundError(f"No module named {module!r}", name=module))
    assert (f"pip install 'hawork[{package}]'" if package else 'run "pip install hawork"') in said
    assert module != "yaml" or said.startswith("package PyYAML is not installed")
    assert module != "urllib3" or said.startswith("package kubernetes is not installed")


@pytest.mark.parametrize("value", ["tcp://10.43.73.21:80", "", "80 "])
def test_a_port_that_is_a_service_of_kubernetes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    """jupyter/docker-stacks 2106, odpi/egeria-charts 268: a Service named jupyter."""
    monkeypatch.setenv("JUPYTER_PORT", value)
    monkeypatch.setenv("JUPYTER_PORT_RETRIES", "7")
    found = lab._environment()
    assert "JUPYTER_PORT" not in found and found["JUPYTER_PORT_RETRIES"] == "7"
    assert "JUPYTER_PORT is" in capsys.readouterr().err
    monkeypatch.setenv("JUPYTER_PORT", "8890")
    assert lab._environment()["JUPYTER_PORT"] == "8890"


@pytest.fixture
def no_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chroot, or a sandbox of a build, without ``/proc``: psutil's error there."""

    def missing(*_: object, **__: object) -> None:
        raise FileNotFoundError(2, "No such file or directory", "/proc/meminfo")

    for name in ("virtual_memory", "disk_partitions"):
        monkeypatch.setattr(psutil, name, missing)


def test_a_sandbox_without_proc(no_proc: None, tmp_path: Path) -> None:
    """What psutil reads there is told otherwise, or is not known."""
    assert file_system_of(tmp_path) == ""
    found = available()
    assert 0 < found.free <= found.most


def test_one_check_of_the_doctor_keeps_no_other_from_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused() -> doctor.Diagnosis:
        raise PermissionError(13, "Permission denied", "/dev/shm")

    monkeypatch.setattr(doctor, "shared_memory", refused)
    found = {each.what: each for each in doctor.examine()}
    assert found["refused"].found == "not known (/dev/shm: Permission denied)"
    assert "memory" in found and "browser" in found


def test_a_root_that_is_read_only_has_no_place_for_temporary_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """cloudnative-pg 5420: a pod with ``readOnlyRootFilesystem``, and no volume at ``/tmp``.

    The doctor had called the machine ready, and a lab ended in a traceback.
    """
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc"])
    monkeypatch.setenv("TMPDIR", "/nowhere")
    said = r"no directory for temporary files can be written \(TMPDIR=/nowhere, /tmp, /var/tmp\)"
    for check in (doctor.disk, doctor.network_disk):
        assert check().needed and not check().ok
    assert doctor.disk().fix.startswith("set TMPDIR to one that can")
    with pytest.raises(LabError, match=f"{said}: set TMPDIR"):
        RunDirectory()
    with pytest.raises(ConfigurationError, match=said):
        temporary_directory()
    (tmp_path / "volume").mkdir()
    monkeypatch.setattr(
        tempfile, "_candidate_tempdir_list", lambda: ["/proc", str(tmp_path / "volume")]
    )
    assert temporary_directory() == tmp_path / "volume"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x7fELF of another machine", "Exec format error"),
        (b"#!/bin/sh\nexit 3\n", "status 3"),
        (b"#!/bin/sh\nsleep 9\n", r"no version within 0\.2 s"),
        (b"#!/nowhere/sh\n", "No such file"),
    ],
)
def test_a_control_plane_that_does_not_run_is_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes, said: str
) -> None:
    """kubernetes-sigs/controller-runtime: assets of envtest for another architecture."""
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    monkeypatch.setattr(doctor, "_PATIENCE", 0.2 if b"sleep" in content else 20.0)
    for name in ("kube-apiserver", "etcd"):
        (tmp_path / name).write_bytes(b"#!/bin/sh\n" if name == "kube-apiserver" else content)
        (tmp_path / name).chmod(0o755)
    found = doctor.kubernetes_control_plane()
    assert not found.ok and re.search(rf"{tmp_path}/etcd does not run \(.*{said}", found.found)
    (tmp_path / "etcd").write_text("#!/bin/sh\n")
    assert doctor.kubernetes_control_plane().ok


@pytest.fixture
def adrift(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel, or a shell, whose working directory was removed: a new clone in its place."""
    place = tmp_path / "clone"
    place.mkdir()
    monkeypatch.chdir(place)
    place.rmdir()


def test_imports_in_a_directory_that_was_removed(adrift: None) -> None:
    """Each import of a library had ended in ``FileNotFoundError``, also those of pandas."""

    def run(code: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
        )

    code = (
        "import sys\n"
        "import hawork, random, decimal\n"
        "from hawork.lab import LabCluster\n"
        "from hawork.core.user_files import where_programs_run\n"
        "print(where_programs_run())"
    )
    if run("import socket").returncode:
        pytest.skip("this Python (3.13.0) ends there with a SystemError of its own")
    done = run(code)
    assert (done.stdout, done.stderr) == ("/\n", "")


@pytest.mark.parametrize(
    "given", ["submit job.py:build", "lab", "lab --notebooks x", "drill --directory d"]
)
def test_a_directory_that_was_removed_is_told(
    adrift: None, given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(given.split()) == 1
    assert "the working directory was removed: go to one" in capsys.readouterr().err


def test_why_java_does_not_run_is_told_in_its_words(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container with too little memory, and one whose Java lacks a library."""
    program = stub(programs, *PICKED_UP[:1], "Error occurred during initialization of VM",
                   "Could not reserve enough space for code cache")  # fmt: skip
    Path(program).write_text(Path(program).read_text() + "exit 1\n")
    said = r"status 1: Error occurred .* of VM: Could not reserve enough space for code cache$"
    with pytest.raises(LabError, match=said):
        java_version(program)
    monkeypatch.setenv("JAVA_HOME", str(programs))
    assert java().found.endswith("code cache") and java().fix.startswith("mend what it says")


def test_limits_of_a_container_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.processor().ok
    monkeypatch.setattr(doctor, "processors", lambda: 0.1)
    monkeypatch.setattr(doctor, "threads_left", lambda: 40)
    monkeypatch.setattr("resource.getrlimit", lambda _: (64, 64))
    for check, found in (
        (doctor.processor, "0.1"), (doctor.threads, "40 more"), (doctor.open_files, "64"),
    ):  # fmt: skip
        assert (check().ok, check().needed, check().found) == (False, False, found)
    monkeypatch.setattr("resource.getrlimit", lambda _: (-1, -1))
    assert doctor.open_files().found == "no limit"


def test_an_older_python_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clone is imported by whatever Python there is; of 3.10 it had been an AttributeError."""
    monkeypatch.setattr(sys, "version_info", (3, 10, 13, "final", 0))
    source = Path(hawork.__file__).read_text()
    said = r"^hawork needs Python 3\.11 or later, and this is 3\.10\.13 \(.*\): use another Python"
    for first, error in (("-m", SystemExit), ("/a/script.py", ImportError)):
        monkeypatch.setattr(sys, "argv", [first])
        with pytest.raises(error, match=said):
            exec(compile(source, "hawork", "exec"), {"__name__": "hawork"})


@pytest.mark.parametrize("place", ["/dev/null/ring", "/proc/ring", "file", "loop", "a" * 300])
def test_a_place_for_no_folder_is_told_before_a_watch_says_that_it_records(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It had said "recording into ..." first."""
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("loop").symlink_to("loop")
    config = tmp_path / "config.yaml"
    config.write_text("high-availability.type: zookeeper\n"
                      "high-availability.zookeeper.quorum: 127.0.0.1:1\n"
                      "high-availability.storageDir: file:///nowhere\n")  # fmt: skip
    assert main(["watch", "--config", str(config), "--to", place]) == 1
    said = capsys.readouterr()
    assert not said.out
    assert re.fullmatch(rf"hawork: .*{place} .*: .*\n", said.err) and "chmod" not in said.err


def test_a_standard_output_that_cannot_be_written_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk behind ``hawork manifests > file``: it had been *OSError: No space left*."""
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        monkeypatch.setattr(doctor, "examine", lambda: [doctor.Diagnosis("x", True, "y")])
        assert main(["doctor"]) == 1
        monkeypatch.undo()
        with contextlib.suppress(OSError):
            full.close()
    assert capsys.readouterr().err == "hawork: standard output: No space left on device\n"


def test_too_few_descriptors_are_told_with_what_gives_more() -> None:
    said = sentence_of(OSError(24, "Too many open files", "/a"))
    assert said.startswith("/a cannot be opened: ") and "run 'ulimit -n 512' before" in said
