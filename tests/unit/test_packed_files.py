"""Files that were packed for the way: read, or the sentence that says what unpacks them."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from hawork.cli.main import main
from hawork.core.errors import ConfigurationError
from hawork.inspect.archive import open_storage
from hawork.inspect.configmaps import LOCK_ANNOTATION, read_configmaps
from hawork.inspect.sources import Sources, read_store
from hawork.inspect.znodes import ZooKeeperTree
from hawork.story.packed_files import is_packed, open_unpacked, plain_name, read_unpacked

PACKERS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
TEXT = b"kind: ConfigMap\nmetadata: {name: prod-cluster-config-map}\ndata: {}\n" * 3
UNLOCKED = (
    '{"holderIdentity":"","leaseDuration":"PT15S","acquireTime":"2026-11-29T10:00:00.000000Z",'
    '"renewTime":"2026-11-29T10:00:00.000000Z","leaderTransitions":1}'
)
ZSTD = bytes.fromhex("28b52ffd0458") + b"\0" * 20


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_packed_file_is_read_whatever_its_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "cm.yaml"
    path.write_bytes(PACKERS[suffix](TEXT))
    assert is_packed(path)
    assert read_unpacked(path, 1 << 20) == TEXT
    assert plain_name(f"cm.yaml{suffix}") == "cm.yaml"


def test_a_file_that_is_not_packed_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "cm.yaml.gz"
    for content in (TEXT, b"", b"B", b"\x1f"):
        path.write_bytes(content)
        assert not is_packed(path)
        assert read_unpacked(path, 1 << 20) == content


def test_a_pipe_is_read_from_its_beginning() -> None:
    """As the shell's ``<(kubectl get configmap -o yaml)`` is one."""
    for content in (TEXT, PACKERS[".gz"](TEXT)):
        reader, writer = os.pipe()
        os.write(writer, content)
        os.close(writer)
        try:
            assert read_unpacked(Path(f"/dev/fd/{reader}"), 1 << 20) == content
        finally:
            os.close(reader)


def test_a_device_is_not_an_archive() -> None:
    with pytest.raises(ConfigurationError, match="/dev/zero is not a regular file"):
        open_storage("/dev/zero")


@pytest.mark.parametrize(("content", "most", "reason"), [
    (gzip.compress(TEXT)[:-9], 1 << 20, "Compressed file ended before"),
    (bz2.compress(TEXT)[:30], 1 << 20, "Compressed file ended before"),
    (lzma.compress(TEXT)[:40] + b"\0" * 30, 1 << 20, "Corrupt input data"),
    (gzip.compress(b"\0" * (3 << 20)), 1 << 20, "has more than 1 MiB"),
], ids=["gz", "bz2", "xz", "huge"])  # fmt: skip
def test_a_damaged_or_huge_file_is_one_sentence(
    tmp_path: Path, content: bytes, most: int, reason: str
) -> None:
    path = tmp_path / "cm.yaml.gz"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=rf"cm\.yaml\.gz .*{reason}"):
        read_unpacked(path, most)


@pytest.mark.parametrize(("head", "said"), [
    (b"\x04\x22\x4d\x18", r"is packed with lz4, which is not read here: .*'lz4 -d jm\.log'"),
    (b"\xff\x06\x00\x00sNaPpY", r"with snappy, .*'snzip -d jm\.log'"),
])  # fmt: skip
def test_what_nothing_here_unpacks_says_what_does(tmp_path: Path, head: bytes, said: str) -> None:
    path = tmp_path / "jm.log"
    path.write_bytes(head + b"\0" * 40)
    with pytest.raises(ConfigurationError, match=said):
        open_unpacked(path)


@pytest.fixture
def without_zstd(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("compression", "zstandard"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.usefixtures("without_zstd")
@pytest.mark.parametrize("read", [
    open_unpacked, read_configmaps, lambda path: open_storage(str(path)),
    lambda path: read_store(Sources(zookeeper_dump=path)),
])  # fmt: skip
def test_zstd_without_its_package_names_it(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = tmp_path / "ha.tar.zst"
    path.write_bytes(ZSTD)
    said = (
        r"zstd, which needs a package .* 'pip install zstandard', or .* \('zstd -d ha\.tar\.zst'\)"
    )
    with pytest.raises(ConfigurationError, match=said):
        read(path)


def test_zstd_with_its_package(tmp_path: Path) -> None:
    path = tmp_path / "cm.yaml.zst"
    packed = zstandard.ZstdCompressor().compress(TEXT)
    path.write_bytes(packed + packed)
    assert read_unpacked(path, 1 << 20) == TEXT * 2
    for end in range(5, len(packed)):
        path.write_bytes(packed + packed[:end])
        with pytest.raises(ConfigurationError, match="ended before the end of its last frame"):
            read_unpacked(path, 1 << 20)
    path.write_bytes(packed[:4] + b"\xff" * 20)
    with pytest.raises(ConfigurationError, match="it is damaged"):
        read_unpacked(path, 1 << 20)


def test_packed_dumps_are_read(tmp_path: Path) -> None:
    maps = tmp_path / "cm.yaml.gz"
    maps.write_bytes(gzip.compress(TEXT[: len(TEXT) // 3]))
    assert [each.name for each in read_configmaps(maps).maps] == ["prod-cluster-config-map"]
    znodes = tmp_path / "zk.json.xz"
    znodes.write_bytes(lzma.compress(json.dumps([{"path": "/flink", "data": ""}]).encode()))
    tree = read_store(Sources(zookeeper_dump=znodes))
    assert isinstance(tree, ZooKeeperTree)
    assert [each.path for each in tree.znodes] == ["/flink"]


@pytest.mark.usefixtures("without_zstd")
def test_an_archive_that_cannot_be_unpacked_is_could_not_look(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The store beside it is still worth an answer, and the status says that it is not whole."""
    maps, storage = tmp_path / "cm.yaml", tmp_path / "ha.tar.zst"
    lock = {LOCK_ANNOTATION: UNLOCKED}
    metadata = {"name": "prod-cluster-config-map", "annotations": lock}
    maps.write_text(json.dumps({"kind": "ConfigMap", "metadata": metadata, "data": {}}))
    storage.write_bytes(ZSTD)
    given = ["inspect", "--configmaps", str(maps), "--storage", str(storage), "--json"]
    assert main(given) == 2
    missed = json.loads(capsys.readouterr().out)["not_looked_at"]
    assert any("pip install zstandard" in each["why"] for each in missed)
