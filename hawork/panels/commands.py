"""What buttons ask for, and the public methods of the lab that do it.

A request comes from a browser, so everything in it is checked: the verb against this list, the
rest by the method that is called.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hawork.core.errors import LabError


@dataclass(frozen=True, slots=True)
class Button:
    """A verb of the lab on a card; ``roles`` have it, in any of ``states``.

    ``stores`` are the types of HA stores that can have it; none: all of them.
    """

    verb: str
    label: str
    roles: frozenset[str]
    states: frozenset[str]
    stores: frozenset[str] = frozenset()


_MANAGERS = frozenset({"jobmanager"})
_PROCESSES = frozenset({"jobmanager", "taskmanager"})
_STORE = frozenset({"store"})
_RUNNING = frozenset({"running"})
_ALIVE = frozenset({"running", "paused"})
_ANY = frozenset({"running", "paused", "exited"})
_ZOOKEEPER = frozenset({"zookeeper"})
_KUBERNETES = frozenset({"kubernetes"})
_SERVERS = _ZOOKEEPER | _KUBERNETES

BUTTONS = (
    Button("kill", "Kill", _PROCESSES, _ALIVE),
    Button("terminate", "Terminate", _PROCESSES, _RUNNING),
    Button("pause", "Pause", _PROCESSES, _RUNNING),
    Button("resume", "Resume", _PROCESSES, frozenset({"paused"})),
    Button("restart", "Restart", _PROCESSES, _ANY),
    Button("expire_session", "Expire session", _MANAGERS, _ALIVE, _ZOOKEEPER),
    Button("partition", "Partition", _MANAGERS, _ALIVE, _SERVERS),
    Button("revoke_right", "Revoke right", _MANAGERS, _ALIVE, _KUBERNETES),
    Button("grant_right", "Grant right", _MANAGERS, _ANY, _KUBERNETES),  # without it one ends
    Button("store_outage", "Outage", _STORE, _RUNNING, _SERVERS),
    Button("outdate_watches", "Outdate watches", _STORE, _RUNNING, _KUBERNETES),
    Button("heal", "Heal", _STORE, _ANY, _SERVERS),
)
_WITHOUT_TARGET = tuple(button.verb for button in BUTTONS if button.roles == _STORE)
_ON_PROCESS = tuple(button.verb for button in BUTTONS if button.verb not in _WITHOUT_TARGET)


def buttons(role: str, state: str, store: str) -> list[list[Any]]:
    """``[verb, label, enabled]`` for a card; verbs that a ``store`` cannot have are left out."""
    return [
        [button.verb, button.label, state in button.states]
        for button in BUTTONS
        if role in button.roles and (store in button.stores or not button.stores)
    ]


def perform(lab: Any, request: Mapping[str, Any]) -> str:
    """Do what a button asks for; returns what was done, as the reader would have typed it.

    ``LabError`` for a request that is none, and whatever the lab's method raises.
    """
    verb = str(request.get("do", ""))
    target = str(request.get("target", ""))
    if verb in _ON_PROCESS:
        getattr(lab, verb)(target)
        return f"lab.{verb}({target!r})"
    if verb in _WITHOUT_TARGET:
        getattr(lab, verb)()
        return f"lab.{verb}()"
    if verb == "arm":
        step, action = str(request.get("step", "")), str(request.get("action", ""))
        lab.arm(step, action, target or None)
        return f"lab.arm({step!r}, {action!r}" + (f", {target!r})" if target else ")")
    if verb in ("proceed", "disarm"):
        getattr(lab, verb)()
        return f"lab.{verb}()"
    if verb == "cancel":
        return _cancel(lab, str(request.get("job", "")))
    raise LabError(f"a panel asked for {verb!r}, which is not a verb of the lab")


def _cancel(lab: Any, job_id: str) -> str:
    for number, job in enumerate(lab.jobs):
        if job.job_id == job_id:
            job.cancel()
            return f"lab.jobs[{number}].cancel()"
    raise LabError(f"job {job_id!r} was not submitted through this lab")
