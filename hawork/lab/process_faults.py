"""Faults of processes, as verbs of the lab."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hawork.core.events import Event

if TYPE_CHECKING:
    from hawork.lab.faults import Faults


class ProcessFaults:
    """What ``LabCluster`` can do to its processes.

    Each verb returns the event that tells of it. A target is a name, such as ``jm-1``, or
    ``"leader"``; ``LabError`` when there is no such process, or not in that state.
    """

    def kill(self, target: str = "leader") -> Event:
        """SIGKILL a process: it is gone at once, nothing is released or saved.

        >>> fault = lab.kill("leader")                                     # doctest: +SKIP
        >>> fault.facts["target"]                                          # doctest: +SKIP
        'jm-1'
        """
        return self._faults().kill(target)

    def terminate(self, target: str = "leader") -> Event:
        """SIGTERM a process: it releases leadership, keeps all HA data, and ends.

        If it stands at an armed step, it goes on from there.

        >>> lab.terminate("jm-2")                                          # doctest: +SKIP
        """
        return self._faults().terminate(target)

    def pause(self, target: str = "leader") -> Event:
        """SIGSTOP a process: it stands still, like a long garbage collection.

        >>> paused = lab.pause("leader")                                   # doctest: +SKIP
        >>> await lab.wait_for_leader(other_than=paused)                   # doctest: +SKIP
        """
        return self._faults().pause(target)

    def resume(self, target: str) -> Event:
        """SIGCONT a paused process.

        >>> woken = lab.resume("jm-1")                                     # doctest: +SKIP
        >>> await lab.wait_for_event("leadership.revoked", "jm-1", after=woken)  # doctest: +SKIP
        """
        return self._faults().resume(target)

    def restart(self, target: str) -> Event:
        """Kill a process if it is alive, and start it again under its name.

        >>> lab.restart("jm-1")                                            # doctest: +SKIP
        """
        return self._faults().restart(target)

    def _faults(self) -> Faults:
        raise NotImplementedError
