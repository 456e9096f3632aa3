"""What another hand does beside a cluster: unmounts its storageDir, or takes its pointers away."""

from __future__ import annotations

from random import Random

import pytest

from hawork.simulation import Defect, Seed, run
from hawork.simulation.faults import JOB_MANAGER_STEPS, Order
from hawork.simulation.schedule import STORES, Outcome
from tests.simulation.impatient import impatient_client

_FIRST = 84_000_000
_REQUESTS = ("storage.write", "storage.read", "storage.list", "storage.delete", "request")
_BESIDES = ("crash", "crash", "long-pause", "no-tasks", "refused", "stop")


def outcome_of(backend: str, kind: str, number: int) -> Outcome:
    """A schedule in which ``kind`` strikes somewhere, and mostly another fault before or after."""
    random = Random(f"{backend} {kind} {number}")
    places = (*JOB_MANAGER_STEPS, *_REQUESTS)
    orders = [Order(kind, random.choice(places), random.choice((1, 1, 2, 3, 5)))]
    if random.random() < 0.7:
        then = random.random() < 0.6
        orders.append(Order(random.choice(_BESIDES), random.choice(places), then=then))
    with impatient_client():
        return run(Seed(backend, number, tuple(orders)))


@pytest.mark.parametrize("kind", ["unmount", "taken"])
@pytest.mark.parametrize("backend", STORES)
def test_it_costs_the_job_of_the_pointer_at_most(backend: str, kind: str) -> None:
    for number in range(_FIRST, _FIRST + 40):
        assert (outcome := outcome_of(backend, kind, number)).ok, str(outcome)


@pytest.mark.parametrize(
    "defect",
    [
        Defect(
            "what is not there is absent, whatever is mounted",
            "hawork.ha.storage_root:StorageRoot.check",
            "self.check_mounted()",
            "return",
        ),
        Defect(
            "a storageDir that another hand has made anew is taken for the one that was mounted",
            "hawork.ha.storage_root:StorageRoot.check_mounted",
            "mount is None or",
            "mount is not None or",
        ),
    ],
    ids=lambda defect: defect.name,
)
def test_a_storage_that_is_not_mounted_is_not_taken_for_empty(defect: Defect) -> None:
    with defect.applied():
        assert not all(outcome_of("embedded", "unmount", _FIRST + n).ok for n in range(150))
