"""The section *cluster*: a card for each process and for the HA store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hawork.core import options
from hawork.core.types import LeaderInformation
from hawork.panels.commands import buttons
from hawork.story.display import clock_time
from hawork.story.segments import DOWN, LEADING, PAUSED

if TYPE_CHECKING:
    from hawork.core.steps import HeldStep
    from hawork.core.types import ProcessState
    from hawork.panels.cluster_source import ClusterSource
    from hawork.panels.live_timeline import LiveTimeline
    from hawork.story.facts import Facts


BELIEVING = "thinks it leads"
"""A JobManager that has not heard that it is deposed, or whose address is not published."""


def cluster_section(
    lab: ClusterSource, timeline: LiveTimeline, held_steps: Callable[[], list[HeldStep]]
) -> dict[str, Any]:
    """What there is now, without asking any process: this is looked at ten times a second."""
    kind = lab.config.get_option(options.HA_TYPE)
    information = lab.leader_information()
    facts = timeline.facts
    leader = facts.terms.owners.get(str(information.session_id)) if information else None
    held = held_steps()
    states = lab.processes
    cards = {
        name: _card(state, timeline, held, leads=name == leader, kind=kind)
        for name, state in states.items()
    }
    return {
        "leader": leader or "",
        "session": str(information.session_id) if information else "",
        "address": information.address if information else "",
        "order": list(states),
        "cards": cards,
        "store": _store(kind, facts, information),
    }


def recorded_section(
    states: Sequence[ProcessState], timeline: LiveTimeline, kind: str
) -> dict[str, Any]:
    """The same from events alone, as of the moment to which ``timeline`` was told; no buttons."""
    published, facts = timeline.published(), timeline.facts
    leader, session = published or ("", "")
    address = facts.addresses.get(leader, "")
    silent = facts.silent.get(leader)
    cards = {
        state.name: {
            **_card(state, timeline, (), leads=state.name == leader and not silent, kind=kind),
            "buttons": [],
        }
        for state in states
    }
    store = {
        **_store(kind, facts, None),
        "publishes": address or leader or "no leader",
        "buttons": [],
    }
    note = ""
    if silent is not None:
        note = (
            f"{leader} is published as the leader and gives no answer since "
            f"{clock_time(silent.wall)}: {silent.facts.get('reason')}"
        )
    return {
        "leader": "" if silent else leader,
        "note": note,
        "session": session,
        "address": address,
        "order": [state.name for state in states],
        "cards": cards,
        "store": store,
    }


def _card(
    state: ProcessState, timeline: LiveTimeline, held: Sequence[HeldStep], *,
    leads: bool, kind: str,
) -> dict[str, Any]:  # fmt: skip
    name, facts = state.name, timeline.facts
    told = timeline.state(name)
    of_tasks = name.startswith("tm-") or timeline.role(name) == "taskmanager"
    role = "taskmanager" if of_tasks else "jobmanager"
    shown = {"paused": PAUSED, "exited": DOWN}.get(state.state) or (told[0] if told else "starting")
    if shown == LEADING and not leads:
        shown = BELIEVING
    card: dict[str, Any] = {
        "role": role,
        "state": shown,
        "leads": leads,
        "pid": state.pid,
        "session": (told[1] if told and told[1] and state.alive else "") or "",
        "buttons": buttons(role, state.state, kind),
        "facts": [],
    }
    if role == "jobmanager":
        address = facts.addresses.get(name)
        if address and card["session"]:
            card["facts"].append(["address", address])
        connection = facts.connections.get(name, "the file, directly" if kind == "embedded" else "")
        if name in facts.partitioned:
            connection = f"{connection}, cut off"
        if connection:
            card["facts"].append(["store", connection])
    else:
        _, slots = facts.registered.get(name, ("", None))
        card["facts"].append(["slots", "not registered" if slots is None else str(slots)])
    if name in facts.silent:
        card["facts"].append(["no answer", str(facts.silent[name].facts.get("reason"))])
    if state.state == "exited" and state.status is not None:
        card["facts"].append(["exit status", str(state.status)])
    for step in held:
        if step.process == name:
            card["facts"].append(["stands at", step.step])
    return card


def _store(kind: str, facts: Facts, information: LeaderInformation | None) -> dict[str, Any]:
    state = "paused" if facts.outage else "running"
    trouble = [f"outage: {facts.outage}"] if facts.outage else []
    trouble += [f"{name} is cut off" for name in sorted(facts.partitioned)]
    return {
        "kind": kind,
        "state": "; ".join(trouble) or "up",
        "publishes": information.address if information else "no leader",
        "buttons": buttons("store", state, kind),
    }
