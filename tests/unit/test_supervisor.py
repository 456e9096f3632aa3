"""The supervisor with real children: start, pause, kill, and the death of everybody else."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from hawork.backends.registry import open_backend
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.errors import LabError
from hawork.core.events import EventKind, NullEventSink, read_events
from hawork.core.options import checked
from hawork.runtime.process_control import ProcessControl, last_words
from hawork.runtime.supervised_process import start_process
from hawork.testing import eventually

IDLE = "import threading; threading.Event().wait()"
GRACEFUL = """
import signal, sys, threading, pathlib
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
pathlib.Path(sys.argv[1]).touch()
threading.Event().wait()
"""
PARENT_OF_ONE = """
import subprocess, sys, pathlib, threading
child = subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait()"])
pathlib.Path(sys.argv[1] + ".new").write_text(str(child.pid))
pathlib.Path(sys.argv[1] + ".new").rename(sys.argv[1])
threading.Event().wait()
"""
WRITER = """
import sqlite3, sys, time, pathlib
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
while True:
    connection.execute("BEGIN IMMEDIATE")
    pathlib.Path(sys.argv[2]).touch()
    time.sleep(0.02)
    connection.execute("COMMIT")
    time.sleep(0.02)
"""
TWO_DEATHS = """
import os, sys
from hawork.core.events import NullEventSink
from hawork.runtime.supervisor import Supervisor
supervisor = Supervisor(NullEventSink(), lambda _: None)
for name in ("jm-1", "jm-2"):
    pid = supervisor.start(name, [sys.executable, "-c", ""], {})
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # dead, and not reaped yet
supervisor.run_once()
sys.exit(len(supervisor.children))
"""
STOPPED_AGAIN = """
import signal, sys
from hawork.core.events import NullEventSink
from hawork.runtime.supervisor import Supervisor
reports, answers = [], []
supervisor = Supervisor(NullEventSink(), lambda report: reports.append(report["report"]))
supervisor.start("jm-1", [sys.executable, "-c", "import time; time.sleep(60)"], {})
supervisor.signal("jm-1", signal.SIGSTOP, answers.append)
while not answers:
    supervisor.run_once()
supervisor.signal("jm-1", signal.SIGCONT)
supervisor.signal("jm-1", signal.SIGSTOP, answers.append)  # before it is told that it goes on
print(len(answers))
while len(answers) < 2:
    supervisor.run_once()
print(*reports)
supervisor.kill_all()
"""
NO_PROCESS_LEFT = """
import os, sys
from hawork.core.events import EventLog
from hawork.runtime.supervisor import Supervisor
def fork():
    raise BlockingIOError(11, "Resource temporarily unavailable")
events = EventLog("supervisor")
supervisor = Supervisor(events, lambda _: None)
supervisor.release = True
supervisor.start("jm-1", [sys.executable, "-c", ""], {})
supervisor.children["jm-1"].tickets.append({"type": "embedded", "contender": "a"})
os.fork = fork
while supervisor.children:
    supervisor.run_once()
print(*(event.facts.get("message") for event in events.recent()))
"""
CANNOT_LOG = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
from hawork.runtime import __main__ as runtime
if sys.argv[1] == "unforeseen":
    runtime.load_configuration = lambda path: {}[path]
config, *run_directory = sys.argv[2:] or ["/not-there/config.yaml"]
more = ["--run-directory", *run_directory] if run_directory else []
sys.exit(runtime.main(["jobmanager", "--config", config, *more]))
"""
LAB = """
import sys, pathlib, threading
from hawork.runtime.process_control import ProcessControl
control = ProcessControl(pathlib.Path(sys.argv[1]), {})
idle = [sys.executable, "-c", "import threading; threading.Event().wait()"]
pids = [control.start("jm-1", idle), control.start("jm-2", idle), control.pid]
control.signal("jm-2", "STOP")
print(*pids, flush=True)
threading.Event().wait()
"""


def python(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", code, *map(str, arguments)]


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for what another process does; the limit only ends a hang."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def control(tmp_path: Path) -> Iterator[ProcessControl]:
    control = ProcessControl(tmp_path, {})
    yield control
    control.stop(grace=0)


def test_a_process_that_ends_is_reaped_and_reported(
    control: ProcessControl, tmp_path: Path
) -> None:
    pid = control.start("jm-1", python("raise SystemExit(3)"))
    state = control.wait_until("jm-1", "exited")
    assert (state.pid, state.status) == (pid, 3)
    (event,) = read_events(tmp_path / "events")
    assert event.kind is EventKind.PROCESS_EXITED
    assert event.facts == {"of": "jm-1", "pid": pid, "status": 3}
    again = control.start("jm-1", python("raise SystemExit(0)"))
    control.wait_until("jm-1", "exited")
    assert [(each.pid, each.status) for each in control.ends()] == [(pid, 3), (again, 0)]


def test_output_goes_to_the_log(control: ProcessControl, tmp_path: Path) -> None:
    control.start("jm-1", python("print('hello')"), log=tmp_path / "logs" / "jm-1.log")
    control.wait_until("jm-1", "exited")
    assert (tmp_path / "logs" / "jm-1.log").read_text() == "hello\n"


@pytest.mark.parametrize(
    ("how", "last"), [("foreseen", "hawork jobmanager: "), ("unforeseen", "KeyError: ")]
)
def test_a_process_that_cannot_write_to_its_log_still_says_there_why_it_ended(
    control: ProcessControl, tmp_path: Path, how: str, last: str
) -> None:
    """A limit of its own, as ``lab.refuse(what="writes")`` sets one."""
    log = tmp_path / "logs" / "jm-1.log"
    control.start("jm-1", python(CANNOT_LOG, how), log=log)
    assert control.wait_until("jm-1", "exited").status == 1
    assert last_words(log).startswith(last)
    assert "/not-there/config.yaml" in last_words(log)


def test_a_job_manager_that_can_write_no_file_goes_on_and_says_so(
    control: ProcessControl, tmp_path: Path
) -> None:
    """It ended with status 1 and without a word: its event log and its log are files, too."""
    log, config = tmp_path / "logs" / "jm-1.log", tmp_path / "config.yaml"
    config.write_text(
        f"high-availability.type: embedded\nhigh-availability.storageDir: file://{tmp_path}/ha\n"
    )
    control.start("jm-1", python(CANNOT_LOG, "waits", config, tmp_path / "run"), log=log)
    until(lambda: "cannot be written (File too large)" in last_words(log))
    process = psutil.Process(control.processes()["jm-1"].pid)
    until(lambda: process.net_connections())  # it goes on, as far as to listen


def test_kill_ends_the_whole_group(control: ProcessControl, tmp_path: Path) -> None:
    control.start("tm-1", python(PARENT_OF_ONE, tmp_path / "pid"))
    until((tmp_path / "pid").exists)
    grandchild = int((tmp_path / "pid").read_text())
    control.signal("tm-1", "KILL")
    assert control.wait_until("tm-1", "exited").status == -signal.SIGKILL
    until(lambda: gone(grandchild))


def test_a_group_whose_leader_dies_is_ended(control: ProcessControl, tmp_path: Path) -> None:
    pid = control.start("tm-1", python(PARENT_OF_ONE, tmp_path / "pid"))
    until((tmp_path / "pid").exists)
    grandchild = int((tmp_path / "pid").read_text())
    os.kill(pid, signal.SIGKILL)
    control.wait_until("tm-1", "exited")
    until(lambda: gone(grandchild))


def test_pause_is_done_when_the_process_has_stopped(control: ProcessControl) -> None:
    pid = control.start("jm-1", python(IDLE))
    control.signal("jm-1", "STOP")
    assert psutil.Process(pid).status() == psutil.STATUS_STOPPED
    assert control.processes()["jm-1"].state == "paused"
    control.signal("jm-1", "STOP")  # once more changes nothing
    control.signal("jm-1", "CONT")
    assert control.wait_until("jm-1", "running").pid == pid


def test_a_process_that_stops_itself_is_seen_as_paused(control: ProcessControl) -> None:
    control.start("jm-1", python("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"))
    control.wait_until("jm-1", "paused")
    control.signal("jm-1", "CONT")
    assert control.wait_until("jm-1", "exited").status == 0


def test_a_paused_process_can_be_killed_and_started_again(control: ProcessControl) -> None:
    first = control.start("jm-1", python(IDLE))
    control.signal("jm-1", "STOP")
    control.signal("jm-1", "KILL")
    control.wait_until("jm-1", "exited")
    second = control.start("jm-1", python(IDLE))
    state = control.processes()["jm-1"]
    assert (state.state, state.pid, state.starts) == ("running", second, 2)
    assert first != second


def test_a_process_that_is_stopped_again_at_once_is_looked_at_again() -> None:
    """Whether it holds the write lock, that is: it may have taken it since it goes on."""
    done = subprocess.run(
        [sys.executable, "-c", STOPPED_AGAIN], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("1\npaused resumed paused\n", "")


def test_no_process_is_stopped_while_it_holds_the_stores_write_lock(tmp_path: Path) -> None:
    options = {
        "high-availability.type": "embedded",
        "high-availability.embedded.directory": str(tmp_path / "ha"),
        "high-availability.storageDir": f"file:{tmp_path}/storage",
    }
    open_backend(checked(options), SYSTEM_CLOCK, NullEventSink()).close()
    control = ProcessControl(tmp_path, options)
    try:
        control.start("jm-1", python(WRITER, tmp_path / "ha" / "ha.db", tmp_path / "ready"))
        until((tmp_path / "ready").exists)
        for _ in range(5):
            control.signal("jm-1", "STOP")
            assert control.processes()["jm-1"].state == "paused"
            other = sqlite3.connect(tmp_path / "ha" / "ha.db", timeout=0, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")  # raises when the lock is taken
            other.close()
            control.signal("jm-1", "CONT")
    finally:
        control.stop(grace=0)
    assert not [each for each in read_events(tmp_path / "events") if each.kind is EventKind.ERROR]


def test_two_processes_may_die_in_one_moment() -> None:
    assert subprocess.run(python(TWO_DEATHS), check=False).returncode == 0


def test_a_death_when_no_process_is_left_takes_no_other_along() -> None:
    """The supervisor could not fork its helper, and ended, and all of the cluster with it."""
    said = subprocess.run(python(NO_PROCESS_LEFT), capture_output=True, text=True, timeout=60)
    assert "the leadership of dead jm-1 was not given up, and ends by itself" in said.stdout
    assert said.returncode == 0


def test_stop_is_graceful(control: ProcessControl, tmp_path: Path) -> None:
    control.start("jm-1", python(GRACEFUL, tmp_path / "ready"))
    until((tmp_path / "ready").exists)
    control.stop(grace=20)
    assert control.processes()["jm-1"].status == 7
    control.stop()  # repeatable


def test_what_cannot_be_done_is_refused_in_one_sentence(control: ProcessControl) -> None:
    with pytest.raises(LabError, match="process jm-9 is not running"):
        control.signal("jm-9", "KILL")
    with pytest.raises(LabError, match="No such file"):
        control.start("jm-1", ["/no/such/program"])
    control.start("jm-1", python(IDLE))
    with pytest.raises(LabError, match="jm-1 is running already"):
        control.start("jm-1", python(IDLE))


def test_when_the_lab_is_killed_everything_goes_also_what_is_paused(tmp_path: Path) -> None:
    with subprocess.Popen(python(LAB, tmp_path), stdout=subprocess.PIPE) as lab:
        assert lab.stdout is not None
        pids = [int(word) for word in lab.stdout.readline().split()]
        assert len(pids) == 3
        lab.kill()
    until(lambda: all(map(gone, pids)))


def test_a_worker_that_the_lab_forked_keeps_none_of_its_processes(tmp_path: Path) -> None:
    """It inherits the pipe by whose end the supervisor knows that the lab is gone."""
    forking = LAB.replace(
        "print(", "worker = os.fork() or threading.Event().wait()\nprint(worker, "
    ).replace("import sys", "import os, sys")
    with subprocess.Popen(python(forking, tmp_path), stdout=subprocess.PIPE) as lab:
        assert lab.stdout is not None
        worker, *pids = (int(word) for word in lab.stdout.readline().split())
        try:
            lab.kill()
            assert len(pids) == 3
            until(lambda: all(map(gone, pids)))
            assert not gone(worker)
        finally:
            os.kill(worker, signal.SIGKILL)


def test_when_the_supervisor_is_killed_its_children_go(tmp_path: Path) -> None:
    control = ProcessControl(tmp_path, {})
    pids = [control.start(name, python(IDLE)) for name in ("jm-1", "jm-2")]
    control.signal("jm-2", "STOP")
    os.kill(control.pid, signal.SIGKILL)
    until(lambda: all(map(gone, pids)))
    with pytest.raises(LabError, match="supervisor"):
        control.signal("jm-1", "KILL")
    control.stop()
    assert not any(state.alive for state in control.processes().values())


FOREGROUND = """
import sys
from hawork.core.configuration import Configuration
from hawork.runtime.supervisor import supervise
sys.exit(supervise("jm-1", sys.argv[1:], Configuration()))
"""


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("raise SystemExit(5)", 5),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137),
    ],
)
def test_in_the_foreground_the_status_is_the_childs(code: str, status: int) -> None:
    assert subprocess.run(python(FOREGROUND, *python(code)), check=False).returncode == status


def test_in_the_foreground_a_signal_is_passed_on(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with subprocess.Popen(python(FOREGROUND, *python(GRACEFUL, ready))) as parent:
        until(ready.exists)
        parent.terminate()
        assert parent.wait() == 7


SILENT = """
import threading
from hawork.runtime.process import ParentWatch, supervisor_of_environment
ParentWatch()
supervisor_of_environment().watch(True)
threading.Event().wait()
"""
WATCHED = """
import sys
from hawork.core.configuration import Configuration
from hawork.runtime.supervisor import supervise
config = Configuration({"hawork.supervisor.watchdog": "1 s"})
sys.exit(supervise("jm-1", sys.argv[1:], config))
"""
UNWATCHED = WATCHED.replace("config)", "config, release=False)")


def test_in_the_foreground_the_watchdog_says_what_hung() -> None:
    done = subprocess.run(
        python(WATCHED, *python(SILENT)), check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 137
    assert "jm-1 (process" in done.stderr
    assert "its event loop and leadership thread had not answered for" in done.stderr
    assert "(hawork.supervisor.watchdog)" in done.stderr
    assert "in wait" in done.stderr, "where it hung"


ASKED = """
import os, sys
told, questions = int(os.environ["HAWORK_SUPERVISOR_FD"]), int(os.environ["HAWORK_PARENT_FD"])
os.write(told, b'not JSON\\n[1]\\n{"ticket": 7}\\n{"watch": true}\\n{"alive": "event loop"}\\n')
os.write(told, b'{"alive": ["x"], "question": 1}\\n{"alive": "event loop", "question": "1"}\\n')
with open(questions, "rb") as lines:
    asked = [int(next(lines).split()[0]) for _ in range(4)]
os.write(told, b'{"watch": false}\\n')
sys.exit(0 if asked == [1, 2, 3] else 5)
"""


def test_a_process_is_asked_again_and_again_and_what_it_says_is_read_with_care() -> None:
    """It answers nothing, and three questions later it is dead, before the fourth."""
    done = subprocess.run(python(WATCHED, *python(ASKED)), check=False, timeout=60)
    assert done.returncode == 137


BUSY = """
import threading
from hawork.runtime.process import ParentWatch, supervisor_of_environment
def work(depth):
    return sum(work(each) for each in range(depth))
def on():
    while True:
        work(8)
for _ in range(3):
    threading.Thread(target=on, daemon=True).start()
supervisor = supervisor_of_environment()
ParentWatch().asked = lambda question: supervisor.alive("", question)
supervisor.watch(True)
threading.Event().wait()
"""
BEGUN = {"watch": True}


def test_a_busy_process_says_what_its_threads_do_and_lives_on(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = start_process("jm-1", python(BUSY), {}, log=log)
    try:
        eventually(lambda: BEGUN in (child.read() or ()))
        for question in range(1, 301):
            child.ask(question, threads=True)
        last = {"alive": "", "question": 300}
        eventually(lambda: last in (child.read() or ()))
        eventually(lambda: log.read_text().count("in work") > 300)
    finally:
        child.process.kill()
        child.reaped(os.waitpid(child.pid, 0)[1])


def test_a_log_that_takes_nothing_keeps_no_question_waiting() -> None:
    full, write = os.pipe()
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write, bytes(4096))
    os.set_blocking(write, True)
    # Standard error is a pipe that is full, as a disk that hangs: a write to it never ends.
    log = Path(f"/proc/self/fd/{write}")
    child = start_process("jm-1", python(BUSY), {}, log=log)
    try:
        eventually(lambda: BEGUN in (child.read() or ()))
        child.ask(1, threads=True)
        child.ask(2)
        eventually(lambda: {"alive": "", "question": 2} in (child.read() or ()))
    finally:
        os.close(full)
        child.process.kill()
        child.reaped(os.waitpid(child.pid, 0)[1])
        os.close(write)


def test_without_a_supervisor_there_is_no_watchdog() -> None:
    ends = SILENT.replace("threading.Event().wait()", "threading.Event().wait(1.5)")
    done = subprocess.run(python(UNWATCHED, *python(ends)), check=False, timeout=60)
    assert done.returncode == 0
