"""A browser, a JupyterLab, and what is kept of both when a test fails."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, expect, sync_playwright

from .jupyter import ROOT, JupyterLab
from .notebook import close_notebooks

CHROMIUM = os.environ.get("HAWORK_CHROMIUM", "/usr/bin/chromium")
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
RESULTS = ROOT / "test-results"


expect.set_options(timeout=30_000)  # of its own, whatever the page's is


@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterLab]:
    """One server for all tests of it, which run on one worker; each test has kernels of its own."""
    lab = JupyterLab.start(tmp_path_factory.mktemp("jupyter"), dict(os.environ))
    yield lab
    lab.stop()


class Desk:
    """The page that the tests use one after another: it is loaded once."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._page: Page | None = None
        self.spoiled = False
        """A test changed the page so that no other can use it."""

    def page(self) -> Page:
        if self._page is None:
            context = self._browser.new_context()
            context.set_default_timeout(30_000)
            context.set_default_navigation_timeout(90_000)
            self._page = context.new_page()
        self._page.set_viewport_size({"width": 1400, "height": 1000})
        return self._page

    def clear(self, *, reuse: bool) -> None:
        """Close what is open in JupyterLab, or the page, when that is not what it shows."""
        assert self._page is not None
        spoiled, self.spoiled = self.spoiled, False
        if spoiled or not (reuse and close_notebooks(self._page)):
            self._page.context.close()
            self._page = None


@pytest.fixture(scope="package")
def desk(browser: Browser) -> Desk:
    return Desk(browser)


@pytest.fixture
def page(desk: Desk, jupyter: JupyterLab, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page without a notebook; a screenshot and the server's log stay if the test fails."""
    found = desk.page()
    failures = request.session.testsfailed
    yield found
    failed = request.session.testsfailed > failures
    if failed:
        RESULTS.mkdir(exist_ok=True)
        name = request.node.name
        found.screenshot(path=RESULTS / f"{name}.png", full_page=True)
        shutil.copy(jupyter.log, RESULTS / f"{name}.log")
    desk.clear(reuse=not failed)
    jupyter.end_kernels()


@pytest.fixture
def complaints(page: Page) -> Iterator[list[str]]:
    """What the browser's console reports about our own scripts, and uncaught errors."""
    found: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        ours = re.search("hawork|anywidget|widget", message.text + message.location["url"])
        if message.type == "error" and ours:
            found.append(message.text)

    def on_error(error: Error) -> None:
        found.append(f"{error} {error.stack}")

    page.on("console", on_console)
    page.on("pageerror", on_error)
    yield found
    page.remove_listener("console", on_console)
    page.remove_listener("pageerror", on_error)
