"""A ZooKeeper session to look with, for a person who waits for the answer."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from hawork.backends.zookeeper.session import ZooKeeperSession
from hawork.backends.zookeeper.settings import ZooKeeperSettings
from hawork.core import options
from hawork.core.clock import SYSTEM_CLOCK, Clock
from hawork.core.configuration import Configuration
from hawork.core.events import NullEventSink

__all__ = ["REFUSED", "SILENT", "open_to_look"]

REFUSED: Final = 2.0
"""Seconds for which every server has to refuse connections before none is tried again. In between
each is tried some five times; one that is slow is given the whole connection timeout."""
SILENT: Final = 5.0
"""Seconds without an answer after which a person is told so. Who set the option
``connection-timeout`` knows the servers, and waits as long as it says."""
_CLOSING: Final = 0.5
"""Seconds for closing a session that holds nothing: a silent server is not waited for again."""


def open_to_look(
    config: Configuration, clock: Clock = SYSTEM_CLOCK, seconds: float | None = None
) -> ZooKeeperSession:
    """An open session; it, and each read, gives up after ``seconds`` without an answer.

    By default as a person does, ``SILENT`` and ``REFUSED``. A program that knows that servers come
    up says for how long: they may refuse until then. ``StoreUnavailableError`` when none answers.
    """
    settings = ZooKeeperSettings.of(config)
    refused = REFUSED if seconds is None else math.inf
    if seconds is None:
        own = config.contains(options.ZK_CONNECTION_TIMEOUT)
        seconds = settings.connection_timeout if own else SILENT
    settings = replace(
        settings, connection_timeout=seconds, close_wait=min(settings.close_wait, _CLOSING)
    )
    session = ZooKeeperSession(settings, clock, NullEventSink(), silence=seconds)
    session.open(refused=refused)
    return session
