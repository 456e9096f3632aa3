"""Looking at something slow, on a thread of its own, so that nothing else waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from hawork.core.errors import HaworkError


class Background:
    """Calls ``look`` every ``every`` seconds once started; ``latest`` is its last answer.

    A look at the leader waits while the leader stands still; a panel must not. An error is
    shown as the sentence it is, beside the last answer; so is an answer that tells only a part.
    """

    def __init__(self, name: str, look: Callable[[], dict[str, Any]], every: float) -> None:
        self._name = name
        self._look = look
        self._every = every
        self._ended = threading.Event()
        self._looked = threading.Event()
        self._thread: threading.Thread | None = None
        self.latest: dict[str, Any] = {}

    def start(self) -> None:
        """Repeatable."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name=f"panel-{self._name}", daemon=True
            )
            self._thread.start()

    def close(self, timeout: float = 1.0) -> None:
        """Ask it to end; a look that hangs is left to end by itself."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def wait_for_first(self, seconds: float) -> None:
        """Until the first look has ended, which may be at once; at most for ``seconds``."""
        self._looked.wait(seconds)

    def look_once(self) -> None:
        try:
            self.latest = {**self.latest, **self._look(), "error": ""}
        except HaworkError as error:
            self.latest = {**self.latest, "error": str(error)}
        except Exception as error:  # noqa: BLE001 - the panel says why it sees nothing
            self.latest = {**self.latest, "error": f"{type(error).__name__}: {error}"}
        self._looked.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            self.look_once()
            self._ended.wait(self._every)
