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
    "refused", "lost", "delay", "cut", "stop", "no-tasks", "hang", "unmount", "taken",
)  # fmt: skip
"""What may happen to a JobManager at a point of its way.

``crash`` and ``crash-after``: it dies, before or after what it does there has landed. ``pause`` and
``long-pause``: it stands still for less and for more than its lease, as a host that stalls does;
``-after`` between the landing and the answer. ``refused``: the request does not arrive. ``lost``:
it lands, and its answer does not come. ``delay``: both take long. ``cut``: nothing gets through
for a while. ``stop``: SIGTERM. ``no-tasks``: its TaskManager is lost, with its tasks and with what
is under way to them, and comes back. ``hang``: storageDir does not answer this request for longer
than a leader may wait for it; elsewhere it is a delay. ``unmount``: storageDir is not mounted for a
while, for all. ``taken``: another hand takes a pointer out of the HA store. A fault that a point
does not know is a pause there.
"""
_WEIGHTS = (4, 3, 1, 4, 1, 3, 2, 5, 2, 2, 1, 2, 1, 1, 1)
_AT_STEPS = ("crash", "long-pause", "pause", "stop", "no-tasks")
_ORDER = re.compile(r"(>?)([a-z-]+)@([a-z]+[.a-z_]*)(?:/([a-z]+\.[a-z_]+))?(?:#([0-9]{1,4}))?")
WRITES = (
    ".lock", ".create", ".patch", ".delete", ".transaction", ".commit", ".write", ".rename",
)  # fmt: skip
"""How the labels of requests end that change something."""
REQUEST = "request"
"""The label of an order that means each request, to the HA store and to storageDir."""


@dataclass(frozen=True, slots=True)
class Order:
    """``kind`` strikes when a point of this ``label`` is reached for the ``nth`` time.

    With ``after`` only points count whose process has come to that step last; with ``then`` only
    those that come when the order before this one has struck.
    """

    kind: str
    label: str
    nth: int = 1
    after: str | None = None
    then: bool = False

    def __str__(self) -> str:
        then = ">" if self.then else ""
        after = "" if self.after is None else f"/{self.after}"
        nth = f"#{self.nth}" if self.nth > 1 else ""
        return f"{then}{self.kind}@{self.label}{after}{nth}"

    def meets(self, label: str, step: str | None) -> bool:
        """Whether a point counts: what is done there, and its process's last step."""
        if self.after is not None and self.after != step:
            return False
        return self.label == label or (self.label == REQUEST and label not in STEPS)

    @classmethod
    def parse(cls, text: str) -> Order:
        """``ConfigurationError`` when ``text`` is not ``kind@label/step#n``."""
        found = _ORDER.fullmatch(text)
        if found is None or found[2] not in KINDS:
            raise ConfigurationError(
                f"{text!r} is not an order of a fault: write kind@label, kind@label#n or "
                f"kind@label/step, with one of {', '.join(KINDS)}, for example "
                "crash@checkpoint.written#2"
            )
        return cls(found[2], found[3], int(found[5] or 1), found[4], bool(found[1]))


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that happened, for the story."""

    at: float
    process: str
    kind: str
    label: str


@dataclass(slots=True)
class _Waiting:
    """Orders of which each counts from the moment on at which the one before has struck."""

    orders: list[Order]
    seen: int = 0
    """How many points the first of them has met."""


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
        self._orders: list[_Waiting] = []
        self._is_ordered = bool(orders)
        for order in orders:
            if order.then and self._orders:
                self._orders[-1].orders.append(order)
            else:
                self._orders.append(_Waiting([order]))
        self.reached: set[tuple[str, str | None]] = set()
        """Points that were reached: label, and the step to which the process had come last."""
        self.later: Counter[str] = Counter()
        """By the last step of their process: requests that came when each order had struck."""
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
                nth = random.choices((1, 2, 3), (6, 3, 1))[0]
                self._orders.append(_Waiting([Order(kind, step, nth)]))
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
        if self._is_ordered and not self._orders and step is not None and label not in STEPS:
            self.later[step] += 1
        if kind is None and self._orders:
            for waiting in self._orders:
                order = waiting.orders[0]
                if order.label in (label, REQUEST) and order.meets(label, step):
                    waiting.seen += 1
                    if waiting.seen == order.nth:
                        kind = order.kind
                        del waiting.orders[0]
                        waiting.seen = 0
                        if not waiting.orders:
                            self._orders.remove(waiting)
                        break
        if kind is not None:
            self.struck.append(Struck(now, process, kind, label))
        return kind


JOB_MANAGER_STEPS = tuple(name for name in STEPS if not name.startswith("task."))
"""The steps that a JobManager reaches; the others are a TaskManager's."""
