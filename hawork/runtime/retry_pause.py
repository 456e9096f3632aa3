"""How long to wait before something that failed is tried again, for as long as it takes."""

from __future__ import annotations

_FIRST = 0.2  # seconds
_LONGEST = 5.0


class RetryPause:
    """A pause that doubles: soon at first, and never a tight loop."""

    def __init__(self, first: float = _FIRST, longest: float = _LONGEST) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    def next(self) -> float:
        """Seconds to wait now."""
        pause, self._next = self._next, min(self._next * 2, self._longest)
        return pause

    def over(self) -> None:
        """It worked: the next failure is another one."""
        self._next = self._first
