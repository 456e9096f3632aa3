"""One thread that owns the state of all panels of a lab.

It looks at the sources ten times a second, sends what changed, and does what buttons ask for.
A view only enqueues. The thread is not the kernel's, so panels go on moving while a cell
blocks; it sends through the hub's model and never prints or displays
(docs/decisions, "A thread moves the panels").
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol, TypeVar

from hawork.core.errors import HaworkError
from hawork.panels.feed import Feed, Json
from hawork.panels.live_timeline import LiveTimeline

PAUSE = 0.1
"""Seconds between looks: at most ten changes and one keyframe in 1.5 s go out, for all panels."""

T = TypeVar("T")

REMEMBERED = 64
"""Requests whose ids are known: a view that saw no answer sends the same one again."""


class Transport(Protocol):
    """Where messages go: the hub's model."""

    def send_delta(self, message: Json) -> None: ...

    def send_keyframe(self, message: Json) -> None: ...


class Controller:
    """``sections`` give the state of each panel by name; ``perform`` does one request.

    Every request is answered by a sentence in the section ``answer``, never by an exception.
    What cannot be looked at stays as it was, and the section ``trouble`` says why. ``epilogue``
    gives more sections for the last message of all.
    """

    def __init__(
        self,
        timeline: LiveTimeline,
        sections: Callable[[], Mapping[str, Json]],
        perform: Callable[[Mapping[str, Any]], str],
        transport: Transport,
        clock: Callable[[], float] = time.monotonic,
        *,
        epilogue: Callable[[], Mapping[str, Json]] = dict,
    ) -> None:
        self._epilogue = epilogue
        self._timeline = timeline
        self._sections = sections
        self._perform = perform
        self._transport = transport
        self._clock = clock
        self._feed = Feed()
        self._seen: Mapping[str, Json] = {}
        self._seen_timeline: Json = {}
        self._trouble = ""
        self._answer: Json = {"number": 0, "text": "", "ok": True}
        self._requests: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self._taken: deque[str] = deque(maxlen=REMEMBERED)
        self._taking = threading.Lock()
        self._ended = threading.Event()
        self._told_the_end = False
        self._keyframe_wanted = threading.Event()
        self._missed = False  # something that was to be told may not have arrived
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        self._threads = [
            threading.Thread(target=self._watch, name="panels", daemon=True),
            threading.Thread(target=self._act, name="panel-buttons", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def enqueue(self, request: Mapping[str, Any]) -> None:
        """Called on any thread; returns at once. A request with a known ``id`` is ignored."""
        if request.get("do") == "keyframe":
            self._keyframe_wanted.set()
            return
        if number := str(request.get("id", "")):
            with self._taking:
                if number in self._taken:
                    return
                self._taken.append(number)
        self._requests.put(request)

    def close(self) -> None:
        """End both threads, and tell the views the end of the story. Repeatable."""
        if self._told_the_end:
            return
        self._ended.set()
        self._requests.put(None)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(5.0)
        self.tick(last=True)
        self._told_the_end = True

    def tick(self, *, last: bool = False) -> None:
        """Look once, and send what changed."""
        now = self._clock()
        nothing: tuple[dict[str, list[Any]], bool] = ({}, False)
        advance = partial(self._timeline.advance, now, last=last)
        added, incomplete = self._try(advance, nothing, loses=True)
        self._seen = self._try(self._sections, self._seen)
        sections = {**self._seen, "answer": self._answer, "life": {"closed": last}}
        self._seen_timeline = self._try(partial(self._timeline.section, now), self._seen_timeline)
        sections["timeline"] = self._seen_timeline
        if last:
            nothing_more: Mapping[str, Json] = {}
            sections.update(self._try(self._epilogue, nothing_more))
        if self._trouble:
            sections["trouble"] = {"text": self._trouble}
        with self._taking:
            sections["requests"] = {"taken": list(self._taken)}
        moment = self._timeline.milliseconds(now)
        delta = self._feed.delta(sections, added, moment)
        if delta is not None and not incomplete and not last:
            self._transport.send_delta(delta)
        force = incomplete or last or self._keyframe_wanted.is_set()
        if self._feed.keyframe_due(now, force=force, missed=self._missed):
            self._keyframe_wanted.clear()
            self._missed = False
            keyframe = self._feed.keyframe(self._timeline.lists(), moment)
            self._transport.send_keyframe(keyframe)
        self._trouble = ""

    def act(self, request: Mapping[str, Any]) -> None:
        """Do one request; its answer is shown with the next look."""
        try:
            text, ok = self._perform(request), True
        except HaworkError as error:
            text, ok = str(error), False
        except Exception as error:  # noqa: BLE001 - one request must not end all buttons
            text, ok = f"{type(error).__name__}: {error}", False
        self._answer = {"number": self._answer["number"] + 1, "text": text, "ok": ok}

    def _try(self, look: Callable[[], T], before: T, *, loses: bool = False) -> T:
        """``before`` when a look fails; one that ``loses`` does not tell the same a second time."""
        try:
            return look()
        except HaworkError:
            # The lab is being closed, or a process list changed under our eyes.
            return before
        except Exception as error:  # noqa: BLE001 - one look must not end all panels
            self._complain(error)
            self._missed |= loses
            return before

    def _complain(self, error: Exception) -> None:
        self._trouble = (
            f"Not all of this is new ({type(error).__name__}: {error}): the panels go on looking."
        )

    def _watch(self) -> None:
        while not self._ended.wait(PAUSE):
            try:
                self.tick()
            except Exception as error:  # noqa: BLE001 - one message must not end all panels
                self._complain(error)
                self._missed = True

    def _act(self) -> None:
        while (request := self._requests.get()) is not None:
            self.act(request)
