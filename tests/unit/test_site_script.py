"""What ``scripts/site`` leaves out of a page that no kernel stands behind."""

from __future__ import annotations

import json
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "site"
VIEW = "application/vnd.jupyter.widget-view+json"


def script() -> Any:
    loader = SourceFileLoader("scripts_site", str(SCRIPT))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def display(**data: str) -> dict[str, Any]:
    named = {key.replace("_", "/"): value for key, value in data.items() if key != "view"}
    return {"output_type": "display_data", "data": named | ({VIEW: "{}"} if "view" in data else {})}


def test_a_bar_of_progress_is_no_text_on_a_page(tmp_path: Path) -> None:
    """It stood there as HBox(children=(FloatProgress(value=0.0, ...; a panel has a static face."""
    bar = display(view="", text_plain="HBox(children=(FloatProgress(value=0.0")
    panel = display(view="", text_plain="Cluster", text_html="<table></table>")
    printed = {"output_type": "stream", "name": "stdout", "text": "FINISHED"}
    cells = [
        {"cell_type": "markdown", "source": "# Title"},
        {"cell_type": "code", "source": "", "outputs": [bar, panel, printed]},
    ]
    page = tmp_path / "lesson.ipynb"
    page.write_text(json.dumps({"cells": cells}))
    script().mend_links(page, tmp_path)
    assert json.loads(page.read_text())["cells"][1]["outputs"] == [panel, printed]
