"""Panels of a real lab, without a browser: what their model says while things happen."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from ipykernel.comm.comm import BaseComm

from hawork.core.errors import LabError
from hawork.lab import LabCluster, inspect_panel, replay
from hawork.panels.feed import Json
from hawork.panels.static_views import static_views
from hawork.panels.store_rows import StoreRows
from hawork.panels.widgets import hear_where_it_was_said
from hawork.testing import eventually

JOBS = f"{Path(__file__).parent / 'lab_jobs.py'}"
Look = Callable[[], Json]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabCluster]:
    with LabCluster(2, 1, directory=tmp_path_factory.mktemp("panels") / "run") as lab:
        yield lab


@pytest.fixture(scope="module")
def state(lab: LabCluster) -> Look:
    """The newest keyframe's state, as every view has it."""
    panel = lab.panels()
    assert panel.widget.panels == ["cluster", "timeline", "jobs", "stepper", "store"]
    assert lab._panel_set is not None
    hub = lab._panel_set.hub
    return lambda: hub.keyframe["state"]


def until(look: Callable[[], Any]) -> Any:
    def found() -> Any:
        try:
            return look()
        except (KeyError, IndexError, TypeError):
            return None  # the section is not there yet

    eventually(found, interval=0.05)
    return look()


def ask(lab: LabCluster, **request: str) -> None:
    assert lab._panel_set is not None
    lab._panel_set.ask(request)


def test_the_cards_say_who_leads(lab: LabCluster, state: Look) -> None:
    leader = lab.leader()
    information = lab.leader_information()
    assert information is not None

    def told() -> bool:
        """Retrieval knows the leader at once, a card what its events tell, a moment later."""
        cluster = state()["cluster"]
        cards = cluster["cards"]
        assert cluster["leader"] == leader
        assert {name for name, card in cards.items() if card["leads"]} == {leader}
        assert cards[leader]["state"] == "leading"
        assert cards[leader]["session"] == str(information.session_id)
        assert ["address", information.address] in cards[leader]["facts"]
        assert ["slots", "2"] in cards["tm-1"]["facts"]
        return True

    until(told)


def test_a_button_moves_the_leader(lab: LabCluster, state: Look) -> None:
    leader = lab.leader()
    ask(lab, do="kill", target=leader)
    until(lambda: state()["cluster"]["leader"] not in ("", leader))
    assert until(lambda: state()["answer"]["text"]) == f"lab.kill({leader!r})"
    ask(lab, do="pause", target=leader)
    text = f"process {leader} is not running: restart it first"
    until(lambda: state()["answer"] == {"number": 2, "text": text, "ok": False})
    ask(lab, do="restart", target=leader)
    until(lambda: state()["cluster"]["cards"][leader]["state"] == "standby")


def test_a_step_is_armed_reached_and_compared(lab: LabCluster, state: Look, tmp_path: Path) -> None:
    ask(lab, do="arm", step="submit.graph_written", action="hold", target="")
    until(lambda: state()["stepper"]["armed"])
    job = lab.submit(f"{JOBS}:count", config={"end": 30, "output": tmp_path / "o"}, wait=False)
    leader = lab.leader()
    until(lambda: state()["stepper"]["held"] == [[leader, "submit.graph_written", "hold"]])
    difference = until(lambda: state()["stepper"]["difference"])
    came = [
        name for sign, place, name, _ in difference["changes"] if (sign, place) == ("+", "file")
    ]
    assert any("submittedJobGraph" in name for name in came)
    assert not any(place == "pointer" for _, place, _, _ in difference["changes"])
    orphan = until(
        lambda: [
            row
            for row in state()["store"]["rows"].values()
            if row[1] == "job graph" and job.job_id in row[2]
        ]
    )
    assert orphan[0][6] == "nothing points to it"

    ask(lab, do="arm", step="submit.pointer_added", action="hold", target=leader)
    until(lambda: len(state()["stepper"]["armed"]) == 1)
    ask(lab, do="proceed")
    until(lambda: state()["stepper"]["held"] == [[leader, "submit.pointer_added", "hold"]])
    difference = until(lambda: state()["stepper"]["difference"])
    assert difference["since"] == "the step before, submit.graph_written"
    assert [sign for sign, place, _, _ in difference["changes"] if place == "pointer"] == ["+"]
    pointer = until(
        lambda: [
            row for row in state()["store"]["rows"].values()
            if row[1] == "pointer" and job.job_id in row[5]
        ]
    )  # fmt: skip
    assert pointer[0][6] == "sha256 verified"

    # Crash it here: it stands nowhere any more, and the next leader has the job.
    ask(lab, do="kill", target=leader)
    until(lambda: state()["stepper"]["held"] == [])
    ask(lab, do="restart", target=leader)
    assert job.acknowledged().wait() == job.job_id
    job.wait(progress=False)
    until(lambda: state()["jobs"]["jobs"][job.job_id]["status"] == "FINISHED")
    until(lambda: state()["jobs"]["jobs"][job.job_id]["result"].startswith("SUCCEEDED"))


def test_an_altered_file_is_told_from_a_good_one(lab: LabCluster, tmp_path: Path) -> None:
    job = lab.submit(f"{JOBS}:count", config={"output": tmp_path / "o", "rate": 100})
    rows = StoreRows(lab, lab.directory / "storage")

    def graph() -> list[Any]:
        rows.look()  # what is wrong is said when it was so twice
        found = [row for row in rows.look()["rows"].values() if row[0] == "row"]
        return next(row for row in found if job.job_id in row[5] and "submittedJobGraph" in row[5])

    row = graph()
    assert row[6] == "sha256 verified"
    file = lab.directory / "storage" / row[5]
    good = file.read_bytes()
    file.write_bytes(good.replace(b"count", b"cuont"))
    assert graph()[6] == "altered: another sha256"
    file.write_bytes(good + b" ")
    assert graph()[6] == f"altered: {len(good) + 1} bytes, not {len(good)}"
    file.unlink()
    graph()  # it may be going with its pointer
    assert graph()[6] == "the file is missing"
    file.write_bytes(good)
    job.cancel()
    job.wait(progress=False)


def test_a_panel_is_a_table_where_there_are_no_widgets(
    lab: LabCluster, state: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    until(lambda: state()["store"]["rows"])
    monkeypatch.setitem(sys.modules, "hawork.panels.widgets", None)
    for panel, word in (
        (lab.cluster_panel(), "jm-1"), (lab.store_panel(), "lease"), (lab.jobs_panel(), "count"),
        (lab.stepper_panel(), "submit.acknowledged"), (lab.timeline_panel(), "jm-1"),
        (lab.panels(), "submit.acknowledged"), (replay(lab.event_list()), "jm-1"),
        (lab.inspect_panel(), "WILL START"), (inspect_panel(lab), "WILL START"),
    ):  # fmt: skip
        bundle = panel._repr_mimebundle_()
        assert isinstance(bundle, dict)
        assert panel.widget is None
        assert word in bundle["text/plain"]
        assert "<table>" in bundle["text/html"]
        assert "<script" not in bundle["text/html"]


def test_a_view_that_cannot_be_live_gets_the_same_as_text(
    lab: LabCluster, state: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    until(lambda: state()["cluster"]["leader"])
    for panel, word in (
        (lab.cluster_panel(), "jm-1"), (lab.timeline_panel(), "leads with session id"),
        (replay(lab.event_list()), "leads with session id"),
    ):  # fmt: skip
        told: list[Json] = []
        monkeypatch.setattr(panel.widget, "send", told.append)
        for question in ({"do": "face", "id": "7"}, {"do": "kill"}, "face", None):
            panel.widget._handle_custom_msg(question, [])
        (answer,) = told
        assert answer["id"] == "7"
        assert word in answer["face"]


def test_what_is_shown_is_escaped() -> None:
    card = {"state": "<b>", "leads": True, "session": "", "pid": 1, "facts": [["a", "<script>"]]}
    bundle = static_views(
        {"cluster": {"order": ["jm-1"], "cards": {"jm-1": card}}}, ["cluster", "none"]
    )
    assert "<b>" not in bundle["text/html"].replace("<tbody>", "")
    assert "&lt;script&gt;" in bundle["text/html"]


def applied(target: Any, patch: Any) -> Any:
    """A merge patch, as a view applies it."""
    if not isinstance(patch, dict):
        return patch
    known = target if isinstance(target, dict) else {}
    more = {key: applied(known.get(key), value) for key, value in patch.items()}
    return {key: value for key, value in {**known, **more}.items() if value is not None}


def test_a_lab_that_is_closed_leaves_its_last_state(tmp_path: Path) -> None:
    with LabCluster(1, 0, directory=tmp_path / "run", keep=True) as lab:
        panel = lab.panels()
        assert lab._panel_set is not None
        hub = lab._panel_set.hub
        until(lambda: hub.keyframe["state"]["cluster"]["leader"])
        lab.arm("takeover.granted", "hold", "jm-1")
        lab.arm("submit.graph_written", "hold", "jm-1")
        lab.restart("jm-1")
        until(lambda: hub.keyframe["state"]["stepper"]["held"])
        until(lambda: hub.keyframe["state"]["store"]["rows"])
    last = hub.keyframe["state"]
    assert last["life"]["closed"] and 0 < last["life"]["at"] <= hub.keyframe["now"]
    before = [patch for time, patch in last["moments"]["patches"] if time <= last["life"]["at"]]
    shown: Any = reduce(applied, before, {})
    assert shown["cluster"]["cards"]["jm-1"]["state"] != "down", "it went with the lab"
    assert shown["cluster"]["store"]["state"] == "up"
    assert last["cluster"]["leader"] == ""
    assert last["cluster"]["cards"]["jm-1"]["state"] == "down"
    assert not any(enabled for *_, enabled in last["cluster"]["cards"]["jm-1"]["buttons"])
    said = "This lab is closed: this is what it was."
    assert {last[name]["note"] for name in ("cluster", "jobs", "stepper", "store")} == {said}
    assert last["end"]["note"] == f"{said} The slider of the timeline goes through it."
    assert (last["stepper"]["held"], last["stepper"]["armed"]) == ([], [])
    assert last["store"]["rows"] and last["store"]["gone"] == {}
    assert "jm-1" in panel._repr_mimebundle_()[0]["text/plain"]
    assert f"Steps of the protocol: {said}" in panel._repr_mimebundle_()[0]["text/plain"]
    with pytest.raises(LabError, match="this lab is closed"):
        lab.cluster_panel()
    again = lab.timeline_panel()
    assert again.widget.replay
    assert json.dumps(replay(tmp_path / "run").widget.panels) == '["cluster", "timeline", "jobs"]'


def test_a_page_that_was_loaded_again_is_heard() -> None:
    """ipykernel takes a message on the subshell that we spoke from last, and that may be gone."""
    comm = BaseComm(target_name="jupyter.widget")
    comm._reply_subshell_id = "of the page before"
    hear_where_it_was_said(comm)
    assert comm._reply_subshell_for({"method": "custom"}, "of this page") == "of this page"
