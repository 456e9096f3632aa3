"""The first thing a visitor does: open the tour and run all of it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from hawork.testing import eventually

from .jupyter import JupyterLab
from .notebook import CELL, ERROR, STDERR, open_notebook, run_all, run_cell, write_notebook


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.timeout(480)
def test_the_tour_runs(page: Page, jupyter: JupyterLab, complaints: list[str]) -> None:
    open_notebook(page, jupyter, "00_tour")
    run_all(page)

    expect(page.locator(ERROR)).to_have_count(0)
    expect(page.locator(STDERR)).to_have_count(0)
    outputs = page.locator(".jp-OutputArea-output")
    expect(outputs.filter(has_text=re.compile(r"jm-\d leads")).first).to_be_visible()
    picture = page.locator(".jp-OutputArea-output img").first
    expect(picture).to_be_attached()
    assert picture.evaluate("image => image.complete && image.naturalWidth") > 400
    expect(outputs.get_by_text("The same as a table").last).to_be_visible()
    live = page.locator("[data-panel=timeline] [data-lane='published leader']")
    expect(live.nth(1)).to_be_attached()
    expect(
        page.locator(".hw-frame").filter(has=page.locator("[data-panel=cluster]"))
    ).to_have_attribute("data-life", "closed")
    expect(outputs.filter(has_text="equal").first).to_be_attached()
    assert complaints == []
    eventually(lambda: jupyter.lab_processes() == [])


@pytest.mark.browser
@pytest.mark.timeout(300)
def test_what_is_printed_breaks_between_words_also_without_a_panel(
    page: Page, jupyter: JupyterLab
) -> None:
    """JupyterLab itself breaks a printed line within a word, and lets a table leave the page."""
    value = "a" * 400
    write_notebook(
        jupyter,
        "printed",
        "print('reset ' * 60)",
        f"from IPython.display import HTML\nHTML('<table><tr><td>a<td>{value}</table>')",
    )
    open_notebook(page, jupyter, "printed")
    run_cell(page, 0)
    run_cell(page, 1)
    output = page.locator(CELL).locator(".jp-OutputArea-output")
    broken = output.first.locator("pre").evaluate(WORDS_IN_TWO)
    assert broken == 0
    table = output.nth(1)
    assert table.evaluate("each => each.scrollWidth <= each.clientWidth")


WORDS_IN_TWO = """pre => {
    const text = pre.firstChild, range = document.createRange();
    return [...text.data.matchAll(/\\S+/g)].filter(word => {
        range.setStart(text, word.index);
        range.setEnd(text, word.index + word[0].length);
        return range.getClientRects().length > 1;
    }).length;
}"""
"""How many words of a printed line stand on two lines."""
