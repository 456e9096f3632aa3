"""Contenders as real processes, to be killed and stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hawork.core.configuration import Configuration
from tests.contract.harness import TIMEOUT

_PROGRAM = Path(__file__).with_name("contender.py")


class ContenderProcess:
    def __init__(self, config: Configuration) -> None:
        self._process = subprocess.Popen(
            [sys.executable, _PROGRAM, json.dumps(dict(config))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.heard: list[dict[str, Any]] = []
        self._unread: list[dict[str, Any]] = []
        self._ended = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.ticket: dict[str, str] = self.wait_for("ticket")

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_for(self, kind: str) -> Any:
        """The value of the oldest message of that kind that was not waited for yet."""
        found: list[dict[str, Any]] = []

        def arrived() -> bool:
            found[:] = [message for message in self._unread if kind in message][:1]
            return bool(found) or self._ended

        with self._changed:
            assert self._changed.wait_for(arrived, TIMEOUT), f"no {kind}, but {self.heard}"
            assert found, f"it ended without {kind}, after {self.heard}"
            self._unread.remove(found[0])
        return found[0][kind]

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        self.kill()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            # A dead process has not read its last command.
            with suppress(BrokenPipeError):
                stream.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            with self._changed:
                self.heard.append(message)
                self._unread.append(message)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


@contextmanager
def contender_process(config: Configuration) -> Iterator[ContenderProcess]:
    process = ContenderProcess(config)
    try:
        yield process
    finally:
        process.end()
