"""What live panels cost the kernel: time and bytes per update, and memory over a long session."""

from __future__ import annotations

import gc
import json
import statistics
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import comm
import plotly.graph_objects
import pytest

from hawork.core.events import Event, EventKind
from hawork.panels.controller import Controller
from hawork.panels.live_timeline import MOST_SEGMENTS, LiveTimeline
from hawork.panels.widgets import HubWidget, PanelWidget
from tests.benchmarks.figures import Table

SEGMENTS = 600
UPDATES = 200
STEP = 0.1
"""Seconds of the simulated session between two updates."""

HOUR = 3600.0
MANAGERS = ("jm-1", "jm-2", "jm-3")
COLOURS = ("#35b591", "#d9d9d9", "#f0e442")


class CountingComm(comm.base_comm.BaseComm):
    """Turns messages into JSON, as a kernel does, and counts their bytes."""

    sizes: list[int] = []

    def publish_msg(
        self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **_: Any
    ) -> None:
        CountingComm.sizes.append(len(json.dumps(data, default=str)))


@pytest.fixture(autouse=True)
def counting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comm, "create_comm", CountingComm)
    monkeypatch.setattr(CountingComm, "sizes", [])


class Session:
    """A simulated session: leadership moves again and again, a job completes checkpoints."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.events: list[Event] = []
        self._turn = 0
        for name in MANAGERS:
            self.add(name, EventKind.PROCESS_STARTED, role="jobmanager", pid=1)

    def add(self, process: str, kind: EventKind, **more: Any) -> None:
        fixed = {key: more.pop(key) for key in ("session_id", "job_id") if key in more}
        self.events.append(Event(kind, process, 1e9 + self.now, self.now, facts=more, **fixed))

    def advance(self, *, move: bool) -> None:
        """A step of time; with ``move`` another process leads after it."""
        self.now += STEP
        if move:
            before, self._turn = MANAGERS[self._turn % 3], self._turn + 1
            after, session = MANAGERS[self._turn % 3], f"{self._turn:08x}-0000-0000"
            self.add(before, EventKind.LEADERSHIP_REVOKED)
            self.add(after, EventKind.LEADERSHIP_GRANTED, session_id=session)
            self.add(after, EventKind.LEADERSHIP_CONFIRMED, session_id=session,
                     component="rest_server", address="http://127.0.0.1:1")  # fmt: skip
        else:
            self.add(MANAGERS[self._turn % 3], EventKind.CHECKPOINT_COMPLETED,
                     job_id="0" * 32, checkpoint_id=len(self.events))  # fmt: skip

    def arrived(self, known: int) -> list[Event]:
        return self.events[known:]


def hub_of(session: Session) -> tuple[LiveTimeline, Controller]:
    timeline = LiveTimeline(session.arrived)
    hub = HubWidget()
    PanelWidget(hub, ["timeline"], str)
    controller = Controller(timeline, dict, str, hub, clock=lambda: session.now + STEP / 2)
    return timeline, controller


def filled(session: Session, timeline: LiveTimeline) -> None:
    while len(timeline.lists()["segments"]) < SEGMENTS:
        session.advance(move=True)
        timeline.advance(session.now + 1.0)


def run_live() -> tuple[PanelWidget, Controller]:
    """For a notebook: a panel of a simulated session with ten changes a second."""
    session = Session()
    timeline = LiveTimeline(session.arrived)
    hub = HubWidget()
    controller = Controller(timeline, dict, str, hub, clock=lambda: session.now)
    filled(session, timeline)

    def go_on() -> None:
        while True:
            time.sleep(STEP)
            session.advance(move=len(session.events) % 5 == 0)

    threading.Thread(target=go_on, daemon=True).start()
    controller.start()
    return PanelWidget(hub, ["timeline"], str), controller


def measured(update: Callable[[], None]) -> Iterator[tuple[float, int]]:
    """Milliseconds and bytes of each update."""
    for _ in range(UPDATES):
        CountingComm.sizes.clear()
        began = time.perf_counter()
        update()
        yield (time.perf_counter() - began) * 1000, sum(CountingComm.sizes)


def test_an_update_with_600_segments() -> None:
    times = Table(f"An update of the timeline with {SEGMENTS} segments", "ms", first="kernel time")
    sizes = Table("The same", "kB", first="sent per update")
    for name, update in (("hawork", ours()), ("plotly's FigureWidget", plotlys())):
        figures = list(measured(update))
        milliseconds = [each for each, _ in figures]
        mean = [statistics.mean(milliseconds)] * len(figures)
        limit = 2.0 if name == "hawork" else None
        times.add(name, milliseconds, at_most=limit)
        times.add(f"{name}, mean with keyframes" if limit else f"{name}, mean", mean, at_most=limit)
        sizes.add(name, [size / 1000 for _, size in figures])
    times.print()
    sizes.print()


def ours() -> Callable[[], None]:
    session = Session()
    timeline, controller = hub_of(session)
    filled(session, timeline)
    controller.tick()

    def update() -> None:
        session.advance(move=len(session.events) % 5 == 0)
        controller.tick()

    return update


def plotlys() -> Callable[[], None]:
    """Bars in a FigureWidget, of which every update sets the whole trace."""
    starts = [float(number // 3) for number in range(SEGMENTS)]
    widths = [1.0] * SEGMENTS
    colours = [COLOURS[number % 3] for number in range(SEGMENTS)]
    lanes = [MANAGERS[number % 3] for number in range(SEGMENTS)]
    bars = plotly.graph_objects.Bar(
        base=starts, x=widths, y=lanes, orientation="h", marker={"color": colours}
    )
    figure = plotly.graph_objects.FigureWidget(data=[bars])

    def update() -> None:
        widths[-1] += STEP
        with figure.batch_update():
            figure.data[0].x = list(widths)
            figure.data[0].base = list(starts)
            figure.data[0].marker.color = list(colours)

    return update


def test_an_idle_lab_sends_nothing() -> None:
    session = Session()
    timeline, controller = hub_of(session)
    filled(session, timeline)
    controller.tick()
    session.now += 10.0
    controller.tick()
    CountingComm.sizes.clear()
    for _ in range(600):
        session.now += STEP
        controller.tick()
    print(f"\nA minute in which nothing happens: {len(CountingComm.sizes)} messages (at most 0)")
    assert CountingComm.sizes == []


@pytest.mark.timeout(400)
def test_memory_over_an_hour() -> None:
    """An update a second. The log stays with the reader: it is made first and not counted."""
    whole, session = Session(), Session()
    moments = []
    for step in range(int(HOUR / STEP)):
        whole.advance(move=step % 5 == 0)
        moments.append((whole.now, len(whole.events)))
    shown = 0
    timeline = LiveTimeline(lambda known: whole.events[known:shown])
    controller = Controller(timeline, dict, str, HubWidget(), clock=lambda: session.now)
    kept: list[float] = []
    tracemalloc.start()
    try:
        for now, count in moments[::10]:
            session.now, shown = now, count
            controller.tick()
            if session.now - 1000.0 >= HOUR / 4 * (len(kept) + 1) - 1.0:
                kept.append(_held())
    finally:
        tracemalloc.stop()
    told = timeline.lists()
    figures = ", ".join(f"{each:.1f}" for each in kept)
    print(f"\n{len(whole.events):,} events in an hour; after each quarter: {figures} MB")
    print(f"rows: {len(told['segments'])} segments, {len(told['marks'])} marks")
    assert len(told["segments"]) <= MOST_SEGMENTS
    assert len(kept) == 4
    assert kept[-1] < kept[0] * 1.2 + 0.5


def _held() -> float:
    """Megabytes that the panels' own code holds."""
    import hawork.panels as package

    gc.collect()  # what waits to be collected is not held
    folder = str(package.__path__[0])
    snapshot = tracemalloc.take_snapshot()
    own = snapshot.filter_traces([tracemalloc.Filter(True, f"{folder}/*")])
    return sum(each.size for each in own.statistics("filename")) / 1e6
