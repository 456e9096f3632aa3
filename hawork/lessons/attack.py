"""A leader election and a fenced store that a learner wrote, under attack.

What is attacked runs in one thread, on a clock that only the attack moves. A process stands still
where it asks the store something, before the answer or after it: meanwhile time passes and the
others go on. That is all that is needed to break an election that is not right. What breaks it is
then made smaller, for as long as it still does.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from typing import Any, Final, TypeVar

from hawork.lessons.check import Check, Point, safe

__all__ = ["Clock", "Register", "Table", "check_election", "check_save"]

M = TypeVar("M")

LEASE: Final = 10.0
SEEDS: Final = 400
_NAMES = ("A", "B", "C")
_SHOWN = 9
"""Lines at the beginning and at the end of a long history."""
_QUESTION = " reads "
_DEEDS = 12
"""Lines of a long history that are not questions: the first ones are shown wherever they stand."""
_MOST_QUESTIONS = 50
"""Questions to the store in one turn; more are taken for a loop that does not end."""
_MOMENTS = 2
"""At each question a process may stand still twice: before it is answered, and after."""


class _Broken(Exception):
    """What was promised does not hold, in a sentence."""


# --- the world ---------------------------------------------------------------------------


class _Time:
    """The time of the attack, in seconds, and what happened at which."""

    def __init__(self) -> None:
        self.now = 0.0
        self.history: list[str] = []

    def note(self, text: str) -> None:
        self.history.append(f"{self.now:5.1f} s  {text}")


class Clock:
    """One process's own clock: ``now()`` in seconds. Clocks of two processes tell other times."""

    def __init__(self, time: _Time, offset: float) -> None:
        self._time = time
        self._offset = offset

    def now(self) -> float:
        return self._time.now + self._offset


class Register:
    """One place in a store that all processes share; each write gives it another version."""

    def __init__(self, time: _Time, cell: list[Any], who: str, stand: Callable[[], None]) -> None:
        self._time = time
        self._cell = cell
        self._who = who
        self._stand = stand

    def read(self) -> tuple[int, Any]:
        """The version and the value; ``(0, None)`` before the first write."""
        self._stand()
        version, value = self._cell
        self._time.note(f"{self._who} reads {value!r}, version {version}")
        self._stand()
        return version, value

    def write(self, value: Any, version: int) -> bool:
        """Write ``value`` if the version is still ``version``; whether it was."""
        self._stand()
        done = bool(version == self._cell[0])
        if done:
            self._cell[:] = version + 1, value
        told = f"writes {value!r}" if done else f"may not write {value!r}: another version is there"
        self._time.note(f"{self._who} {told}")
        self._stand()
        return done


class Table:
    """A store of a few keys. ``commit`` does all that it is asked, or nothing."""

    def __init__(
        self,
        time: _Time,
        rows: dict[str, list[Any]],
        stand: Callable[[], None],
        judge: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._time = time
        self._rows = rows
        self._stand = stand
        self._judge = judge

    def get(self, key: str) -> tuple[int, Any]:
        """The version and the value of ``key``; ``(0, None)`` when there is none."""
        self._stand()
        version, value = self._rows.get(key, (0, None))
        self._time.note(f"A reads {key} = {value!r}, version {version}")
        self._stand()
        return version, value

    def commit(self, checks: Mapping[str, int], writes: Mapping[str, Any]) -> bool:
        """Write, if each key of ``checks`` still has its version; whether it was written."""
        self._stand()
        stale = [key for key, version in checks.items() if self._version(key) != version]
        if stale:
            self._time.note(f"A's commit is refused: {stale[0]} has another version")
            return False
        self._time.note(f"A commits {dict(writes)!r}, checking {dict(checks)!r}")
        self._judge(writes)
        for key, value in writes.items():
            self._rows[key] = [self._version(key) + 1, value]
        self._stand()
        return True

    def _version(self, key: str) -> int:
        return int(self._rows.get(key, (0, None))[0])


# --- the election ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Turn:
    """``who`` has a turn ``after`` seconds; at one moment of it, it stands still for ``stands``."""

    who: int
    after: float
    moment: int = 0
    stands: tuple[_Turn, ...] = ()


class _Election:
    """Three contenders of one class, from nothing."""

    def __init__(self, contender: Callable[..., Any]) -> None:
        self.time = _Time()
        self._cell: list[Any] = [0, None]
        self._still: set[int] = set()
        self._turn: _Turn | None = None
        self._asked = 0
        self._members = [
            contender(
                name,
                Register(self.time, self._cell, name, self._stand),
                Clock(self.time, 1000.0 * index + 7.3),
                LEASE,
            )
            for index, name in enumerate(_NAMES)
        ]

    def run(self, turns: Sequence[_Turn]) -> None:
        """The attack; then peace, the leader's death, and peace. ``_Broken`` says what broke."""
        self._go(turns)
        leader = self._peace(set())
        self.time.note(f"{_NAMES[leader]} dies")
        self._peace({leader})

    def _go(self, turns: Sequence[_Turn]) -> None:
        for turn in turns:
            self.time.now += turn.after
            self._ask_all()
            if turn.who not in self._still:
                self._take(turn)
                self._ask_all()

    def _take(self, turn: _Turn) -> None:
        before = self._turn, self._asked
        self._turn, self._asked = turn, 0
        try:
            self._members[turn.who].turn()
        finally:
            self._turn, self._asked = before

    def _stand(self) -> None:
        """At each question to the store: perhaps the process that asks stands still first."""
        turn = self._turn
        if turn is None:
            return
        self._asked += 1
        if self._asked > _MOMENTS * _MOST_QUESTIONS:
            raise _Broken(f"a turn asks the store more than {_MOST_QUESTIONS} times")
        if turn.stands and self._asked == turn.moment:
            self.time.note(f"{_NAMES[turn.who]} stands still")
            self._still.add(turn.who)
            try:
                self._go(turn.stands)
            finally:
                self._still.discard(turn.who)
            self.time.note(f"{_NAMES[turn.who]} goes on")

    def _leaders(self, dead: frozenset[int] = frozenset()) -> list[int]:
        """Who says to lead, of those that can say anything."""
        asked = [i for i in range(len(_NAMES)) if i not in self._still and i not in dead]
        turn, self._turn = self._turn, None
        try:
            return [i for i in asked if self._members[i].leads()]
        finally:
            self._turn = turn

    def _ask_all(self, dead: frozenset[int] = frozenset()) -> list[int]:
        leaders = self._leaders(dead)
        if len(leaders) > 1:
            raise _Broken(f"{' and '.join(_NAMES[i] for i in leaders)} lead at the same time")
        return leaders

    def _peace(self, dead: set[int]) -> int:
        """Eight leases without a fault: who leads in the last four of them."""
        led: set[int] = set()
        gone = frozenset(dead)
        for round_ in range(40):
            for index in range(len(_NAMES)):
                self.time.now += LEASE / 15
                if index not in dead:
                    self._take(_Turn(index, 0.0))
                leaders = self._ask_all(gone)
                if round_ >= 20:
                    if not leaders:
                        raise _Broken("four leases after the last fault there is no leader")
                    led.update(leaders)
        if len(led) > 1:
            names = " and ".join(_NAMES[i] for i in sorted(led))
            raise _Broken(f"{names} take the lead from each other although nothing fails")
        return led.pop()


def _turns(rng: random.Random, depth: int = 0) -> Iterator[_Turn]:
    for _ in range(rng.randrange(4, 14)):
        after = rng.choice((0.5, 1.0, 2.0, 3.0, 6.0, 11.0)) * LEASE / 10
        if depth == 0 and rng.random() < 0.5:
            stands = tuple(_turns(rng, 1))
            yield _Turn(rng.randrange(3), after, rng.randrange(1, 7), stands)
        else:
            yield _Turn(rng.randrange(3), after)


def _smaller_turns(turns: Sequence[_Turn]) -> Iterator[list[_Turn]]:
    """The same with one thing less."""
    for index, turn in enumerate(turns):
        yield [*turns[:index], *turns[index + 1 :]]
        if turn.stands:
            yield [*turns[:index], replace(turn, moment=0, stands=()), *turns[index + 1 :]]
            for stands in _smaller_turns(turn.stands):
                less = replace(turn, stands=tuple(stands))
                yield [*turns[:index], less, *turns[index + 1 :]]


@safe
def check_election(contender: Callable[..., Any], seeds: int = SEEDS) -> Check:
    """Attack a leader election: ``contender(name, register, clock, lease)`` makes a process of it.

    It has ``turn()``, called every few seconds unless the process stands still, and ``leads()``,
    asked right before something is done as leader. ``seeds`` is how many attacks are made.

    >>> check_election(None, seeds=1)
    ✗ it raises TypeError: 'NoneType' object is not callable; attack 0, made as small as it goes:
    not solved yet
    """
    point = _attacked(
        f"never two leaders, and always one when nothing fails, in {seeds} attacks",
        [list(_turns(random.Random(seed))) for seed in range(seeds)],
        lambda turns: _history(lambda: _Election(contender), turns),
        _smaller_turns,
    )
    return Check((point,))


# --- the fenced store --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Change:
    """What happens while A stands still, not before its moment number ``moment``."""

    moment: int
    what: str  # "B leads", "B saves 9", "A leads"


class _Saving:
    """A leads and saves checkpoint 4, while the leadership may pass on."""

    def __init__(self, save: Callable[..., Any]) -> None:
        self.time = _Time()
        self._save = save
        self._rows: dict[str, list[Any]] = {"leader": [1, "session-of-A"]}
        self._changes: list[_Change] = []
        self._asked = 0
        self._written = False

    def run(self, changes: Sequence[_Change]) -> None:
        """``_Broken`` says what broke."""
        self._changes = list(changes)
        table = Table(self.time, self._rows, self._stand, self._judge)
        saved = self._save(table, "session-of-A", 4)
        if not isinstance(saved, bool):
            raise _Broken(f"it returns {saved!r}, not whether it saved")
        if saved and not self._written:
            raise _Broken("it says that it saved, and nothing is written")
        if self._written and not saved:
            raise _Broken("it says that it did not save, and the store has it")
        if not saved and self._rows["leader"][1] == "session-of-A":
            raise _Broken("A leads all the time, and nothing is saved")

    def _stand(self) -> None:
        self._asked += 1
        if self._asked > _MOMENTS * _MOST_QUESTIONS:
            raise _Broken(f"it asks the store more than {_MOST_QUESTIONS} times")
        while self._changes and self._changes[0].moment <= self._asked:
            self._happen(self._changes.pop(0).what)

    def _happen(self, what: str) -> None:
        self.time.now += LEASE
        self.time.note(f"A stands still; {what}")
        if what == "B saves 9":
            self._put("checkpoint", 9)
        else:
            self._put("leader", f"session-of-{what.partition(' ')[0]}-after-{self.time.now:.0f}-s")

    def _put(self, key: str, value: Any) -> None:
        self._rows[key] = [self._rows.get(key, (0, None))[0] + 1, value]

    def _judge(self, writes: Mapping[str, Any]) -> None:
        """Whether A may write this at this moment."""
        if set(writes) != {"checkpoint"}:
            raise _Broken(
                f"it writes {', '.join(map(repr, writes)) or 'nothing'}, not 'checkpoint'"
            )
        if writes["checkpoint"] != 4:
            raise _Broken(f"it writes {writes['checkpoint']!r}, and was given 4")
        if (leader := self._rows["leader"][1]) != "session-of-A":
            raise _Broken(f"A's checkpoint is written although {leader} leads")
        self._written = True


_COURSES: Final = (
    ("B leads", "B saves 9"),
    ("B leads", "A leads", "A leads"),
    ("B leads", "B saves 9", "A leads"),
)


def _all_changes() -> Iterator[list[_Change]]:
    """Every course of things, cut off anywhere, at all moments of a save and after it."""
    courses = {course[:length] for course in _COURSES for length in range(len(course) + 1)}
    for course in sorted(courses):
        for moments in combinations_with_replacement(range(1, 9), len(course)):
            yield [_Change(moment, what) for moment, what in zip(moments, course, strict=True)]


def _smaller_changes(changes: Sequence[_Change]) -> Iterator[list[_Change]]:
    for index in range(len(changes)):
        yield [*changes[:index], *changes[index + 1 :]]


@safe
def check_save(save: Callable[..., Any]) -> Check:
    """Attack a fenced store: ``save(table, session, value)`` returns whether it saved.

    It is to save ``value`` under the key ``"checkpoint"`` if ``session`` is what the key
    ``"leader"`` says, and else nothing.

    >>> check_save(lambda table, session, value: False)
    ✗ A leads all the time, and nothing is saved; attack 0, made as small as it goes:
    not solved yet
    """
    attacks = list(_all_changes())
    point = _attacked(
        f"saved by the leader and by no other process, in {len(attacks)} attacks",
        attacks,
        lambda changes: _history(lambda: _Saving(save), changes),
        _smaller_changes,
    )
    return Check((point,))


# --- attacking ---------------------------------------------------------------------------


def _history(world: Callable[[], Any], moves: Sequence[Any]) -> tuple[str, list[str]] | None:
    """What broke, and all that happened; ``None`` when it held."""
    attacked = None
    try:
        attacked = world()
        attacked.run(moves)
    except _Broken as broken:
        return str(broken), attacked.time.history if attacked is not None else []
    except Exception as error:  # noqa: BLE001 - it is a learner's code
        said = f"it raises {type(error).__name__}: {error}"
        return said, attacked.time.history if attacked is not None else []
    return None


def shortened(history: Sequence[str]) -> list[str]:
    """Its beginning and its end; between them what is more than a question to the store."""
    last = len(history) - _SHOWN
    deeds = [number for number, line in enumerate(history) if _QUESTION not in line][:_DEEDS]
    kept = {*range(min(_SHOWN, len(history))), *deeds, *range(max(last, 0), len(history))}
    shown: list[str] = []
    before = -1
    for number in sorted(kept):
        if number > before + 1:
            shown.append("  ...")
        shown.append(history[number])
        before = number
    return shown


def _attacked(
    promise: str,
    attacks: Sequence[list[M]],
    history: Callable[[Sequence[M]], tuple[str, list[str]] | None],
    smaller: Callable[[Sequence[M]], Iterator[list[M]]],
) -> Point:
    """The promise and whether it held, with the smallest history that breaks it."""
    for number, moves in enumerate(attacks):
        if (broken := history(moves)) is None:
            continue
        again = True
        while again:
            again = False
            for less in smaller(moves):
                if (found := history(less)) is not None and found[0][:12] == broken[0][:12]:
                    moves, broken, again = less, found, True
                    break
        what, happened = broken
        lines = "".join(f"\n     {line}" for line in shortened(happened))
        return f"{what}; attack {number}, made as small as it goes:{lines}", False
    return promise, True
