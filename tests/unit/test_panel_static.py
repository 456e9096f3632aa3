"""A panel that is read without a kernel: what is saved with the notebook says it all."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import ha_cases
import pytest

from hawork.inspect.case import save_case
from hawork.inspect.inspection import Inspection
from hawork.inspect.inspector import inspect
from hawork.inspect.sources import Sources
from hawork.panels.background import Background
from hawork.panels.feed import Json
from hawork.panels.inspect_panel import inspect_panel
from hawork.panels.inspection_rows import inspection_section
from hawork.panels.panel_set import PanelSet
from hawork.panels.sources import INSPECTION, JOBS, STORE
from hawork.panels.sources import Sources as Sections

JOB_SECTION: Json = {
    "jobs": {
        "4f": {
            "name": "orders <1>", "status": "RUNNING", "records": 12345, "rate": 678,
            "checkpoints": 9,
        }
    },
    "order": ["4f"],
}  # fmt: skip
STORE_SECTION: Json = {
    "rows": {"a": ["row", "leader", "rest_server", "3", "http://[::1]:8081", "", "", 0]},
    "order": ["a"],
}


def panels_of(jobs: Callable[[], Json], store: Callable[[], Json]) -> PanelSet:
    slow = {JOBS: Background(JOBS, jobs, 60.0), STORE: Background(STORE, store, 60.0)}
    return PanelSet(
        lambda known: [], lambda timeline: Sections(timeline, {}, slow, ended=dict), lambda _: ""
    )


def late(section: Json) -> Callable[[], Json]:
    """The leader and the store are asked on a thread, and take their time."""

    def look() -> Json:
        time.sleep(0.05)
        return section

    return look


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("jobs", ["orders &lt;1&gt;", "RUNNING", "12,345", "678"]),
        ("store", ["leader", "rest_server", "http://[::1]:8081"]),
    ],
)
def test_the_first_display_has_a_table_that_needs_no_script(name: str, cells: list[str]) -> None:
    panels = panels_of(late(JOB_SECTION), late(STORE_SECTION))
    try:
        shown = panels.panel(name)._repr_mimebundle_()
    finally:
        panels.close()
    data = shown[0] if isinstance(shown, tuple) else shown
    assert "application/vnd.jupyter.widget-view+json" in data
    for cell in cells:
        assert f"<td>{cell}</td>" in data["text/html"]
    assert "<script" not in data["text/html"] and "src=" not in data["text/html"]
    assert cells[-1] in data["text/plain"]


@pytest.mark.parametrize("case", ["zk120-healthy", "k8s120-older-ha-file-missing"])
def test_an_inspection_is_shown_without_a_script(case: str, tmp_path: Path) -> None:
    unpacked = ha_cases.unpack(case, tmp_path)
    sources = Sources(
        config=unpacked.config, storage=unpacked.storage, mapping={"file:/srv/flink": "."},
        **unpacked.store,
    )  # fmt: skip
    found = inspect(sources)
    slow = {INSPECTION: Background(INSPECTION, lambda: inspection_section(found), 60.0)}
    live = PanelSet(
        lambda known: [], lambda timeline: Sections(timeline, {}, slow, ended=dict), lambda _: ""
    )
    try:
        shown = live.panel(INSPECTION)._repr_mimebundle_()
    finally:
        live.close()
    bundle = shown[0] if isinstance(shown, tuple) else shown
    json.dumps(inspection_section(found))
    for data in (bundle, inspect_panel(found)._repr_mimebundle_(), still(found, tmp_path)):
        assert isinstance(data, dict)
        assert "<script" not in data["text/html"] and "src=" not in data["text/html"]
        for finding in found.findings:
            assert finding.code in data["text/html"] and finding.code in data["text/plain"]
        assert "orders-per-region" in data["text/html"]


def still(found: Inspection, directory: Path) -> object:
    """Of a saved case."""
    save_case(found, directory / "case.zip")
    return inspect_panel(directory / "case.zip")._repr_mimebundle_()


def test_a_leader_that_stands_still_delays_no_cell_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hawork.panels.panel_set._FIRST_LOOK", 0.05)
    answers = threading.Event()

    def never() -> Json:
        answers.wait(10)
        return JOB_SECTION

    panels = panels_of(never, late(STORE_SECTION))
    try:
        shown = panels.panel("jobs")._repr_mimebundle_()
    finally:
        answers.set()
        panels.close()
    data = shown[0] if isinstance(shown, tuple) else shown
    assert "Jobs" in data["text/plain"]
