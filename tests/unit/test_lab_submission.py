"""Sending a job while a reader looks at a held step."""

from __future__ import annotations

import pytest

from hawork.core.errors import RestError
from hawork.core.types import JobID
from hawork.lab.submission import send

JOB = JobID("a" * 32)


def test_a_submission_waits_as_long_as_a_step_is_held() -> None:
    tries: list[bool] = []

    def submit(again: bool) -> JobID:
        tries.append(again)
        if len(tries) < 3:
            raise RestError("no answer")
        return JOB

    assert send(submit, wait=True, held=lambda: ["a step"]).result() == JOB
    assert tries == [False, True, True]


@pytest.mark.parametrize(("status", "held"), [(0, []), (500, ["a step"])])
def test_other_errors_are_told_at_once(status: int, held: list[str]) -> None:
    def submit(again: bool) -> JobID:
        assert not again
        raise RestError("no", status)

    with pytest.raises(RestError):
        send(submit, wait=True, held=lambda: held)
    assert isinstance(send(submit, wait=False, held=lambda: held).exception(), RestError)
