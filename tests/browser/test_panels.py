"""The live panels in JupyterLab, as a learner uses them: with a mouse, and without one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.sync_api import Locator, Page, expect

from hawork.testing import eventually

from .jupyter import JupyterLab
from .notebook import CELL, ERROR, open_notebook, run_cell, wait_until_idle, write_notebook

START = """from hawork.lab import LabCluster
lab = LabCluster(job_managers=3, task_managers=1).start()"""
JOB = Path(__file__).resolve().parent.parent / "unit" / "lab_jobs.py"
SUBMIT = f"""config = {{"end": 30, "output": lab.directory / "out"}}
job = lab.submit({f"{JOB}:count"!r}, config, wait=False)"""
FINISH = "await job.acknowledged()\nprint((await job.finished(progress=False)).status)"
COUNT_BARS = """() => {
    window.counted = [];
    const look = () => {
        const found = document.querySelectorAll("[data-lane='published leader']").length;
        if (counted.at(-1) !== found) counted.push(found);
        requestAnimationFrame(look);
    };
    look();
}"""
CHANGE_THEME = """async theme => {
    await jupyterapp.commands.execute('apputils:change-theme', {theme});
}"""
AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"
JM = re.compile(r"jm-\d")

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def opened(page: Page, jupyter: JupyterLab, request: pytest.FixtureRequest) -> Any:
    """Opens a notebook of a started lab and these cells; all but the ``later`` ones are run."""

    def open_(*cells: str, later: tuple[str, ...] = ()) -> Page:
        name = request.node.name.removeprefix("test_").partition("[")[0]
        write_notebook(jupyter, name, START, *cells, *later)
        open_notebook(page, jupyter, name)
        for number in range(1 + len(cells)):
            run_cell(page, number)
        return page

    return open_


def panel(page: Page, name: str, number: int = 0) -> Locator:
    return page.locator(f"[data-panel={name}]").nth(number)


def leader_of(shown: Locator, other_than: str = "") -> str:
    """Who leads according to a cluster panel, once it is somebody else than before."""
    wanted = re.compile(rf"^(?!{other_than}$)jm-\d$") if other_than else JM
    view = shown.locator("[data-leader]")
    expect(view).to_have_attribute("data-leader", wanted, timeout=30_000)
    return str(view.get_attribute("data-leader"))


def test_the_kill_button_moves_the_leader(opened: Any, complaints: list[str]) -> None:
    page = opened("lab.cluster_panel()", "lab.timeline_panel()", later=("lab.close()",))
    cluster, timeline = panel(page, "cluster"), panel(page, "timeline")
    leader = leader_of(cluster)
    card = cluster.locator(f"[data-name={leader}]")
    expect(card).to_have_attribute("data-leads", "true")
    # In a cell JupyterLab has a style for lists: the facts would stand one below the other.
    expect(card.locator(".hw-facts")).to_have_css("display", "flex")

    card.get_by_role("button", name=f"Kill {leader}").click()

    expect(card).to_have_attribute("data-state", "down", timeout=20_000)
    successor = leader_of(cluster, other_than=leader)
    expect(page.locator(".hw-answer").first).to_have_text(f"lab.kill('{leader}') was done")
    expect(page.locator(".hw-news").first).to_contain_text(f"{successor} became leader")
    bars = timeline.locator("[data-lane='published leader'][data-state=leading]")
    expect(bars).to_have_count(2)
    expect(timeline.locator(f"[data-lane={leader}][data-state=down]")).to_have_count(1)
    expect(timeline.locator("[data-kind=fault]")).to_have_count(1)

    run_cell(page, 3)
    expect(page.locator("[data-life=closed]")).to_have_count(2)
    expect(cluster.get_by_role("button")).to_have_count(0)
    # Just before it was closed: one process down, one leading, the store up, and a slider.
    expect(card).to_have_attribute("data-state", "down")
    expect(cluster.locator(f"[data-name={successor}]")).to_have_attribute("data-state", "leading")
    expect(cluster.locator("[data-name='HA store']")).to_have_attribute("data-state", "up")
    slider = timeline.get_by_role("slider")
    slider.fill("1")
    expect(bars).to_have_count(0)
    expect(page.locator(ERROR)).to_have_count(0)
    assert complaints == []


def test_after_close_every_panel_says_so_and_no_button_is_left(
    opened: Any, complaints: list[str]
) -> None:
    names = ("jobs", "stepper", "store", "timeline")
    page = opened(*(f"lab.{name}_panel()" for name in names), later=(SUBMIT, "lab.close()"))
    jobs, stepper, store, timeline = (panel(page, name) for name in names)
    stepper.get_by_role("button", name="Arm result.decided").click()
    run_cell(page, 5)
    stands = stepper.locator(".hw-stands")
    expect(stands).to_have_count(1, timeout=30_000)
    row = jobs.locator("tr[data-job]")
    expect(row).to_have_count(1)
    expect(row.get_by_role("button")).not_to_have_attribute("aria-disabled", "true")
    expect(store.locator("tr[data-key]").first).to_be_visible()

    run_cell(page, 6)
    expect(page.locator("[data-life=closed]")).to_have_count(len(names))
    said = "This lab is closed: this is what it was. The slider of the timeline goes through it."
    expect(page.locator(".hw-trouble").filter(has_text=said)).to_have_count(len(names))
    expect(page.get_by_text(re.compile("This lab is closed"))).to_have_count(len(names))
    expect(timeline.get_by_role("slider")).to_be_visible()
    expect(stands).to_have_count(0)
    expect(stepper).to_contain_text("Nothing is armed.")
    expect(stepper.locator("select:not([disabled])")).to_have_count(0)
    for each in (jobs, stepper):
        expect(each.locator("[data-verb]").first).to_be_visible()
        expect(each.locator("[data-verb]:not([aria-disabled=true])")).to_have_count(0)
    expect(page.locator(ERROR)).to_have_count(0)
    assert complaints == []


def test_panels_dock_beside_the_notebook(opened: Any, page: Page, complaints: list[str]) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    opened(
        "lab.panels()", later=(f"lab.panels()  # {'these words are many, ' * 4}and all are read",)
    )
    dock = page.get_by_role("complementary", name="Panels beside the notebook")
    cluster, notebook = dock.locator("[data-panel=cluster]"), page.locator(".jp-Notebook")
    leader = leader_of(cluster)
    assert box(notebook)["x"] + box(notebook)["width"] <= box(dock)["x"] + 1
    assert box(dock)["width"] >= 400
    code = page.locator(CELL).nth(2).locator(".cm-scroller")
    assert code.evaluate("code => code.scrollWidth <= code.clientWidth"), "it wraps"
    kill = cluster.get_by_role("button", name=f"Kill {leader}")
    kill.click()
    successor = leader_of(cluster, other_than=leader)
    bar = dock.locator(f"[data-lane='published leader'][aria-label*='leading {successor}']")
    for seen in (kill, bar, dock.locator(".hw-answer")):
        expect(seen).to_be_in_viewport()

    dock.get_by_role("tab", name="Cluster and timeline").focus()
    page.keyboard.press("ArrowLeft")
    expect(dock.get_by_role("tab", name="HA store")).to_have_attribute("aria-selected", "true")
    expect(cluster).to_be_hidden()
    address = re.compile(r"address http://127\.0\.0\.1:\d+")
    expect(dock.locator("[data-panel=store] tr").filter(has_text=address).first).to_be_visible()

    page.set_viewport_size({"width": 853, "height": 533})  # zoomed to 150 %
    assert box(notebook)["y"] + box(notebook)["height"] <= box(dock)["y"] + 1
    assert box(dock)["width"] > 400
    page.set_viewport_size({"width": 1280, "height": 800})
    handle, before = dock.get_by_role("separator"), box(dock)["width"]
    handle.focus()
    page.keyboard.press("ArrowRight")
    assert box(dock)["width"] < before
    run_cell(page, 2)
    expect(dock).to_have_count(1)  # those of the first cell have gone back into it
    expect(page.locator(".jp-Notebook .hw-frame")).to_have_count(1)
    dock.get_by_role("button", name="Into the cell").click()
    expect(dock).to_have_count(0)
    expect(page.locator(".jp-Notebook .hw-frame")).to_have_count(2)
    page.get_by_role("button", name="Beside the notebook").first.click()
    expect(dock).to_have_count(1)
    assert complaints == []


def box(shown: Locator) -> dict[str, float]:
    """Where an element is, in pixels."""
    expect(shown).to_be_visible()
    return dict(shown.bounding_box() or {})  # type: ignore[call-overload]


def test_panels_move_while_a_cell_blocks(opened: Any, complaints: list[str]) -> None:
    page = opened("lab.cluster_panel()", later=("import time\nlab.kill('leader')\ntime.sleep(20)",))
    cluster = panel(page, "cluster")
    leader = leader_of(cluster)
    run_cell(page, 2, wait=False)
    leader_of(cluster, other_than=leader)
    expect(page.locator(CELL).nth(2).locator(".jp-InputArea-prompt")).to_have_text("[*]:")
    assert complaints == []


def test_two_views_agree_also_after_a_reload(opened: Any, complaints: list[str]) -> None:
    page = opened("lab.cluster_panel()", "lab.panels()", later=("fault = lab.kill('leader')",))
    leader = leader_of(panel(page, "cluster"))
    run_cell(page, 3)
    successor = leader_of(panel(page, "cluster"), other_than=leader)
    assert leader_of(panel(page, "cluster", 1), other_than=leader) == successor

    page.keyboard.press("Control+s")
    expect(page.locator(".jp-mod-dirty")).to_have_count(0)
    page.reload()
    for number in (0, 1):
        assert leader_of(panel(page, "cluster", number)) == successor

    second = panel(page, "cluster", 1)
    second.get_by_role("button", name=f"Kill {successor}").click()
    third = leader_of(panel(page, "cluster"), other_than=successor)
    assert leader_of(second, other_than=successor) == third
    frames = page.locator(".hw-frame")
    page.wait_for_function(
        """() => new Set([...document.querySelectorAll('.hw-frame')]
            .map(frame => frame.dataset.seq)).size === 1"""
    )
    expect(frames).to_have_count(2)
    assert complaints == []


def test_everything_by_keyboard(opened: Any, complaints: list[str]) -> None:
    page = opened("lab.cluster_panel()", "lab.timeline_panel()", "lab.stepper_panel()",
                  later=(SUBMIT, FINISH))  # fmt: skip
    cluster, timeline = panel(page, "cluster"), panel(page, "timeline")
    leader = leader_of(cluster)
    cells = page.locator(CELL).count()
    picture = timeline.locator("svg.hw-timeline")
    picture.focus()
    page.keyboard.press("ArrowRight")
    expect(timeline.locator(".hw-bar:focus")).to_have_count(1)
    first = timeline.locator(".hw-detail").inner_text()
    page.keyboard.press("ArrowDown")
    expect(timeline.locator(".hw-detail")).not_to_have_text(first)
    for key in ("d", "d", "x", "a", "Enter"):  # shortcuts of the notebook, not for it now
        page.keyboard.press(key)
    assert page.locator(CELL).count() == cells
    follow = timeline.locator("[aria-pressed]")
    expect(follow).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("+")
    expect(follow).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("End")
    expect(follow).to_have_attribute("aria-pressed", "true")

    cluster.get_by_role("button", name=f"Kill {leader}").focus()
    page.keyboard.press("Enter")
    leader_of(cluster, other_than=leader)
    assert focused(page) == f"Kill {leader}"

    stepper = panel(page, "stepper")
    action = stepper.get_by_label("What an armed step does")
    action.focus()
    page.keyboard.press("End")
    expect(action).to_have_value("crash")
    page.keyboard.press("Home")
    expect(action).to_have_value("hold")
    tab_to(page, "Arm submit.graph_written")
    page.keyboard.press("Enter")
    step = stepper.locator("li[data-step='submit.graph_written']")
    expect(step).to_have_attribute("data-armed", "true", timeout=20_000)
    assert focused(page) == "Arm submit.graph_written"
    run_cell(page, 4)
    expect(step).to_have_attribute("data-lit", "now", timeout=30_000)
    action.focus()
    tab_to(page, r"Continue: jm-\d at submit\.graph_written")
    page.keyboard.press("Enter")
    expect(step).not_to_have_attribute("data-lit", "now", timeout=20_000)
    run_cell(page, 5)
    expect(page.locator(".jp-OutputArea-output").filter(has_text="FINISHED").first).to_be_attached()
    assert complaints == []


def focused(page: Page) -> str:
    """What a screen reader calls the element that has the focus."""
    return str(page.evaluate("document.activeElement.getAttribute('aria-label')"))


def tab_to(page: Page, label: str) -> None:
    """Press Tab until the focus is there."""
    passed: list[str] = []
    while not re.fullmatch(label, focused(page)):
        passed.append(focused(page))
        assert len(passed) < 40, passed
        page.keyboard.press("Tab")


def test_nothing_serious_for_accessibility(opened: Any, complaints: list[str]) -> None:
    page = opened("lab.panels()", later=("fault = lab.kill('leader')",))
    leader = leader_of(panel(page, "cluster"))
    run_cell(page, 2)
    leader_of(panel(page, "cluster"), other_than=leader)
    expect(panel(page, "store").locator("tr[data-key]").first).to_be_attached()
    page.evaluate(AXE.read_text())
    for theme in ("Dark", "Light"):
        page.evaluate(CHANGE_THEME, f"JupyterLab {theme}")
        expect(
            page.locator(f"body[data-jp-theme-light={str(theme == 'Light').lower()}]")
        ).to_be_attached()
        background = (
            panel(page, "cluster")
            .locator("xpath=ancestor::*[contains(@class, 'hw-frame')]")
            .evaluate("frame => getComputedStyle(frame).backgroundColor")
        )
        brightness = sum(map(int, re.findall(r"\d+", background)[:3])) / 3
        assert (brightness > 128) == (theme == "Light"), background

        report = page.evaluate("axe.run('.hw-dock', {resultTypes: ['violations']})")
        found = [
            (each["id"], each["impact"], [node["html"][:160] for node in each["nodes"][:3]])
            for each in report["violations"]
            if each["impact"] in ("serious", "critical")
        ]
        assert found == [], theme
        assert report["passes"]
    assert complaints == []


def test_the_stepper_stops_compares_crashes_and_recovers(
    opened: Any, complaints: list[str]
) -> None:
    page = opened("lab.stepper_panel()", "lab.jobs_panel()", later=(SUBMIT, FINISH))
    stepper = panel(page, "stepper")
    stepper.get_by_role("button", name="Arm submit.graph_written").click()
    step = stepper.locator("li[data-step='submit.graph_written']")
    expect(step).to_have_attribute("data-armed", "true", timeout=20_000)

    run_cell(page, 3)
    expect(step).to_have_attribute("data-lit", "now", timeout=30_000)
    expect(step).to_have_attribute("aria-current", "step")
    difference = stepper.locator(".hw-difference tr[data-sign='+']")
    expect(difference.filter(has_text="submittedJobGraph")).to_have_count(1)

    resume = stepper.get_by_role("button", name=re.compile("Resume"))
    expect(resume).to_have_attribute("aria-disabled", "true")  # it is held, not paused
    stepper.get_by_role("button", name=re.compile("Crash here")).click()
    expect(step).not_to_have_attribute("data-lit", "now", timeout=20_000)
    run_cell(page, 4)
    expect(page.locator(".jp-OutputArea-output").filter(has_text="FINISHED").first).to_be_attached()
    row = panel(page, "jobs").locator("tr[data-job]")
    expect(row).to_have_attribute("data-status", "FINISHED", timeout=20_000)
    assert complaints == []


def test_an_error_in_a_panels_own_timer_is_said(opened: Any) -> None:
    """The lab is idle: the timeline moves by itself, and no message of the kernel draws it."""
    page = opened("lab.timeline_panel()")
    expect(panel(page, "timeline").locator(".hw-clock")).to_be_visible()
    page.evaluate("() => { matchMedia = () => { throw Error('not allowed'); }; }")
    trouble = page.locator(".hw-trouble")
    expect(trouble).to_contain_text("This panel has stopped (Error: not allowed).")
    expect(page.locator(".hw-still")).to_contain_text("leads with session id")
    expect(page.locator("[data-panel]")).to_have_count(0)
    page.goto("about:blank")  # what was broken here is not for the next test


def test_a_recorded_run_has_a_slider(opened: Any, complaints: list[str]) -> None:
    page = opened("fault = lab.kill('leader')\nawait lab.wait_for_leader(other_than=fault)",
                  "lab.close()", "lab.timeline_panel()")  # fmt: skip
    timeline = panel(page, "timeline")
    bars = timeline.locator("[data-lane='published leader']")
    expect(bars).to_have_count(2)
    slider = timeline.get_by_role("slider")
    slider.focus()
    page.keyboard.press("Home")
    expect(bars).to_have_count(0)
    expect(timeline.locator(".hw-clock")).to_have_text("0.000 s")
    page.keyboard.press("End")
    expect(bars).to_have_count(2)
    page.evaluate(COUNT_BARS)  # in every frame: the first leader may lead for a moment only
    timeline.get_by_role("button", name="Play").click()
    page.wait_for_function("() => counted.join().includes('0,1,2')", timeout=30_000)
    assert complaints == []


def test_a_restarted_kernel_leaves_views_that_say_so_and_no_process(
    opened: Any, jupyter: JupyterLab
) -> None:
    page = opened("lab.cluster_panel()")
    leader_of(panel(page, "cluster"))
    of_the_lab = jupyter.lab_processes()
    assert len(of_the_lab) == 5, "a supervisor, three JobManagers and a TaskManager"
    page.locator(".lm-MenuBar-item", has_text=re.compile(r"^Kernel$")).click()
    page.locator(".lm-Menu-item", has_text=re.compile(r"^Restart Kernel…")).click()
    page.locator(".jp-Dialog").get_by_role("button", name="Confirm").click()
    expect(page.locator("[data-life=orphaned]")).to_have_count(1, timeout=30_000)
    expect(page.locator(".hw-trouble")).to_contain_text("The kernel has ended")
    eventually(lambda: not any(each.is_running() for each in of_the_lab))
    wait_until_idle(page)


def code_wraps_where_it_is_narrow(page: Page) -> None:
    """At 150 % of 1280 pixels the last cell has no line that is cut; at 100 % code is as ever."""
    whole = page.viewport_size
    assert whole is not None
    is_cut = """cut => [...document.querySelectorAll('.jp-CodeCell .cm-scroller')].slice(-1)
        .every(code => (code.scrollWidth > code.clientWidth) === cut)"""
    page.wait_for_function(is_cut, arg=True)
    page.set_viewport_size({"width": 854, "height": 534})
    page.wait_for_function(is_cut, arg=False)
    page.set_viewport_size(whole)


@pytest.mark.parametrize("where", ["notebooks", "voila/render"])
def test_in_notebook_7_and_in_voila(
    page: Page, jupyter: JupyterLab, where: str, complaints: list[str]
) -> None:
    name = where.partition("/")[0]
    write_notebook(jupyter, f"in_{name}", START, "lab.panels()", f"# a{' long' * 30} line")
    page.goto(jupyter.url(f"{where}/in_{name}.ipynb"))
    if where == "notebooks":
        run_cell(page, 0)
        code_wraps_where_it_is_narrow(page)
        run_cell(page, 1)
        style = page.locator("head link[rel=stylesheet][href$='hawork/static/page.css']")
        expect(style).to_have_count(1)  # ours, for what cells print
    leader = leader_of(panel(page, "cluster"))
    expect(page.locator("aside.hw-dock")).to_have_count(int(where == "notebooks"))
    panel(page, "cluster").get_by_role("button", name=f"Kill {leader}").click()
    leader_of(panel(page, "cluster"), other_than=leader)
    # Notebook 7 has complaints of its own; our scripts are loaded from blobs.
    assert not [each for each in complaints if re.search("blob:|hawork|widget", each)]
