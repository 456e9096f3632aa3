"""Every case: real data of real clusters, whole and broken, and what is right to say of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ha_cases
import pytest

from hawork.inspect.inspection import Inspection
from hawork.inspect.inspector import inspect
from hawork.inspect.sources import Sources

MAPPING = {"file:/srv/flink": "."}
AFTER_THE_LEASE = {"k8s120-stale-leader-keys"}
"""Its lease runs 0.4 s before the newest time in its data, which is that of every other case of
its cluster: that it ran out is known to one who knows when the dump was taken."""
ALIKE = {"zk120-dead-owner-lock"}
"""Three job graphs are locked by the same session, and one of them is expected."""


def look(case: ha_cases.Case, **options: Any) -> Inspection:
    sources = Sources(config=case.config, storage=case.storage, mapping=MAPPING, **case.store)
    return inspect(sources, **options)


def objects(finding: dict[str, Any]) -> set[tuple[str, str, str | None]]:
    return {(each["kind"], each["name"], each.get("key")) for each in finding["objects"]}


def complaints(expected: dict[str, Any], found: dict[str, Any], *, more: bool = False) -> list[str]:
    """Whatever of an answer is not as it should be; ``more``: it may name more objects."""
    wrong: list[str] = []
    used: list[int] = []
    for right in expected["findings"]:
        wanted = objects(right)
        said = [
            each
            for each in found["findings"]
            if each["severity"] == right["severity"]
            and (objects(each) == wanted or (more and objects(each) >= wanted))
            and set(right["questions"]) <= set(each["questions"])
        ]
        if said:
            used.append(id(said[0]))
        else:
            wrong.append(f"not found: {right['severity']} {right['code']} {objects(right)}")
    wrong += [f"false: {each['severity']} {each['name']}: {each['title']}"
              for each in found["findings"]
              if each["severity"] != "info" and id(each) not in used]  # fmt: skip
    right, told_of = expected["recovery"], found["recovery"]
    if told_of["jobmanager"] != right["jobmanager"]:
        wrong.append(f"JobManager: {told_of['jobmanager']}, not {right['jobmanager']}")
    outcomes = {
        job: (each["outcome"], each.get("checkpoint")) for job, each in right["jobs"].items()
    }
    told = {job: (each["outcome"], each.get("checkpoint")) for job, each in told_of["jobs"].items()}
    if told != outcomes:
        wrong.append(f"jobs: {told}, not {outcomes}")
    for job, newest in right.get("newest_readable", {}).items():
        if told_of["newest_readable"].get(job) != newest:
            wrong.append(f"newest readable of {job}: {told_of['newest_readable'].get(job)}")
    return wrong


@pytest.mark.parametrize("name", ha_cases.names())
def test_case(name: str, tmp_path: Path) -> None:
    case = ha_cases.unpack(name, tmp_path)
    options = {}
    if name in AFTER_THE_LEASE:
        assert look(case).alarms == []
        options["at"] = case.expected["dump_taken_at"] + 60
    found = look(case, **options)
    assert complaints(case.expected, found.to_json(), more=name in ALIKE) == []
    assert found.exit_status == (1 if found.alarms else 0)
