"""What a supervisor does for a contender that is dead or about to be stopped."""

from __future__ import annotations

from collections.abc import Mapping

from hawork.backends.embedded import shared_memory
from hawork.backends.embedded.crash_lock import is_dead, sweep
from hawork.backends.embedded.database import Database
from hawork.backends.embedded.directory import directory_of
from hawork.backends.embedded.layout import CONTENDERS, DATABASE
from hawork.backends.embedded.lease_table import release_lease
from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.core.errors import ConfigurationError
from hawork.ha.layout import cluster_directory


def release_leadership(config: Configuration, ticket: Mapping[str, str]) -> bool:
    """Remove the lease row of the contender on the ticket; whether it had one.

    Only when its file lock is free, which proves that it is dead.
    """
    contender = _contender_on(ticket)
    directory = directory_of(config)
    contenders = directory / CONTENDERS
    if not (directory / DATABASE).exists() or not is_dead(contenders, contender):
        return False
    busy_timeout = config.get_option(options.EMBEDDED_BUSY_TIMEOUT)
    database = Database(directory, cluster_directory(config), busy_timeout, durable=False)
    try:
        with database.writing() as connection:
            released = release_lease(connection, contender)
    finally:
        database.close()
    if released:
        sweep(contenders)
    return released


def write_lock_holder(config: Configuration) -> int | None:
    """The process inside a write transaction right now, if any."""
    return shared_memory.write_lock_holder(directory_of(config))


def _contender_on(ticket: Mapping[str, str]) -> str:
    contender = ticket.get("contender", "")
    # It becomes a file name.
    if ticket.get("type") != "embedded" or not contender.isalnum():
        raise ConfigurationError(
            f"ticket {dict(ticket)!r} is not of the embedded backend: give the one of its driver"
        )
    return contender
