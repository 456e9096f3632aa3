"""What a notebook shows of a name that no cell has made yet, and of an interrupt."""

from __future__ import annotations

import asyncio
import re
import signal
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from hawork.lessons import order


class Notebook(InteractiveShell):  # type: ignore[misc]
    """Keeps what is shown of an error."""

    def _showtraceback(self, kind: Any, error: BaseException, lines: list[str]) -> None:
        self.shown = lines


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Notebook:
    shell = Notebook(history_manager=None)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & ignores it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    order.tell_in_sentences()
    order.tell_in_sentences()
    return shell


def shown(notebook: Notebook, cell: str) -> str:
    notebook.run_cell(cell)
    return "\n".join(notebook.shown)


def test_a_cell_that_is_run_before_its_turn_is_one_sentence(notebook: Notebook) -> None:
    told = shown(notebook, "before = 1\njob.details")
    assert "'job' is not there yet: run the cells above first, in their order" in told
    assert "line 2: job.details" in told
    assert len(notebook.shown) == 2


def test_a_name_that_is_misspelt_is_told_the_one_that_is_there(notebook: Notebook) -> None:
    notebook.run_cell("leader = 'jm-1'")
    assert "is 'leader' meant? Else run the cells above" in shown(notebook, "leadre")


@pytest.mark.parametrize("call", ["fail('kill')", "await fail('kill')"])
def test_a_function_that_is_called_before_its_turn_is_one_sentence(
    notebook: Notebook, call: str
) -> None:
    kind = "async def" if call.startswith("await") else "def"
    told = shown(notebook, f"{kind} fail(verb):\n    return lab.leader()\n\n{call}")
    assert "'lab', which fail() asks for, is not there yet: run the cells above first" in told
    assert "line 2: return lab.leader()" in told
    assert len(notebook.shown) == 2


def test_a_misspelt_name_in_the_readers_own_function_is_told_what_is_there(
    notebook: Notebook,
) -> None:
    told = shown(notebook, "def take(me):\n    version = 1\n    return versoin\n\ntake('jm-1')")
    assert "'versoin', which take() asks for, is not there yet: is 'version' meant?" in told


def test_a_name_that_a_library_misses_keeps_its_traceback(notebook: Notebook) -> None:
    library = "exec('def broken():\\n    return nowhere', module := {})\nmodule['broken']()"
    told = shown(notebook, library)
    assert "nowhere" in told and "broken" in told and len(notebook.shown) > 2


def test_other_errors_are_as_they_were(notebook: Notebook) -> None:
    assert "ZeroDivisionError" in shown(notebook, "1 / 0")


@pytest.mark.parametrize(
    "cell",
    [
        "import signal\nsignal.raise_signal(signal.SIGINT)",
        "import asyncio\nawait asyncio.wait_for(asyncio.shield(cancelled()), 5)",
        "def own():\n    raise KeyboardInterrupt\n\nown()",
    ],
)
def test_an_interrupt_is_one_sentence_wherever_it_strikes(notebook: Notebook, cell: str) -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    notebook.user_ns["cancelled"] = cancelled
    told = shown(notebook, cell)
    assert "Interrupted" in told and "stopped at this line: run the cell again to go on" in told
    assert re.search(r"line \d: ", told) and len(notebook.shown) == 2
