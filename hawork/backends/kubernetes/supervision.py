"""What a supervisor does for a dead JobManager: it clears its lock annotation.

The API server cannot know whether the process is dead: the caller must.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from hawork.backends.kubernetes.client import KubernetesClient
from hawork.backends.kubernetes.election_driver import release
from hawork.backends.kubernetes.guarded_map import GuardedMap
from hawork.backends.kubernetes.layout import Names
from hawork.backends.kubernetes.settings import KubernetesSettings
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.configuration import Configuration
from hawork.core.errors import ConfigurationError
from hawork.core.events import NullEventSink


def release_leadership(config: Configuration, ticket: Mapping[str, str]) -> bool:
    """Release the lock that the holder of ``ticket`` has; whether it had it.

    ``StoreUnavailableError`` when the server does not answer, ``ConfigurationError`` for what
    is not a ticket.
    """
    try:
        if ticket["type"] != "kubernetes":
            raise ValueError(ticket["type"])
        holder = str(UUID(ticket["holder"]))
    except (KeyError, ValueError):
        raise ConfigurationError(
            f"{dict(ticket)!r} is not a ticket of a Kubernetes lock: pass the driver's ticket()"
        ) from None
    settings = KubernetesSettings.of(config)
    names = Names(settings.cluster_id)
    client = KubernetesClient(settings)
    try:
        cluster = GuardedMap(
            client, names.cluster_map, names.labels, settings.max_retries, NullEventSink()
        )
        return release(cluster, {holder}, SYSTEM_CLOCK)
    finally:
        client.close()


def write_lock_holder(config: Configuration) -> int | None:
    """None: the store is a server, and no client holds a lock in it."""
    return None
