"""In which order the guided search lets faults strike."""

from __future__ import annotations

import itertools

from hawork.core.steps import STEPS
from hawork.simulation import GuidedSearch, Seed
from hawork.simulation.faults import REQUEST
from hawork.simulation.search import PAIRS, Untried


def test_no_point_has_a_second_kind_before_each_has_had_one() -> None:
    """A point that was found late waited behind thousands."""
    untried = Untried()
    a, b, c = ([Seed("embedded", 10 * number + kind) for kind in (1, 2)] for number in (1, 2, 3))
    untried.add(("storage.write", "result.dirty"), a)
    untried.add(("storage.read", "result.dirty"), b)
    taken = [untried.take(), untried.take(), untried.take()]
    untried.add(("result.clean", None), c)
    taken += [untried.take() for _ in range(4)]
    assert [each and each.number for each in taken] == [11, 21, 12, 31, 22, 32, None]


def test_a_second_fault_strikes_in_the_takeover_that_the_first_one_brought_about() -> None:
    """In the very schedule in which that takeover was seen: it is sure to come to the request."""
    outcomes = list(itertools.islice(GuidedSearch("zookeeper", 5_000_000), 80))
    ordered = [each for each in outcomes if each.seed.orders]
    followed = [each for each in ordered if each.seed.orders[-1].label == REQUEST]
    assert followed
    for outcome in followed:
        first, second = outcome.seed.orders[-2:]
        assert first.label in STEPS
        assert second.then
        assert second.after is not None and second.after.startswith("takeover.")
        assert len(outcome.faults) == len(outcome.seed.orders), str(outcome)


def test_an_end_of_leadership_that_is_missing_is_brought_about() -> None:
    """The leader that follows gives its leadership up only where it stands still itself."""
    missing = ("checkpoint.pointer_added", "leadership.revoked")
    search = GuidedSearch("kubernetes", 6_000_000)
    search.coverage.pairs = set(PAIRS - {missing})
    for outcome in itertools.islice(search, 20):
        if missing in search.coverage.pairs:
            assert "long-pause" in {each.kind for each in outcome.faults}
            return
    raise AssertionError(f"{missing} was not had in {search.coverage}")
