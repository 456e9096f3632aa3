"""An inspection as HTML can be read on a light page and on a dark one."""

from __future__ import annotations

import re
from pathlib import Path

import ha_cases

from hawork.inspect.inspector import inspect
from hawork.inspect.report_html import _DARK, _STYLE, as_page
from hawork.inspect.sources import Sources

DARK_PAGE = "#212121"
"""The lighter ground of JupyterLab's dark theme."""


def luminance(colour: str) -> float:
    """Of ``#rgb`` or ``#rrggbb``, as WCAG 2.1 defines it."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def colours(rule: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+):([^;}]+)", rule))


def test_every_text_can_be_read_on_either_page() -> None:
    """In JupyterLab's dark theme the head of the table had been white on white."""
    light, dark, of_a_dark_system = [
        colours(rule) for rule in re.findall(r"[{]([^{}]+)[}]", _STYLE) if "--bad:" in rule
    ]
    assert dark == of_a_dark_system, "the site follows the system unless it is told otherwise"
    assert set(light) == set(dark) >= {"text", "back", "bad", "warn", "good", "dim"}
    assert all(f"{page} .hawork-inspection" in _STYLE for page in _DARK)
    assert dark["back"] == "transparent"
    assert not re.search("[^-]color:#", _STYLE), "a colour for one page only"
    for name in set(light) - {"back", "line"}:
        assert contrast(light[name], light["back"]) >= 4.5, name
        assert contrast(dark[name], DARK_PAGE) >= 4.5, name


def test_what_was_not_looked_at_stands_before_the_findings(tmp_path: Path) -> None:
    """It had stood below them all, where a reader scrolls no further."""
    case = ha_cases.unpack("k8s120-two-holders", tmp_path)
    page = as_page(inspect(Sources(config=case.config, **case.store)))
    assert 0 < page.index("Not looked at") < page.index('<details open class="fatal">')


def test_a_page_of_its_own_is_as_dark_as_its_reader_wants(tmp_path: Path) -> None:
    case = ha_cases.unpack("zk120-healthy", tmp_path)
    page = as_page(inspect(Sources(config=case.config, **case.store)))
    assert '<html lang="en" data-theme="auto">' in page, "which the colours of the dark page need"
    assert "color-scheme:light dark" in page
