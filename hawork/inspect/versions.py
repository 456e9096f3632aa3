"""Which releases of Flink may have written something."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

__all__ = ["KNOWN_VERSIONS", "FlinkVersions"]

KNOWN_VERSIONS: Final = (
    "1.3", "1.4", "1.5", "1.6", "1.7", "1.8", "1.9", "1.10", "1.11", "1.12", "1.13", "1.14",
    "1.15", "1.16", "1.17", "1.18", "1.19", "1.20", "2.0", "2.1", "2.2", "2.3",
)  # fmt: skip
"""Minor releases whose bytes were looked at, in order."""


@dataclass(frozen=True, slots=True)
class FlinkVersions:
    """A run of minor releases, such as 1.16 to 1.18; ``last`` is ``None`` for an open end.

    >>> str(FlinkVersions("1.16", "1.18")), str(FlinkVersions("2.0"))
    ('1.16 to 1.18', '2.0 or later')
    >>> "1.17.2" in FlinkVersions("1.16", "1.18")
    True
    """

    first: str = KNOWN_VERSIONS[0]
    last: str | None = None

    def __contains__(self, version: str) -> bool:
        """Whether this release, such as ``1.20`` or ``1.20.5``, is one of them."""
        number = _number(version)
        return _number(self.first) <= number and (self.last is None or number <= _number(self.last))

    def overlaps(self, other: FlinkVersions) -> bool:
        """Whether a release is in both."""
        return _before(self.first, other.last) and _before(other.first, self.last)

    def __and__(self, other: FlinkVersions) -> FlinkVersions:
        """The releases that are in both; ``self`` when there are none: that is a contradiction."""
        first = max(self.first, other.first, key=_number)
        lasts = [last for last in (self.last, other.last) if last is not None]
        last = min(lasts, key=_number, default=None)
        return FlinkVersions(first, last) if self.overlaps(other) else self

    def __str__(self) -> str:
        if self.last is None:
            return f"{self.first} or later"
        return self.first if self.first == self.last else f"{self.first} to {self.last}"


def _before(first: str, last: str | None) -> bool:
    return last is None or _number(first) <= _number(last)


@cache
def _number(version: str) -> tuple[int, int]:
    major, _, rest = version.partition(".")
    minor = rest.partition(".")[0]
    return int(major), int("".join(letter for letter in minor if letter.isdigit()) or 0)
