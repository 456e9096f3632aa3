"""A lesson whose servers are missing ends with one sentence, and other engines are refused."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from hawork.core.errors import LabError
from hawork.lessons import needs, start_lab
from hawork.lessons.prerequisites import LessonEndedError


def nothing_is_there() -> object:
    raise LabError("Flink was not found: run 'pip install hawork[flink]'")


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    made = InteractiveShell()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: made))
    yield made


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    monkeypatch.setattr("hawork.lessons.prerequisites._FIND", {"flink": nothing_is_there})
    with pytest.raises(LessonEndedError) as ended:
        needs("flink")
    assert str(ended.value) == (
        "this lesson ends here: Flink was not found: run 'pip install hawork[flink]'"
    )


def run(shell: InteractiveShell, *cells: str) -> list[Any]:
    return [shell.run_cell(cell, silent=False) for cell in cells]


def test_later_cells_do_nothing_until_it_is_there(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hawork.lessons.prerequisites._FIND", {"flink": nothing_is_there})
    shell.user_ns["needs"] = needs
    shell.user_ns["recording"] = lambda name: name
    first, *later = run(
        shell,
        "needs('flink')\nlab = 1",
        "lab.kill()",
        "%%artifact x.py\nlab",
        "print(recording('a'))",
    )
    assert isinstance(first.error_in_exec, LessonEndedError)
    assert all(each.success for each in later), "no NameError"
    assert "a\n" in capsys.readouterr().out, "what was recorded is shown all the same"
    monkeypatch.setattr("hawork.lessons.prerequisites._FIND", {"flink": lambda: None})
    again, last = run(shell, "needs('flink')\nlab = 1", "lab += 1")
    assert again.success and last.success
    assert shell.user_ns["lab"] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"engine": "spark"}, "engine='spark' is not an engine: write 'hawork' or 'flink'"),
        ({"engine": "flink"}, "Flink has no embedded backend: write ha='zookeeper' or ha='kuber"),
        ({"engine": "flink", "ha": "embedded"}, "Flink has no embedded backend"),
    ],
)
def test_engines_that_cannot_be_had(arguments: dict[str, str], said: str) -> None:
    with pytest.raises(LabError, match=said):
        start_lab(**arguments)
