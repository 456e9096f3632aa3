"""What a simulated HA store offers to the cluster that uses it, and to the checker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, ClassVar

from hawork.simulation.scheduler import SimulatedProcess


class Store(ABC):
    """The server, or the file, that one simulated cluster shares."""

    options: ClassVar[Mapping[str, object]]
    """hawork's options for it, with short leases."""
    expected_points: ClassVar[int]
    """How many points a schedule of one job has, about: a quarter more than without any fault."""

    @abstractmethod
    def substitutes(self) -> dict[tuple[Any, str], Callable[..., Any]]:
        """By module and name: what stands for the way from hawork to the server."""

    @abstractmethod
    def leading(self) -> str | None:
        """The session id under which it would accept a write now."""

    @abstractmethod
    def pointers_left(self) -> list[str]:
        """Every pointer that it holds, in words."""

    def has_late_marks(self) -> bool:
        """Whether a deposed leader has left what the next takeover removes."""
        return False

    @abstractmethod
    def take_away(self, random: Random) -> str | None:
        """Another hand removes a pointer; which one, in words. ``None`` when there is none."""

    @abstractmethod
    def expire(self) -> None:
        """Take leadership from a living leader, as a timeout in the store does."""

    @abstractmethod
    def servers_restart(self) -> None:
        """All connections break, and are made again; a store without servers has none."""

    @abstractmethod
    def process_died(self, process: SimulatedProcess) -> None:
        """The kernel of its host closes what the process had open."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what it holds in this program."""
