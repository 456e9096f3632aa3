"""What people have in hand at night: a configuration in a ConfigMap or in the operator's resource,
ConfigMaps in a folder, a backup of Velero's; and files that are none of these.
"""

from __future__ import annotations

import copy
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from hawork.core.errors import ConfigurationError
from hawork.inspect.applications import is_of_application
from hawork.inspect.configmaps import read_configmaps
from hawork.inspect.settings import parse_settings, read_settings
from hawork.inspect.sources import Sources, cluster_of

CONFIG = "high-availability:\n  type: kubernetes\n  storageDir: s3://prod/flink\n"
OLD = "high-availability: kubernetes\nkubernetes.cluster-id: orders\n"


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "data": data,
            "metadata": {"name": name, "namespace": "prod"}}  # fmt: skip


DEPLOYMENT = {
    "apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment",
    "metadata": {"name": "orders", "namespace": "prod"},
    "spec": {"flinkConfiguration": {
        "high-availability.type": "kubernetes", "high-availability.storageDir": "s3://prod/flink",
        "kubernetes.namespace": "other",
    }},
}  # fmt: skip


@pytest.mark.parametrize("as_json", [False, True])
def test_a_configuration_is_read_out_of_what_kubectl_prints(as_json: bool, tmp_path: Path) -> None:
    log = config_map("other", **{"log4j.properties": "a=b"})
    file = tmp_path / "config.yaml"
    for thing, expected in (
        (config_map("flink-config-orders", **{"config.yaml": CONFIG}), ("s3://prod/flink", None)),
        (config_map("flink-config-orders", **{"flink-conf.yaml": OLD}), (None, "orders")),
        ({"apiVersion": "v1", "kind": "List",
          "items": [log, config_map("flink-config-orders", **{"config.yaml": CONFIG})]},
         ("s3://prod/flink", None)),
        (DEPLOYMENT, ("s3://prod/flink", "orders")),
    ):  # fmt: skip
        file.write_text(json.dumps(thing) if as_json else yaml.safe_dump(thing))
        settings = read_settings(file)
        assert settings.problems == ()
        assert settings.backend == "kubernetes"
        assert (settings.storage_dir, settings.kubernetes_cluster_id) == expected


def test_a_directory_stands_for_its_configuration(tmp_path: Path) -> None:
    """As Flink takes it, and all other commands; it had been told to be *a directory*."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    assert read_settings(tmp_path) == read_settings(tmp_path / "config.yaml")
    (tmp_path / "flink-conf.yaml").write_text(OLD)
    assert read_settings(tmp_path).values == {
        "high-availability": "kubernetes", "kubernetes.cluster-id": "orders",
    }  # fmt: skip
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match=r"has no configuration: write config\.yaml there"):
        read_settings(tmp_path / "empty")


def test_the_operator_sets_the_ids_that_its_resource_does_not() -> None:
    settings = parse_settings(yaml.safe_dump(DEPLOYMENT), "deployment.yaml")
    assert settings.cluster_id == "orders"
    assert settings.get("kubernetes.namespace") == "other"


def test_of_an_application_the_operator_knows_more_than_its_resource_says() -> None:
    """It sets the id of the job, and a folder of results with a random name at each start."""
    job = "62f6a8b83a1b44313a74d89f6e50b70c"
    deployment: dict[str, Any] = copy.deepcopy(DEPLOYMENT)
    deployment["spec"]["job"] = {"jarURI": "local:///a.jar"}
    deployment["status"] = {"jobStatus": {"jobId": job}}
    settings = parse_settings(yaml.safe_dump(deployment), "deployment.yaml")
    assert is_of_application(job, settings)
    assert not is_of_application(job[::-1], settings)
    (problem,) = settings.problems
    assert "in the ConfigMap flink-config-orders: give that" in problem
    options = deployment["spec"]["flinkConfiguration"]
    options["job-result-store.storage-path"] = "s3://prod/flink/results"
    assert parse_settings(yaml.safe_dump(deployment), "deployment.yaml").problems == ()


@pytest.mark.parametrize(("text", "reason"), [
    (yaml.safe_dump(config_map("flink-config", **{"log4j.properties": "a=b"})),
     "has no configuration of Flink's in it"),
    (yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [DEPLOYMENT, DEPLOYMENT]}),
     "has 2 configurations of Flink's in it: give one"),
    ("Name: orders\nNamespace: prod\n", "has no option of Flink's"),
    ("replicas: 3\nimage: flink\n", "has no option of Flink's"),
])  # fmt: skip
def test_a_file_without_options_is_not_the_configuration(text: str, reason: str) -> None:
    """Flink's defaults had been taken for what is configured."""
    settings = parse_settings(text, "x.yaml")
    assert settings.retained is None
    assert settings.source is None
    (problem,) = settings.problems
    assert reason in problem


def test_such_a_file_is_told_as_not_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("replicas: 3\n")
    cluster = cluster_of(Sources(config=file, configmaps=file), None)
    assert "configuration" in [each.what for each in cluster.not_looked_at]


MAPS = [config_map(f"orders-{each}config-map", counter="7")
        for each in ("cluster-", f"{'0' * 31}1-", f"{'0' * 31}2-")]  # fmt: skip


def written(root: Path, form: str) -> Path:
    """The maps, a file each, once more where Velero's preferred versions are, and other files."""
    files = {f"prod/{each['metadata']['name']}.json": json.dumps(each) for each in MAPS}
    files |= {f"v1/{name}": text for name, text in files.items()}
    files |= {
        "pods/jm.json": json.dumps({"kind": "Pod", "metadata": {"name": "jm"}}), "README": "x",
    }  # fmt: skip
    place = root / form
    if form == "folder":
        for name, text in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text)
    elif form == "zip":
        with zipfile.ZipFile(place, "w") as packed:
            for name, text in files.items():
                packed.writestr(name, text)
    else:
        with tarfile.open(place, "w:gz") as tar:
            for name, text in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text.encode()))
    return place


@pytest.mark.parametrize("form", ["folder", "zip", "tar.gz"])
def test_config_maps_that_are_a_file_each(tmp_path: Path, form: str) -> None:
    dump = read_configmaps(written(tmp_path, form))
    assert [each.name for each in dump.maps] == sorted(each["metadata"]["name"] for each in MAPS)
    assert dump.problems == ()
    assert not dump.whole, "what is in no file may be there all the same"


def test_a_damaged_file_among_them_is_named_and_two_versions_are_kept(tmp_path: Path) -> None:
    folder = written(tmp_path, "folder")
    (folder / "a.yaml").write_text(yaml.safe_dump({**MAPS[0], "data": {"counter": "8"}}))
    (folder / "b.yaml").write_text("items: [{{{\n")
    (folder / "c.yaml").write_bytes(b"\xff\x00\xfe")
    dump = read_configmaps(folder)
    assert len(dump.maps) == len(MAPS) + 1
    assert [each.partition(" ")[0] for each in dump.problems] == ["b.yaml", "c.yaml"]


def test_a_folder_without_config_maps_says_how_many_files_it_has(tmp_path: Path) -> None:
    (tmp_path / "pod.yaml").write_text("kind: Pod\nmetadata: {name: jm}\n")
    with pytest.raises(ConfigurationError, match="no ConfigMap in its 1 YAML and JSON file"):
        read_configmaps(tmp_path)
