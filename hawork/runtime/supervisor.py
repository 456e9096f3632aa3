"""The supervisor: a small process that starts, reaps, signals and kills the others.

The supervisor starts JobManagers and reaps them. When one dies, it gives up its leadership
in its name *at once*: that is safe because the process is known to be dead, and it makes
failover after a crash take milliseconds at any lease duration. A cut-off process is still
handled by the lease, and so is a paused one, unless the watchdog is on: it asks each JobManager
whether it is alive, and kills one that does not answer, which makes it a dead one.

It has one thread and waits in one place, for: a command, a death (SIGCHLD), a child's word. What
could block (the HA store may be slow or locked) runs in a forked helper process.

On standard input come commands, on standard output go reports, as JSON lines. Each command
has an ``id`` and is answered by one report with the same ``id``::

    {"id": 1, "command": "configure", "options": {...}, "release": true}
    {"id": 2, "command": "start", "name": "jm-1", "argv": [...], "env": {}, "log": "..."}
    {"id": 3, "command": "signal", "name": "jm-1", "signal": "STOP" | ... (SIGNALS)}
    {"id": 4, "command": "stop", "grace": 2.0}

    {"report": "done", "id": 2, "name": "jm-1", "pid": 4711}
    {"report": "error", "id": 3, "message": "..."}
    {"report": "exited", "name": "jm-1", "pid": 4711, "status": -9}
    {"report": "paused" | "resumed", "name": "jm-1", "pid": 4711}
    {"report": "hung", "name": "jm-1", "pid": 4711, "silent": "event loop", "seconds": 1.9}

End of file on standard input means that the lab died: every process group is killed, also
the stopped ones, and the supervisor ends. If the supervisor is killed itself, its children
see the end of their parent pipe.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hawork.core import options
from hawork.core.clock import SYSTEM_CLOCK, Clock
from hawork.core.configuration import Configuration
from hawork.core.events import EventKind, EventLog, EventSink
from hawork.runtime.parent_death import die_with_creator
from hawork.runtime.supervised_process import SupervisedProcess, start_process
from hawork.runtime.watchdog import Watchdog

SIGNALS = {
    "STOP": signal.SIGSTOP,
    "CONT": signal.SIGCONT,
    "TERM": signal.SIGTERM,
    "KILL": signal.SIGKILL,
    "USR2": signal.SIGUSR2,
}
PAUSE_TRIES = 200
PAUSE_WAIT = 0.005

Report = Callable[[dict[str, Any]], None]


class Supervisor:
    """Children, what they tell and their deaths; ``run_once`` is the only place that waits."""

    def __init__(self, events: EventSink, report: Report, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self.children: dict[str, SupervisedProcess] = {}
        self.config = Configuration()
        self.release = False
        self._events = events
        self._report = report
        self._helpers: set[int] = set()
        self._pausing: dict[str, _Pause] = {}
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        # A Python handler must exist for the wake-up byte to be written.
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        self.watch(self._wake_read, self._woken)

    def watch(self, descriptor: int, when_readable: Callable[[], None]) -> None:
        self._selector.register(descriptor, selectors.EVENT_READ, when_readable)

    def unwatch(self, descriptor: int) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(descriptor)

    # --- commands ----------------------------------------------------------------------
    def start(
        self,
        name: str,
        argv: Sequence[str],
        environment: Mapping[str, str],
        log: Path | None = None,
        directory: Path | None = None,
    ) -> int:
        """Start a process; ``ValueError`` when one of that name is running."""
        if name in self.children:
            raise ValueError(f"process {name} is running already: stop it first")
        child = start_process(name, argv, environment, log=log, directory=directory)
        self.children[name] = child
        self.watch(child.told_fd, lambda: self._told(child))
        return child.pid

    def signal(
        self, name: str, number: int, answer: Callable[[int], None] = lambda _: None
    ) -> None:
        """Signal a child's process group; ``answer`` is called with its pid once that is done.

        A pause is done when the process has really stopped, outside of a transaction: one
        that is stopped while it holds SQLite's write lock would stall the embedded store
        for everybody, which no crash and no network fault can do. So it is let go on for a
        moment and stopped again, a bounded number of times.
        """
        child = self.children.get(name)
        if child is None:
            raise ValueError(f"process {name} is not running")
        if number == signal.SIGSTOP and not child.paused:
            self._pausing[name] = _Pause(answer)
            child.send(number)
            return
        if number in (signal.SIGCONT, signal.SIGKILL):
            self._forget_pause(child)
        child.send(number)
        if number == signal.SIGCONT:
            self._continued(child)  # and not when it is told: a STOP may come before that
        answer(child.pid)

    def kill_all(self) -> None:
        """Kill every process group, also stopped ones, and reap the children."""
        self.release = False
        for child in self.children.values():
            child.send(signal.SIGKILL)
        for child in list(self.children.values()):
            self._exited(child, os.waitpid(child.pid, 0)[1])

    def wait_for_helpers(self) -> None:
        """Let helpers that give up a leadership come to their end."""
        for pid in self._helpers:
            os.waitpid(pid, 0)
        self._helpers.clear()

    def stop(self, grace: float) -> None:
        """End every process gracefully within ``grace`` seconds, then kill the rest."""
        for child in self.children.values():
            child.send(signal.SIGTERM)
            child.send(signal.SIGCONT)
        deadline = time.monotonic() + grace
        while self.children and (left := deadline - time.monotonic()) > 0:
            self.run_once(left)
        self.kill_all()

    # --- what happens by itself --------------------------------------------------------
    def run_once(self, timeout: float | None = None) -> None:
        """Wait for something to happen, at most ``timeout`` seconds, and handle it."""
        self._handle_ready(self._next_alarm(timeout))
        now = self._clock.monotonic()
        for name, pause in self._pausing.items():
            if pause.again_at is not None and pause.again_at <= now:
                pause.again_at = None
                self.children[name].send(signal.SIGSTOP)
        for child in self.children.values():
            # Answers that came together with its end of time are taken in already.
            if child.watchdog is not None:
                self._look_at(child, child.watchdog)

    def _next_alarm(self, timeout: float | None) -> float | None:
        alarms = [pause.again_at for pause in self._pausing.values() if pause.again_at is not None]
        alarms += [each.watchdog.next_look for each in self.children.values() if each.watchdog]
        if not alarms:
            return timeout
        left = max(0.0, min(alarms) - self._clock.monotonic())
        return left if timeout is None else min(timeout, left)

    def _handle_ready(self, timeout: float | None) -> None:
        for key, _ in self._selector.select(timeout):
            # One that was ready may be closed by now: its process was reaped just before.
            if self._selector.get_map().get(key.fileobj) is key:
                key.data()

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)
        for pid in list(self._helpers):
            if os.waitpid(pid, os.WNOHANG)[0]:
                self._helpers.discard(pid)
        for child in list(self.children.values()):
            while (status := child.wait_status()) is not None:
                if os.WIFSTOPPED(status):
                    self._stopped(child)
                elif os.WIFCONTINUED(status):
                    self._continued(child)
                else:
                    self._exited(child, status)
                    break

    def _told(self, child: SupervisedProcess) -> None:
        known = list(child.tickets)
        messages = child.read()
        if messages is None:
            self.unwatch(child.told_fd)
            return
        now = self._clock.monotonic()
        for message in messages:
            if "watch" in message:
                self._watch_life(child, bool(message["watch"]))
            elif child.watchdog is not None and isinstance(message.get("question"), int):
                child.watchdog.answered(str(message.get("alive")), message["question"], now)
        if child.tickets != known and self.release:
            self._guard(self._load_backend)

    # --- the watchdog ------------------------------------------------------------------
    def _watch_life(self, child: SupervisedProcess, wanted: bool) -> None:
        timeout = self.config.get_option(options.SUPERVISOR_WATCHDOG)
        on = wanted and self.release and timeout > 0
        child.watchdog = Watchdog(timeout, self._clock.monotonic()) if on else None

    def _look_at(self, child: SupervisedProcess, watchdog: Watchdog) -> None:
        found = watchdog.look(self._clock.monotonic())
        if isinstance(found, int):
            child.ask(found, threads=watchdog.doubtful)
        elif found is not None and (debugger := child.tracer()) is not None:
            watchdog.forgive()
            self._events.emit(
                EventKind.ERROR, of=child.name, message=f"{child.name} does not answer, and the "
                f"watchdog leaves it alone: a debugger, process {debugger}, holds it",
            )  # fmt: skip
        elif found is not None:
            # Dead first, given up then: nothing of it may write any more.
            child.watchdog = None
            facts: dict[str, Any] = {"silent": found.part, "seconds": round(found.seconds, 3)}
            self._events.emit(EventKind.PROCESS_HUNG, of=child.name, pid=child.pid, **facts)
            self._tell("hung", child, **facts)
            self._forget_pause(child)
            child.send(signal.SIGKILL)

    # --- deaths ------------------------------------------------------------------------
    def _exited(self, child: SupervisedProcess, status: int) -> None:
        del self.children[child.name]
        self.unwatch(child.told_fd)
        self._forget_pause(child)
        child.reaped(status)
        if child.tickets and self.release:
            self._release(child)
        code = os.waitstatus_to_exitcode(status)
        self._events.emit(EventKind.PROCESS_EXITED, of=child.name, pid=child.pid, status=code)
        self._tell("exited", child, status=code)

    def _release(self, child: SupervisedProcess) -> None:
        """Give up a dead process's leadership, in a helper that may take its time."""
        try:
            pid = os.fork()
        except OSError as error:  # no process is left: all others of the cluster go on
            message = (
                f"the leadership of dead {child.name} was not given up, and ends by itself: no "
                f"process can be started ({error.strerror}), raise the limit of processes"
            )
            self._events.emit(EventKind.ERROR, of=child.name, message=message)
            return
        if pid:
            self._helpers.add(pid)
            return
        status = 1
        try:
            die_with_creator()
            for each in self.children.values():
                os.close(each.parent_fd)
            from hawork.backends.registry import release_leadership

            # The newest first: at most one of them stands for a leadership.
            if any(release_leadership(self.config, each) for each in reversed(child.tickets)):
                self._events.emit(EventKind.LEADERSHIP_RELEASED, of=child.name, pid=child.pid)
            status = 0
        except Exception as error:  # noqa: BLE001 - the helper ends here; the lease goes on
            message = f"the leadership of dead {child.name} was not given up: {error}"
            self._events.emit(EventKind.ERROR, of=child.name, message=message)
        finally:
            os._exit(status)

    def _stopped(self, child: SupervisedProcess) -> None:
        pause = self._pausing.get(child.name)
        tries = 0 if pause is None else pause.tries
        if not child.paused and tries < PAUSE_TRIES and self._holds_write_lock(child):
            if pause is None:  # it stopped itself, at an armed step
                pause = self._pausing[child.name] = _Pause(lambda _: None)
            pause.tries += 1
            pause.again_at = self._clock.monotonic() + PAUSE_WAIT
            child.send(signal.SIGCONT)
            return
        child.paused = True
        self._pausing.pop(child.name, None)
        self._tell("paused", child)
        if pause is not None:
            pause.answer(child.pid)

    def _continued(self, child: SupervisedProcess) -> None:
        if child.paused:
            child.paused = False
            self._tell("resumed", child)

    def _forget_pause(self, child: SupervisedProcess) -> None:
        pause = self._pausing.pop(child.name, None)
        if pause is not None:
            pause.answer(child.pid)

    def _load_backend(self) -> None:
        """Load what a release needs now, and not when every millisecond counts."""
        from hawork.backends.registry import write_lock_holder

        write_lock_holder(self.config)

    def _holds_write_lock(self, child: SupervisedProcess) -> bool:
        holder: list[int] = []

        def look() -> None:
            from hawork.backends.registry import write_lock_holder

            pid = write_lock_holder(self.config)
            if pid is not None and child.contains(pid):
                holder.append(pid)

        self._guard(look)
        return bool(holder)

    def _guard(self, action: Callable[[], None]) -> None:
        """Run what may fail for reasons of the HA store: never fatal to the supervisor."""
        try:
            action()
        except Exception as error:  # noqa: BLE001 - reported; supervising goes on
            self._events.emit(EventKind.ERROR, message=f"{type(error).__name__}: {error}")

    def _tell(self, what: str, child: SupervisedProcess, **facts: Any) -> None:
        self._report({"report": what, "name": child.name, "pid": child.pid, **facts})


class _Pause:
    """A pause that is not done yet."""

    def __init__(self, answer: Callable[[int], None]) -> None:
        self.answer = answer
        self.tries = 0
        self.again_at: float | None = None


class CommandLoop:
    """Reads commands from a descriptor, carries them out, and reports on another one."""

    def __init__(self, events: EventSink, commands: int, reports: int) -> None:
        self.ended = False
        self._commands = commands
        self._reports = reports
        self._unread = b""
        self.supervisor = Supervisor(events, self._write)
        self.supervisor.watch(commands, self._readable)

    def run(self) -> None:
        while not self.ended:
            self.supervisor.run_once()
        self.supervisor.kill_all()

    def _readable(self) -> None:
        data = os.read(self._commands, 65536)
        if not data:
            self.ended = True
            self.supervisor.unwatch(self._commands)
            return
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            number = None
            try:
                command = json.loads(line)
                number = command["id"]
                self._carry_out(number, command)
            except (ValueError, KeyError, TypeError, OSError) as error:
                self._write({"report": "error", "id": number, "message": str(error)})

    def _carry_out(self, number: int, command: dict[str, Any]) -> None:
        supervisor = self.supervisor
        what, name = command["command"], command.get("name", "")

        def done(pid: int | None = None) -> None:
            self._write({"report": "done", "id": number, "name": name, "pid": pid})

        if what == "configure":
            supervisor.config = Configuration(command["options"])
            supervisor.release = bool(command["release"])
            done()
        elif what == "start":
            log, directory = (
                Path(command[each]) if command.get(each) else None for each in ("log", "directory")
            )
            environment = command.get("env", {})
            done(supervisor.start(name, command["argv"], environment, log, directory))
        elif what == "signal":
            supervisor.signal(name, SIGNALS[command["signal"]], done)
        elif what == "stop":
            supervisor.stop(float(command.get("grace", 0.0)))
            self.ended = True
            done()
        else:
            raise ValueError(f"command {what!r} is unknown")

    def _write(self, report: dict[str, Any]) -> None:
        try:
            os.write(self._reports, json.dumps(report).encode() + b"\n")
        except BrokenPipeError:
            self.ended = True


def supervise(
    name: str,
    argv: Sequence[str],
    config: Configuration,
    *,
    release: bool = True,
    events: EventSink | None = None,
) -> int:
    """Run one process in the foreground and give up its leadership when it dies.

    SIGTERM and SIGINT end it gracefully, a second one kills it. Returns its exit status as
    a shell counts it (128 + signal number). Must be called on the main thread.
    """
    supervisor = Supervisor(events or EventLog("supervisor"), _say_what_hung)
    supervisor.config, supervisor.release = config, release
    asked = [signal.SIGTERM, signal.SIGKILL]

    def pass_on(*_: object) -> None:
        number = asked.pop(0) if len(asked) > 1 else asked[0]
        for running in supervisor.children.values():
            running.send(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, pass_on)
    supervisor.start(name, argv, {})
    child = supervisor.children[name].process
    while supervisor.children:
        supervisor.run_once()
    supervisor.wait_for_helpers()
    code = child.returncode
    return 128 - code if code < 0 else code


def _say_what_hung(report: dict[str, Any]) -> None:
    if report["report"] == "hung":
        with contextlib.suppress(OSError):  # a log on a full disk
            sys.stderr.write(
                f"hawork: {report['name']} (process {report['pid']}) was killed: its "
                f"{report['silent']} had not answered for {report['seconds']:.1f} s "
                f"({options.SUPERVISOR_WATCHDOG.key})\n"
            )


def main(argv: Sequence[str] | None = None) -> int:
    """``python -m hawork.runtime.supervisor <run directory>``: commands come on stdin."""
    (run_directory,) = sys.argv[1:] if argv is None else argv
    # The lab closes the pipe when it wants the end; a Ctrl-C of its terminal is not for us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    events = EventLog("supervisor", Path(run_directory) / "events" / "supervisor.jsonl")
    CommandLoop(events, commands=0, reports=1).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
