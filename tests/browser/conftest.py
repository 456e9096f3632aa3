"""A browser, a JupyterLab, and what is kept of both when a test fails."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from .jupyter import ROOT, JupyterLab

CHROMIUM = os.environ.get("HAWORK_CHROMIUM", "/usr/bin/chromium")
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
RESULTS = ROOT / "test-results"


expect.set_options(timeout=30_000)  # of its own, whatever the page's is


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; Playwright's own is never downloaded.

    Not for the whole session: while it is there, an event loop runs in the main thread, and
    no other test could start one.
    """
    assert Path(CHROMIUM).exists(), f"{CHROMIUM} is missing: run scripts/debian-packages"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterLab]:
    """One server for the tests of a file; each test has kernels of its own."""
    lab = JupyterLab.start(tmp_path_factory.mktemp("jupyter"), dict(os.environ))
    yield lab
    lab.stop()


@pytest.fixture
def page(browser: Browser, jupyter: JupyterLab, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of its own; a screenshot and the server's log stay if the test fails."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(30_000)
    context.set_default_navigation_timeout(90_000)
    found = context.new_page()
    failures = request.session.testsfailed
    yield found
    if request.session.testsfailed > failures:
        RESULTS.mkdir(exist_ok=True)
        name = request.node.name
        found.screenshot(path=RESULTS / f"{name}.png", full_page=True)
        shutil.copy(jupyter.log, RESULTS / f"{name}.log")
    context.close()
    jupyter.end_kernels()


@pytest.fixture
def complaints(page: Page) -> list[str]:
    """What the browser's console reports about our own scripts, and uncaught errors."""
    found: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        ours = re.search("hawork|anywidget|widget", message.text + message.location["url"])
        if message.type == "error" and ours:
            found.append(message.text)

    page.on("console", on_console)
    page.on("pageerror", lambda error: found.append(f"{error} {error.stack}"))
    return found
