"""Broken code, told by a seed: each of the four is found, and wrong answers are told why."""

from __future__ import annotations

import pytest

from hawork.core.errors import HaworkError, LabError
from hawork.lessons import Check, broken_code, check_bug
from hawork.lessons.suspects import SUSPECTS, BrokenCode


@pytest.fixture(scope="module")
def fenceless() -> BrokenCode:
    """The first one, whose run was recorded."""
    code = broken_code(1)
    code.record(code.search())
    return code


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_every_change_is_found_by_a_seed_that_is_right_without_it(number: int) -> None:
    code = broken_code(number)
    seed = code.search()
    assert not code.run(seed).ok
    assert str(code.run(seed)) == str(code.run(seed))
    code.record(seed)
    assert code.proof()
    assert check_bug(code, code.answers()).passed
    assert code.mended(seed).ok, "the change is taken back when the run is over"


def test_each_line_is_hidden_once() -> None:
    assert {broken_code(number).answers()["line"] for number in (1, 2, 3, 4)} == set(SUSPECTS)
    assert all(text in repr(broken_code(1)) for text in SUSPECTS.values())
    with pytest.raises(LabError, match="choose 1 to 4"):
        broken_code(5)


def test_the_last_event_of_the_proof_is_a_write_of_a_deposed_leader(fenceless: BrokenCode) -> None:
    *_, write = fenceless.proof()
    granted = [event for event in fenceless.proof() if event.kind == "leadership.granted"]
    assert granted[-1].process != write.process
    assert granted[0].session_id == write.session_id


WRONG: list[tuple[object, str]] = [
    (None, "line: no answer yet"),
    ({"line": "b"}, "line: not 'b'; a letter"),
    ({"line": "d", "process": "?"}, "process: no answer yet"),
    ({"line": SUSPECTS["c"]}, "line: not"),
    ({"line": "a", "process": "jm-9"}, "process: not 'jm-9'; the process that did"),
    ({"line": "a", "process": None}, "process: no answer yet"),
    ({"line": 1, "process": "jm-1"}, "line: not 1"),
    ({"line": "(b)"}, "line: not '(b)'"),
    ({"line": ["a"]}, "line: not ['a']"),
    ({"line": "a", "process": "all"}, "process: not 'all'"),
    ({"lines": "a"}, "'lines' is not a question here: did you mean 'line'?"),
    ("a", "the answers are a str"),
]


@pytest.mark.parametrize(("answers", "said"), WRONG)
def test_wrong_answers(answers: object, said: str, fenceless: BrokenCode) -> None:
    refused(check_bug(fenceless, answers), said)  # type: ignore[arg-type]


def test_what_is_not_a_seed_is_one_sentence(fenceless: BrokenCode) -> None:
    for use in (fenceless.run, fenceless.record, fenceless.mended):
        with pytest.raises(HaworkError, match="5 is not a seed: hand in what"):
            use(5)  # type: ignore[arg-type]


def test_what_was_not_recorded_is_not_answered() -> None:
    refused(check_bug(broken_code(1), {"line": "a"}), "nothing was recorded yet")
    refused(check_bug(None, {"line": "a"}), "this cannot be checked")  # type: ignore[arg-type]


def test_what_means_the_same_is_accepted(fenceless: BrokenCode) -> None:
    process = fenceless.proof()[-1].process
    assert check_bug(fenceless, {"line": " A ", "process": process.upper()}).passed
    assert check_bug(fenceless, {"line": SUSPECTS["a"], "process": process}).passed
    for line in ("(a)", "a)", "Line A", f"a  {SUSPECTS['a']}"):
        assert check_bug(fenceless, {"line": line, "process": process}).passed


def refused(told: Check, said: str) -> None:
    assert not told.passed, str(told)
    assert said in "\n".join(sentence for sentence, good in told.points if not good), str(told)
