"""A sample of the damage that ``make bench`` does in full."""

from __future__ import annotations

import pytest

from tests.inspect_fuzz import kinds, mutations, outcomes, truncations

KINDS = kinds()


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_bytes_end_in_a_value_or_in_the_one_error(kind: str) -> None:
    data, decode = KINDS[kind]
    decode(data)
    outcomes(decode, truncations(data, most=60))
    outcomes(decode, mutations(data, count=120, seed=1))
