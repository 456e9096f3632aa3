"""Which fault strikes where: decided by the seed alone, or by an order that a seed names."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from random import Random

from hawork.core.errors import ConfigurationError
from hawork.core.steps import STEPS

KINDS = (
    "crash", "crash-after", "pause", "long-pause", "pause-after", "long-pause-after",
    "refused", "lost", "delay", "cut", "stop", "no-tasks", "hang",
)  # fmt: skip
"""What may happen to a JobManager at a point of its way.

``crash`` and ``crash-after``: it dies, before or after what it does there has landed. ``pause`` and
``long-pause``: it stands still for less and for more than its lease, as a host that stalls does;
``-after`` between the landing and the answer. ``refused``: the request does not arrive. ``lost``:
it lands, and its answer does not come. ``delay``: both take long. ``cut``: nothing gets through
for a while. ``stop``: SIGTERM. ``no-tasks``: its TaskManager is lost, with its tasks and with what
is under way to them, and comes back. ``hang``: storageDir does not answer this request for longer
than a leader may wait for it; elsewhere it is a delay. A fault that a point does not know is a
pause there.
"""
_WEIGHTS = (4, 3, 1, 4, 1, 3, 2, 5, 2, 2, 1, 2, 1)
_AT_STEPS = ("crash", "long-pause", "pause", "stop", "no-tasks")
_ORDER = re.compile(r"([a-z-]+)@([a-z]+[.a-z_]*)(?:/([a-z]+\.[a-z_]+))?(?:#([0-9]{1,4}))?")


@dataclass(frozen=True, slots=True)
class Order:
    """``kind`` strikes when a point of this ``label`` is reached for the ``nth`` time.

    With ``after`` only points count whose process has come to that step last.
    """

    kind: str
    label: str
    nth: int = 1
    after: str | None = None

    def __str__(self) -> str:
        after = "" if self.after is None else f"/{self.after}"
        return f"{self.kind}@{self.label}{after}" + (f"#{self.nth}" if self.nth > 1 else "")

    @classmethod
    def parse(cls, text: str) -> Order:
        """``ConfigurationError`` when ``text`` is not ``kind@label/step#n``."""
        found = _ORDER.fullmatch(text)
        if found is None or found[1] not in KINDS:
            raise ConfigurationError(
                f"{text!r} is not an order of a fault: write kind@label, kind@label#n or "
                f"kind@label/step, with one of {', '.join(KINDS)}, for example "
                "crash@checkpoint.written#2"
            )
        return cls(found[1], found[2], int(found[4] or 1), found[3])


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that happened, for the story."""

    at: float
    process: str
    kind: str
    label: str


class Faults:
    """Asked at each point of a JobManager what happens there.

    Without orders, one to four faults strike at points drawn from the seed, of ``expected_points``,
    and up to two at steps; with orders these and no others; with ``quiet`` none.
    """

    def __init__(
        self,
        random: Random,
        orders: tuple[Order, ...],
        expected_points: int,
        *,
        quiet: bool = False,
    ) -> None:
        self._orders = list(orders)
        self._seen: Counter[Order] = Counter()
        self.reached: set[tuple[str, str | None]] = set()
        """Points that were reached: label, and the step to which the process had come last."""
        self._points = 0
        self._at: dict[int, str] = {}
        if not orders and not quiet:
            for _ in range(random.choices((1, 2, 3, 4), (10, 8, 3, 2))[0]):
                kind = random.choices(KINDS, _WEIGHTS)[0]
                self._at[int(random.random() * expected_points)] = kind
            for _ in range(random.choices((0, 1, 2), (4, 4, 2))[0]):
                # Steps are where the protocol is in between; most points are plain reads.
                kind = random.choices(_AT_STEPS, (6, 5, 1, 1, 1))[0]
                step = random.choice(JOB_MANAGER_STEPS)
                self._orders.append(Order(kind, step, random.choices((1, 2, 3), (6, 3, 1))[0]))
        self.struck: list[Struck] = []

    def end(self) -> None:
        """Strike no more."""
        self._orders.clear()
        self._at.clear()

    @property
    def pending(self) -> bool:
        """Whether a fault that was drawn for a moment is still to come."""
        return bool(self._at) and self._points < max(self._at)

    def at(self, process: str, label: str, now: float, step: str | None) -> str | None:
        """The fault that strikes now, if one does; ``step``: the last one of the process."""
        self.reached.add((label, step))
        number = self._points
        self._points = number + 1
        kind = self._at.pop(number, None) if self._at else None
        if kind is None and self._orders:
            for order in self._orders:
                if order.label == label and order.after in (None, step):
                    self._seen[order] += 1
                    if self._seen[order] == order.nth:
                        self._orders.remove(order)
                        kind = order.kind
                        break
        if kind is not None:
            self.struck.append(Struck(now, process, kind, label))
        return kind


JOB_MANAGER_STEPS = tuple(name for name in STEPS if not name.startswith("task."))
"""The steps that a JobManager reaches; the others are a TaskManager's."""
