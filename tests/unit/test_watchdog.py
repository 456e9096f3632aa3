"""When a silent process is taken for one that hangs: the rule alone, on a clock of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hawork.runtime.watchdog import EVENT_LOOP, LEADERSHIP_THREAD, PARTS, Silent, Watchdog

TIMEOUT = 8.0
PACE = TIMEOUT / 4


def looks(watchdog: Watchdog, start: float, end: float) -> Iterator[tuple[float, int | Silent]]:
    """What the supervisor finds when it looks whenever it is time to."""
    while (now := max(start, watchdog.next_look)) < end:
        found = watchdog.look(now)
        assert found is not None
        yield now, found


def silence(watchdog: Watchdog, start: float, end: float) -> tuple[float, Silent] | None:
    """When what hangs is found, if it is."""
    for now, found in looks(watchdog, start, end):
        if isinstance(found, Silent):
            return now, found
    return None


def alive(watchdog: Watchdog, start: float, end: float, *parts: str, late: float = 0.01) -> None:
    for now, question in looks(watchdog, start, end):
        assert isinstance(question, int), question
        for part in parts or PARTS:
            watchdog.answered(part, question, now + late)


def test_questions_are_a_quarter_apart() -> None:
    watchdog = Watchdog(TIMEOUT, 0.0)
    assert watchdog.look(0.0) == 1
    assert watchdog.look(PACE - 0.01) is None
    assert watchdog.look(PACE) == 2


def test_one_that_answers_is_left_alone() -> None:
    alive(Watchdog(TIMEOUT, 0.0), 0.0, 100 * TIMEOUT)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_part_that_falls_silent_is_noticed_within_the_watchdog(share: float) -> None:
    """Whenever it falls silent between two questions."""
    watchdog = Watchdog(TIMEOUT, 0.0)
    alive(watchdog, 0.0, 50 * PACE)
    stopped = 49 * PACE + share * PACE  # after the answer to the question of 49
    found = silence(watchdog, 50 * PACE, 100 * TIMEOUT)
    assert found is not None
    assert 0.75 * TIMEOUT <= found[0] - stopped <= TIMEOUT
    assert found[1].part == f"{EVENT_LOOP} and {LEADERSHIP_THREAD}"
    assert found[1].seconds == pytest.approx(TIMEOUT, abs=PACE)


@pytest.mark.parametrize("part", PARTS)
def test_one_part_answers_for_itself_alone(part: str) -> None:
    watchdog = Watchdog(TIMEOUT, 0.0)
    other = next(each for each in PARTS if each != part)
    with pytest.raises(AssertionError, match=f"part='{part}'"):
        alive(watchdog, 0.0, 2 * TIMEOUT, other)


@pytest.mark.parametrize("part", PARTS)
def test_one_that_stops_between_its_two_answers_is_silent_as_a_whole(part: str) -> None:
    watchdog = Watchdog(TIMEOUT, 0.0)
    alive(watchdog, 0.0, TIMEOUT)
    question = watchdog.look(watchdog.next_look)
    assert isinstance(question, int)
    watchdog.answered(part, question, TIMEOUT)
    found = silence(watchdog, TIMEOUT, 100 * TIMEOUT)
    assert found is not None and found[1].part == f"{EVENT_LOOP} and {LEADERSHIP_THREAD}"


def test_before_the_last_question_it_is_in_doubt() -> None:
    watchdog = Watchdog(TIMEOUT, 0.0)
    alive(watchdog, 0.0, TIMEOUT)
    doubts = []
    for _, found in looks(watchdog, TIMEOUT, 2 * TIMEOUT):
        if isinstance(found, Silent):
            break
        doubts.append(watchdog.doubtful)
    assert doubts == [False, False, True]
    watchdog.forgive()
    assert not watchdog.doubtful


def test_one_that_never_answered_hangs_too() -> None:
    found = silence(Watchdog(TIMEOUT, 0.0), 0.0, 100.0)
    assert found is not None and found[0] <= TIMEOUT


def test_a_busy_process_that_always_answers_late_is_alive() -> None:
    """Each answer comes when the next two questions have been asked."""
    watchdog = Watchdog(TIMEOUT, 0.0)
    for now, question in looks(watchdog, 0.0, 50 * TIMEOUT):
        assert isinstance(question, int)
        for part in PARTS:
            watchdog.answered(part, question - 2, now)


def test_an_answer_to_no_question_proves_nothing() -> None:
    watchdog = Watchdog(TIMEOUT, 0.0)
    for part in (*PARTS, "helper thread"):
        watchdog.answered(part, 1000, 0.0)
        watchdog.answered(part, -1, 0.0)
    assert silence(watchdog, 0.0, 100.0) is not None


@pytest.mark.parametrize("away", [PACE + 0.01, 10 * TIMEOUT, 3600.0])
def test_time_in_which_the_supervisor_stood_still_does_not_count(away: float) -> None:
    """The host was suspended, a debugger held everything, or the supervisor alone was stopped."""
    watchdog = Watchdog(TIMEOUT, 0.0)
    now, question = 0.0, 0
    for _ in range(20):
        found = watchdog.look(now)
        assert isinstance(found, int), "what stood still together was blamed on the process"
        question = found
        now += PACE + away
    # It goes on in the end, and so must the process.
    for part in PARTS:
        watchdog.answered(part, question, now)
    assert silence(watchdog, now, now + 2 * TIMEOUT) is not None


def test_a_process_that_hung_before_the_host_slept_is_noticed_after() -> None:
    watchdog = Watchdog(TIMEOUT, 0.0)
    alive(watchdog, 0.0, 10.0)
    assert silence(watchdog, 10.0, 10.0 + PACE) is None
    found = silence(watchdog, 5000.0, 6000.0)
    assert found is not None and found[0] <= 5000.0 + TIMEOUT


def test_one_that_a_debugger_holds_is_given_its_time_again() -> None:
    watchdog = Watchdog(TIMEOUT, 0.0)
    assert silence(watchdog, 0.0, TIMEOUT) is not None
    watchdog.forgive()
    question = watchdog.look(watchdog.next_look)
    assert isinstance(question, int)
    for part in PARTS:
        watchdog.answered(part, question, watchdog.next_look)
    alive(watchdog, watchdog.next_look, 10 * TIMEOUT)
