"""A class folder: learners hand in by themselves, and nothing in it is believed unchecked."""

from __future__ import annotations

import errno
import io
import json
import os
import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawork.cli.class_table import _drawn
from hawork.cli.main import main
from hawork.core.errors import LabError
from hawork.lessons import class_folder
from hawork.lessons import hand_in as writing
from hawork.lessons.check import Check, safe
from hawork.lessons.class_folder import (
    LARGEST,
    ClassFolder,
    Result,
    _result,
    learners,
    plain,
    table,
)

GOOD: dict[str, Any] = {
    "format": 1, "name": "ada", "lesson": "00_tour", "check": "check_restart", "solved": True,
    "kept": 2, "points": 2, "says": "", "time": 1000.0,
}  # fmt: skip
RANDOM = "0123456789abcdef" * 2


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClassFolder:
    """The folder of a class that this process takes part in."""
    made = ClassFolder(tmp_path / "class")
    assert made.create()
    monkeypatch.setenv("HAWORK_CLASS", str(made.path))
    monkeypatch.setenv("HAWORK_CLASS_NAME", "Ada")
    monkeypatch.setenv("JPY_SESSION_NAME", "/srv/ada/notebooks/00_tour.ipynb")
    return made


@safe
def check_it(answer: object) -> Check:
    return Check((("the first is so", True), (f"not {answer}", answer == 4)))


def write(
    folder: ClassFolder, data: dict[str, Any] | bytes, name: str = f"1-{RANDOM}.json"
) -> Path:
    path = folder.path / name
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return path


def test_a_check_hands_in_and_the_newest_result_counts(folder: ClassFolder) -> None:
    assert f"{check_it(3)}".endswith("not solved yet\nhanded in as Ada")
    (ada,) = folder.look()
    assert (ada.lessons, ada.last.says) == ({"00": (0, 1)}, "not 3")
    assert check_it(4).handed_in == "handed in as Ada"
    (ada,) = folder.look()
    assert ada.lessons == {"00": (1, 1)}
    head, ((name, tour, last, _, missing),) = table([ada], time.time())
    assert (head[1], tour, last, missing) == ("00", "✓", "it: solved", "")
    assert name.startswith("Ada"), "and the user that the file belongs to"
    assert folder.trouble == ""


def test_outside_a_class_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HAWORK_CLASS", raising=False)
    assert check_it(4).handed_in == ""


def test_a_class_folder_is_one_to_write_into_and_not_to_look_into(folder: ClassFolder) -> None:
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o1733
    assert not folder.create(), "it is there"
    assert folder.closed() == ""
    folder.path.chmod(0o755)
    assert "mode 0755" in folder.closed() and "chmod 1733" in folder.closed()
    (folder.path.parent / "file").write_text("")
    with pytest.raises(LabError, match="is not a directory: name another one"):
        ClassFolder(folder.path.parent / "file").create()


def test_two_writers_lose_nothing(folder: ClassFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadPoolExecutor(8) as pool:
        told = list(
            pool.map(lambda _: writing.hand_in("check_it", True, (("so", True),)), range(40))
        )
    assert set(told) == {"handed in as Ada"}
    assert len(list(folder.path.iterdir())) == 40
    assert folder.look()[0].lessons == {"00": (1, 1)}


def test_a_learner_who_left_stays_where_they_were(folder: ClassFolder) -> None:
    write(folder, {**GOOD, "time": time.time() - 3000})
    check_it(3)
    rows = table(folder.look(), time.time())[1]
    assert [row[3] for row in rows] == ["0 s ago", "50 min ago"]


def refuse(number: int) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(
    ("call", "number", "reason"),
    [
        ("open", errno.EROFS, "Read-only file system"),
        ("open", errno.EACCES, "Permission denied"),
        ("fsync", errno.ENOSPC, "No space left on device"),
    ],
)
def test_a_folder_that_is_full_or_read_only_does_not_end_the_lesson(
    call: str, number: int, reason: str, folder: ClassFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(writing.os, call, refuse(number))
        check = check_it(4)
    assert check.passed
    assert f"which cannot be written ({reason}); the lesson goes on" in check.handed_in
    assert list(folder.path.iterdir()) == [], "and nothing half is left"


def test_a_folder_that_is_gone_or_does_not_answer(
    folder: ClassFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_it(4)
    before = folder.look()
    folder.path.rename(folder.path.with_name("away"))
    assert "(No such file or directory); the lesson goes on" in check_it(3).handed_in
    assert folder.look() == before
    assert "cannot be read (No such file or directory): this is what was" in folder.trouble
    folder.path.with_name("away").rename(folder.path)
    monkeypatch.setattr(writing, "PATIENCE", 0.01)
    monkeypatch.setattr(writing.os, "open", lambda *_, **__: time.sleep(0.2))
    assert "it has not answered for 0.01 s" in check_it(3).handed_in


# --- foreign bytes -----------------------------------------------------------------------
@pytest.mark.parametrize(
    "change",
    [
        {"format": 2}, {"name": 3}, {"name": None}, {"solved": 1}, {"kept": 3}, {"kept": -1},
        {"points": 10**9}, {"kept": True}, {"time": float("nan")}, {"time": "now"}, {"time": True},
        {"time": 10**400}, {"says": ["a"]}, {"check": {}}, {"lesson": 0},
    ],
)  # fmt: skip
def test_what_is_not_a_result_is_counted_and_left_alone(
    change: dict[str, Any], folder: ClassFolder
) -> None:
    write(folder, {**GOOD, **change})
    assert folder.look() == []
    assert folder.trouble == "files that were not read: 1 that are not results"


@given(st.binary(max_size=200) | st.text(max_size=50).map(lambda text: json.dumps(text).encode()))
def test_any_bytes_are_read_without_an_error(data: bytes) -> None:
    assert isinstance(_result(data, "eve", 1.0), Result | str)


def test_deep_and_huge_files(folder: ClassFolder) -> None:
    write(folder, b"[" * LARGEST, f"1-{RANDOM}.json")
    write(folder, b" " * (LARGEST + 1), f"2-{RANDOM}.json")
    assert folder.look() == []
    assert folder.trouble == "files that were not read: 1 that are not results; 1 too large"


def test_a_flood_delays_the_table_and_hides_no_learner(
    folder: ClassFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(class_folder, "MOST_OF_ONE", 3)
    monkeypatch.setattr(class_folder, "AT_ONCE", 4)
    for number in range(6):
        write(folder, {**GOOD, "name": f"eve{number}"}, f"{number}-{RANDOM}.json")
    assert [each.name[:4] for each in folder.look()] == ["eve0", "eve1", "eve2"]
    assert folder.trouble == (
        "files that were not read: 1 beyond the first 3 of one user; 2 not yet"
    )
    folder.look()
    assert folder.trouble == "files that were not read: 3 beyond the first 3 of one user"


def test_links_pipes_and_other_names_are_not_opened(folder: ClassFolder, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(json.dumps(GOOD))
    (folder.path / f"1-{RANDOM}.json").symlink_to(tmp_path / "secret")
    os.mkfifo(folder.path / f"2-{RANDOM}.json")
    (folder.path / f"3-{RANDOM}.json").mkdir()
    write(folder, GOOD, "results.json")
    write(folder, GOOD, f".4-{RANDOM}.json")  # not whole yet
    assert folder.look() == []
    for said in ("1 that cannot be opened", "2 of another kind", "1 of another name"):
        assert said in folder.trouble


def test_a_name_is_text_and_the_owner_stands_beside_it(folder: ClassFolder) -> None:
    evil = "\x1b[31mEve\u202e[bold]<script>alert(1)</script>\n" + "x" * 500
    write(folder, {**GOOD, "name": evil, "lesson": "../../etc", "check": "check_\x07a"})
    (eve,) = folder.look()
    assert "\x1b" not in eve.name and "\u202e" not in eve.name and "\n" not in eve.name
    assert len(eve.name) < 300
    assert eve.name.endswith(f"({eve.last.owner})")
    assert list(eve.lessons) == ["other"]
    assert plain("a\tb\u2028c") == "a b c"


def test_a_clock_that_is_wrong_does_not_hide_what_comes_later() -> None:
    early = _result(json.dumps({**GOOD, "time": 9e12, "solved": False}).encode(), "ada", 100.0)
    late = _result(json.dumps({**GOOD, "time": 150.0}).encode(), "ada", 150.0)
    assert isinstance(early, Result) and isinstance(late, Result)
    assert early.time == 100.0
    assert learners([late, early])[0].last is late


def test_solved_says_so_only_when_every_point_is_kept() -> None:
    result = _result(json.dumps({**GOOD, "kept": 1}).encode(), "ada", 1000.0)
    assert isinstance(result, Result) and not result.solved


# --- the command -------------------------------------------------------------------------
def test_the_command_makes_the_folder_and_prints_one_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, page = tmp_path / "class", tmp_path / "class.html"
    assert main(["class", str(folder), "--once", "--html", str(page)]) == 0
    out, error = capsys.readouterr()
    assert "learner" in out and f"export HAWORK_CLASS={folder}" in error
    write(ClassFolder(folder), {**GOOD, "name": "<b>Eve</b>"})
    assert main(["class", str(folder), "--once", "--html", str(page)]) == 0
    assert "<b>Eve</b>" in capsys.readouterr().out
    shown = page.read_text()
    assert "&lt;b&gt;Eve" in shown and "<b>Eve" not in shown
    assert 'http-equiv="refresh"' in shown and "default-src 'none'" in shown
    assert sorted(path.name for path in tmp_path.iterdir()) == ["class", "class.html"]


def test_a_page_that_cannot_be_written_is_told_and_the_table_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "missing" / "class.html"
    assert main(["class", str(tmp_path), "--once", "--html", str(page)]) == 0
    assert "class.html cannot be written (No such file or directory)" in capsys.readouterr().out


def test_a_table_in_a_terminal_shows_markup_as_text() -> None:
    console = pytest.importorskip("rich.console").Console(width=120, file=io.StringIO())
    console.print(_drawn(["learner"], [["[red]Eve[/red]"]], "trouble [bold]"))
    assert "[red]Eve[/red]" in console.file.getvalue()
    assert "trouble [bold]" in console.file.getvalue()
