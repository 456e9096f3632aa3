"""What a learner may write for an election and for a fenced store, and what breaks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hawork.lessons import Register, Table, check_election, check_save
from hawork.lessons.attack import Clock


class Right:
    """A lease: belief counts from before the request, patience from after the answer."""

    def __init__(self, name: str, register: Register, clock: Clock, lease: float) -> None:
        self.name, self.register, self.clock, self.lease = name, register, clock, lease
        self.seen: int | None = None
        self.since = 0.0
        self.until: float | None = None

    def turn(self) -> None:
        version, holder = self.register.read()
        if version != self.seen:
            self.seen, self.since = version, self.clock.now()
        if holder in (None, self.name) or self.expired():
            asked = self.clock.now()
            if self.register.write(self.name, version):
                self.until = self.believes(asked)

    def expired(self) -> bool:
        return self.clock.now() - self.since >= self.lease

    def believes(self, asked: float) -> float:
        return asked + self.lease

    def leads(self) -> bool:
        return self.until is not None and self.clock.now() < self.until


class NeverLooksAtItsClock(Right):
    def leads(self) -> bool:
        return self.until is not None


class BelievesFromTheAnswer(Right):
    def believes(self, asked: float) -> float:
        return self.clock.now() + self.lease


class BelievesTooLong(Right):
    def believes(self, asked: float) -> float:
        return asked + 1.5 * self.lease


class Impatient(Right):
    def expired(self) -> bool:
        return self.clock.now() - self.since >= self.lease / 2


class CountsFromBeforeTheAnswer(Right):
    def turn(self) -> None:
        looked = self.clock.now()
        version, holder = self.register.read()
        if version != self.seen:
            self.seen, self.since = version, looked
        if holder in (None, self.name) or self.expired():
            asked = self.clock.now()
            if self.register.write(self.name, version):
                self.until = self.believes(asked)


class WritesItsTimeForOthers(Right):
    def turn(self) -> None:
        version, found = self.register.read()
        holder, until = found or (None, 0.0)
        if holder in (None, self.name) or self.clock.now() >= until:
            asked = self.clock.now()
            if self.register.write((self.name, asked + self.lease), version):
                self.until = asked + self.lease


class NeverTakesOver(Right):
    def expired(self) -> bool:
        return False


class AlwaysTakesOver(Right):
    def expired(self) -> bool:
        return True


class AsksForTheVersionAgain(Right):
    def turn(self) -> None:
        version, holder = self.register.read()
        if version != self.seen:
            self.seen, self.since = version, self.clock.now()
        if holder in (None, self.name) or self.expired():
            asked = self.clock.now()
            version, _ = self.register.read()
            if self.register.write(self.name, version):
                self.until = self.believes(asked)


class NeverLeads(Right):
    def leads(self) -> bool:
        return False


class Loops(Right):
    def turn(self) -> None:
        while True:
            self.register.read()


class Raises(Right):
    def turn(self) -> None:
        raise ValueError("no idea")


@pytest.mark.parametrize(
    ("contender", "said"),
    [
        (NeverLooksAtItsClock, "lead at the same time"),
        (BelievesFromTheAnswer, "lead at the same time"),
        (BelievesTooLong, "lead at the same time"),
        (Impatient, "lead at the same time"),
        (CountsFromBeforeTheAnswer, "lead at the same time"),
        (WritesItsTimeForOthers, "lead"),
        (AsksForTheVersionAgain, "lead at the same time"),
        (NeverTakesOver, "there is no leader"),
        (AlwaysTakesOver, "lead"),
        (NeverLeads, "there is no leader"),
        (Loops, "more than 50 times"),
        (Raises, "raises ValueError: no idea"),
        (None, "raises TypeError"),
        (object, "raises TypeError"),
    ],
)
def test_a_wrong_election_is_broken(contender: Any, said: str) -> None:
    check = check_election(contender)
    assert not check.passed
    assert said in str(check)


def test_a_right_election_holds() -> None:
    check = check_election(Right)
    assert check.passed, check


def test_the_history_is_made_small() -> None:
    """Two turns of one process while another stands still are enough to show this."""
    told = str(check_election(BelievesFromTheAnswer))
    assert len(told.splitlines()) <= 12, told
    assert "stands still" in told


def test_an_attack_is_the_same_each_time() -> None:
    assert str(check_election(Impatient)) == str(check_election(Impatient))


# --- the fenced store --------------------------------------------------------------------


def right(table: Table, session: str, value: Any) -> bool:
    version, leader = table.get("leader")
    return leader == session and table.commit({"leader": version}, {"checkpoint": value})


def trusts(table: Table, session: str, value: Any) -> bool:
    return table.commit({}, {"checkpoint": value})


def looks_first(table: Table, session: str, value: Any) -> bool:
    return table.get("leader")[1] == session and table.commit({}, {"checkpoint": value})


def guards_the_wrong_key(table: Table, session: str, value: Any) -> bool:
    version, _ = table.get("checkpoint")
    leads = table.get("leader")[1] == session
    return leads and table.commit({"checkpoint": version}, {"checkpoint": value})


def looks_after_its_name(table: Table, session: str, value: Any) -> bool:
    version, leader = table.get("leader")
    same = str(leader)[:12] == session[:12]
    return same and table.commit({"leader": version}, {"checkpoint": value})


def asks_for_the_version_late(table: Table, session: str, value: Any) -> bool:
    if table.get("leader")[1] != session:
        return False
    return table.commit({"leader": table.get("leader")[0]}, {"checkpoint": value})


def makes_itself_the_leader(table: Table, session: str, value: Any) -> bool:
    return table.commit({}, {"leader": session, "checkpoint": value})


def says_yes(table: Table, session: str, value: Any) -> bool:
    right(table, session, value)
    return True


def never_saves(table: Table, session: str, value: Any) -> bool:
    return False


def says_nothing(table: Table, session: str, value: Any) -> None:
    right(table, session, value)


def tries_for_ever(table: Table, session: str, value: Any) -> bool:
    while not right(table, session, value):
        pass
    return True


@pytest.mark.parametrize(
    ("save", "said"),
    [
        (trusts, "is written although"),
        (looks_first, "is written although"),
        (guards_the_wrong_key, "is written although"),
        (looks_after_its_name, "is written although"),
        (asks_for_the_version_late, "is written although"),
        (makes_itself_the_leader, "not 'checkpoint'"),
        (says_yes, "says that it saved"),
        (never_saves, "nothing is saved"),
        (says_nothing, "returns None"),
        (tries_for_ever, "more than 50 times"),
        (None, "raises TypeError"),
    ],
)
def test_a_wrong_fence_is_broken(save: Callable[..., Any], said: str) -> None:
    check = check_save(save)
    assert not check.passed
    assert said in str(check)


def test_a_right_fence_holds() -> None:
    check = check_save(right)
    assert check.passed, check


class TakesAnEmptyRegister:
    """The lesson's first try: its name stays there when it dies."""

    def __init__(self, name: str, register: Register, clock: Clock, lease: float) -> None:
        self.name, self.register = name, register
        self.leader: Any = None

    def turn(self) -> None:
        version, self.leader = self.register.read()
        if self.leader is None and self.register.write(self.name, version):
            self.leader = self.name

    def leads(self) -> bool:
        return bool(self.leader == self.name)


def test_a_long_history_shows_who_died() -> None:
    """It stands in the middle of a hundred questions, and without it nothing is explained."""
    ((told, passed),) = check_election(TakesAnEmptyRegister).points
    assert not passed and "there is no leader" in told
    lines = told.splitlines()
    assert any(line.endswith(" dies") for line in lines)
    assert len(lines) < 40 and lines.count("       ...") == 2
