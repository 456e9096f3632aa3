"""Text of others on a terminal: shown, and never obeyed."""

from __future__ import annotations

import pytest

from hawork.cli.common import write_table
from hawork.cli.main import sentence_of
from hawork.core.errors import RestError
from hawork.core.printable import printable, printable_lines

EVIL = "flights\x1b]0;owned\x07\x1b[2J\u202e\udcff\r\x9b1A"


def test_what_a_terminal_would_obey_is_escaped() -> None:
    assert printable("Flüge → 3") == "Flüge → 3"
    assert printable(EVIL).isprintable() and printable(EVIL).startswith("flights\\x1b]0;owned")
    assert printable_lines(f"a\n{EVIL}").split("\n") == ["a", printable(EVIL)]


def test_no_command_passes_it_on(capsys: pytest.CaptureFixture[str]) -> None:
    """A job may have any name, a leader any address, and an answer any words."""
    write_table(("job", "name"), [("a", EVIL)])
    assert "\x1b" not in capsys.readouterr().out
    assert sentence_of(RestError(f"refused: {EVIL}")).isprintable()
