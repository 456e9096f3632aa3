"""What the parts of one process's embedded backend share."""

from __future__ import annotations

from hawork.backends.embedded.database import Database
from hawork.backends.embedded.directory import directory_of, prepare_directory
from hawork.backends.embedded.layout import CONTENDERS, DATABASE
from hawork.backends.embedded.store_watcher import StoreWatcher
from hawork.backends.embedded.versions import Versions
from hawork.backends.embedded.write_turns import WriteTurns
from hawork.core import options
from hawork.core.clock import Clock
from hawork.core.configuration import Configuration
from hawork.core.events import EventSink
from hawork.ha.layout import cluster_directory
from hawork.ha.lease_state import LeaseTimeouts


class EmbeddedStore:
    """The file of the cluster that ``config`` names, opened for writing, reading, watching.

    Errors as those of ``open_backend``.
    """

    def __init__(self, config: Configuration, clock: Clock, events: EventSink) -> None:
        self.clock = clock
        self.events = events
        self.timeouts = LeaseTimeouts(
            config.get_option(options.EMBEDDED_LEASE_DURATION),
            config.get_option(options.EMBEDDED_RENEW_DEADLINE),
            config.get_option(options.EMBEDDED_RETRY_PERIOD),
        )
        self.crash_detection = config.get_option(options.EMBEDDED_CRASH_DETECTION)
        self._directory = directory_of(config)
        self._cluster_id = cluster_directory(config)
        self._busy_timeout: float = config.get_option(options.EMBEDDED_BUSY_TIMEOUT)
        self._turns = WriteTurns()
        self.versions = Versions()
        self.file = self._directory / DATABASE
        self.contenders = self._directory / CONTENDERS
        prepare_directory(self._directory)
        self.writer = self.open_database(durable=True)
        try:
            # Its own connection, so that reading does not wait for a commit to reach the disk.
            self.reader = self.open_database(durable=False)
            try:
                self.watcher = StoreWatcher(lambda: self.open_database(durable=False))
            except BaseException:
                self.reader.close()
                raise
        except BaseException:
            self.writer.close()
            raise

    def open_database(self, *, durable: bool) -> Database:
        """Another connection; the caller closes it."""
        return Database(
            self._directory,
            self._cluster_id,
            self._busy_timeout,
            durable=durable,
            turns=self._turns,
        )

    def close(self) -> None:
        """Stop watching and close the file. May be repeated."""
        self.watcher.close()
        self.reader.close()
        self.writer.close()
