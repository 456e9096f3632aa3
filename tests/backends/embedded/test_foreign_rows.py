"""Rows that another hand wrote: SQLite keeps values of any type, and text that is not UTF-8."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from hawork.ha.pointer_store import JOB_GRAPHS
from tests.contract.embedded_harness import EmbeddedHarness
from tests.contract.harness import Leader


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
