"""Steps of the protocol: reported always, held, paused or crashed when armed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hawork.core.errors import ConfigurationError
from hawork.core.events import EventKind, EventLog
from hawork.core.steps import STEPS, StepGate, arm, disarm, held_steps
from hawork.testing import eventually

STEP = "submit.graph_written"


def kinds(log: EventLog) -> list[EventKind]:
    return [event.kind for event in log.recent()]


def test_an_unarmed_step_is_an_event_and_nothing_more(tmp_path: Path) -> None:
    log = EventLog("jm-1")
    StepGate("jm-1", log, tmp_path / "none").reached(STEP, session_id="s", job_id="j", size=3)
    (event,) = log.recent()
    assert (event.kind, event.step, event.session_id) == (EventKind.STEP_REACHED, STEP, "s")
    assert event.facts == {"size": 3}


def test_unknown_steps_and_actions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"'submit\.nothing' is unknown"):
        arm(tmp_path, "submit.nothing", "hold")
    with pytest.raises(ConfigurationError, match="'explode' is unknown"):
        arm(tmp_path, STEP, "explode")
    with pytest.raises(ConfigurationError, match="not in the registry"):
        StepGate("jm-1", EventLog("jm-1")).reached("submit.nothing")


def test_a_held_step_waits_until_it_is_disarmed(tmp_path: Path) -> None:
    log = EventLog("jm-1")
    gate = StepGate("jm-1", log, tmp_path)
    arm(tmp_path, STEP, "hold")
    thread = threading.Thread(target=gate.reached, args=(STEP,), kwargs={"checkpoint_id": 3})
    thread.start()
    eventually(lambda: held_steps(tmp_path))
    assert EventKind.STEP_CONTINUED not in kinds(log)
    assert log.recent()[-1].facts == {"checkpoint_id": 3, "action": "hold"}
    disarm(tmp_path)
    thread.join()
    assert kinds(log) == [
        EventKind.STEP_REACHED,
        EventKind.STEP_ARMED,
        EventKind.STEP_CONTINUED,
    ]
    gate.reached(STEP)
    assert kinds(log)[-1] is EventKind.STEP_REACHED, "an order is carried out once"


def test_an_order_for_another_process_is_left_alone(tmp_path: Path) -> None:
    log = EventLog("jm-1")
    path = arm(tmp_path, STEP, "crash", process="jm-2")
    StepGate("jm-1", log, tmp_path).reached(STEP)
    assert kinds(log) == [EventKind.STEP_REACHED]
    assert path.exists()


@pytest.mark.parametrize(
    ("action", "number"), [("crash", signal.SIGKILL), ("pause", signal.SIGSTOP)]
)
def test_an_armed_step_ends_or_stops_the_process(
    tmp_path: Path, action: str, number: signal.Signals
) -> None:
    arm(tmp_path, STEP, action)
    program = (
        "import sys; from pathlib import Path; from hawork.core.events import EventLog;"
        "from hawork.core.steps import StepGate;"
        "StepGate('jm-1', EventLog('jm-1'), Path(sys.argv[1])).reached(sys.argv[2])"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(tmp_path), STEP])
    _, status = os.waitpid(child.pid, os.WUNTRACED)
    if action == "crash":
        assert os.WTERMSIG(status) == number
        child.returncode = -number
    else:
        assert os.WSTOPSIG(status) == number
        disarm(tmp_path)
        os.kill(child.pid, signal.SIGCONT)
        assert child.wait() == 0


def test_every_step_says_what_it_means() -> None:
    assert all(step.name == name and step.meaning for name, step in STEPS.items())
