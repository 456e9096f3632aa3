"""When a peer counts as lost: sans-I/O, told of signs of life and asked with ``now``."""

from __future__ import annotations


class HeartbeatMonitor:
    """Peers by name, and when each was last heard of (Flink's ``HeartbeatMonitor``).

    ``timeout`` is in seconds. A *host stall* (this process itself did not run for a while)
    must not be blamed on the peers: every look that comes later than half a timeout after
    the one before gives all peers one more timeout.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._heard: dict[str, float] = {}
        self._looked: float | None = None

    def watch(self, peer: str, now: float) -> None:
        """Start to watch a peer, or note a sign of life of it."""
        self._heard[peer] = now

    def heard(self, peer: str, now: float) -> None:
        """Note a sign of life; ignored for a peer that is not watched."""
        if peer in self._heard:
            self._heard[peer] = now

    def forget(self, peer: str) -> None:
        self._heard.pop(peer, None)

    def silence(self, peer: str, now: float) -> float:
        """Seconds since the peer was last heard of."""
        return now - self._heard[peer]

    def lost(self, now: float) -> list[str]:
        """The peers that have been silent for longer than the timeout; they are forgotten."""
        stalled = self._looked is not None and now - self._looked > self._timeout / 2
        self._looked = now
        if stalled:
            self._heard = dict.fromkeys(self._heard, now)
            return []
        gone = [peer for peer, heard in self._heard.items() if now - heard > self._timeout]
        for peer in gone:
            del self._heard[peer]
        return gone
