"""A notebook in the browser: opened, made for a test, and run."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from playwright.sync_api import Page, expect

from hawork.testing import eventually

from .jupyter import JupyterLab

RUN_LIMIT = 300_000
"""Milliseconds for the whole notebook; they end a run that hangs."""

CELL = ".jp-Notebook .jp-CodeCell"
IN_JUPYTERLAB = "() => location.pathname.startsWith('/lab') && 'jupyterapp' in window"
"""``JupyterLab.start`` asks for it; Notebook 7 and Voila have one, too, of other commands."""
ERROR = "[data-mime-type='application/vnd.jupyter.error']"
STDERR = "[data-mime-type='application/vnd.jupyter.stderr']"


def write_notebook(jupyter: JupyterLab, name: str, *cells: str) -> Path:
    """A notebook of these code cells, beside those of the course."""
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {
        "name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python",
    }  # fmt: skip
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    path = jupyter.directory / "notebooks" / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


def open_notebook(page: Page, jupyter: JupyterLab, name: str) -> None:
    """Open a notebook, and wait until its kernel is ready.

    In the JupyterLab that the page shows, as from its file browser; else in one that is loaded,
    with a workspace of its own.
    """
    if page.evaluate(IN_JUPYTERLAB):
        page.evaluate(
            "async path => { await jupyterapp.commands.execute('docmanager:open', {path}); }",
            f"{name}.ipynb",
        )
    else:
        page.goto(jupyter.url(f"lab/workspaces/{name}/tree/{name}.ipynb"))
    expect(page.locator(CELL).first).to_be_visible(timeout=60_000)
    wait_until_idle(page)


def close_notebooks(page: Page) -> bool:
    """Close all that JupyterLab has open, without asking; whether the page shows JupyterLab."""
    if not page.evaluate(IN_JUPYTERLAB):
        return False
    page.evaluate("() => [...jupyterapp.shell.widgets('main')].forEach(each => each.dispose())")
    expect(page.locator(CELL)).to_have_count(0)
    return True


def wait_until_idle(page: Page) -> None:
    """Wait until JupyterLab shows that the notebook's kernel is ready."""
    kernel = page.locator("#jp-main-statusbar").get_by_text("Python 3 (ipykernel) | Idle")
    expect(kernel).to_be_visible(timeout=60_000)


def run_all(page: Page) -> None:
    """Run > Run All Cells, and wait until each has its number."""
    page.locator(".lm-MenuBar-item", has_text=re.compile(r"^Run$")).click()
    page.locator(".lm-Menu-item", has_text=re.compile(r"^Run All Cells$")).click()
    page.wait_for_function(
        """cell => [...document.querySelectorAll(cell + ' .jp-InputArea-prompt')]
            .every(prompt => /\\[\\d+\\]/.test(prompt.textContent))""",
        arg=CELL,
        timeout=RUN_LIMIT,
    )


def run_cell(page: Page, number: int, *, wait: bool = True) -> None:
    """Run one code cell, the first being 0, and wait until it has its number."""
    cell = page.locator(CELL).nth(number)
    prompt = cell.locator(".jp-InputArea-prompt").first

    def taken() -> bool:
        """Notebook 7 shows a cell before there is a kernel, and forgets what is asked of it."""
        cell.locator(".cm-content").first.click()
        page.keyboard.press("Control+Enter")
        try:
            expect(prompt).not_to_have_text("[ ]:", timeout=3_000)
        except AssertionError:
            return False
        return True

    eventually(taken, timeout=60.0)
    if wait:
        expect(prompt).to_have_text(re.compile(r"\[\d+\]"), timeout=60_000)
    else:
        expect(prompt).to_have_text("[*]:", timeout=10_000)
