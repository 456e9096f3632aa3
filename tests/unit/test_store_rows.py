"""What the views of an HA store show, from entries whose bytes are whole."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from hawork.backends.kubernetes.answers import OutcomeUnknownError
from hawork.backends.kubernetes.layout import CLAIMED_BY, LOCK, OURS, encode_entry, leader_key
from hawork.core.errors import StoreUnavailableError
from hawork.core.types import REST_SERVER, LeaderInformation, LeaderSessionID, StateHandle
from hawork.inspect import kubernetes
from hawork.inspect.decode import StoreRow, decoded
from hawork.inspect.entries import Entry
from hawork.inspect.pointers import (
    encode_connection_info,
    encode_counter,
    encode_leader_text,
    encode_pointer,
)

SESSION = LeaderSessionID("00000000-0000-0000-0000-000000000007")
LEADER = LeaderInformation(SESSION, "http://10.0.0.1:8081")
OWN = StateHandle("jobs/a", 5, "ab12")


def one(entry: Entry, names: dict[str, str] | None = None) -> StoreRow:
    (row,) = decoded([entry], names or {})
    assert row.entry is entry
    return row


def znode(path: str, data: bytes, owner: str | None = None) -> Entry:
    return Entry("zookeeper", path, data, version=3, owner=owner)


def key(name: str, text: str) -> Entry:
    return Entry("kubernetes", "map", text.encode(), name, version=9)


def test_a_row_of_sqlite_is_named_by_its_process() -> None:
    entry = Entry("embedded", "lease", b'{"pid": 12}', "one two", version=4, owner="12")
    row = one(entry, {"12": "jm-1"})
    assert (row.table, row.name, row.version, row.text) == ("lease", "jm-1", "4", '{"pid": 12}')
    assert one(entry).name == "one two"


def test_an_own_pointer_is_one_in_every_store() -> None:
    data = json.dumps(OWN.to_json()).encode()
    assert one(Entry("embedded", "pointer", data, "a")).pointer == OWN
    assert one(znode("/flink/lab/jobgraphs/a", data)).pointer == OWN
    row = one(key(f"{OURS}a", encode_entry(11, data)))
    assert (row.pointer, row.version, row.text) == (OWN, "11", data.decode())


@pytest.mark.parametrize("marked", [False, True])
def test_a_pointer_of_flinks_says_what_is_wrong(marked: bool) -> None:
    written = encode_pointer("file:/none/here", 5, "kubernetes", marked_for_deletion=marked)
    row = one(key("jobGraph-a", written.decode()))
    assert row.pointer == StateHandle("file:/none/here", 5, "")
    told = "; marked for deletion" if marked else ""
    assert row.text == f"file:/none/here (5 bytes, of Flink{told}; the file is MISSING)"
    assert one(znode("/a/b", encode_pointer("s3://x/y", 5, "zookeeper"))).text == (
        "s3://x/y (5 bytes, of Flink)"
    )


def test_counters_and_leaders_are_words() -> None:
    assert one(znode("/a/checkpoint_id_counter", encode_counter(8, "zookeeper"))).text == (
        "next is 8 (of Flink)"
    )
    assert one(key("counter", "8")).text == "next is 8 (of Flink)"
    path = f"/flink/lab/leader/{REST_SERVER}/connection_info"
    row, lock = decoded(
        [znode(path, encode_connection_info(LEADER), "0x7"), znode("/a/latch", b"x", "0x7")], {}
    )
    assert row.text == f"{LEADER.address} {SESSION} (10.0.0.1:8081, session 0x7)"
    assert lock.text == "x (10.0.0.1:8081, session 0x7)"
    assert one(znode(path, b"odd")).text == "3 bytes that are not leader information"


def test_the_lock_names_its_holder() -> None:
    lock = json.dumps({
        "holderIdentity": "me", "leaseDuration": 15.0, "acquireTime": "2026-01-01T00:00:00.000000Z",
        "renewTime": "2026-01-01T00:00:00.000000Z", "leaderTransitions": 1,
    })  # fmt: skip
    published = key(leader_key(REST_SERVER), encode_leader_text(LEADER))
    rows = decoded([key(LOCK, lock), published, key(CLAIMED_BY, "me")], {})
    assert rows[0].text == f"10.0.0.1:8081; {lock}"
    assert rows[2].text == "me (10.0.0.1:8081)"
    assert decoded([key(LOCK, lock)], {"me": "jm-1"})[0].text == f"jm-1; {lock}"
    assert one(key(LOCK, lock.replace('"me"', '""'))).text.startswith("released; ")
    assert one(key(LOCK, "odd")).text == "unreadable; odd"


def test_what_cannot_be_decoded_is_shown_as_it_is() -> None:
    assert one(znode("/a/b", b"\xff\xfe")).text == "2 bytes"
    assert one(key("jobGraph-a", base64.b64encode(b"odd").decode())).text == "b2Rk"
    assert one(znode("/a/b", b"[1]")).pointer is None


class Silent:
    """An API server that leaves the first ``times`` questions without an answer."""

    def __init__(self, times: int) -> None:
        self.left = times

    def list(self, query: Any) -> tuple[list[Any], str]:
        self.left -= 1
        if self.left >= 0:
            raise OutcomeUnknownError("https://127.0.0.1:1 did not answer: it took longer than 1 s")
        return ["a ConfigMap"], "7"


def test_a_look_at_a_busy_api_server_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lab's requests have a second each: a lesson ended there on a machine with much to do."""
    client: Any = Silent(3)
    found: Any = kubernetes._listed(client, {})
    assert found == ["a ConfigMap"]
    monkeypatch.setattr(kubernetes, "_PATIENCE", 0.0)
    with pytest.raises(StoreUnavailableError, match="did not answer: it took longer than 1 s"):
        kubernetes._listed(Silent(2), {})  # type: ignore[arg-type]
