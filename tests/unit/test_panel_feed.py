"""What is sent to the views: patches that add up, numbers without gaps, keyframes in time."""

from __future__ import annotations

import copy
import itertools
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab_story import START, killed_leader

from hawork.core.errors import LabError
from hawork.lab.processes import LabProcesses
from hawork.panels.background import Background
from hawork.panels.commands import BUTTONS, buttons, perform
from hawork.panels.controller import Controller
from hawork.panels.feed import KEYFRAME_PAUSE, Feed, Json, merge_patch
from hawork.panels.live_timeline import LiveTimeline
from hawork.testing import eventually

values = st.recursive(
    st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from("abcd"), values, max_size=4)


def apply_patch(target: Json, patch: Json) -> Json:
    """RFC 7396, as state.js does it."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            apply_patch(target[key], value)
        else:
            target[key] = copy.deepcopy(value)
    return target


@given(objects, objects)
def test_a_patch_turns_one_into_the_other(old: Json, new: Json) -> None:
    assert apply_patch(copy.deepcopy(old), merge_patch(old, new)) == new
    assert merge_patch(new, new) == {}


def test_nothing_is_sent_while_nothing_changes() -> None:
    feed = Feed()
    first = feed.delta({"a": {"x": 1}}, {"marks": []}, now=5)
    assert first == {"seq": 1, "now": 5, "patch": {"a": {"x": 1}}}
    assert feed.delta({"a": {"x": 1}}, {"marks": []}, now=9) is None
    second = feed.delta({"a": {"x": 1}}, {"marks": [["jm-1"]]}, now=9)
    assert second == {"seq": 2, "now": 9, "append": {"marks": [["jm-1"]]}}


def test_a_keyframe_follows_a_change_and_is_not_repeated() -> None:
    feed = Feed()
    feed.delta({"a": {"x": 1}}, {}, now=0)
    assert feed.keyframe_due(10.0)
    assert not feed.keyframe_due(99.0)
    feed.delta({"a": {"x": 2}}, {}, now=0)
    assert feed.keyframe_due(100.0)
    feed.delta({"a": {"x": 3}}, {}, now=0)
    assert not feed.keyframe_due(100.0 + KEYFRAME_PAUSE / 2)
    assert feed.keyframe_due(100.0 + KEYFRAME_PAUSE)
    assert feed.keyframe_due(101.0, force=True)


class Recorder:
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        self.deltas: list[Json] = []
        self.keyframes: list[Json] = []

    def send_delta(self, message: Json) -> None:
        self.deltas.append(copy.deepcopy(message))

    def send_keyframe(self, message: Json) -> None:
        self.keyframes.append(copy.deepcopy(message))


def controller(
    transport: Recorder, perform: Callable[[Any], str] = str, sections: Json | None = None
) -> Controller:
    events = killed_leader().events
    timeline = LiveTimeline(lambda known: events[known:])
    return Controller(
        timeline, lambda: sections or {}, perform, transport, clock=lambda: START + 60
    )


def test_an_idle_lab_sends_one_change_and_one_keyframe() -> None:
    transport = Recorder()
    busy = controller(transport)
    for _ in range(50):
        busy.tick()
    assert (len(transport.deltas), len(transport.keyframes)) == (1, 1)
    keyframe = transport.keyframes[0]
    assert keyframe["seq"] == transport.deltas[0]["seq"]
    assert len(keyframe["lists"]["segments"]) == len(transport.deltas[0]["append"]["segments"])


@pytest.mark.parametrize(("what", "most"), [("sections", 1), ("events", 3)])
def test_what_fails_for_good_is_said_once_and_does_not_flood_the_views(
    what: str, most: int
) -> None:
    """A keyframe is all there is: ten a second of them, for as long as one source is broken."""

    def odd(*_: Any) -> Any:
        raise ValueError("odd")

    transport, looks = Recorder(), itertools.count()
    timeline = LiveTimeline(odd if what == "events" else lambda known: [])
    busy = Controller(
        timeline, odd if what == "sections" else dict, str, transport,
        clock=lambda: START + next(looks) * 0.1,
    )  # fmt: skip
    for _ in range(40):
        busy.tick()
    troubles = [delta["patch"]["trouble"] for delta in transport.deltas]
    assert len(troubles) == 1 and "odd" in troubles[0]["text"]
    assert 1 <= len(transport.keyframes) <= most


def test_what_a_button_asks_for_is_done_on_another_thread_and_answered() -> None:
    transport = Recorder()
    asked, held = threading.Event(), threading.Event()

    def perform(request: Any) -> str:
        asked.set()
        assert held.wait(10)
        return f"lab.{request['do']}()"

    busy = controller(transport, perform)
    busy.start()
    try:
        busy.enqueue({"do": "kill"})
        assert asked.wait(10)
        eventually(lambda: transport.keyframes)  # it goes on looking meanwhile
        held.set()
        eventually(lambda: answers(transport)[-1:] == ["lab.kill()"])
    finally:
        held.set()
        busy.close()
    assert transport.keyframes[-1]["state"]["life"] == {"closed": True}


def answers(transport: Recorder) -> list[str]:
    said = [delta.get("patch", {}).get("answer", {}) for delta in list(transport.deltas)]
    return [answer["text"] for answer in said if answer.get("text")]


@pytest.mark.parametrize("what", ["sections", "events", "transport"])
def test_an_odd_error_is_said_and_the_panels_go_on(what: str) -> None:
    """A view must not be left with what it saw last, and no word."""
    odd, events, seconds = threading.Event(), killed_leader().events, itertools.count(60, 2)
    odd.set()

    def fail(where: str) -> None:
        if where == what and odd.is_set():
            raise ValueError("odd")

    class Failing(Recorder):
        def send_delta(self, message: Json) -> None:
            if what == "transport" and odd.is_set():
                odd.clear()
                raise ValueError("odd")
            super().send_delta(message)

    def arrived(known: int) -> list[Any]:
        fail("events")
        return events[known:]

    def sections() -> Json:
        fail("sections")
        return {"cluster": {"leader": "jm-1"}}

    def told() -> bool:
        return any(
            last["lists"]["segments"]
            and last["state"].get("cluster") == {"leader": "jm-1"}
            and "trouble" not in last["state"]
            for last in transport.keyframes[-1:]
        )

    transport = Failing()
    busy = Controller(
        LiveTimeline(arrived), sections, str, transport, clock=lambda: START + next(seconds)
    )
    said = {"text": "Not all of this is new (ValueError: odd): the panels go on looking."}
    busy.start()
    try:
        eventually(
            lambda: said in [each.get("patch", {}).get("trouble") for each in transport.deltas],
        )
        odd.clear()
        eventually(told)
    finally:
        busy.close()


def test_a_process_may_be_added_while_the_states_are_looked_at() -> None:
    processes: Any = LabProcesses.__new__(LabProcesses)
    processes._roles = {"jm-1": "jobmanager", "jm-2": "jobmanager"}

    class Adding(dict[str, str]):
        def __contains__(self, name: object) -> bool:
            processes._roles["jm-3"] = "jobmanager"
            return super().__contains__(name)

    processes.control = SimpleNamespace(processes=lambda: Adding({"jm-1": "a", "jm-2": "b"}))
    assert processes.states() == {"jm-1": "a", "jm-2": "b"}


def test_what_cannot_be_done_is_said() -> None:
    def refuse(request: Any) -> str:
        raise LabError("process jm-1 is not running: restart it first")

    transport = Recorder()
    busy = controller(transport, refuse)
    busy.act({"do": "kill", "target": "jm-1"})
    busy.tick()
    answer = transport.deltas[0]["patch"]["answer"]
    assert answer["ok"] is False
    assert answer["text"] == "process jm-1 is not running: restart it first"


def test_a_request_that_is_sent_again_is_done_once_and_said_to_be_taken() -> None:
    """A view sends again what it saw no answer to: a page that was just loaded loses messages."""
    transport, done = Recorder(), []

    def perform(request: Any) -> str:
        done.append(request["id"])
        raise KeyError("odd")  # and nothing that goes wrong ends the buttons

    busy = controller(transport, perform)
    busy.start()
    try:
        for number in ("a", "a", "b", "a"):
            busy.enqueue({"do": "kill", "target": "jm-1", "id": number})
        eventually(lambda: len(answers(transport)) > 0 and len(done) == 2)
    finally:
        busy.close()
    assert done == ["a", "b"]
    assert transport.keyframes[-1]["state"]["requests"] == {"taken": ["a", "b"]}


# --- buttons ---------------------------------------------------------------------------


class FakeLab:
    """Remembers which method was called."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.jobs: list[Any] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: self.calls.append((name, *arguments))


def test_each_button_calls_the_method_of_its_name() -> None:
    from hawork.lab import LabCluster

    for button in BUTTONS:
        assert callable(getattr(LabCluster, button.verb)), button.verb
        lab = FakeLab()
        said = perform(lab, {"do": button.verb, "target": "jm-1"})
        assert lab.calls[0][0] == button.verb
        assert said.startswith(f"lab.{button.verb}(")


def test_an_armed_step_is_for_everybody_or_for_one() -> None:
    lab = FakeLab()
    assert perform(lab, {"do": "arm", "step": "a.b", "action": "hold", "target": ""}) == (
        "lab.arm('a.b', 'hold')"
    )
    perform(lab, {"do": "arm", "step": "a.b", "action": "crash", "target": "jm-2"})
    assert lab.calls == [("arm", "a.b", "hold", None), ("arm", "a.b", "crash", "jm-2")]


@pytest.mark.parametrize("request_", [{}, {"do": "close"}, {"do": "_faults"}, {"do": "__init__"}])
def test_nothing_else_can_be_asked_for(request_: Json) -> None:
    lab = FakeLab()
    with pytest.raises(LabError, match="not a verb of the lab"):
        perform(lab, request_)
    with pytest.raises(LabError, match="was not submitted through this lab"):
        perform(lab, {"do": "cancel", "job": "abc"})
    assert lab.calls == []


def test_buttons_fit_the_state_and_the_store() -> None:
    enabled = {verb for verb, _, on in buttons("jobmanager", "paused", "embedded") if on}
    assert enabled == {"kill", "resume", "restart"}
    verbs = {verb for verb, _, _ in buttons("jobmanager", "running", "kubernetes")}
    assert {"partition", "revoke_right"} <= verbs
    assert "expire_session" not in verbs
    assert buttons("store", "running", "embedded") == []
    dead = {verb for verb, _, on in buttons("jobmanager", "exited", "kubernetes") if on}
    assert dead == {"restart", "grant_right"}, "one that lost a right ends, and needs it to start"


def test_a_slow_look_that_fails_keeps_what_it_had() -> None:
    looks = iter([{"rows": 1}, LabError("no store"), ValueError("odd"), {"rows": 2}])

    def look() -> Json:
        found = next(looks)
        if isinstance(found, Exception):
            raise found
        return found

    background = Background("store", look, 1.0)
    seen = []
    for _ in range(4):
        background.look_once()
        seen.append(background.latest)
    assert seen == [
        {"rows": 1, "error": ""}, {"rows": 1, "error": "no store"},
        {"rows": 1, "error": "ValueError: odd"}, {"rows": 2, "error": ""},
    ]  # fmt: skip
