"""A znode that counts: whether a ZooKeeper ensemble keeps what it has acknowledged.

Each acknowledged write makes the znode's version greater by one. A version that is not greater
than every one before it shows that acknowledged transactions are gone, with whatever else was
written in their time. No client can help that, hawork's no more than Flink's.

Seen in Debian's 3.8.0 and in the 3.7.2 of Flink 1.20 when servers are killed while they catch up;
public as ZOOKEEPER-4643, ZOOKEEPER-4646 and ZOOKEEPER-4785.
"""

from __future__ import annotations

import contextlib
import threading

from hawork.backends.zookeeper import client as zk
from hawork.backends.zookeeper.session import ZooKeeperSession
from hawork.backends.zookeeper.settings import ZooKeeperSettings
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.configuration import Configuration
from hawork.core.errors import HaworkError
from hawork.core.events import NullEventSink

PATH = "/hawork-nemesis"
_PAUSE = 0.05  # seconds: what is lost in less is not seen


class Canary(threading.Thread):
    """Writes until ``end``; ``lost`` tells what of it was gone at the next write."""

    def __init__(self, config: Configuration) -> None:
        super().__init__(name="nemesis-canary", daemon=True)
        self.lost: list[str] = []
        self.version = -1
        """The one that was acknowledged last; -1 before the first."""
        self._session = ZooKeeperSession(
            ZooKeeperSettings.of(config), SYSTEM_CLOCK, NullEventSink()
        )
        self._done = threading.Event()

    def run(self) -> None:
        try:
            self._session.open()
            while not self._done.wait(_PAUSE):
                with contextlib.suppress(HaworkError, zk.KazooException):  # tried again
                    self._write()
        except HaworkError:
            return  # a drill without a store says so itself
        finally:
            self._session.close()

    def end(self) -> None:
        """Stop writing; may be repeated."""
        self._done.set()
        if self.is_alive():
            self.join()

    def saw(self, version: int) -> None:
        """Take in the version that the store says the znode has after a write; -1 for none."""
        if version <= self.version:
            gone = self.version - version + (version >= 0)
            self.lost.append(
                f"of {self.version + 1} acknowledged writes to znode {PATH} the last {gone} are "
                f"gone: its version is {version}"
            )
        self.version = version

    def _write(self) -> None:
        try:
            stat = self._session.perform(lambda client: client.set_async(PATH, b""), PATH)
        except zk.NoNodeError:
            if self.version >= 0:
                self.saw(-1)
            with contextlib.suppress(zk.NodeExistsError):  # an answer that did not come
                self._session.perform(lambda client: client.create_async(PATH, b""), PATH)
            return
        self.saw(stat.version)
