"""Several lease machines on one store, with everything that can go wrong in between.

Clocks are skewed, messages are late or lost, processes are paused, crash and come back.
Never do two of them think that they lead at one instant; and once faults stop, one leads.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from hawork.ha.lease_state import (
    Acquire,
    LeaseRecord,
    LeaseState,
    LeaseTimeouts,
    Observe,
    Renew,
    StopLeading,
)

TICK = 0.5


@dataclass
class Message:
    """A request on its way to the store, then its answer on the way back."""

    request: Observe | Acquire | Renew
    sent_at: float
    lands_at: float
    answered_at: float
    lost: bool
    landed: bool = False
    found: LeaseRecord | None = None
    written: LeaseRecord | None = None


@dataclass
class Process:
    name: str
    lease: LeaseState
    offset: float
    paused_until: float = 0.0
    delays: list[tuple[int, int]] = field(default_factory=list)
    """Ticks there and back of the next messages."""
    held: LeaseRecord | None = None
    message: Message | None = None
    granted: bool = False


@dataclass(frozen=True)
class Weather:
    """What happens to a process; times are in ticks."""

    process: int
    kind: str
    length: int
    delays: list[tuple[int, int]]


WEATHER = st.builds(
    Weather,
    process=st.integers(0, 2),
    kind=st.sampled_from(["slow", "slow", "slow", "lost", "pause", "pause", "crash", "close"]),
    length=st.integers(0, 24),
    delays=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8)), max_size=5),
)
TIMEOUTS = st.tuples(st.integers(1, 3), st.integers(1, 4), st.sampled_from([0, 0, 1, 4])).map(
    lambda drawn: LeaseTimeouts(sum(drawn), drawn[0] + drawn[1], drawn[0])
)


class Simulation:
    """Processes do what their machines say, as soon as they can; the weather interferes."""

    def __init__(self, timeouts: LeaseTimeouts, offsets: list[int]) -> None:
        self.timeouts = timeouts
        self.time = 0.0
        self.writes = 0
        self.record: LeaseRecord | None = None
        self.grants = 0
        self.processes = [self.process(f"p{n}", offset) for n, offset in enumerate(offsets)]

    def process(self, name: str, offset: float) -> Process:
        return Process(name, LeaseState(name, self.timeouts), offset)

    def now(self, process: Process) -> float:
        return self.time + process.offset

    def tick(self, weather: Weather | None) -> None:
        self.time += TICK
        if weather is not None:
            self.strike(weather)
        for number, process in enumerate(self.processes):
            mine = weather if weather is not None and weather.process == number else None
            self.land(process)
            if self.time >= process.paused_until:
                self.answer(process)
                self.act(process, mine)
                self.land(process)
                self.answer(process)
            self.at_most_one_believes()

    def strike(self, weather: Weather) -> None:
        victim = self.processes[weather.process]
        if weather.kind == "pause":
            victim.paused_until = self.time + weather.length * TICK
        elif weather.kind == "slow":
            victim.delays = list(weather.delays)
        elif weather.kind in ("crash", "close"):
            if weather.kind == "close" and victim.message is None:
                victim.lease.resign()
                if self.record is not None and self.record.holder == victim.name:
                    self.record = None
            # It is dead; another one takes its place and the others may hear of it.
            self.processes[weather.process] = self.process(f"p@{self.time}", victim.offset + 7)
            for process in self.processes:
                if weather.length % 2:
                    process.lease.holder_dead(victim.name)

    def act(self, process: Process, weather: Weather | None) -> None:
        if process.message is not None:
            return
        instruction = process.lease.decide(self.now(process))
        if isinstance(instruction, StopLeading):
            assert process.granted, "told to stop without having been granted"
            process.granted = False
        elif isinstance(instruction, (Observe, Acquire, Renew)):
            there, back = process.delays.pop(0) if process.delays else (0, 0)
            process.message = Message(
                instruction,
                self.now(process),
                self.time + there * TICK,
                self.time + (there + back) * TICK,
                lost=weather is not None and weather.kind == "lost",
            )

    def land(self, process: Process) -> None:
        """The store carries out a request, whatever has become of its sender."""
        message = process.message
        if message is None or message.landed or self.time < message.lands_at:
            return
        message.landed = True
        message.found = self.record
        if isinstance(message.request, Acquire):
            allowed = self.record == message.request.expected
        else:
            allowed = isinstance(message.request, Renew) and self.record == process.held
        if allowed:
            self.writes += 1
            self.record = message.written = LeaseRecord(process.name, self.writes)

    def answer(self, process: Process) -> None:
        message = process.message
        if message is None or not message.landed or self.time < message.answered_at:
            return
        process.message = None
        now = self.now(process)
        if message.lost:
            process.lease.failed(now)
        elif isinstance(message.request, Observe):
            process.lease.observe(message.found, now)
        elif message.written is None:
            process.lease.refused()
        else:
            process.held = message.written
            process.lease.renewed(message.written, message.sent_at, now)
            if process.lease.believes(now) and not process.granted:
                process.granted = True
                self.grants += 1

    def believers(self) -> list[Process]:
        return [one for one in self.processes if one.lease.believes(self.now(one))]

    def at_most_one_believes(self) -> None:
        believers = self.believers()
        assert len(believers) <= 1, [process.name for process in believers]
        for process in believers:
            assert self.record is not None and self.record.holder == process.name
            assert process.granted


@settings(max_examples=100, deadline=None)
@given(
    timeouts=TIMEOUTS,
    offsets=st.lists(st.integers(-1000, 1000), min_size=3, max_size=3),
    weathers=st.lists(st.one_of(st.none(), WEATHER), min_size=20, max_size=80),
)
def test_one_leads_at_a_time_and_one_leads_in_the_end(
    timeouts: LeaseTimeouts, offsets: list[int], weathers: list[Weather | None]
) -> None:
    simulation = Simulation(timeouts, offsets)
    for weather in weathers:
        simulation.tick(weather)
    # Faults stop. What is still under way arrives; then the last lease may have to run out.
    for process in simulation.processes:
        process.delays.clear()
    latest = max(
        [process.paused_until for process in simulation.processes]
        + [one.message.answered_at for one in simulation.processes if one.message is not None]
    )
    end = max(simulation.time, latest) + timeouts.lease_duration + 3 * timeouts.retry_period + 1
    while simulation.time < end:
        simulation.tick(None)
    assert len(simulation.believers()) == 1
    assert simulation.grants >= 1
