"""How a thread waits: for a time, a descriptor, or another thread's word."""

from __future__ import annotations

import contextlib
import math
import os
import select
import threading

_LONGEST = 3600.0


class Wakeup:
    """One thread waits, any thread wakes it. Cheaper than an ``Event`` when waits are short."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._poll = select.poll()
        self._poll.register(self._read, select.POLLIN)

    def wake(self) -> None:
        """End the present wait, or else the next one. Does nothing once closed."""
        with self._lock:
            if not self._closed:
                # A full pipe wakes as well as a fuller one.
                with contextlib.suppress(BlockingIOError):
                    os.write(self._write, b".")

    def wait(self, seconds: float, descriptor: int | None = None) -> bool:
        """Wait until woken, ``descriptor`` is readable, or ``seconds`` have passed.

        Whether it ended before its time.
        """
        if descriptor is not None:
            self._poll.register(descriptor, select.POLLIN)
        try:
            # Rounded up, so as not to be early and wait again for nothing.
            woken = self._poll.poll(math.ceil(max(0.0, min(seconds, _LONGEST)) * 1000))
        finally:
            if descriptor is not None:
                self._poll.unregister(descriptor)
        if woken:
            with contextlib.suppress(BlockingIOError):
                os.read(self._read, 4096)
        return bool(woken)

    def close(self) -> None:
        """Free the pipe. Called by the thread that waits, or when it is gone."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._read)
                os.close(self._write)
