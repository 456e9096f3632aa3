"""Text of Flink's configuration into values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawork.core.units import (
    format_duration,
    parse_boolean,
    parse_duration,
    parse_map,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15 s", 15.0),
        ("15000", 15.0),
        ("500ms", 0.5),
        ("2 min", 120.0),
        ("1 H", 3600.0),
        ("3 days", 259200.0),
        (" 7 seconds ", 7.0),
        ("0", 0.0),
        ("250 µs", 0.00025),
    ],
)
def test_durations_are_read_as_flink_reads_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "-1 s", "1.5 s", "5 parsecs", "1 s 2", "9" * 20 + " d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


@given(st.integers(0, 10**9))
def test_a_formatted_duration_reads_back(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == pytest.approx(
        milliseconds / 1000
    )


@pytest.mark.parametrize(
    ("text", "size"), [("64 mb", 64 << 20), ("20kb", 20 << 10), ("7", 7), ("1 g", 1 << 30)]
)
def test_sizes_are_powers_of_1024(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "1.5 mb", "-1", "3 potatoes"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_size(text)


def test_booleans_and_maps() -> None:
    assert parse_boolean("True") is True
    assert parse_boolean("FALSE") is False
    with pytest.raises(ValueError):
        parse_boolean("yes")
    assert parse_map("digest:user:secret, auth:x") == {"digest": "user:secret", "auth": "x"}
    with pytest.raises(ValueError):
        parse_map("digest")
