"""Which faults a seed stands for: the same on every machine, whatever can be done there."""

from __future__ import annotations

import random
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hawork.core.errors import LabError

VERSION = 3
"""Of the table below, and of how it is drawn from: another one makes other faults of a seed."""
OLDEST = 2
"""The first version whose seeds stand for the same faults here."""

_LONGEST = 1e6


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: how often it comes, what it needs, and how long it lasts.

    ``least`` and ``most`` are in lease durations: less than one, and the leader keeps its
    leadership; more, and it must not.
    """

    name: str
    weight: int
    needs: str = ""
    least: float = 0.0
    most: float = 1.5
    stores: tuple[str, ...] = ("embedded", "zookeeper", "kubernetes")
    since: int = OLDEST
    """The first version of the table that has it."""


_SERVERS = ("zookeeper", "kubernetes")
_ZK = ("zookeeper",)
_K8S = ("kubernetes",)

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("kill", 16),
        Kind("terminate", 8),
        Kind("restart", 6),
        Kind("short pause", 10, least=0.05, most=0.6),
        Kind("long pause", 12, least=1.2, most=2.5),
        Kind("block", 5, "watchdog"),
        Kind("kill task", 7, "tasks"),
        Kind("writes fail", 5, "limits", 0.2, 2.0),
        Kind("opens fail", 4, "limits", 0.2, 2.0),
        Kind("deleted file", 7, "files", 0.5, 4.0),
        Kind("damaged file", 7, "files", 0.5, 4.0),
        Kind("unreadable file", 5, "files", 0.5, 4.0),
        Kind("deleted pointer", 3, "pointers", 0.5, 3.0),
        Kind("damaged pointer", 3, "pointers", 0.5, 3.0),
        Kind("full disk", 4, "disk", 0.3, 2.0),
        Kind("full scratch", 4, "scratch disk", 0.3, 3.0, since=3),
        Kind("cleared scratch", 4, "scratch", since=3),
        Kind("suspended clock", 4, "clock"),
        Kind("jumping clock", 4, "clock"),
        Kind("cut", 4, "network", 0.3, 2.0, stores=_SERVERS),
        Kind("silence both ways", 3, "network", 0.3, 2.0, stores=_SERVERS),
        Kind("silence to the store", 4, "network", 0.3, 2.0, stores=_SERVERS),
        Kind("silence from the store", 4, "network", 0.3, 2.0, stores=_SERVERS),
        Kind("delay", 4, "network", 0.5, 2.5, stores=_SERVERS),
        Kind("expired session", 4, "sessions", stores=_ZK),
        Kind("server restart", 3, "servers", 0.2, 1.0, stores=_SERVERS),
        Kind("server pause", 3, "servers", 0.2, 1.5, stores=_SERVERS),
        Kind("lost member", 5, "ensemble", 0.5, 2.5, stores=_ZK),
        Kind("revoked right", 5, "rights", 0.3, 2.0, stores=_K8S),
        Kind("outdated watches", 2, "rights", stores=_K8S),
    )
}


@dataclass(frozen=True, slots=True)
class Wish:
    """One fault as the seed wants it; what it meets depends on the machine."""

    number: int
    kind: Kind
    pause: float
    """Seconds before it."""
    lasts: float
    """In lease durations."""
    choice: float
    """Between 0 and 1: which of the targets that there are."""
    often: float
    """Between 0 and 1: whether the leader is the target, rather than any process."""


@dataclass(frozen=True, slots=True)
class Seed:
    """A seed, with the version of the table that it draws from.

    >>> print(Seed(4711, 2))
    n2-4711
    """

    number: int
    version: int = VERSION

    def __str__(self) -> str:
        return f"n{self.version}-{self.number}"


def wishes(seed: Seed, store: str, mean_pause: float) -> Iterator[Wish]:
    """The faults of a seed for one type of HA store, without end."""
    source = random.Random(f"hawork nemesis {seed.version} {store} {seed.number}")
    kinds = [kind for kind in KINDS.values() if store in kind.stores and kind.since <= seed.version]
    weights = [kind.weight for kind in kinds]
    number = 0
    while True:
        number += 1
        (kind,) = source.choices(kinds, weights)
        yield Wish(
            number, kind, min(source.expovariate(1.0), 4.0) * mean_pause,
            source.uniform(kind.least, kind.most), source.random(), source.random(),
        )  # fmt: skip


def check_length(minutes: float | None, faults: int | None) -> None:
    """``LabError`` for a length of a drill, or a number of its faults, that is none."""
    if minutes is not None and not 0 < minutes < _LONGEST:
        raise LabError(f"a drill of {minutes:g} minutes is none: give more than 0")
    if faults is not None and faults < 1:
        raise LabError(f"a drill of {faults} faults is none: give at least 1")


def seed_of(given: int | str | Seed | None) -> Seed:
    """A seed as it was printed, such as ``n2-4711``; a number is one of this version.

    A new one for ``None``. ``LabError`` for one of a version that makes other faults of it here.
    """
    if isinstance(given, Seed):
        return given
    if given is None:
        return Seed(secrets.randbelow(1_000_000))
    if isinstance(given, int):
        return Seed(given)
    found = re.fullmatch(r"(?:n([0-9]{1,6})-)?([0-9]{1,18})", given.strip())
    if found is None:
        raise LabError(f"{given!r} is not a seed: write a number, or one as it was printed, "
                       f"such as {Seed(4711)}")  # fmt: skip
    version = VERSION if found[1] is None else int(found[1])
    if not OLDEST <= version <= VERSION:
        raise LabError(
            f"seed {given} is of version {version} of the nemesis, and this one knows {OLDEST} to "
            f"{VERSION}, which make other faults of it: use the hawork that printed it"
        )
    return Seed(int(found[2]), version)
