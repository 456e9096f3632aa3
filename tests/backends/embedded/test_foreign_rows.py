"""Rows that another hand wrote: SQLite keeps values of any type, and text that is not UTF-8."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hawork.backends.embedded.lease_table import UNREADABLE, read_lease
from hawork.core.types import DISPATCHER
from hawork.ha.pointer_store import JOB_GRAPHS
from tests.contract.embedded_harness import EmbeddedHarness
from tests.contract.harness import Contender, Leader, Retrieval

NOT_TEXT = "CAST(x'ff41' AS TEXT)"


def test_a_row_of_any_kind_keeps_no_other_from_being_read(
    embedded: EmbeddedHarness, tmp_path: Path
) -> None:
    leader = Leader.of(embedded, JOB_GRAPHS)
    leader.pointers.create("good", b"value", leader.session_id)
    (database,) = tmp_path.rglob("ha.db")
    with closing(sqlite3.connect(database)) as connection:
        for name, version, value in (
            ("CAST(x'ff41' AS TEXT)", "7", "x'00'"),
            ("x'fe'", "7", "x'00'"),
            ("'number'", "7", "12"),
            ("'text'", "'seven'", "'a text'"),
            ("'no text'", "7", "CAST(x'ff' AS TEXT)"),
        ):
            sql = f"INSERT INTO pointer VALUES ('jobgraphs', {name}, {version}, {value})"
            connection.execute(sql)
        connection.commit()
    found = dict(leader.pointers.entries())
    assert {name: entry.value for name, entry in found.items()} == {
        "good": b"value", "number": b"12", "text": b"a text", "no text": b"\xff",
        "\udcffA": b"\0", "\udcfe": b"\0",
    }  # fmt: skip
    text = leader.pointers.read("text")
    assert text is not None and text == found["text"]
    leader.pointers.replace("text", text.version, b"mended", leader.session_id)
    assert leader.pointers.delete("number", leader.session_id) is True


@pytest.mark.parametrize(
    "change",
    [
        f"contender = {NOT_TEXT}",
        "contender = x'ff41'",
        "contender = '../outside'",
        "contender = 'a' || char(0) || 'b'",
        f"session_id = {NOT_TEXT}, contender = 'gone'",
        "session_id = x'00', renewals = 'many', contender = 'gone'",
        "pid = 1099511627776, start_time = '1', contender = 'gone'",
        f"start_time = {NOT_TEXT}, contender = 'gone'",
        "lease_duration = 9e999, contender = 'gone'",
        "lease_duration = 'long', renew_deadline = x'00', contender = 'gone'",
    ],
)
def test_a_lease_row_of_any_kind_is_outwaited(
    embedded: EmbeddedHarness, tmp_path: Path, change: str
) -> None:
    """Each kept every JobManager from leading, for good; or led to a file elsewhere."""
    Contender.of(embedded).listener.wait_for_grant()
    embedded.close()
    (tmp_path / "ha" / "outside.lock").touch()
    embedded.execute("INSERT INTO lease VALUES (1, 'a', 'b', 0, 1, '1', 1.0, 1.0, 0.1)")
    embedded.execute(f"UPDATE lease SET {change}")
    with closing(sqlite3.connect(embedded.directory / "ha.db")) as connection:
        row = read_lease(connection)
    assert row is not None and row.contender in (UNREADABLE, "gone")
    standby = Contender.of(embedded)
    standby.listener.wait_for_grant()
    assert not standby.listener.of("error")


@pytest.mark.parametrize("wrong", [NOT_TEXT, "x'ff'", "7"])
def test_an_address_of_any_kind_is_written_again(embedded: EmbeddedHarness, wrong: str) -> None:
    leader = Contender.of(embedded)
    retrieval = Retrieval.of(embedded, DISPATCHER)
    information = leader.publish(DISPATCHER, "right:1")
    retrieval.observer.wait_for(information)

    def seen() -> object:
        """What the leader was told last of its own address."""
        kind, value = leader.listener.calls[-1]
        return value.get(DISPATCHER) if kind == "register" else information

    leader.listener.wait_until(lambda: ("register", {DISPATCHER: information}) in
                               leader.listener.calls, "seeing its own")  # fmt: skip
    embedded.execute(f"UPDATE leader_information SET address = {wrong}")
    leader.listener.wait_until(lambda: seen() != information, "seeing it")
    leader.publish(DISPATCHER, "right:1")
    retrieval.observer.wait_for(information)
    assert not retrieval.observer.of("error")
