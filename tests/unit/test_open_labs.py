"""Cells that are run twice leave labs behind; one call ends them all, also after an interrupt."""

from __future__ import annotations

import os
import re
import threading
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from hawork.core.errors import LabError
from hawork.lab import LabCluster, reset
from hawork.lab.closing import Shutdown
from hawork.lab.stores.given import GivenStore
from hawork.runtime.process_control import ProcessControl
from hawork.servers.kubernetes.control_plane import ControlPlane
from hawork.servers.zookeeper.ensemble import ZooKeeperServers


class Interrupted:
    """In place of a step of ``close``: fails the first time, and does it the second time."""

    def __init__(self, step: Any, error: BaseException) -> None:
        self._step = step
        self._error: BaseException | None = error

    def __call__(self, *arguments: Any, **more: Any) -> Any:
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._step(*arguments, **more)


def test_reset_ends_also_what_no_variable_names() -> None:
    reset()  # whatever tests before this one have left
    assert reset() == 0
    lab = LabCluster(job_managers=1, task_managers=0).start()
    first = lab.directory
    lab = LabCluster(job_managers=1, task_managers=0).start()  # the cell is run again
    assert first.exists() and first != lab.directory
    assert reset() == 2
    assert not first.exists() and not lab.directory.exists()
    assert reset() == 0
    with pytest.raises(LabError, match="this lab is closed: make a new one"):
        lab.kill("leader")
    with LabCluster(job_managers=1, task_managers=0) as again:
        assert again.leader() == "jm-1"
    assert reset() == 0, "who closes a lab needs no reset"


def test_a_forked_child_closes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """At its end a script leaves its ``with`` blocks, in the child as in the parent."""
    done: list[str] = []
    closing = Shutdown(partial(done.append, "a"))
    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: -1)
        closing.go_on()
    assert done == []
    closing.go_on()
    assert done == ["a"]


def test_every_step_is_tried_and_what_failed_is_tried_again() -> None:
    done: list[str] = []
    closing = Shutdown(
        Interrupted(partial(done.append, "b"), OSError("odd")),
        Interrupted(partial(done.append, "c"), KeyboardInterrupt()),
        partial(done.append, "d"),
    )
    closing.first(partial(done.append, "a"))
    with pytest.raises(KeyboardInterrupt):
        closing.go_on()
    assert done == ["a", "d"]
    closing.go_on()
    closing.go_on()
    assert done == ["a", "d", "b", "c"]


@pytest.mark.parametrize("where", ["the store", "the processes"])
def test_a_close_that_was_interrupted_is_ended_by_the_next(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reset()
    if where == "the store":
        monkeypatch.setattr(GivenStore, "stop", Interrupted(lambda: None, KeyboardInterrupt()))
    lab: Any = LabCluster(1, 0, directory=tmp_path / "lab").start()
    lab.cluster_panel()
    pids = [state.pid for state in lab.processes.values()]
    control = lab._processes.control
    if where == "the processes":
        control.stop = Interrupted(control.stop, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        lab.close()
    assert not [each.name for each in threading.enumerate() if each.name.startswith("panel")]
    with pytest.raises(LabError, match="this lab is closed"):
        lab.leader()
    with pytest.raises(LabError, match="used by another lab of this notebook"):
        LabCluster(1, 0, directory=tmp_path / "lab")
    if where == "the store":
        lab.close()
    else:
        assert reset() == 1
    assert reset() == 0
    assert not any(map(psutil.pid_exists, [*pids, control.pid]))
    assert "leads" in str(lab.timeline())
    LabCluster(1, 0, directory=tmp_path / "lab").close()


@pytest.mark.parametrize("servers", [ZooKeeperServers, partial(ControlPlane, users={})])
def test_servers_whose_stop_was_interrupted_are_not_forgotten(servers: Any, tmp_path: Path) -> None:
    made = servers(tmp_path)
    made._control = control = ProcessControl(tmp_path, {}, release=False)
    control.stop = Interrupted(control.stop, KeyboardInterrupt())  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        made.stop()
    made.stop()
    assert not psutil.pid_exists(control.pid)


def test_reset_goes_on_past_a_lab_that_cannot_be_closed(tmp_path: Path) -> None:
    reset()
    labs: list[Any] = [LabCluster(1, 0, directory=tmp_path / name) for name in "ab"]
    labs[0]._run.close = Interrupted(labs[0]._run.close, OSError("odd"))
    again = re.escape("run 'from hawork.lab import reset; reset()' again")
    said = rf"^1 of 2 labs are not closed yet \(LabCluster: odd\): {again}$"
    with pytest.raises(LabError, match=said):
        reset()
    LabCluster(1, 0, directory=tmp_path / "b").close()
    assert reset() == 1
    LabCluster(1, 0, directory=tmp_path / "a").close()
