"""Processes that decode checkpoints for a large look: real ones, and one that is killed."""

from __future__ import annotations

import os
import signal

import pytest

from hawork.inspect import decoding
from hawork.inspect.checkpoints import decode_completed_checkpoint
from hawork.inspect.storage import StoredFile
from hawork.testing import eventually
from tests.flink_vectors import vector

WHOLE = vector("1.20.5.completedCheckpoint")
FILES = [StoredFile(f"completedCheckpoint{number}", len(WHOLE)) for number in range(600)]


@pytest.fixture
def always_helped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "FEWEST", 1)
    monkeypatch.setattr(decoding, "_processors", lambda: 3)


@pytest.mark.usefixtures("always_helped")
@pytest.mark.parametrize("killed", [False, True])
def test_helpers_decode_and_may_die(killed: bool) -> None:
    right = decode_completed_checkpoint(WHOLE)
    with decoding.decoding(lambda _: WHOLE, FILES) as decoder:
        assert isinstance(decoder, decoding._Shared)
        helpers = decoder._helpers
        assert len(helpers) == 2
        found = [decoder.checkpoint(FILES[0])]
        if killed:
            for helper in helpers:
                os.kill(helper._process.pid, signal.SIGKILL)
        found += [decoder.checkpoint(file) for file in FILES[1:]]
        assert found == [right] * len(FILES)
        if killed:
            eventually(lambda: not any(helper.has_room for helper in helpers))
    assert all(helper._process.poll() is not None for helper in helpers)


@pytest.mark.usefixtures("always_helped")
def test_a_helper_does_decode() -> None:
    """What the look itself asks for first is decoded by a helper, too, when it is given."""
    with decoding._Helper() as helper:
        chunk = decoding._Chunk(FILES[:2])
        helper.give(chunk, [WHOLE, WHOLE[:-1]])
        assert chunk.done.wait(60)
    assert list(chunk.results()) == [FILES[0].name]
