"""Text of others on a terminal: shown, and never obeyed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lab_story import killed_leader

from hawork.cli.main import main, sentence_of
from hawork.cli.output import complain, say, say_json, say_table, tell
from hawork.core.errors import LabError, RestError
from hawork.core.events import EventKind
from hawork.core.printable import printable, printable_lines
from hawork.story.bundle_writer import write_bundle

EVIL = "flights\x1b]0;owned\x07\x1b[2J\u202e\udcff\r\x9b1A"


def test_what_a_terminal_would_obey_is_escaped() -> None:
    assert printable("Flüge → 3") == "Flüge → 3"
    assert printable(EVIL).isprintable() and printable(EVIL).startswith("flights\\x1b]0;owned")
    assert printable_lines(f"a\n{EVIL}").split("\n") == ["a", printable(EVIL)]


def test_no_command_passes_it_on(capsys: pytest.CaptureFixture[str]) -> None:
    """A job may have any name, a leader any address, and an answer any words."""
    say_table(("job", "name"), [("a", EVIL)])
    say(f"two lines\n{EVIL}")
    tell(EVIL)
    complain(sentence_of(RestError(f"refused: {EVIL}")))
    say_json({"name": EVIL})
    written = capsys.readouterr()
    lines = (written.out + written.err).split("\n")
    assert all(map(str.isprintable, lines)) and len(lines) == 8
    assert json.loads(lines[4])["name"] == EVIL


def test_a_recorded_run_of_others_is_not_obeyed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``hawork report`` had printed its timeline as it was, and no picture was drawn of it."""
    run, story = tmp_path / "run.zip", killed_leader()
    story.add(7.5, "jm-2", EventKind.JOB_ACKNOWLEDGED, job_id="b" * 32, name=f"{EVIL} $a^$")
    story.add(8.0, "jm-2", EventKind.JOB_STATUS, job_id="b" * 32, status="RUNNING")
    away = LabError("it is away")
    write_bundle(
        run, cluster="LabCluster", events=story.events, options={}, storage=away, store=away
    )
    page = tmp_path / "run.html"
    main(["report", str(run), "--html", str(page)])
    assert "owned" in page.read_text()
    written = capsys.readouterr()
    assert "owned" in written.out
    assert all(map(str.isprintable, (written.out + written.err).split("\n")))
