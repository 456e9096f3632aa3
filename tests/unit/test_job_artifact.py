"""Artifacts: packed the same each time, unpacked with suspicion, imported from nowhere else."""

from __future__ import annotations

import io
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from job_setup import files_below

from hawork.core.errors import ArtifactError, ConfigurationError, JobExecutionError
from hawork.job import (
    Artifact,
    Pipeline,
    check_artifact,
    load_entry_point,
    pack_artifact,
    parse_entry_point,
    unpack_artifact,
)
from hawork.job import artifact as artifact_module
from hawork.job.entry_point import build_pipeline

JOB = "def build(config):\n    return config['answer']\n"


def zipped(*entries: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, data in entries:
            archive.writestr(entry, data)
    return buffer.getvalue()


def special(name: str, kind: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = (kind | 0o777) << 16
    return entry


def encrypted() -> bytes:
    data = bytearray(zipped(("job.py", b"x = 1")))
    data[data.index(b"PK\x03\x04") + 6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def damaged() -> bytes:
    data = bytearray(zipped(("job.py", b"x = 1" * 1000)))
    data[60] ^= 0xFF
    return bytes(data)


def understated() -> bytes:
    """A zip whose directory says that its file is much smaller than it is."""
    data = bytearray(zipped(("job.py", b"\0" * 100_000)))
    for header, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = data.index(header) + offset
        data[place : place + 4] = (10).to_bytes(4, "little")
    return bytes(data)


def twice(name: str) -> bytes:
    with pytest.warns(UserWarning, match="Duplicate name"):
        return zipped((name, b"1"), (name, b"2"))


ATTACKS = {
    "absolute": (lambda: zipped(("/etc/passwd", b"")), "outside of its directory"),
    "parent": (lambda: zipped(("a/../../b.py", b"")), "outside of its directory"),
    "backslash": (lambda: zipped(("..\\b.py", b"")), "outside of its directory"),
    "drive": (lambda: zipped(("C:b.py", b"")), "outside of its directory"),
    "empty name": (lambda: zipped(("./", b"")), "outside of its directory"),
    "link": (lambda: zipped((special("a.py", stat.S_IFLNK), b"/etc/passwd")), "a link or a device"),
    "device": (lambda: zipped((special("a.py", stat.S_IFCHR), b"")), "a link or a device"),
    "pipe": (lambda: zipped((special("a.py", stat.S_IFIFO), b"")), "a link or a device"),
    "false directory": (lambda: zipped((special("a", stat.S_IFDIR), b"x")), "a link or a device"),
    "encrypted": (encrypted, "is encrypted"),
    "doubled": (lambda: twice("a.py"), "two entries 'a.py'"),
    "doubled otherwise": (lambda: zipped(("a.py", b"1"), ("./a.py", b"2")), "two entries 'a.py'"),
    "file and directory": (lambda: zipped(("a", b""), ("a/b.py", b"")), "a file and a directory"),
    "bomb": (lambda: zipped(("a.py", b"\0" * 2_000_000)), "larger than 1000000 bytes"),
    "many bombs": (
        lambda: zipped(*((f"{n}.py", b"\0" * 200_000) for n in range(6))),
        "larger than 1000000 bytes",
    ),
    "understated": (understated, "not a readable zip file"),
    "too many": (
        lambda: zipped(*((f"{n}.py", b"") for n in range(artifact_module.MAX_FILES + 1))),
        "at most 10000",
    ),
    "unusual compression": (
        lambda: zipped((lzma_entry(), b"x")),
        "compressed unusually",
    ),
    "damaged": (damaged, "not a readable zip file"),
    "truncated": (lambda: zipped(("a.py", b"x" * 5000))[:-30], "not a readable zip file"),
    "no zip": (lambda: b"import os", "not a readable zip file"),
    "nothing": (lambda: b"", "not a readable zip file"),
    "endless name": (lambda: zipped(("x" * 300 + ".py", b"")), "cannot be unpacked"),
}


def lzma_entry() -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo("a.py")
    entry.compress_type = zipfile.ZIP_LZMA
    return entry


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_one_sentence(tmp_path: Path, attack: str) -> None:
    make, reason = ATTACKS[attack]
    data = make()
    target = tmp_path / "inside"
    target.mkdir()
    with pytest.raises(ArtifactError) as caught:
        unpack_artifact(data, target, 1_000_000)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [name for name in files_below(tmp_path) if not name.startswith("inside")] == []
    if attack != "endless name":  # only a file system knows how long a name may be
        with pytest.raises(ArtifactError):
            check_artifact(data, 1_000_000)


def test_the_hash_is_verified_before_the_zip_is_opened(tmp_path: Path) -> None:
    artifact = Artifact.pack({"job.py": JOB})
    artifact.verify()
    with pytest.raises(ArtifactError, match="has sha256"):
        unpack_artifact(b"no zip at all", tmp_path, sha256=artifact.sha256)
    unpack_artifact(artifact.data, tmp_path, sha256=artifact.sha256)
    assert files_below(tmp_path) == ["job.py"]


@settings(max_examples=100, deadline=None)
@given(place=st.integers(0, 10_000), bits=st.integers(1, 255))
def test_a_flipped_byte_never_ends_in_another_error(place: int, bits: int) -> None:
    data = bytearray(pack_artifact({"job.py": JOB, "deep/er/helper.py": "x = 1\n" * 50}))
    data[place % len(data)] ^= bits
    try:
        check_artifact(bytes(data), 10_000)
    except ArtifactError as error:
        assert "\n" not in str(error)


def test_packing_is_the_same_each_time(tmp_path: Path) -> None:
    (tmp_path / "flights.py").write_text(JOB)
    one = pack_artifact(tmp_path / "flights.py")
    (tmp_path / "flights.py").touch()
    assert pack_artifact(str(tmp_path / "flights.py")) == one
    assert pack_artifact({"flights.py": JOB}) == one
    (tmp_path / "packed.zip").write_bytes(zipped(("flights.py", JOB.encode())))
    assert pack_artifact(tmp_path / "packed.zip") == one


def test_packages_keep_their_name_and_leave_their_litter(tmp_path: Path) -> None:
    for name in ("mine/__init__.py", "mine/jobs.py", "mine/.git/x", "mine/__pycache__/jobs.pyc"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(JOB)
    assert check_artifact(pack_artifact(tmp_path / "mine")) == ["mine/__init__.py", "mine/jobs.py"]
    (tmp_path / "mine/__init__.py").unlink()
    assert check_artifact(pack_artifact(tmp_path / "mine")) == ["jobs.py"]


def test_what_cannot_be_packed_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "job.py").symlink_to(tmp_path / "notes.txt")
    for name, reason in {
        "missing.py": "cannot be read: No such file",
        "notes.txt": "is neither",
        "empty": "holds no Python module",
        "linked": "not a plain file",
    }.items():
        with pytest.raises(ArtifactError, match=reason):
            pack_artifact(tmp_path / name)
    with pytest.raises(ArtifactError, match="outside of its directory"):
        pack_artifact({"../job.py": JOB})


@pytest.fixture
def own_imports() -> Iterator[None]:
    """What a test imports from an artifact is forgotten after it."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def test_an_entry_point_is_imported_from_the_artifact(tmp_path: Path, own_imports: None) -> None:
    source = {"job_a.py": "from helper_a import build\n", "helper_a.py": JOB}
    unpack_artifact(pack_artifact(source), tmp_path)
    assert load_entry_point("job_a.py:build", tmp_path)({"answer": 42}) == 42


WRONG_MODULES = {
    "missing:build": ("", "is not in the artifact, which holds job_b"),
    "job_b:missing": ("", "has no function missing"),
    "job_b.inner:build": ("", "module job_b.inner is not in the artifact"),
    "job_b:value": ("value = 3", "is of type int: name a function"),
    "job_b:build": ("import no_such_package", "because no_such_package is not there"),
    "job_b:build ": ("", "is none: write module:function"),
    "job_b": ("", "is none: write module:function"),
    "../job_b:build": ("", "is none: write module:function"),
    "job_b:build_1": ("def broken(:\n", "cannot be imported: SyntaxError"),
    "job_b:build_2": ("raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
    "job_b:build_3": ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero"),
}


@pytest.mark.parametrize("entry_point", WRONG_MODULES)
def test_a_wrong_entry_point_is_one_sentence(
    tmp_path: Path, own_imports: None, entry_point: str
) -> None:
    source, reason = WRONG_MODULES[entry_point]
    (tmp_path / "job_b.py").write_text(source)
    with pytest.raises(ArtifactError) as caught:
        load_entry_point(entry_point, tmp_path)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["json", "random", "hawork"])
def test_a_module_that_hides_another_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.py").write_text(JOB)
    with pytest.raises(ArtifactError, match="give it another name"):
        load_entry_point(f"{name}:build", tmp_path)


def test_a_module_that_is_there_already_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pytest.py").write_text(JOB)
    path = list(sys.path)
    with pytest.raises(ArtifactError, match="and not from the artifact"):
        load_entry_point("pytest:build", tmp_path)
    sys.path[:] = path


def test_a_pipeline_is_built_or_the_reason_is_given(tmp_path: Path, own_imports: None) -> None:
    (tmp_path / "job_c.py").write_text(
        "from hawork.job import *\n"
        "def good(config):\n"
        "    return Pipeline('p').source(SequenceSource(end=3)).sink(FileSink(config['out']))\n"
        "def nothing(config): pass\n"
        "def half(config): return Pipeline('p').source(SequenceSource(end=3))\n"
    )
    assert isinstance(build_pipeline("job_c:good", tmp_path, {"out": "/x"}), Pipeline)
    with pytest.raises(JobExecutionError, match=r"good \(job_c.py line 3\) raised KeyError: 'out'"):
        build_pipeline("job_c:good", tmp_path, {})
    with pytest.raises(ArtifactError, match="returned None: return the Pipeline"):
        build_pipeline("job_c:nothing", tmp_path, {})
    with pytest.raises(ConfigurationError, match="has no sink"):
        build_pipeline("job_c:half", tmp_path, {})


def test_entry_points_are_read() -> None:
    assert parse_entry_point("flights:delays") == ("flights", "delays")
    assert parse_entry_point("mine/jobs.py:delays") == ("mine.jobs", "delays")


def test_importing_the_job_engine_stays_small() -> None:
    heavy = ("tornado", "sqlite3", "pandas", "IPython", "asyncio", "traceback")
    code = (
        f"import sys, hawork.runtime.task_process; print([m for m in {heavy} if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
