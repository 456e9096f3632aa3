"""Servers that are processes of this machine: started, paused, killed and restarted by name."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

from hawork.client.waiting import POLL
from hawork.core.errors import LabError
from hawork.runtime.process_control import ProcessControl, last_words
from hawork.servers.machine import waited_for_a_processor

_MOST_IN_THE_QUEUE = 0.9


class LocalServers(ABC):
    """Named servers below ``directory``; a context manager.

    Every method that names a server takes ``None`` for all of them. ``LabError`` for a name that
    is not one of them, and when a server does not come up; the message has its last line.
    """

    called: ClassVar[str]
    """What one of them is called."""
    start_seconds: ClassVar[float] = 30.0

    def __init__(self, directory: Path, names: Sequence[str]) -> None:
        self._directory = directory.absolute()
        self.names = list(names)
        self._control: ProcessControl | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- life -----------------------------------------------------------------------------

    def start(self) -> Self:
        """Start all servers and wait until they serve."""
        if self._control is None:
            self._control = ProcessControl(self._directory, {}, release=False)
            try:
                for name in self.names:
                    self._launch(name)
                self.wait_ready()
                self._started()
            except BaseException:
                self.stop()
                raise
        return self

    def stop(self) -> None:
        """End all servers at once; what they stored stays."""
        if self._control is not None:
            self._control.stop(grace=0)
            self._control = None  # only now: an interrupt must not lose the servers

    def pause(self, name: str | None = None) -> None:
        """SIGSTOP: connections stay open, and get no answer."""
        self._signal(name, "STOP")

    def resume(self, name: str | None = None) -> None:
        self._signal(name, "CONT")

    def kill(self, name: str | None = None) -> None:
        """SIGKILL: connections break, new ones are refused. Nothing stored is lost."""
        self._signal(name, "KILL")
        for each in self.named(name):
            self._running().wait_until(each, "exited")

    def restart(self, name: str | None = None) -> None:
        """Start again what was killed, on the same port, and wait until it serves."""
        states = self._running().processes()
        for each in self.named(name):
            if not states[each].alive:
                self._launch(each)
        self.wait_ready(name)

    def wait_ready(self, name: str | None = None) -> None:
        """Wait until the servers take requests."""
        began = time.monotonic()
        end = began + self.start_seconds
        for each in self.named(name):
            while not self._serves(each):
                states = self._running().processes()
                for needed in self._needed(each):
                    if not states[needed].alive:
                        raise LabError(f"{needed} ended: {self.last_words(needed)}")
                if time.monotonic() > end:
                    end = self._patience(each, began)
                time.sleep(POLL)  # a server has nothing but its port to say that it is up

    def _patience(self, name: str, began: float) -> float:
        """Until when to go on waiting for a server: ``LabError`` if for no longer.

        Time in which it stood in the queue for a processor is not its own: on a busy machine a
        server that needs four seconds may have had none of sixty. Of ten seconds one counts at
        least, so that one that goes round in circles there is given up, too.
        """
        states, passed = self._running().processes(), time.monotonic() - began
        queued = waited_for_a_processor(states[each].pid for each in self._needed(name))
        queued = min(queued, _MOST_IN_THE_QUEUE * passed)
        if passed > self.start_seconds + queued:
            busy = f", in {queued:.0f} of which it waited for a processor" if queued >= 1 else ""
            raise LabError(
                f"{name} does not serve after {passed:.0f} s{busy}: {self.last_words(name)}"
            )
        return began + self.start_seconds + queued

    # --- looking --------------------------------------------------------------------------

    def pid(self, name: str) -> int:
        return self._running().processes()[self.known(name)].pid

    def last_words(self, name: str) -> str:
        """The last line that a server printed."""
        return last_words(self.log(name))

    def log(self, name: str) -> Path:
        return self._directory / "logs" / f"{self.known(name)}.log"

    def named(self, name: str | None) -> list[str]:
        """One server, or all of them for ``None``, in the order in which they start."""
        return self.names if name is None else [self.known(name)]

    def known(self, name: str) -> str:
        """The name; ``LabError`` when it is not that of a server."""
        if name not in self.names:
            raise LabError(
                f"there is no {self.called} {name!r}: use {' or '.join(sorted(self.names))}"
            )
        return name

    # --- what each kind has of its own ----------------------------------------------------

    @abstractmethod
    def _launch(self, name: str) -> None:
        """Start the process of one server."""

    @abstractmethod
    def _serves(self, name: str) -> bool:
        """Whether a server takes requests."""

    def _needed(self, name: str) -> Sequence[str]:
        """The servers that must run for this one to come up."""
        return [name]

    def _started(self) -> None:  # noqa: B027 - for most there is nothing to do
        """What is to be done once all servers serve for the first time."""

    # --- helpers --------------------------------------------------------------------------

    def _signal(self, name: str | None, signal_name: str) -> None:
        states = self._running().processes()
        for each in self.named(name):
            if states[each].alive:
                self._running().signal(each, signal_name)

    def _running(self) -> ProcessControl:
        if self._control is None:
            raise LabError(f"the {self.called} is not running: start it first")
        return self._control
