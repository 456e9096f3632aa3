"""A ZooKeeper server's snapshots and logs, replayed; and dumps of trees."""

from __future__ import annotations

import base64
import gzip
import json
import struct
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from hawork.core.errors import ConfigurationError
from hawork.inspect.archive import open_storage
from hawork.inspect.errors import UndecodableError
from hawork.inspect.sources import Sources, read_store
from hawork.inspect.znodes import ZooKeeperTree
from hawork.inspect.zookeeper_data import is_server_file, read_zookeeper_data
from hawork.inspect.zookeeper_dumps import read_zookeeper_dump, write_zookeeper_dump
from tests.flink_vectors import FILTER, HERE, vector

LIVE = json.loads(vector("zookeeper-dump.json"))
"""What a client read from the server at the moment when its files were copied."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    with tarfile.open(HERE / "zookeeper-data.tar.xz") as tar:
        tar.extractall(tmp_path, **FILTER)
    return tmp_path / "version-2"


def replayed(place: Path) -> ZooKeeperTree:
    return read_zookeeper_data(open_storage(str(place)))


def rows(tree: ZooKeeperTree) -> object:
    return json.loads(write_zookeeper_dump(tree.znodes))


def snapshots(data: Path) -> list[Path]:
    return sorted(data.glob("snapshot.*"), key=lambda path: int(path.suffix[1:], 16))


def test_the_replay_is_what_a_client_saw() -> None:
    tree = replayed(HERE / "zookeeper-data.tar.xz")
    assert rows(tree) == LIVE
    assert tree.notes == () and tree.owners_known and tree.zxid == 0x48
    assert tree.moment is not None and tree.moment > 1.7e9
    kinds = {znode.path: znode.kind for znode in tree.znodes}
    assert kinds["/flink"] == kinds["/flink/container"] == "container"
    assert kinds["/flink/stays"] == "ttl"
    assert kinds["/flink/a/one"] == kinds["/flink/b/locks/me"] == "ephemeral"
    assert "/flink/never" not in kinds and "/flink/a/two" not in kinds


@pytest.mark.parametrize("kept", range(8))
def test_every_snapshot_with_the_logs_behind_it_leads_to_the_same(data: Path, kept: int) -> None:
    for number, path in enumerate(snapshots(data)):
        if number > kept:
            path.unlink()
    assert rows(replayed(data.parent)) == LIVE


def test_logs_alone_do_when_they_begin_at_the_beginning(data: Path) -> None:
    for path in snapshots(data):
        path.unlink()
    tree = replayed(data)
    assert rows(tree) == LIVE
    assert tree.notes == ()


def test_logs_that_begin_later_say_what_is_not_seen(data: Path) -> None:
    for path in [*snapshots(data), data / "log.1", data / "log.f"]:
        path.unlink()
    tree = replayed(data)
    assert tree.notes == (
        "there is no snapshot: what was made before transaction 0x1d is not seen",
    )


def test_a_snapshot_alone_says_so(data: Path) -> None:
    for path in data.glob("log.*"):
        path.unlink()
    (note,) = replayed(data).notes
    assert note.startswith("there is no transaction log: what was written after transaction 0x")


def test_a_log_that_is_missing_in_the_middle_is_named(data: Path) -> None:
    for path in [*snapshots(data)[1:], data / "log.1d"]:
        path.unlink()
    assert "the transactions between 0x1c and 0x2b are missing" in replayed(data).notes[0]


def test_a_damaged_snapshot_is_passed_over_for_the_one_before(data: Path) -> None:
    newest = snapshots(data)[-1]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    tree = replayed(data)
    assert rows(tree) == LIVE
    assert "its checksum does not fit" in tree.notes[0]


@pytest.mark.parametrize("name", ["snapshot", "own"])
def test_a_snapshot_by_itself_is_read(data: Path, tmp_path: Path, name: str) -> None:
    """As the command ``snapshot`` of the admin server sends it, under any name."""
    newest = snapshots(data)[-1]
    path = tmp_path / (newest.name if name == "own" else "backup-of-zk")
    path.write_bytes(newest.read_bytes())
    assert is_server_file(path)
    tree = read_store(Sources(zookeeper_data=path))
    assert isinstance(tree, ZooKeeperTree)
    assert tree.zxid == int(newest.name.partition(".")[2], 16)
    (note,) = tree.notes
    assert note.startswith("there is no transaction log")
    assert "/flink" in [each.path for each in tree.znodes]


def test_a_log_by_itself_says_what_came_before_it(data: Path, tmp_path: Path) -> None:
    for first in ("1", "1d"):
        path = tmp_path / f"of-{first}"
        path.write_bytes((data / f"log.{first}").read_bytes())
        tree = read_store(Sources(zookeeper_data=path))
        assert isinstance(tree, ZooKeeperTree)
        notes = [each for each in tree.notes if "there is no snapshot: what was made" in each]
        assert bool(notes) == (first != "1")
    assert "before transaction 0x1d is not seen" in notes[0]


def test_a_file_that_was_given_with_the_wrong_option_is_told_by_the_right_one(
    data: Path, tmp_path: Path
) -> None:
    znodes, maps = tmp_path / "zk.json", tmp_path / "cm.yaml"
    znodes.write_text(json.dumps([{"path": "/flink", "data": ""}]))
    maps.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x-config-map}\n")
    log = data / "log.1d"
    for sources, option in (
        (Sources(configmaps=znodes), "--zookeeper-dump"),
        (Sources(configmaps=log), "--zookeeper-data"),
        (Sources(zookeeper_dump=log), "--zookeeper-data"),
        (Sources(zookeeper_dump=maps), "--configmaps"),
        (Sources(zookeeper_data=maps), "--configmaps"),
        (Sources(zookeeper_data=znodes), "--zookeeper-dump"),
    ):
        with pytest.raises(ConfigurationError, match=f"ive it with {option}$"):
            read_store(sources)


def test_packed_snapshots_are_read_or_named(data: Path) -> None:
    newest = snapshots(data)[-1]
    packed = data / f"{newest.name}.gz"
    packed.write_bytes(gzip.compress(newest.read_bytes()))
    content = newest.read_bytes()
    newest.unlink()
    tree = replayed(data)
    assert rows(tree) == LIVE
    assert tree.notes == ()
    packed.unlink()
    snappy = data / f"{newest.name}.snappy"
    snappy.write_bytes(packed_with_snappy(content))
    tree = replayed(data)
    assert rows(tree) == LIVE
    assert tree.notes == ()
    snappy.write_bytes(packed_with_snappy(content)[:-1])
    tree = replayed(data)
    assert rows(tree) == LIVE, "from the snapshot before, and the logs"
    assert f"{snappy.name}: snapshot cannot be read: it cannot be unpacked" in tree.notes[0]


def packed_with_snappy(data: bytes) -> bytes:
    """A stream of ``SnappyOutputStream`` that holds literals only, a kilobyte each."""
    blocks = [b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)]
    for at in range(0, len(data), 1000):
        part = data[at : at + 1000]
        length = bytes([len(part) & 0x7F | 0x80, len(part) >> 7])
        block = length + b"\xf4" + struct.pack("<H", len(part) - 1) + part
        blocks += (struct.pack(">i", len(block)), block)
    return b"".join(blocks)


def test_a_damaged_log_ends_the_replay_and_says_where(data: Path) -> None:
    for path in snapshots(data)[1:]:
        path.unlink()
    log = data / "log.1d"
    content = bytearray(log.read_bytes())
    content[40] ^= 1
    log.write_bytes(content)
    tree = replayed(data)
    assert tree.zxid == 0x1C
    assert "the checksum of a transaction does not fit (byte 16)" in tree.notes[0]
    assert "later logs are not looked at" in tree.notes[1]


def test_a_last_transaction_that_is_cut_off_is_named(data: Path) -> None:
    log = max(data.glob("log.*"), key=lambda path: int(path.suffix[1:], 16))
    content = log.read_bytes().rstrip(b"\0")
    log.write_bytes(content[:-3])
    tree = replayed(data)
    assert tree.zxid == 0x47
    assert "its last transaction is cut off" in tree.notes[0]


def test_a_log_of_zeros_has_no_transactions(data: Path) -> None:
    (data / "log.ffff").write_bytes(bytes(1 << 20))
    tree = replayed(data)
    assert rows(tree) == LIVE
    assert "log.ffff has no transactions" in tree.notes[0]


def test_what_is_no_data_of_a_server_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no data of a ZooKeeper server"):
        replayed(tmp_path)
    (tmp_path / "snapshot.0").write_bytes(b"hello")
    with pytest.raises(UndecodableError, match="not with ZKSN"):
        replayed(tmp_path)


# --- dumps ---------------------------------------------------------------------------------------


def test_a_list_dump_is_read_and_written() -> None:
    tree = read_zookeeper_dump(json.dumps(LIVE).encode())
    assert rows(tree) == LIVE and tree.owners_known and tree.notes == ()
    assert tree.zxid == max(max(row["mzxid"], row["pzxid"]) for row in LIVE)


def test_a_dump_of_zk_shell_does_not_know_owners() -> None:
    dump = {
        "/flink/x": {"content": base64.b64encode(b"\xac\xed").decode(), "acls": []},
        "/flink/y": {"content": "", "acls": []},
    }
    tree = read_zookeeper_dump(json.dumps(dump).encode())
    assert [(znode.path, znode.data) for znode in tree.znodes] == [
        ("/flink/x", b"\xac\xed"), ("/flink/y", b""),
    ]  # fmt: skip
    assert not tree.owners_known


def test_a_nested_dump_is_read() -> None:
    dump = {"path": "/", "children": [{"path": "flink", "value": "AQI=", "children": [
        {"name": "x", "data": "not base64!"}]}]}  # fmt: skip
    tree = read_zookeeper_dump(json.dumps(dump).encode())
    assert {znode.path: znode.data for znode in tree.znodes} == {
        "/": None, "/flink": b"\1\2", "/flink/x": b"not base64!",
    }  # fmt: skip


def test_one_znode_a_line_is_a_dump_too() -> None:
    lines = "\n".join(json.dumps(row) for row in LIVE).encode()
    assert rows(read_zookeeper_dump(lines + b"\n")) == LIVE
    with pytest.raises(UndecodableError, match="it is not JSON"):
        read_zookeeper_dump(lines + b"\n{")


def test_facts_in_a_stat_of_their_own_count() -> None:
    """As a few lines of Python with kazoo write them."""
    dump = {
        "/flink/a": {"data": "AQ==", "stat": {"ephemeralOwner": 7, "mtime": 5000}},
        "/flink/b": {"data": "AQ==", "stat": {"ephemeral_owner": 0, "num_children": 3}},
    }
    tree = read_zookeeper_dump(json.dumps(dump).encode())
    a, b = tree.znodes
    assert tree.owners_known and tree.moment == 5
    assert (a.ephemeral_owner, b.ephemeral_owner, b.num_children) == (7, None, 3)


@pytest.mark.parametrize("owner", [-(1 << 63), 1 << 63, "0x8000000000000000"])
def test_a_container_belongs_to_no_session(owner: object) -> None:
    """A restore left such a znode alone as one that lives with its session."""
    dump = [{"path": "/flink/a", "data": "", "ephemeralOwner": owner}]
    (node,) = read_zookeeper_dump(json.dumps(dump).encode()).znodes
    assert (node.kind, node.ephemeral_owner) == ("container", None)


def test_a_bad_row_costs_itself_only() -> None:
    dump = [{"path": "/a", "data": "AQ=="}, {"path": "/b", "data": 7}, {"data": "x"}, 5]
    tree = read_zookeeper_dump(json.dumps(dump).encode())
    assert [znode.path for znode in tree.znodes] == ["/a"]
    assert len(tree.notes) == 3 and "/b" in tree.notes[0]


@pytest.mark.parametrize("data", [b"", b"{", b"7", b"[7]", b"\xff\xfe", b'{"a": 1}'])
def test_what_is_no_dump_is_the_one_error(data: bytes) -> None:
    with pytest.raises(UndecodableError, match="ZooKeeper dump"):
        read_zookeeper_dump(data)


def test_a_server_may_be_asked_for_its_data_as_an_archive(data: Path, tmp_path: Path) -> None:
    target = tmp_path / "dump.tar.gz"
    with tarfile.open(target, "w:gz") as tar:
        tar.add(data, "data/version-2")
        zeros = tarfile.TarInfo("data/version-2/log.fffff")
        zeros.size = 64 << 20
        tar.addfile(zeros, BytesIO(bytes(64 << 20)))
    assert rows(replayed(target)) == LIVE


@pytest.mark.parametrize("content", [b"", b"ZKLG", b"ZKLG" + bytes(12), bytes(1 << 16)])
def test_a_log_without_its_first_transaction_was_not_copied_whole(
    content: bytes, data: Path
) -> None:
    """A server makes the file when it writes that transaction."""
    for path in [*snapshots(data)[1:], *data.glob("log.*")]:
        path.unlink()
    (data / "log.1").write_bytes(content)
    tree = replayed(data)
    assert tree.notes and "log.1" in tree.notes[0]


def test_the_data_of_two_servers_is_not_taken_for_that_of_one(data: Path, tmp_path: Path) -> None:
    """They may be of two ensembles; snapshots and logs of one server may lie apart."""
    other = tmp_path / "other" / "version-2"
    other.mkdir(parents=True)
    for log in data.glob("log.*"):
        log.rename(other / log.name)
    assert rows(replayed(tmp_path)) == LIVE
    (data / "log.ffffff").write_bytes(b"")
    with pytest.raises(ConfigurationError, match=r"of 2 ZooKeeper servers .*other/version-2"):
        replayed(tmp_path)


@pytest.mark.parametrize(
    "facts",
    [{"mtime": 10**400}, {"czxid": 1 << 63}, {"version": -(10**30)},
     {"ephemeralOwner": "f" * 400}, {"ephemeralOwner": 1 << 64}],
)  # fmt: skip
def test_a_number_that_no_znode_has_costs_that_znode(facts: dict[str, object]) -> None:
    good = {"path": "/flink", "data": "", "mtime": 5000, "ephemeralOwner": "0xffffffffffffffff"}
    tree = read_zookeeper_dump(json.dumps([good, {**good, **facts, "path": "/bad"}]).encode())
    assert [each.path for each in tree.znodes] == ["/flink"] and tree.moment == 5
    assert tree.notes[0].startswith("znode /bad cannot be read")
