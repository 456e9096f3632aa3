"""Links lead somewhere, from wherever the page is read: in a checkout, on GitHub, on Binder."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "notebooks").glob("*.ipynb")),
]
CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]*`", re.M | re.S)
LINK = re.compile(
    r"""\]\(\s*<?([^)>\s]+)>?[^)]*\)    # [text](target), ![text](target "title")
    |^\[[^\]]+\]:\s*(\S+)               # [name]: target
    |(?:href|src)=["']([^"']+)["']      # HTML""",
    re.M | re.X,
)


def text_of(page: Path) -> str:
    """Markdown without code; of a notebook what is in its cells of that kind."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    return CODE.sub("", text)


def links_in(text: str) -> list[str]:
    return [next(filter(None, found.groups())) for found in LINK.finditer(text)]


def anchors_of(page: Path) -> set[str]:
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#{1,6} +(.+?) *#*$", page.read_text(encoding="utf-8"), re.M)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


def broken(page: Path, text: str) -> Iterator[str]:
    for link in links_in(text):
        url = urllib.parse.urlsplit(link)
        if url.scheme in ("http", "https", "mailto"):
            if url.hostname in ("localhost", "127.0.0.1", "::1"):
                yield f"{link} leads to the machine of whoever reads it"
            continue
        if link.startswith("/"):
            yield f"{link} leads nowhere below a prefix, as on Binder"
            continue
        target = page if not url.path else page.parent / urllib.parse.unquote(url.path)
        if not target.exists() or not target.resolve().is_relative_to(ROOT):
            yield f"{link} does not exist"
        elif url.fragment and target.suffix == ".md" and url.fragment not in anchors_of(target):
            yield f"{link} names no heading"


def test_there_are_links_to_check() -> None:
    found = {page: links_in(text_of(page)) for page in PAGES}
    readme = found[ROOT / "README.md"]
    assert {"notebooks/00_tour.ipynb", "docs/images/timeline.png"} <= set(readme)
    assert len(readme) > 30
    assert sum(len(links) for page, links in found.items() if page.suffix == ".ipynb") > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    assert list(broken(page, text_of(page))) == []


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ("[x](docs/nowhere.md)", "docs/nowhere.md does not exist"),
        ("[x](../elsewhere.md)", "../elsewhere.md does not exist"),
        ("![x](docs/images/none.png 'title')", "docs/images/none.png does not exist"),
        ("[x](docs/faq.md#no-such)", "docs/faq.md#no-such names no heading"),
        ("[x](#no-such)", "#no-such names no heading"),
        ("[x](/lab/tree/notebooks/00_tour.ipynb)", "leads nowhere below a prefix"),
        ("[x]: /lab", "leads nowhere below a prefix"),
        ('<a href="/lab">x</a>', "leads nowhere below a prefix"),
        ("[x](http://127.0.0.1:8888/lab)", "leads to the machine of whoever reads it"),
    ],
)
def test_a_broken_link_is_noticed(link: str, said: str) -> None:
    (found,) = broken(ROOT / "README.md", f"some text\n\n{link}\n")
    assert said in found


def test_code_is_no_link() -> None:
    text = CODE.sub("", "```markdown\n[x](/lab)\n```\n`[x](/lab)` and [y](docs/faq.md#questions)\n")
    assert links_in(text) == ["docs/faq.md#questions"]
    assert list(broken(ROOT / "README.md", text)) == []


def test_panels_link_nowhere() -> None:
    """Addresses of JobManagers are shown; behind JupyterHub there would be nothing to click on."""
    scripts = list((ROOT / "hawork" / "panels" / "js").glob("*.js"))
    assert scripts
    assert not [path.name for path in scripts if re.search(r"href|location\.", path.read_text())]


def test_the_link_to_binder_is_one_to_be_filled_in() -> None:
    """Where this repository is, nobody can know yet; what is opened there is known."""
    links = re.findall(r"https://mybinder\.org/v2/[^)\s]+", (ROOT / "README.md").read_text())
    assert len(links) == 1
    url = urllib.parse.urlsplit(links[0])
    assert url.path == "/v2/gh/OWNER/REPO/HEAD"
    opened = urllib.parse.parse_qs(url.query)["urlpath"][0]
    assert (ROOT / opened.removeprefix("lab/tree/")).is_file()
