"""A lab's end of its supervisor: start, signal and watch processes through it."""

from __future__ import annotations

import io
import itertools
import json
import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import replace
from pathlib import Path
from typing import Any

from hawork.core.errors import LabError
from hawork.core.forks import when_forked
from hawork.core.library_path import module_command
from hawork.core.types import ProcessEnd, ProcessState
from hawork.core.user_files import where_programs_run

ANSWER_TIMEOUT = 30.0
"""Seconds; a supervisor answers in milliseconds, so this only ends a hang."""


class ProcessControl:
    """Starts a supervisor and gives it commands; safe to use from several threads.

    ``options`` is the cluster's configuration, ``release`` whether the supervisor gives up
    the leadership of a JobManager that died. Every method raises ``LabError`` when the
    supervisor refuses or is gone.
    """

    def __init__(
        self, run_directory: Path, options: Mapping[str, str], *, release: bool = True
    ) -> None:
        logs = run_directory / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        with (logs / "supervisor.log").open("ab") as log:
            self._process = subprocess.Popen(
                module_command("hawork.runtime.supervisor", str(run_directory)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                # A Ctrl-C, or a kernel's interrupt, is not for the processes of the lab.
                start_new_session=True,
                cwd=where_programs_run(),
            )
        when_forked(self, ProcessControl._let_go)
        self._numbers = itertools.count(1)
        self._answers: dict[int, Future[dict[str, Any]]] = {}
        self._states: dict[str, ProcessState] = {}
        self._ends: list[ProcessEnd] = []
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._reader = threading.Thread(target=self._read, name="hawork-supervisor", daemon=True)
        self._reader.start()
        try:
            self._call("configure", options=dict(options), release=release)
        except BaseException:  # an interrupt, too: nothing else knows of the supervisor yet
            self.stop(grace=0)
            raise

    def _let_go(self) -> None:
        """Close the pipe by whose end the supervisor knows that its lab is gone."""
        raw: io.FileIO = self._process.stdin.raw  # type: ignore[union-attr]
        raw.close()  # not the writer around it, whose lock a thread of the parent may have

    @property
    def pid(self) -> int:
        return self._process.pid

    def processes(self) -> dict[str, ProcessState]:
        """Every process that was ever started, by name."""
        with self._changed:
            return dict(self._states)

    def ends(self) -> list[ProcessEnd]:
        """Every end of a process so far, also of those that were started again since."""
        with self._changed:
            return list(self._ends)

    def start(
        self, name: str, argv: Sequence[str], *, env: Mapping[str, str] | None = None,
        log: Path | None = None, directory: Path | None = None,
    ) -> int:  # fmt: skip
        """Start a process in ``directory``; returns its pid."""
        answer = self._call(
            "start", name=name, argv=list(argv), env=dict(env or {}),
            log=str(log) if log else None, directory=str(directory) if directory else None,
        )  # fmt: skip
        return int(answer["pid"])

    def signal(self, name: str, signal_name: str) -> None:
        """Send one of the supervisor's ``SIGNALS`` to a process group; a STOP has taken effect."""
        self._call("signal", name=name, signal=signal_name)

    def wait_until(self, name: str, *states: str, timeout: float = ANSWER_TIMEOUT) -> ProcessState:
        """Wait until a process is in one of ``states``."""

        def there() -> bool:
            return self._states[name].state in states or not self._reader.is_alive()

        with self._changed:
            if not self._changed.wait_for(there, timeout):
                raise LabError(
                    f"process {name} is still {self._states[name].state} after {timeout:g} s"
                )
            return self._states[name]

    def stop(self, grace: float = 2.0) -> None:
        """End all processes, gracefully for ``grace`` seconds, and the supervisor; repeatable."""
        if self._process.poll() is None:
            with self._changed:
                alive = any(state.alive for state in self._states.values())
            try:
                if alive and grace > 0:
                    self._call("stop", timeout=grace + ANSWER_TIMEOUT, grace=grace)
            except LabError:
                pass  # it is gone: its children end by themselves
            finally:
                self._close_commands()
                self._process.wait()
        self._close_commands()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _close_commands(self) -> None:
        with self._sending:
            if self._process.stdin is not None and not self._process.stdin.closed:
                try:
                    self._process.stdin.close()
                except BrokenPipeError:
                    return

    def _call(
        self, command: str, *, timeout: float = ANSWER_TIMEOUT, **facts: Any
    ) -> dict[str, Any]:
        number = next(self._numbers)
        answer: Future[dict[str, Any]] = Future()
        self._answers[number] = answer
        line = json.dumps({"id": number, "command": command, **facts}).encode() + b"\n"
        try:
            with self._sending:
                assert self._process.stdin is not None
                os.write(self._process.stdin.fileno(), line)
            if not self._reader.is_alive():
                raise BrokenPipeError
            report = answer.result(timeout)
        except (OSError, ValueError, FutureTimeoutError):
            raise LabError(
                f"the lab's supervisor (process {self.pid}) does not answer: close the lab and "
                "start a new one"
            ) from None
        finally:
            del self._answers[number]
        if report["report"] == "error":
            raise LabError(report["message"])
        return report

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            report = json.loads(line)
            with self._changed:
                self._note(report)
                self._changed.notify_all()
            answer = self._answers.get(report.get("id"))
            if answer is not None:
                self._settle(answer, report)
        gone = {"report": "error", "message": "the lab's supervisor ended: start a new lab"}
        for answer in list(self._answers.values()):
            self._settle(answer, gone)
        with self._changed:
            for name, state in self._states.items():
                if state.alive:
                    self._states[name] = replace(state, state="exited")
            self._changed.notify_all()

    @staticmethod
    def _settle(answer: Future[dict[str, Any]], report: dict[str, Any]) -> None:
        try:
            answer.set_result(report)
        except InvalidStateError:
            return

    def _note(self, report: dict[str, Any]) -> None:
        name, what = report.get("name"), report["report"]
        if not name:
            return
        known = self._states.get(name)
        if what == "done" and (known is None or known.pid != report["pid"]):
            starts = known.starts + 1 if known else 1
            self._states[name] = ProcessState(name, report["pid"], "running", starts=starts)
        elif known is not None and what == "exited":
            status = report["status"]
            self._states[name] = replace(known, state="exited", status=status)
            self._ends.append(ProcessEnd(name, known.pid, status, time.monotonic()))
        elif known is not None and what in ("paused", "resumed"):
            self._states[name] = replace(known, state="paused" if what == "paused" else "running")


def last_words(log: Path) -> str:
    """The last line that a process printed, without those of a stack trace."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        text = ""
    lines = [line for line in text.splitlines() if line[:1].strip()]
    return lines[-1].strip() if lines else "it printed nothing"
