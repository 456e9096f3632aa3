"""A run that was kept in a file, where no cluster is: its report, and its replay."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from hawork.lab import LabCluster, open_bundle
from hawork.story.report import report as report_of

from .conftest import Desk
from .jupyter import JupyterLab
from .notebook import ERROR, open_notebook, run_cell, wait_until_idle, write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_kept_run_is_read_and_replayed(
    page: Page, desk: Desk, jupyter: JupyterLab, complaints: list[str], tmp_path: Path
) -> None:
    bundle = tmp_path / "run.zip"
    with LabCluster(job_managers=2, task_managers=1) as lab:
        first = lab.leader()
        fault = lab.kill("leader")
        second = lab.wait_for_leader(other_than=fault).wait()
        lab.export_bundle(bundle)
    run = open_bundle(bundle)
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    report = tmp_path / "run.html"
    report.write_text(report_of(run), encoding="utf-8")
    page.goto(report.as_uri())
    expect(page.locator("h1")).to_contain_text("valid")
    picture = page.locator("h2", has_text="Timeline").locator("xpath=following-sibling::*[1]//img")
    assert picture.first.evaluate("image => image.complete && image.naturalWidth") > 100
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    page.emulate_media(color_scheme="dark")
    back = page.evaluate("getComputedStyle(document.documentElement).colorScheme")
    assert back == "light dark"
    page.emulate_media(media="print", color_scheme="light")
    page.set_viewport_size({"width": 720, "height": 1000})  # a sheet of A4, without its margins
    cut = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert cut <= 0, "columns would be lost on paper"
    expect(page.get_by_role("cell", name=first, exact=True).first).to_be_visible()
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": 1400, "height": 1000})
    assert said == []

    cell = f"from hawork.lab import open_bundle, replay\nreplay(open_bundle({str(bundle)!r}))"
    write_notebook(jupyter, "kept", cell)
    open_notebook(page, jupyter, "kept")
    run_cell(page, 0)
    cluster = page.locator("[data-panel=cluster]")
    leads = cluster.locator("[data-leader]")
    card = cluster.locator(f"[data-name={first}]")
    expect(leads).to_have_attribute("data-leader", second)
    expect(card).to_have_attribute("data-state", "down")
    expect(cluster.get_by_role("button")).to_have_count(0)

    killed = round((fault.monotonic - run.event_list()[0].monotonic) * 1000)
    slider = page.locator("[data-panel=timeline] .hw-slider")
    slider.fill(str(killed - 1))
    expect(leads).to_have_attribute("data-leader", first)
    expect(card).to_have_attribute("data-state", "leading")
    slider.fill(str(killed + 1_000_000))
    expect(leads).to_have_attribute("data-leader", second)
    expect(card).to_have_attribute("data-state", "down")
    expect(page.locator("[data-panel=jobs]")).to_contain_text("No job was submitted yet.")
    expect(page.locator(ERROR)).to_have_count(0)
    assert complaints == []

    # Where a view cannot be made, the same as text, and a sentence that says why.
    page.evaluate("() => { ResizeObserver = function () { throw Error('not allowed'); }; }")
    run_cell(page, 0)
    trouble, still = page.locator(".hw-trouble"), page.locator(".hw-still")
    expect(trouble).to_contain_text("This panel has stopped (Error: not allowed).")
    expect(still).to_contain_text(f"{second}  leads with session id")
    still.evaluate("text => { text.hwText = text.textContent = ''; }")
    page.get_by_role("button", name="Look again").click()
    expect(still).to_contain_text(f"{second}  leads with session id")
    expect(page.locator("[data-panel]")).to_have_count(0)

    # So it is in a browser that lacks something.
    desk.spoiled = True
    page.add_init_script("delete window.structuredClone")
    page.reload()
    wait_until_idle(page)
    page.evaluate("delete window.ResizeObserver")  # JupyterLab cannot begin without it
    run_cell(page, 0)
    expect(trouble).to_contain_text(
        "This browser has no ResizeObserver, structuredClone, so this panel cannot move."
    )
    expect(still).to_contain_text(f"{second}  leads with session id")
    expect(page.locator("[data-panel]")).to_have_count(0)
    expect(page.locator(ERROR)).to_have_count(0)
    assert complaints == []
