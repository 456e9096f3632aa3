"""Sphinx's settings for the site that ``make site`` builds. Nothing of it needs a network."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

sys.path.insert(0, os.environ.get("HAWORK_SITE_CHECKOUT", str(Path(__file__).parents[2])))
import hawork

project = "hawork"
author = copyright = "the hawork developers"
release = hawork.__version__
html_title = f"hawork {release}"

extensions = ["myst_nb", "sphinx.ext.autodoc"]
exclude_patterns = ["docs/site"]
suppress_warnings = [
    "toc.not_included",  # decisions are reached from their own page
    "mystnb.unknown_mime_type",  # a widget has its static face beside it
    "misc.highlighting_failure",  # of a cell that ended in one sentence; the builder names it
]

# The notebooks come with their outputs, or without: the builder has run them, or not.
nb_execution_mode = "off"
nb_ipywidgets_js: dict[str, dict[str, str]] = {}
nb_mime_priority_overrides = [
    ("html", "application/vnd.jupyter.widget-view+json", None),
    ("html", "application/javascript", None),
    ("html", "text/html", 10),
    ("html", "image/png", 20),
]
myst_enable_extensions = ["attrs_inline"]
myst_heading_anchors = 5
myst_all_links_external = False

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {
    "members": True,
    "exclude-members": "absent",  # what is said of the verbs of other clusters, for who calls one
}
python_use_unqualified_type_names = True

html_theme = "furo"
html_static_path = ["docs/site/static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"source_repository": "", "footer_icons": []}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"


READABLE = {
    'role="heading">': 'role="heading" aria-level="2">',
    "<pre>": '<pre tabindex="0">',
    '<div class="table-wrapper': '<div tabindex="0" class="table-wrapper',
}
"""A caption has a level, and what scrolls can be reached with the keyboard."""


def _make_readable(app: Sphinx, pagename: str, *rest: Any) -> None:
    context = rest[1]
    for part in ("body", "furo_navigation_tree"):
        for plain, better in READABLE.items():
            context[part] = context.get(part, "").replace(plain, better)


def setup(app: Sphinx) -> None:
    app.connect("html-page-context", _make_readable, priority=900)
