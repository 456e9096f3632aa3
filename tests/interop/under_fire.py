"""Two Flink JobManagers and two of hawork in one election, and random faults upon all four."""

from __future__ import annotations

import random
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import hawork
from hawork.client.cluster_client import ClusterClient
from hawork.client.flink_rest import ask
from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.core.errors import HaworkError
from hawork.core.events import Event, EventKind, EventLog
from hawork.core.types import REST_SERVER, LeaderInformation
from hawork.lab.faults import Faults
from hawork.lab.flink.distribution import FlinkDistribution
from hawork.lab.flink.events import FlinkEvents
from hawork.lab.flink.processes import FlinkProcesses
from hawork.lab.flink.watch import FlinkWatch
from hawork.lab.leadership import Leadership
from hawork.lab.options import lab_options
from hawork.lab.processes import JOB_MANAGER, LabProcesses
from hawork.lab.run_directory import RunDirectory
from hawork.lab.steps import ArmedSteps
from hawork.lab.stores.kubernetes import SHORT_LEASE
from hawork.lab.stores.store import lab_store
from hawork.story.event_reader import EventReader
from hawork.testing import eventually
from tests.contract.kubernetes_server import shared_control_plane
from tests.contract.zookeeper_harness import shared_servers

EACH = 2
FOUND_SECONDS = 90.0  # a JVM that starts on a busy machine
FORCED = 3  # faults at first that hit the leader, so that both kinds lead
ENDS_BELIEF = ("kill", "terminate", "pause", "restart")
_STEP = 0.005  # events have clocks of milliseconds


@dataclass(frozen=True)
class Belief:
    """From when to when a process held itself for the leader; a paused one holds nothing."""

    who: str
    session_id: str
    start: float
    end: float


class Side:
    """The processes of one kind, what is done to them, and what they tell."""

    def __init__(
        self, kind: str, run: RunDirectory, config: Configuration, processes: LabProcesses
    ) -> None:
        self.kind = kind
        self.run = run
        self.processes = processes
        self.events = EventLog("lab", run.events / "lab.jsonl")
        self.reader = EventReader(run.events)
        events = self.reader.events
        self.faults = Faults(
            lambda: processes,
            lab_store(run, config[options.HA_TYPE.key], config, 1),  # not started: it runs already
            config,
            Leadership(lambda: None, events, lambda: None),  # a victim has its name
            ArmedSteps(run.control, events),
            self.events,
            self.reader,
        )

    def session_holder(self, session_id: str) -> str | None:
        for event in self.reader.events():
            if event.kind is EventKind.LEADERSHIP_GRANTED and event.session_id == session_id:
                return event.process
        return None

    def beliefs(self) -> Iterator[Belief]:
        events = self.reader.events()
        for index, event in enumerate(events):
            if event.kind is EventKind.LEADERSHIP_GRANTED:
                later = (each.monotonic for each in events[index:] if _ends(each, event))
                yield Belief(
                    f"{self.kind} {event.process}", str(event.session_id), event.monotonic,
                    min(later, default=float("inf")),
                )  # fmt: skip

    def close(self) -> None:
        self.processes.control.stop(grace=0)
        self.reader.events()
        self.events.close()
        self.run.close()


def _on_zookeeper() -> dict[str, str]:
    return {
        options.ZK_QUORUM.key: shared_servers().quorum,
        options.ZK_SESSION_TIMEOUT.key: "4 s",
        options.ZK_ENSEMBLE_TRACKER.key: "false",
    }


def _on_kubernetes(user: str) -> dict[str, str]:
    control_plane = shared_control_plane()
    return {
        **SHORT_LEASE,
        options.K8S_NAMESPACE.key: control_plane.namespace,
        options.K8S_CONFIG_FILE.key: str(control_plane.kubeconfig(user)),
    }


def _ends(later: Event, grant: Event) -> bool:
    if later.kind is EventKind.LEADERSHIP_REVOKED:
        return later.process == grant.process and later.session_id == grant.session_id
    if later.kind is EventKind.PROCESS_EXITED:
        return later.facts.get("of") == grant.process
    faulty = later.kind is EventKind.FAULT and later.facts.get("verb") in ENDS_BELIEF
    return faulty and later.facts.get("target") == grant.process


class UnderFire:
    """The election on ``ha``, which is up already; a context manager that ends all processes."""

    def __init__(self, directory: Path, seed: int, ha: str = "zookeeper") -> None:
        self.seed = seed
        self.led: Counter[str] = Counter()
        self.seen: list[LeaderInformation | None] = []
        self._chance = random.Random(seed)
        self._ha_type = ha
        self._cluster_id = f"fire-{uuid.uuid4().hex[:12]}"
        own, config = self._run(directory / "hawork")
        self.config = config
        self.hawork = Side("hawork", own, config, LabProcesses(own, config, release=False))
        run, flink_config = self._run(directory / "flink")
        self._told = FlinkEvents(run.events)
        processes = FlinkProcesses(run, flink_config, FlinkDistribution.find(), self._told)
        self.flink = Side("flink", run, flink_config, processes)
        logs = run.logs
        self._watch = FlinkWatch(
            flink_config, self._told,
            lambda: {name: logs / f"{name}.log" for name in processes.names()},
        )  # fmt: skip
        self._ha = hawork.open_ha_services(config)
        self.client = ClusterClient(config)

    def _run(self, directory: Path) -> tuple[RunDirectory, Configuration]:
        run = RunDirectory(directory)
        user = "flink" if directory.name == "flink" else "jm-1"
        given = _on_kubernetes(user) if self._ha_type == "kubernetes" else _on_zookeeper()
        more = {
            **given,
            options.CLUSTER_ID.key: f"/{self._cluster_id}",
            options.K8S_CLUSTER_ID.key: self._cluster_id,
            options.REST_AWAIT_LEADER.key: "2 s",  # in vain, when Flink leads by then: look again
        }
        config = lab_options(run, self._ha_type, 1, False, more)
        run.write_options(config)
        return run, config

    def __enter__(self) -> UnderFire:
        self._watch.start()
        self._ha.leader_retrieval(REST_SERVER, self)
        for number in range(EACH):  # in turns, so that a kind follows the other in the latch
            for side in self._sides():
                name = side.processes.add(JOB_MANAGER)
                if not number:
                    self._joined(side, name)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self._ha.close()
        self._watch.close()
        self._told.close()
        for side in self._sides():
            side.close()

    # --- a listener of leader retrieval --------------------------------------------------
    def notify_leader(self, information: LeaderInformation | None) -> None:
        self.seen.append(information)

    def handle_error(self, error: Exception) -> None:
        raise AssertionError(f"retrieval met {error}")

    # --- faults --------------------------------------------------------------------------
    def rage(self, *, faults: int | None = None, seconds: float | None = None) -> int:
        """So many faults, or faults for so long; after each a client must find a leader."""
        end = None if seconds is None else time.monotonic() + seconds
        done = 0
        self.find()
        while done != faults and (end is None or time.monotonic() < end):
            while len(self._healthy()) < self._least():
                self._revive()
            side, name = self._victim(leading=done < FORCED)
            verb = self._chance.choice(("kill", "terminate", "pause"))
            print(f"  {verb} {side.kind} {name}")
            getattr(side.faults, verb)(name)
            self.find()
            done += 1
            most = 2 * EACH if len(self.led) > 1 else self._least()
            if self._chance.random() < 0.5 and len(self._healthy()) < most:
                self._revive()
        return done

    def find(self) -> str:
        """The healthy process that a client finds, and that answers as the leader."""

        def found() -> str | None:
            information = self.client.leader(FOUND_SECONDS)
            holder = self._holder(information)
            if holder is None:
                return None
            try:
                if holder[0] is self.flink:  # it knows no token: a client with one tells it nothing
                    ask(information.address, "/overview")
                else:
                    self.client.overview()
            except HaworkError:
                return None
            if holder not in self._healthy() or self.client.current_leader() != information:
                return None
            return f"{holder[0].kind} {holder[1]}"

        who = eventually(found, timeout=FOUND_SECONDS, interval=0.05)
        assert who is not None
        self.led[who.partition(" ")[0]] += 1
        return who

    def _least(self) -> int:
        """How many must be well. Nobody comes back to an election that one kind has won so far:
        a lock on Kubernetes has no order, and the quicker kind would win all of them."""
        return EACH + 1 if len(self.led) > 1 else EACH

    def _victim(self, *, leading: bool) -> tuple[Side, str]:
        information = self.client.current_leader()
        holder = self._holder(information) if information else None
        if holder in self._healthy() and (leading or self._chance.random() < 0.6):
            assert holder is not None
            return holder
        return self._chance.choice(self._healthy())

    def _revive(self) -> None:
        ill = [each for each in self._members() if each not in self._healthy()]
        side, name = self._chance.choice(ill)
        paused = side.processes.state(name).state == "paused"
        verb = "resume" if paused and self._chance.random() < 0.7 else "restart"
        print(f"  {verb} {side.kind} {name}")
        getattr(side.faults, verb)(name)

    # --- judgement -----------------------------------------------------------------------
    def check(self) -> list[str]:
        """Nobody led beside somebody else; returns what Flink's processes wrongly believed.

        ``AssertionError`` when a leader's address came back after another one's, or when a
        process of hawork believed to lead while somebody else was granted leadership.
        """
        sessions = [str(each.session_id) for each in self.seen if each is not None]
        order = [
            each for index, each in enumerate(sessions) if [each] != sessions[index - 1 : index]
        ]
        assert len(order) == len(set(order)), f"seed {self.seed}: {order}"
        beliefs = sorted(
            (belief for side in self._sides() for belief in side.beliefs()),
            key=lambda each: each.start,
        )
        wrong = [
            (old, new)
            for index, old in enumerate(beliefs)
            for new in beliefs[index + 1 :]
            if old.end > new.start + _STEP
        ]
        ours = [pair for pair in wrong if pair[0].who.startswith("hawork")]
        assert not ours, f"seed {self.seed}: {ours}"
        return [f"{old.who} for {old.end - new.start:.3f} s beside {new.who}" for old, new in wrong]

    def _holder(self, information: LeaderInformation) -> tuple[Side, str] | None:
        for side in self._sides():
            name = side.session_holder(str(information.session_id))
            if name is not None:
                return side, name
        return None

    def _sides(self) -> tuple[Side, Side]:
        return self.hawork, self.flink

    def _members(self) -> list[tuple[Side, str]]:
        return [(side, name) for side in self._sides() for name in side.processes.names()]

    def _healthy(self) -> list[tuple[Side, str]]:
        return [
            (side, name)
            for side, name in self._members()
            if side.processes.state(name).state == "running"
        ]

    def _joined(self, side: Side, name: str) -> None:
        """Wait until a process has reached the store, and so stands for election or is about to."""

        def connected() -> bool:
            side.processes.check_started()
            return any(
                event.kind is EventKind.STORE_CONNECTION and event.process == name
                for event in side.reader.events()
            )

        eventually(connected, timeout=FOUND_SECONDS)
