"""A case that was saved says the same when it is opened, and has no secrets in it."""

from __future__ import annotations

import base64
import copy
import json
import os
import tarfile
import zipfile
from pathlib import Path
from unittest.mock import Mock

import ha_cases
import pytest
from ha_cases.made import Made
from test_inspect_faults import CLUSTERS, FAULTS, ON_KUBERNETES, Fault, Right

from hawork.core.errors import ConfigurationError
from hawork.inspect.case import save_case
from hawork.inspect.inspector import ShownInspection, inspect
from hawork.inspect.sources import Sources
from tests.flink_vectors import FILTER

WITH_METADATA = {"zk120-newest-ha-file-path-flipped"}
"""Told from _metadata, which is not kept: it holds state."""
SAVED = [name for name in ha_cases.names() if name not in WITH_METADATA][::3]


def look(case: ha_cases.Case) -> ShownInspection:
    mapping = {"file:/srv/flink": "."}
    return inspect(Sources(config=case.config, storage=case.storage, mapping=mapping, **case.store))


@pytest.mark.parametrize("name", SAVED)
def test_a_saved_case_says_the_same(name: str, tmp_path: Path) -> None:
    before = look(ha_cases.unpack(name, tmp_path))
    save_case(before, tmp_path / "case.zip")
    after = inspect(Sources(case=tmp_path / "case.zip"))
    assert after.recovery.to_json() == before.recovery.to_json()
    told = [(each.name, each.severity, each.objects) for each in after.findings]
    assert told == [(each.name, each.severity, each.objects) for each in before.findings]
    assert after.cluster.moment == before.cluster.moment
    assert after.exit_status == before.exit_status


def empty(made: Made, job: str) -> Right:
    made.change(made.file(made.checkpoint(job, made.ids(job)[-1])), b"")
    return Right()


def metadata_cut(made: Made, job: str) -> Right:
    name = f"checkpoints/{made.jobs[job]}/chk-{made.ids(job)[-1]}/_metadata"
    made.change(name, made.files[name][0][:50])
    return Right()


def result_is_no_text(made: Made, job: str) -> Right:
    made.files[made.result(job, dirty=True)] = (b"\xff\xfe\x00{", 1795970882.0)
    return Right()


def loose_graph_cut(made: Made, job: str) -> Right:
    content = made.files[made.file(made.graph(job))][0]
    made.files["ha/flights-prod/submittedJobGraph0123456789ab"] = (content[:5000], 1795970000.0)
    return Right()


@pytest.mark.parametrize("cluster", ["zk120", "k8s119"])
@pytest.mark.parametrize("fault", [
    *FAULTS, empty, metadata_cut, result_is_no_text, loose_graph_cut,
])  # fmt: skip
def test_what_is_damaged_is_so_in_a_saved_case(fault: Fault, cluster: str, tmp_path: Path) -> None:
    """A damaged job graph, which ends every JobManager, was not in it: *could not look*."""
    if fault in ON_KUBERNETES and cluster == "zk120":
        cluster = "k8s119"
    made = copy.deepcopy(CLUSTERS[cluster])
    fault(made, "exclusive")
    before = made.look()
    save_case(before, tmp_path / "case.zip")
    after = inspect(Sources(case=tmp_path / "case.zip"))
    told = [(each.code, each.severity, each.objects) for each in after.findings]
    assert told == [(each.code, each.severity, each.objects) for each in before.findings]
    assert after.recovery.to_json()["jobs"] == before.recovery.to_json()["jobs"]
    assert after.exit_status == before.exit_status


def test_a_case_has_no_secrets_and_no_state(tmp_path: Path) -> None:
    case = ha_cases.unpack("zk120-healthy", tmp_path)
    with case.config.open("a") as file:
        file.write("\ns3.secret-key: qwertzuiop\nfs.azure.account.key.x: yxcvbnm12\n")
    files = ha_cases.files_of("zk120-healthy")
    expected = json.loads(json.dumps(case.expected))
    save_case(look(case), tmp_path / "case.zip")
    with zipfile.ZipFile(tmp_path / "case.zip") as saved:
        everything = {name: saved.read(name) for name in saved.namelist()}
    assert not any(b"qwertzuiop" in content or b"yxcvbnm12" in content
                   for content in everything.values())  # fmt: skip
    assert not any("chk-" in name or "shared/" in name for name in everything)
    inlined = next(job for job, key in expected["jobs"].items() if key == "inlined")
    metadata = next(content for name, (content, _) in files.items()
                    if f"{inlined}/chk-" in name and name.endswith("_metadata"))  # fmt: skip
    # The state of this job lies inside its checkpoint files.
    state = metadata[len(metadata) // 2 : len(metadata) // 2 + 64]
    there = [name for name, (content, _) in files.items()
             if state in content and "completedCheckpoint" in name]  # fmt: skip
    assert there
    assert not any(state in content for content in everything.values())


def test_a_known_secret_in_a_znode_is_left_out(tmp_path: Path) -> None:
    case = ha_cases.unpack("zk120-healthy", tmp_path)
    with case.config.open("a") as file:
        file.write("\ns3.secret-key: qwertzuiop\n")
    dump = case.store["zookeeper_dump"]
    nodes = json.loads(dump.read_text())
    nodes[0]["data"] = base64.b64encode(b"password=qwertzuiop").decode()
    dump.write_text(json.dumps(nodes))
    save_case(look(case), tmp_path / "case.zip")
    with zipfile.ZipFile(tmp_path / "case.zip") as saved:
        kept = json.loads(saved.read("zookeeper.json"))
        everything = [saved.read(name) for name in saved.namelist()]
    assert not any(b"qwertzuiop" in base64.b64decode(node["data"] or "") for node in kept)
    assert not any(b"qwertzuiop" in content for content in everything)


@pytest.mark.parametrize("content", [b"", b"PK", b"{}"])
def test_what_is_no_case_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "case.zip").write_bytes(content)
    with pytest.raises(ConfigurationError):
        inspect(Sources(case=tmp_path / "case.zip"))


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "case.zip", "w") as file:
        file.writestr("case.json", json.dumps({"format": 7}))
    with pytest.raises(ConfigurationError, match="format"):
        inspect(Sources(case=tmp_path / "case.zip"))


@pytest.mark.parametrize("facts", ["[" * 100_000, '{"files": [["x", 1e999, 0]]}',
                                   '{"mapping": [["file:/ha", 5]]}'])  # fmt: skip
def test_what_is_written_in_a_case_is_not_trusted(facts: str, tmp_path: Path) -> None:
    """Each ended the look with an error of Python's."""
    whole = {"format": 1, "taken_at": [0, 1], "files": [], "mapping": [], "complete": True}
    if facts.startswith("{"):
        facts = json.dumps({**whole, **json.loads(facts)})
    with zipfile.ZipFile(tmp_path / "case.zip", "w") as file:
        file.writestr("case.json", facts)
    with pytest.raises(ConfigurationError, match="is not a case"):
        inspect(Sources(case=tmp_path / "case.zip"))


def test_a_name_that_is_not_text_keeps_nothing_else_from_a_case(tmp_path: Path) -> None:
    """It ended the look with an error of Python's, and left half a zip."""
    case, folder = ha_cases.unpack("zk120-healthy", tmp_path), tmp_path / "storage"
    with tarfile.open(case.storage) as tar:
        tar.extractall(folder, **FILTER)
    (results,) = folder.glob("ha/job-result-store/*")
    Path(os.fsdecode(os.fsencode(results) + b"/\xff_DIRTY.json")).write_bytes(b"{}")
    sources = Sources(
        config=case.config, storage=folder, mapping={"file:/srv/flink": "."}, **case.store
    )
    looked = inspect(sources)
    save_case(looked, tmp_path / "case.zip")
    again = inspect(Sources(case=tmp_path / "case.zip"))
    assert [each.code for each in again.findings] == [each.code for each in looked.findings]


def test_a_case_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = ha_cases.unpack("zk120-healthy", tmp_path)
    path = tmp_path / "kept" / "case.zip"
    path.parent.mkdir()
    save_case(look(case), path)
    before = path.read_bytes()
    monkeypatch.setattr(
        "hawork.inspect.case.as_page", Mock(side_effect=OSError(28, "No space left on device"))
    )
    with pytest.raises(ConfigurationError, match="cannot be written: No space left"):
        save_case(look(case), path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
