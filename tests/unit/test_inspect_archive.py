"""Directories, tars, zips and URLs: listed and read, never left."""

from __future__ import annotations

import gzip
import io
import itertools
import os
import random
import tarfile
import zipfile
from pathlib import Path

import pytest

from hawork.core.errors import ConfigurationError, StoreUnavailableError
from hawork.inspect.archive import open_storage
from hawork.inspect.storage import Storage, inside, read_file
from hawork.inspect.stored_files import StoredFiles

FILES = {
    "ha/prod/completedCheckpoint018845619ad1": b"checkpoint" * 5000,
    "ha/prod/submittedJobGraph69500b0b90c0": b"graph",
    "checkpoints/1/chk-7/_metadata": b"metadata",
    "checkpoints/1/chk-7/7f73203c-4180": b"state" * 100_000,
    "checkpoints/1/ä 😀/x": b"",
}


def make(kind: str, root: Path) -> Path:
    if kind == "directory":
        for name, data in FILES.items():
            path = root / "d" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return root / "d"
    if kind == "zip":
        with zipfile.ZipFile(root / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in FILES.items():
                archive.writestr(name, data)
        return root / "a.zip"
    path = root / f"a.tar.{kind}"
    with tarfile.open(path, f"w:{kind}") as tar:  # type: ignore[call-overload]
        for name, data in FILES.items():
            add(tar, f"./{name}", data)
    return path


def add(tar: tarfile.TarFile, name: str, data: bytes = b"", **facts: object) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for fact, value in facts.items():
        setattr(member, fact, value)
    tar.addfile(member, io.BytesIO(data))


def sizes(storage: Storage) -> dict[str, int]:
    return {file.name: file.size for file in storage.listing()}


@pytest.mark.parametrize("kind", ["directory", "zip", "", "gz", "xz", "bz2"])
def test_every_file_is_listed_and_read_in_any_order(kind: str, tmp_path: Path) -> None:
    storage = open_storage(str(make(kind, tmp_path)))
    assert sizes(storage) == {name: len(data) for name, data in FILES.items()}
    for name in reversed(FILES):
        assert read_file(storage, name) == FILES[name]
    assert storage.notes == []
    with pytest.raises(StoreUnavailableError, match="not/there"):
        read_file(storage, "not/there")
    with pytest.raises(StoreUnavailableError, match="more than 9 bytes"):
        read_file(storage, "checkpoints/1/chk-7/7f73203c-4180", limit=9)


def test_a_url_of_fsspec_is_listed_and_read() -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    for name, data in FILES.items():
        memory.pipe_file(f"/inspected/{name}", data)
    storage = open_storage("memory://inspected")
    assert sizes(storage) == {name: len(data) for name, data in FILES.items()}
    assert read_file(storage, "ha/prod/submittedJobGraph69500b0b90c0") == b"graph"
    with pytest.raises(StoreUnavailableError, match="leads out"):
        storage.open("../x")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("./ha//x", "ha/x"), ("ha/../x", None), ("..", None), ("/x", None), ("a\0b", None)],
)
def test_names_that_lead_out_are_none(name: str, expected: str | None) -> None:
    assert inside(name) == expected


def test_a_directory_is_not_left_by_links_pipes_or_names(tmp_path: Path) -> None:
    root = make("directory", tmp_path)
    (tmp_path / "secret").write_text("secret")
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "in").symlink_to("ha/prod/submittedJobGraph69500b0b90c0")
    (root / "folder").symlink_to("ha")
    (root / "up").symlink_to("..")
    (root / "nowhere").symlink_to("gone")
    os.mkfifo(root / "pipe")
    storage = open_storage(str(root))
    assert sizes(storage) == {**{name: len(data) for name, data in FILES.items()}, "in": 5}
    assert read_file(storage, "in") == b"graph"
    noted = " ".join(storage.notes)
    for name in ("out", "folder", "up", "nowhere", "pipe"):
        assert name in noted
    for name in ("out", "pipe", "../secret", "up/secret"):
        with pytest.raises(StoreUnavailableError):
            storage.open(name)


def test_a_folder_that_became_a_link_since_is_seen_with_the_next_listing(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("secret")
    (tmp_path / "root" / "ha").mkdir(parents=True)
    (tmp_path / "root" / "ha" / "key").write_text("ours")
    storage = open_storage(str(tmp_path / "root"))
    with storage.open("ha/key") as file:
        assert file.read() == b"ours"
    (tmp_path / "root" / "ha").rename(tmp_path / "root" / "before")
    (tmp_path / "root" / "ha").symlink_to(tmp_path / "secret")
    storage.listing()
    with pytest.raises(StoreUnavailableError, match="leads out"):
        storage.open("ha/key")


def test_a_tar_is_not_left_by_links_or_names(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        add(tar, "ha/x", b"old")
        add(tar, "ha/../../y", b"secret")
        add(tar, "ha/out", type=tarfile.SYMTYPE, linkname="../../z")
        add(tar, "ha/absolute", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add(tar, "ha/in", type=tarfile.SYMTYPE, linkname="x")
        add(tar, "hard", type=tarfile.LNKTYPE, linkname="ha/x")
        add(tar, "ha/device", type=tarfile.CHRTYPE)
        add(tar, "ha/x", b"newer")
    storage = open_storage(str(path))
    assert sizes(storage) == {"ha/x": 5, "ha/in": 5, "hard": 5}
    assert [read_file(storage, name) for name in ("ha/x", "ha/in", "hard")] == [b"newer"] * 3
    noted = " ".join(storage.notes)
    for name in ("'ha/../../y'", "ha/out", "ha/absolute", "ha/device"):
        assert name in noted


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_from_the_root_on_are_those_of_what_would_be_unpacked(
    kind: str, tmp_path: Path
) -> None:
    """As 'tar -P' writes them: nothing of such an archive was looked at."""
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("/srv/ha/x", b"it")
            archive.writestr("/../y", b"secret")
    else:
        with tarfile.open(path, "w") as tar:
            add(tar, "/srv/ha/x", b"it")
            add(tar, "/srv/ha/again", type=tarfile.LNKTYPE, linkname="/srv/ha/x")
            add(tar, "/../y", b"secret")
    storage = open_storage(str(path))
    assert sizes(storage).pop("srv/ha/x") == 2
    for name in sizes(storage):
        assert read_file(storage, name) == b"it"
    assert "'/../y' leads out" in " ".join(storage.notes)


@pytest.mark.parametrize("kind", ["", "gz", "xz", "bz2"])
def test_a_tar_that_is_cut_off_says_how_far_it_was_read(kind: str, tmp_path: Path) -> None:
    path = make(kind, tmp_path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    storage = open_storage(str(path))
    assert set(sizes(storage)) < set(FILES)
    assert "cannot be read to its end" in storage.notes[0]


def test_a_file_that_unpacks_to_far_too_much_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hawork.inspect.tar._MOST_BYTES", 1 << 20)
    path = tmp_path / "bomb.tar.xz"
    with tarfile.open(path, "w:xz") as tar:
        add(tar, "ha/x", b"first")
        add(tar, "ha/zeros", bytes(8 << 20))
        add(tar, "ha/y", b"last")
    storage = open_storage(str(path))
    assert "ha/y" not in sizes(storage)
    assert "far more bytes than it has" in storage.notes[0]
    assert read_file(storage, "ha/x") == b"first"


def sparse(name: str, size: int) -> bytes:
    """A tar with one file of nothing but a hole, in GNU's oldest form: ``tar --sparse``."""
    member = tarfile.TarInfo(name)
    member.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[386:398] = header[483:495] = b"%011o\0" % size  # where the data would begin, and end
    header[398:410] = b"%011o\0" % 0
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + bytes(1024)


def test_a_hole_in_a_file_fills_no_disk(tmp_path: Path) -> None:
    """Ten kilobytes of tar were written out as the terabytes that they stand for."""
    path = tmp_path / "sparse.tar"
    path.write_bytes(sparse("ha/completedCheckpoint0123", 1 << 30))
    storage = open_storage(str(path))
    assert sizes(storage) == {"ha/completedCheckpoint0123": 1 << 30}
    with pytest.raises(StoreUnavailableError, match="it has more than"):
        read_file(storage, "ha/completedCheckpoint0123")


def test_what_finds_no_room_on_the_disk_is_read_from_the_archive_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hawork.inspect.tar._MOST_KEPT", 60_000)
    storage = open_storage(str(make("gz", tmp_path)))
    for name, data in FILES.items():
        if len(data) <= 60_000:
            assert read_file(storage, name) == data
        else:
            with pytest.raises(StoreUnavailableError, match="it has more than 60000 bytes"):
                read_file(storage, name)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_a_damaged_member_of_a_zip_costs_itself(method: int, tmp_path: Path) -> None:
    """It ended the whole inspection with an error of the decompressor."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("ha/x", os.urandom(5000))
        archive.writestr("ha/y", b"whole")
    content = bytearray(path.read_bytes())
    content[100:3000] = bytes(each ^ 0x5A for each in content[100:3000])
    path.write_bytes(content)
    storage = open_storage(str(path))
    with pytest.raises(StoreUnavailableError, match="ha/x cannot be read: it is damaged"):
        read_file(storage, "ha/x")
    assert read_file(storage, "ha/y") == b"whole"


def test_what_is_no_storage_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello" * 1000)
    with pytest.raises(ConfigurationError, match="is not a directory, a tar"):
        open_storage(str(tmp_path / "text"))
    with pytest.raises(ConfigurationError, match="does not exist"):
        open_storage(str(tmp_path / "gone"))
    with pytest.raises(ConfigurationError, match=r"nosuch://bucket/ha"):
        open_storage("nosuch://bucket/ha")


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_headers_are_read_as_tarfile_reads_them(form: int, tmp_path: Path) -> None:
    """The usual ones by a way of their own: long and odd names, owners, large numbers."""
    path = tmp_path / "odd.tar"
    names = ["ha/x", "ha/" + "n" * 90, "ha/" + "n" * 97, "h" * 60 + "/" + "n" * 80, "ha/ü"]
    with tarfile.open(path, "w", format=form) as tar:
        for number, name in enumerate(names):
            add(tar, name, b"x" * number, mtime=1_795_970_000 + number, uname="flink", gid=1000)
        add(tar, "ha/large", b"", mode=0o7777, uid=0o7777777)
    with tarfile.open(path) as tar:
        right = {member.name: (member.size, member.mtime) for member in tar if member.isfile()}
    found = open_storage(str(path)).listing()
    assert {each.name: (each.size, each.modified) for each in found} == right


def test_a_damaged_header_is_not_taken_for_the_usual_one(tmp_path: Path) -> None:
    path = tmp_path / "damaged.tar"
    with tarfile.open(path, "w") as tar:
        add(tar, "ha/x", b"x")
    content = bytearray(path.read_bytes())
    content[1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="is not a directory, a tar"):
        open_storage(str(path))


@pytest.mark.parametrize("name", [
    "completedCheckpoint018845619ad1", "submittedJobGraph69500b0b90c0",
    "submittedExecutionPlan69500b0b90c0", "_metadata",
])  # fmt: skip
def test_what_is_always_opened_is_read_once(name: str, tmp_path: Path) -> None:
    """However large it is: a packed archive is read from its beginning for any other file."""
    content = random.Random(name).randbytes(100_000)
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo(f"ha/{name}")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    storage = open_storage(str(tmp_path / "x.tar.gz"))
    assert [file.size for file in storage.listing()] == [len(content)]
    (tmp_path / "x.tar.gz").unlink()
    assert read_file(storage, f"ha/{name}") == content


MAPPINGS = (
    {"file:/srv/flink": "."}, {"file:/srv": "a", "file:/srv/flink": "b/c"}, {"file:/": "."},
    {"s3://prod/flink": "x", "s3a://prod/flink/ha": "y"}, {"s3://prod": "."}, {"/srv/flink/": "f"},
)  # fmt: skip
BEGINNINGS = ("file:", "file://", "file://host", "s3:", "s3://prod", "s3a://prod", "s3p://pr", "")
PARTS = ("/srv", "/flink", "/ha", "//x", "/.", "/..", "/", "/flink/")


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_a_name_is_the_same_whatever_was_asked_for_before(mapping: dict[str, str]) -> None:
    """Folders are kept in mind."""
    urls = [
        begin + "".join(parts)
        for begin in BEGINNINGS
        for count in range(4)
        for parts in itertools.product(PARTS, repeat=count)
    ]
    files = StoredFiles([], lambda name: b"", mapping)
    random.Random(7).shuffle(urls)
    for url in urls:
        assert files.name_of(url) == StoredFiles([], lambda name: b"", mapping)._name_of(url), url


def headers(path: Path) -> list[int]:
    with tarfile.open(path) as tar:
        return [member.offset for member in tar]


@pytest.mark.parametrize("packed", ["", "gz"])
@pytest.mark.parametrize("damage", ["bit", "zeros", "cut", "cut in a header", "spread"])
def test_a_tar_that_is_damaged_between_two_members_is_not_whole(
    damage: str, packed: str, tmp_path: Path
) -> None:
    """``tarfile`` itself takes each of them for the end of the tar."""
    path = make("", tmp_path)
    content, at = bytearray(path.read_bytes()), headers(path)[2]
    if damage == "bit":
        content[at + 5] ^= 1
    elif damage == "zeros":
        content[at : at + 512] = bytes(512)
    elif damage == "spread":  # as a terminal does it on the way
        content[512:] = content[512:].replace(b"c", b"\r\n")
    else:
        del content[at + 100 * (damage == "cut in a header") :]
    path.write_bytes(gzip.compress(content) if packed else content)
    storage = open_storage(str(path))
    assert 0 < len(sizes(storage)) < len(FILES)
    assert "cannot be read to its end" in storage.notes[0] and not storage.whole


def test_of_any_number_of_links_a_few_are_told_and_all_are_known(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for number in range(300):
            add(tar, f"ha/{number}", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add(tar, "ha/7", b"written again")
    storage = open_storage(str(path))
    storage.listing()
    assert len(storage.notes) == 51 and storage.notes[-1].startswith("250 more")
    assert storage.whole and len(storage.unseen) == 299 and "ha/7" not in storage.unseen
    storage.listing()
    assert len(storage.notes) == 51


def test_what_was_not_looked_at_is_known_by_its_folders() -> None:
    files = StoredFiles([], lambda name: b"", {}, unseen={"ha/link", "a"})
    assert not any(map(files.would_list, ("ha/link", "ha/link/in/it", "a", "a/b")))
    assert all(map(files.would_list, ("", "ha", "ha/linked", "b/a")))
    assert not any(map(files.would_list_below, ("", "ha", "a", "ha/link", "a/b")))
    assert files.would_list_below("b") and files.changed({}).unseen == files.unseen
    assert not StoredFiles([], lambda name: b"", {}, complete=False).would_list("b")


def test_a_url_whose_server_is_away_is_one_sentence() -> None:
    """This driver of fsspec connects before anything is asked of it."""
    with pytest.raises(StoreUnavailableError, match=r"ftp://127.0.0.1:1/ha cannot be opened: "):
        open_storage("ftp://127.0.0.1:1/ha")
