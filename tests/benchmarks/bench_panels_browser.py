"""What the live timeline costs the browser: share of its main thread, and elements."""

from __future__ import annotations

import os
from pathlib import Path

from playwright.sync_api import CDPSession, expect, sync_playwright

from tests.benchmarks.bench_panels import SEGMENTS
from tests.browser.conftest import CHROMIUM, QUIET
from tests.browser.jupyter import ROOT, JupyterLab
from tests.browser.notebook import open_notebook, run_cell, write_notebook

SECONDS = 10
AT_MOST = 0.10
CELL = f"""import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.benchmarks.bench_panels import run_live
widget, controller = run_live()
widget"""


def test_main_thread_with_600_segments_and_ten_changes_a_second(tmp_path: Path) -> None:
    rows = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        jupyter = JupyterLab.start(tmp_path, dict(os.environ))
        try:
            page = chromium.new_page(viewport={"width": 1400, "height": 1000})
            session = page.context.new_cdp_session(page)
            session.send("Performance.enable")
            write_notebook(jupyter, "live", "1", CELL)
            open_notebook(page, jupyter, "live")
            run_cell(page, 0)
            rows.append(("JupyterLab alone", busy(session, page.wait_for_timeout), ""))
            run_cell(page, 1)
            picture = page.locator("svg.hw-timeline")
            expect(picture).to_be_visible()
            rows.append(("following 20 s", busy(session, page.wait_for_timeout), rects(page)))
            page.locator("[data-act=whole]").click()
            expect(picture).not_to_have_attribute("data-rects", "0")
            rows.append(("the whole run", busy(session, page.wait_for_timeout), rects(page)))
        finally:
            jupyter.stop()
            chromium.close()
    print(f"\nMain thread of the browser, {SEGMENTS} segments, ten changes a second\n")
    for name, share, drawn in rows:
        verdict = "met" if share <= AT_MOST else "MISSED"
        print(f"{name:<18} {share:6.1%}  at most {AT_MOST:.0%} {verdict}  {drawn}")


def rects(page: object) -> str:
    drawn = page.locator("svg.hw-timeline").get_attribute("data-rects")  # type: ignore[attr-defined]
    return f"{drawn} rects"


def busy(session: CDPSession, wait: object) -> float:
    """The share of ``SECONDS`` in which the main thread had something to do."""

    def task_seconds() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return next(float(each["value"]) for each in metrics if each["name"] == "TaskDuration")

    before = task_seconds()
    wait(SECONDS * 1000)  # type: ignore[operator]
    return (task_seconds() - before) / SECONDS
