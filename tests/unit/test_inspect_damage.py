"""Whatever the bytes are, the inspector ends with an answer, in text, HTML and JSON."""

from __future__ import annotations

import base64
import copy
import json
import random

import pytest
from ha_cases.made import LOCK, Made, clusters

from hawork.inspect.report import as_text
from hawork.inspect.report_html import as_page

CLUSTERS = clusters()


def damage(made: Made, luck: random.Random) -> None:
    """One file, entry or lock record: gone, cut off or changed."""
    if luck.random() < 0.5:
        names = [name for name in made.files if name.startswith("ha/") or "_metadata" in name]
        name = luck.choice(names)
        content = changed(made.files[name][0], luck)
        if content is None:
            del made.files[name]
        else:
            made.change(name, content)
        return
    place = luck.choice(list(made.store))
    if luck.random() < 0.1:
        del made.store[place]
    elif made.backend == "zookeeper":
        value = changed(base64.b64decode(made.store[place]["data"] or ""), luck)
        data = None if value is None else base64.b64encode(value).decode()
        made.store[place] = {**made.store[place], "data": data, "null": value is None}
    else:
        values = made.store[place]["data"]
        annotations = made.store[place]["metadata"].get("annotations") or {}
        if LOCK in annotations and luck.random() < 0.3:
            values = annotations
        if values:
            key = luck.choice(list(values))
            value = changed(values[key].encode(), luck)
            if value is None:
                del values[key]
            else:
                values[key] = value.decode("latin-1")


def changed(content: bytes, luck: random.Random) -> bytes | None:
    """``None``: it is gone."""
    kind = luck.choice(("gone", "cut", "changed", "changed", "changed"))
    if kind == "gone":
        return None
    if kind == "cut" or not content:
        return content[: luck.randrange(len(content) + 1)]
    written = bytearray(content)
    for _ in range(luck.randrange(1, 5)):
        written[luck.randrange(min(len(written), 4000))] = luck.randrange(256)
    return bytes(written)


@pytest.mark.parametrize("seed", range(8))
def test_no_damage_ends_the_inspector(seed: int) -> None:
    luck = random.Random(seed)
    for _ in range(20):
        made = copy.deepcopy(luck.choice(list(CLUSTERS.values())))
        if luck.random() < 0.5:
            made.led()
        for _ in range(luck.randrange(1, 4)):
            damage(made, luck)
        found = made.look(luck.choice((None, None, "1.18.1", "2.1.1")), config=luck.random() < 0.7)
        assert as_text(found, colour=True)
        assert as_page(found)
        told = json.loads(json.dumps(found.to_json()))
        # What ends every JobManager is always told by a finding that says so.
        worst = [each["severity"] for each in told["findings"]]
        if told["recovery"]["jobmanager"] in ("crash-loops", "never-leads"):
            assert "fatal" in worst
        outcomes = {job["outcome"] for job in told["recovery"]["jobs"].values()}
        if told["recovery"]["jobmanager"] == "starts":
            assert "not-recovered" not in outcomes or "data-loss" in worst
            assert "restart-loop" not in outcomes or "stuck" in worst


@pytest.mark.parametrize("cluster", ["k8s119", "k8s120"])
def test_a_copy_of_the_newest_pointer_under_a_name_without_number_loses_nothing(
    cluster: str,
) -> None:
    """Real Flink 1.20.5 restores the newest checkpoint then: nothing is lost."""
    made = copy.deepcopy(CLUSTERS[cluster])
    newest = made.checkpoint("exclusive", made.ids("exclusive")[-1])
    made.put((*newest[:2], "checkpointID-newest"), made.get(newest))
    found = made.look()
    assert [(each.name, each.severity) for each in found.alarms] == [
        ("pointer-to-another-checkpoint", "warning")
    ]
    assert "None" not in found.alarms[0].title
    assert found.recovery.jobs[made.jobs["exclusive"]].outcome == "restored"
