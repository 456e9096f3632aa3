"""The picture of a lease says in words what it shows, and can be read on a dark page."""

from __future__ import annotations

import base64
import io
from typing import Any

import matplotlib.image
import pytest

from hawork.core.errors import LabError
from hawork.lessons import draw_lease


def test_it_says_in_words_what_it_shows() -> None:
    said = str(draw_lease(retry=0.25, deadline=1.5, lease=2.0))
    assert said == (
        "the leader renews at 0, 0.25, 0.5 s and believes until 2 s; "
        "the standby leads from 2.55 s: 0.55 s without a leader"
    )


def test_a_deadline_that_is_too_long_shows_two_leaders() -> None:
    bad: Any = draw_lease(retry=0.25, deadline=3.0, lease=1.0)
    assert bad.without_leader == -1.95
    assert "1.95 s in which both think they lead" in str(bad)
    assert "1.95 s in which both" in bad._repr_mimebundle_()["text/html"]


def test_its_ground_is_transparent_and_its_words_are_grey() -> None:
    """A dark page shines through: black words on it, or a white ground, cannot be read."""
    bundle = draw_lease(retry=0.25, deadline=1.5, lease=2.0)._repr_mimebundle_()
    png = base64.b64decode(str(bundle["image/png"]))
    image = matplotlib.image.imread(io.BytesIO(png), format="png")
    height, width, _ = image.shape
    edge = image[[0, 0, height - 1, height - 1], [0, width - 1, 0, width - 1], 3]
    assert edge.max() == 0.0
    words = image[-height // 8 :, :, :]  # below the axis stand words only
    solid = words[words[:, :, 3] > 0.9][:, :3]
    assert len(solid) and solid.min() > 0.4


@pytest.mark.parametrize("name", ["retry", "deadline", "lease"])
def test_durations_have_to_be_positive(name: str) -> None:
    with pytest.raises(LabError, match="more than 0 s"):
        draw_lease(**{"retry": 1.0, "deadline": 1.0, "lease": 1.0, name: 0.0})
