"""``hawork drill`` refuses what it cannot do in one sentence, before anything is started."""

from __future__ import annotations

import pytest

from hawork.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--servers", "3"], '3 servers: ha="embedded" starts none of them; use ha="zookeeper"'),
        (["--flink"], "ha='embedded' is nothing that a lab of real Flink can start"),
    ],
)
def test_a_drill_that_makes_no_sense_is_refused(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["drill", *arguments]) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--seed", "n9-4711"], "is of version 9 of the nemesis"),
        (["--seed", "seven"], "'seven' is not a seed"),
        (["--only", "3,x"], "'3,x' is not a list of numbers"),
        (["--minutes", "0"], "argument --minutes: '0' is not a number of 0.01 or more"),
        (["--minutes", "nan"], "'nan' is not a number"),
        (["--minutes", "inf"], "'inf' is not a number"),
        (["--faults", "0"], "argument --faults: '0' is not a whole number of 1 or more"),
        (["--ha", "zookeper"], "argument --ha: invalid choice: 'zookeper'"),
        (["--ha", "NONE"], "argument --ha: invalid choice: 'none'"),
    ],
)
def test_a_drill_that_was_typed_wrong_is_refused(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["drill", *arguments]) == 2
    assert sentence in capsys.readouterr().err.splitlines()[-1]
