"""A ZooKeeper session to look with, for a person who waits for the answer."""

from __future__ import annotations

from typing import Final

from hawork.backends.zookeeper.session import ZooKeeperSession
from hawork.backends.zookeeper.settings import ZooKeeperSettings
from hawork.core.clock import SYSTEM_CLOCK, Clock
from hawork.core.configuration import Configuration
from hawork.core.events import NullEventSink

__all__ = ["REFUSED", "open_to_look"]

REFUSED: Final = 2.0
"""Seconds for which every server has to refuse connections before none is tried again. In between
each is tried some five times; one that is slow is given the whole connection timeout."""


def open_to_look(config: Configuration, clock: Clock = SYSTEM_CLOCK) -> ZooKeeperSession:
    """An open session. ``StoreUnavailableError`` when no server answers."""
    session = ZooKeeperSession(ZooKeeperSettings.of(config), clock, NullEventSink())
    session.open(refused=REFUSED)
    return session
