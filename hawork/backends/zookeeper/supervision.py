"""What a supervisor does for a dead JobManager: it closes its ZooKeeper session.

The session is re-attached with its id and password (the driver's ticket) and closed, so that
its latch node goes at once and the next contender leads, whatever the session timeout is. The
servers cannot know whether the process is dead: the caller must.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hawork.backends.zookeeper.session import ZooKeeperSession
from hawork.backends.zookeeper.settings import ZooKeeperSettings
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.configuration import Configuration
from hawork.core.connection import ConnectionState
from hawork.core.errors import ConfigurationError, StoreUnavailableError
from hawork.core.events import NullEventSink

_MOST_SECONDS = 10.0  # by then most sessions have ended by themselves
_TRIES = 5


def release_leadership(config: Configuration, ticket: Mapping[str, str]) -> bool:
    """Close the session of ``ticket``; whether it was still open.

    ``StoreUnavailableError`` when no server answers, ``ConfigurationError`` for what is no
    ticket.
    """
    try:
        client_id = int(ticket["session"], 16), bytes.fromhex(ticket["password"])
    except (KeyError, ValueError):
        raise ConfigurationError(
            f"{dict(ticket)!r} is not a ticket of a ZooKeeper session: pass the driver's ticket()"
        ) from None
    settings = replace(ZooKeeperSettings.of(config), track_ensemble=False)
    for _ in range(_TRIES):
        session = ZooKeeperSession(settings, SYSTEM_CLOCK, NullEventSink(), client_id)
        try:
            session.open(min(settings.connection_timeout, _MOST_SECONDS))
        except StoreUnavailableError:
            if session.state == ConnectionState.LOST:
                raise  # no server has ever answered
            identity = None
        else:
            identity = session.identity
        session.close()
        if identity is not None:
            return identity[0] == client_id[0]
        # A process that is alive after all has taken its session back in that moment.
    return False


def write_lock_holder(config: Configuration) -> int | None:
    """None: the store is a server, and no client holds a lock in it."""
    return None
