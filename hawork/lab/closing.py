"""What has to be done once before a lab is closed; what was interrupted can be tried again."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Closing:
    """Steps in their order, each safe to repeat. None is left out because another one failed."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        self._left = list(steps)
        self._going_on = threading.RLock()

    def first(self, step: Callable[[], object]) -> None:
        """Do this before all others."""
        self._left.insert(0, step)

    def go_on(self) -> None:
        """Try every step that is left. Raises an interrupt, or else the first error, at the end.

        What raised is left for the next call.
        """
        raised: BaseException | None = None
        with self._going_on:
            for step in list(self._left):
                try:
                    step()
                except BaseException as error:  # noqa: BLE001 - raised below
                    if raised is None or not isinstance(error, Exception):
                        raised = error
                else:
                    self._left.remove(step)
        if raised is not None:
            raise raised
