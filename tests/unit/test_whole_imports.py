"""An interrupt while a package is imported leaves the package whole."""

from __future__ import annotations

import _thread
import importlib
import signal
import sys
import threading
from pathlib import Path

import pytest

from hawork.core.whole_imports import import_whole


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """One that takes its time, and whose part asks for what comes last in it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & ignores it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    folder = tmp_path / "takes_its_time"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "import time\nfrom takes_its_time import part\n"
        "for _ in range(100):\n    time.sleep(0.01)\nlast = 7\n"
    )
    (folder / "part.py").write_text(
        "import takes_its_time\n\n\ndef ask():\n    return takes_its_time.last\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("takes_its_time", "takes_its_time.part"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return "takes_its_time"


def interrupted_soon() -> None:
    threading.Timer(0.2, _thread.interrupt_main).start()


def test_an_interrupt_ends_the_wait_and_not_the_import(package: str) -> None:
    interrupted_soon()
    with pytest.raises(KeyboardInterrupt):
        import_whole(package)
    import_whole(package)
    whole = importlib.import_module(package)  # waits for the rest
    assert whole.last == 7 and whole.part.ask() == 7


def test_python_alone_is_left_with_half_a_package(package: str) -> None:
    """Why it is done: if this ever fails, a plain import does."""
    interrupted_soon()
    with pytest.raises(KeyboardInterrupt):
        importlib.import_module(package)
    importlib.import_module(package)
    with pytest.raises(AttributeError, match="has no attribute 'last'"):
        sys.modules[f"{package}.part"].ask()


def test_a_package_that_is_missing_is_an_import_error() -> None:
    with pytest.raises(ImportError, match="no_such_package"):
        import_whole("no_such_package")
