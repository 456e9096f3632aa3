"""The site that ``make site`` builds opens from a disk, leads nowhere wrong, and can be read."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.parse
from html.parser import HTMLParser
from pathlib import Path

import axe_playwright_python
import pytest
from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]
AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"
LESSONS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(400)]


class Page(HTMLParser):
    """What a page links to, what it loads, and what can be linked to in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors = {""}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif "src" in given:
            self.loaded.append(given["src"])
        elif tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload"):
            self.loaded.append(given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "site", "--without-running", "--to", folder],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_no_link_is_dead_and_nothing_comes_from_a_network(site: Path) -> None:
    pages = {path: Page(path) for path in site.rglob("*.html")}
    assert {f"notebooks/{name}.html" for name in LESSONS} <= {
        str(path.relative_to(site)) for path in pages
    }
    dead = []
    for path, page in pages.items():
        for link in page.links + page.loaded:
            url = urllib.parse.urlsplit(link)
            if url.scheme in ("http", "https", "mailto", "data"):
                if link in page.loaded and url.scheme != "data":
                    dead.append(f"{path.relative_to(site)} loads {link}")
                continue
            target = (path.parent / urllib.parse.unquote(url.path)).resolve() if url.path else path
            if not target.is_file():
                dead.append(f"{path.relative_to(site)}: {link} leads nowhere")
            elif (
                target in pages and urllib.parse.unquote(url.fragment) not in pages[target].anchors
            ):
                dead.append(f"{path.relative_to(site)}: {link} names no place in its page")
    assert dead == []


def test_next_at_the_foot_of_a_lesson_leads_where_the_lesson_does(site: Path) -> None:
    wrong = {}
    for name in LESSONS:
        page = (site / "notebooks" / f"{name}.html").read_text(encoding="utf-8")
        text = (ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8")
        said = re.findall(r"\bNext: \[[^\]]+\]\((\w+)\.ipynb\)", text)
        (foot,) = re.findall(r'<a class="next-page" href="([^"]+)"', page)
        if said and foot != f"{said[-1]}.html":
            wrong[name] = foot
    assert wrong == {}


def test_every_public_name_has_its_docstring_on_a_page(site: Path) -> None:
    import hawork
    import hawork.lab

    text = "".join(path.read_text(encoding="utf-8") for path in (site / "api").glob("*.html"))
    described = set(re.findall(r'<dt class="sig[^>]* id="([\w.]+)"', text))
    names = {each.rpartition(".")[2] for each in described}
    assert {"LabCluster", "FlinkCluster", "HighAvailabilityServices", "open_ha_services"} <= names
    functions = {
        name for module in (hawork, hawork.lab) for name in module.__all__
        if callable(getattr(module, name))
    }  # fmt: skip
    assert functions - names == set()


@pytest.mark.parametrize(
    "page", ["index", f"notebooks/{LESSONS[1]}", "api/lab", "docs/options", "docs/inspect"]
)
def test_a_page_can_be_read_offline_by_everyone(site: Path, browser: Browser, page: str) -> None:
    tab = browser.new_page(color_scheme="light", viewport={"width": 1280, "height": 800})
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    wrong: list[str] = []
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.goto((site / f"{page}.html").as_uri())
    tab.evaluate(AXE.read_text())
    backgrounds = set()
    for scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=scheme)
        backgrounds.add(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
        report = tab.evaluate("axe.run(document, {resultTypes: ['violations']})")
        serious = [
            (each["id"], [node["html"][:160] for node in each["nodes"][:3]])
            for each in report["violations"]
            if each["impact"] in ("serious", "critical")
        ]
        assert serious == [], (page, scheme)
    assert len(backgrounds) == 2, "the page did not change its colours"
    assert wrong == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked), asked
    tab.close()
