"""What a client may do at any moment: cancel its jobs, and submit them again."""

from __future__ import annotations

import itertools

import pytest

from hawork.simulation import GuidedSearch, Seed, run
from hawork.simulation.schedule import STORES
from tests.simulation.impatient import impatient_client

SCHEDULES = 60


@pytest.mark.parametrize(
    "seed",
    [
        # The next leader restored a canceled job whose output had been thrown away.
        "embedded:81001026+crash@checkpoint.subsumed+long-pause@checkpoint.subsumed",
        # A deposed leader forgot the submission of an ended job, for all that came after it.
        "embedded:81000894+long-pause@result.dirty#2+crash@takeover.confirmed#2",
        # A deposed leader told the client to take another job id.
        "embedded:81000588+long-pause@result.decided",
        "zookeeper:81000000+long-pause@takeover.published#2",
        "kubernetes:81000846+long-pause@cleanup.checkpoints_removed",
    ],
)
def test_a_schedule_that_went_wrong(seed: str) -> None:
    with impatient_client():
        outcome = run(Seed.parse(f"00000000:{seed}", any_version=True))
    assert outcome.ok, str(outcome)


@pytest.mark.parametrize("backend", STORES)
def test_each_job_ends_once_and_the_same_submission_is_acknowledged_again(backend: str) -> None:
    with impatient_client():
        search = GuidedSearch(backend, first=83_000_000)
        for outcome in itertools.islice(search, SCHEDULES):
            assert outcome.ok, str(outcome)
