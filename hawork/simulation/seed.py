"""The name of a schedule: with it a run can be had again, as long as the code is the same."""

from __future__ import annotations

import functools
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import hawork
from hawork.core.errors import ConfigurationError
from hawork.simulation.faults import Order

_SIMULATED = ("core", "ha", "job", "backends", "client", "runtime", "simulation", "testing")
"""The packages whose code decides what a seed does."""
_FORM = re.compile(r"([0-9a-f]{8}):([a-z]+):([0-9]+)((?:\+[^+]+)*)")


class ForeignSeedError(ConfigurationError):
    """A seed of another version of the code names another schedule."""


@dataclass(frozen=True, slots=True)
class Seed:
    """``version:backend:number+order+order``, such as ``1b2c3d4e:embedded:17+crash@result.dirty``.

    ``version`` is that of the code which made it; ``orders`` are faults by name instead of those
    that the number would draw.
    """

    backend: str
    number: int
    orders: tuple[Order, ...] = ()
    version: str = ""

    def __str__(self) -> str:
        orders = "".join(f"+{order}" for order in self.orders)
        return f"{self.version or version()}:{self.backend}:{self.number}{orders}"

    @classmethod
    def parse(cls, text: str, *, any_version: bool = False) -> Seed:
        """``ForeignSeedError`` for a seed of another version, unless any will do.

        With another version the faults that a seed names strike all the same; what it draws, and
        the order of threads, is another schedule.
        """
        found = _FORM.fullmatch(text)
        if found is None:
            raise ConfigurationError(
                f"{text!r} is not a seed: write version:backend:number as a simulation printed it"
            )
        made_by, backend, number, orders = found.groups()
        if made_by != version() and not any_version:
            raise ForeignSeedError(
                f"seed {text} was made by version {made_by} of the code, and this is version "
                f"{version()}: check out the commit that printed it, or replay it with "
                "any_version=True, which is another schedule"
            )
        parsed = tuple(Order.parse(order) for order in orders.split("+") if order)
        return cls(backend, int(number), parsed, made_by)


@functools.cache
def version() -> str:
    """Eight digits that are others after any change of the simulated code."""
    root = Path(hawork.__file__).parent
    digest = hashlib.sha256()
    for package in _SIMULATED:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:8]
