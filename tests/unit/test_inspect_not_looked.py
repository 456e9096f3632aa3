"""What was not copied, not mapped or cut off is *not looked at*: neither clean nor damaged."""

from __future__ import annotations

import copy
import shutil
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import ha_cases
import pytest
import yaml
from ha_cases.made import Made, clusters

from hawork.cli.inspect import version_of
from hawork.core.errors import ConfigurationError
from hawork.inspect.case import save_case
from hawork.inspect.cluster import Cluster
from hawork.inspect.follow import missing_state
from hawork.inspect.handles import StateHandle
from hawork.inspect.inspection import Inspection
from hawork.inspect.inspector import inspect
from hawork.inspect.report import headline
from hawork.inspect.sources import Sources
from hawork.inspect.storage import StoredFile
from hawork.inspect.stored_files import StoredFiles
from tests.flink_vectors import FILTER

CLUSTERS = clusters()
MAPPING = {"file:/srv/flink": "."}


def whys(found: Inspection) -> str:
    return " ".join(f"{each.what}: {each.why}" for each in found.cluster.not_looked_at)


def nothing_is_told(found: Inspection, why: str) -> None:
    """No finding, and not clean either."""
    assert found.alarms == []
    assert why in whys(found)
    assert found.exit_status == 2
    assert "AS FAR AS WAS LOOKED AT" in headline(found)[0] or found.recovery.jobmanager == "unknown"


@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize(
    ("part", "missing"), [("checkpoints/", "file:/srv/flink/ha"), ("ha/", "checkpoints")]
)
def test_a_part_of_the_files_is_not_called_missing(cluster: str, part: str, missing: str) -> None:
    made = copy.deepcopy(CLUSTERS[cluster])
    made.files = {name: each for name, each in made.files.items() if name.startswith(part)}
    nothing_is_told(made.look(), f"{missing} is in the storage")


def test_a_wrong_map_is_told_with_the_right_one() -> None:
    made = copy.deepcopy(CLUSTERS["zk120"])
    made.files = {f"backup é/flink/{name}": each for name, each in made.files.items()}
    nothing_is_told(made.look(), "--map file:/srv=backup é would lead to backup é/flink/ha/")


def test_files_that_are_gone_from_a_storage_that_is_there_are_missing() -> None:
    made = copy.deepcopy(CLUSTERS["zk120"])
    made.files = {
        name: each for name, each in made.files.items()
        if not name.startswith("ha/flights-prod/")
    }  # fmt: skip
    assert {each.name for each in made.look().alarms} == {
        "job-graph-file-missing", "checkpoint-file-missing"
    }  # fmt: skip


def case(tmp_path: Path) -> ha_cases.Case:
    return ha_cases.unpack("zk120-healthy", tmp_path)


def look(found: ha_cases.Case, storage: Path) -> Inspection:
    return inspect(Sources(config=found.config, storage=storage, mapping=MAPPING, **found.store))


def without_files(found: ha_cases.Case, below: str, folders: str, packed: Path) -> Path:
    """The storage with its folders, as tar packs it, but for the files below one and folders."""
    made: set[str] = set()
    with tarfile.open(found.storage) as old, tarfile.open(packed, "w") as new:
        for each in old:
            above = [str(folder) for folder in PurePosixPath(each.name).parents][-2::-1]
            for name in above:
                if name not in made and not f"{name}/".startswith(folders):
                    made.add(name)
                    member = tarfile.TarInfo(name)
                    member.type, member.mode = tarfile.DIRTYPE, 0o755
                    new.addfile(member)
            if not each.name.startswith(below):
                new.addfile(each, old.extractfile(each))
    return packed


@pytest.mark.parametrize("unpacked", [False, True])
@pytest.mark.parametrize("folders", ["none", "checkpoints/6"])
def test_the_files_of_a_folder_that_is_there_and_empty_are_missing(
    tmp_path: Path, folders: str, unpacked: bool
) -> None:
    found = case(tmp_path)
    storage = without_files(found, "checkpoints/", folders, tmp_path / "emptied.tar")
    if unpacked:
        shutil.unpack_archive(storage, tmp_path / "emptied", **FILTER)
        storage = tmp_path / "emptied"
    answer = look(found, storage)
    assert {each.name for each in answer.alarms} == {"state-file-missing", "metadata-file-missing"}
    outcomes = sorted(job.outcome for job in answer.recovery.jobs.values())
    assert outcomes == ["restart-loop", "restart-loop", "restored"]
    assert answer.cluster.not_looked_at == []
    save_case(answer, tmp_path / "case.zip")
    again = inspect(Sources(case=tmp_path / "case.zip"))
    assert [each.name for each in again.alarms] == [each.name for each in answer.alarms]


def test_a_folder_that_is_not_in_an_archive_was_not_looked_at(tmp_path: Path) -> None:
    found = case(tmp_path)
    storage = without_files(found, "checkpoints/", "checkpoints/", tmp_path / "part.tar")
    answer = look(found, storage)
    nothing_is_told(answer, "nothing of file:/srv/flink/checkpoints is in the storage")


def test_the_files_of_a_cluster_whose_folder_is_empty_are_missing(tmp_path: Path) -> None:
    found = case(tmp_path)
    answer = look(found, without_files(found, "ha/", "none", tmp_path / "emptied.tar"))
    assert {each.name for each in answer.alarms} == {
        "job-graph-file-missing", "checkpoint-file-missing"
    }  # fmt: skip


def test_a_storage_dir_that_may_only_be_not_mounted_was_not_looked_at(tmp_path: Path) -> None:
    found = case(tmp_path)
    storage = without_files(found, "ha/", "ha/flights-prod/", tmp_path / "not-mounted.tar")
    answer = look(found, storage)
    nothing_is_told(answer, "nothing of file:/srv/flink/ha is in the storage")


def test_the_last_file_of_an_archive_that_is_cut_off_is_not_damaged(tmp_path: Path) -> None:
    found, cut = case(tmp_path), tmp_path / "cut.tar"
    with tarfile.open(found.storage) as tar:
        large = next(each for each in tar if "submittedJobGraph" in each.name)
    cut.write_bytes(found.storage.read_bytes()[: large.offset_data + large.size // 2])
    nothing_is_told(look(found, cut), f"{large.name} cannot be read")


def test_a_zip_of_windows_is_a_storage(tmp_path: Path) -> None:
    found, packed = case(tmp_path), tmp_path / "files.zip"
    with tarfile.open(found.storage) as tar, zipfile.ZipFile(packed, "w") as written:
        for member in tar:
            name = member.name.removeprefix("./").replace("/", "\\")
            content = tar.extractfile(member)
            written.writestr(name + "\\" * member.isdir(), content.read() if content else b"")
    assert look(found, packed).exit_status == 0


def test_a_storage_that_cannot_be_opened_leaves_the_answer_of_the_store(tmp_path: Path) -> None:
    found, packed = case(tmp_path), tmp_path / "files.zip"
    with zipfile.ZipFile(packed, "w") as written:
        written.writestr("ha/x", b"x")
    packed.write_bytes(packed.read_bytes()[:40])
    told = look(found, packed)
    nothing_is_told(told, "is not a directory, a tar")
    assert len(told.recovery.jobs) == 3


@pytest.mark.parametrize("part", ["jobs", "jobgraphs", "leader"])
def test_a_dump_of_a_part_of_the_tree_is_not_a_loss_of_the_rest(part: str) -> None:
    made = copy.deepcopy(CLUSTERS["zk120"])
    prefix = f"{made.root}/{part}"
    made.store = {path: node for path, node in made.store.items() if path.startswith(prefix)}
    nothing_is_told(made.look(), f"the dump is of {prefix}")


def test_a_snapshot_without_its_log_is_not_an_empty_tree(tmp_path: Path) -> None:
    from hawork.inspect.cluster import Cluster
    from hawork.inspect.sources import znodes_into
    from hawork.inspect.znodes import ZooKeeperTree

    cluster = Cluster()
    znodes_into(cluster, ZooKeeperTree((), None, None, notes=("there is no transaction log",)))
    assert not cluster.store_looked


def test_locks_of_a_tree_that_was_not_read_whole_may_be_over(tmp_path: Path) -> None:
    made = copy.deepcopy(CLUSTERS["zk120"]).led()
    late = made.look(latest=made.look().cluster.moment.earliest + 36000)  # type: ignore[operator]
    assert [each.name for each in late.alarms] == ["lock-of-dead-owner"]
    made.store["broken"] = {"path": 3}
    assert made.look(latest=late.cluster.moment.latest).alarms == []  # type: ignore[arg-type]


def items(made: Made) -> list[dict[str, object]]:
    return list(made.store.values())


def configmaps(tmp_path: Path, listed: list[dict[str, object]]) -> Inspection:
    path = tmp_path / "configmaps.yaml"
    path.write_text(yaml.safe_dump({"kind": "List", "items": listed}))
    return inspect(Sources(configmaps=path))


def test_other_kinds_in_a_list_are_not_missed(tmp_path: Path) -> None:
    pod = {"kind": "Pod", "metadata": {"name": "flights-prod-taskmanager-1-1"}}
    assert "Pod" not in whys(configmaps(tmp_path, [*items(CLUSTERS["k8s120"]), pod]))


def test_what_flink_does_not_read_is_told(tmp_path: Path) -> None:
    made = copy.deepcopy(CLUSTERS["k8s120"])
    for each in made.store.values():
        each["binaryData"] = dict.fromkeys(each.pop("data"), "AA==")
    assert "binaryData, which Flink does not read" in whys(configmaps(tmp_path, items(made)))


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_half_a_surrogate_pair_in_a_name_or_value_is_shown_as_unknown(cluster: str) -> None:
    made = copy.deepcopy(CLUSTERS[cluster])
    job = made.jobs["inlined"]
    if made.backend == "zookeeper":
        made.put(("znode", f"{made.root}/jobs/{job}\ud800/checkpoints", None), b"")
    else:
        made.store[made.job_map("inlined")]["data"]["note-\ud800"] = "\udfff"
    found = made.look()
    str(found).encode()
    assert found.recovery.jobs[job].outcome == "restored"


def test_a_configuration_that_says_nothing_of_high_availability_names_no_cluster() -> None:
    made = copy.deepcopy(CLUSTERS["zk120"])
    made.config = {"jobmanager.rpc.port": "6123"}
    found = made.look()
    assert (found.cluster.root, found.alarms) == (made.root, [])


def test_an_empty_version_is_none() -> None:
    assert version_of(None) is None
    with pytest.raises(ConfigurationError, match=r"write it as 2\.1\.1"):
        version_of("")


def linked(found: ha_cases.Case, wanted: str, to: str) -> Path:
    """The storage, unpacked, with links in place of the files or folders that begin so."""
    storage = found.directory / "unpacked"
    shutil.unpack_archive(found.storage, storage, **FILTER)
    (found.directory / "elsewhere").mkdir()
    for number, each in enumerate(storage.glob(f"{wanted}*")):
        place = found.directory / "elsewhere" / f"{number}"
        each.rename(place)
        each.symlink_to(to.format(place))
    return storage


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("to", ["{}", "/etc/passwd", "gone", "../../../../../etc/passwd"])
@pytest.mark.parametrize(
    "wanted",
    ["ha/flights-prod/completedCheckpoint", "ha/flights-prod/submitted", "ha/flights-prod",
     "checkpoints", "checkpoints/*/chk-"],
)  # fmt: skip
def test_files_that_are_links_out_of_the_storage_are_not_missing(
    wanted: str, to: str, packed: bool, tmp_path: Path
) -> None:
    found = case(tmp_path)
    storage = linked(found, wanted, to)
    if packed:
        with tarfile.open(tmp_path / "linked.tar", "w") as tar:
            tar.add(storage, ".")
        storage = tmp_path / "linked.tar"
    answer = look(found, storage)
    nothing_is_told(answer, "No such file" if (to, packed) == ("gone", False) else " is a link")
    save_case(answer, tmp_path / "case.zip")
    assert inspect(Sources(case=tmp_path / "case.zip")).alarms == []


def test_a_link_beside_the_files_hides_nothing_of_them(tmp_path: Path) -> None:
    found = case(tmp_path)
    storage = linked(found, "savepoints", "{}")
    for each in storage.glob("ha/flights-prod/completedCheckpoint*"):
        each.unlink()
    names = {each.name for each in look(found, storage).alarms}
    assert names == {"checkpoint-file-missing"}


def test_the_end_of_a_dump_between_two_configmaps_is_not_the_end_of_the_cluster(
    tmp_path: Path,
) -> None:
    """As a terminal that scrolls, or a full disk, leaves it."""
    listed = items(CLUSTERS["k8s120"])
    whole = yaml.safe_dump({"items": listed, "kind": "List"})  # in this order, as kubectl does
    starts = [at for at in range(len(whole)) if whole.startswith("\n- ", at)]
    path = tmp_path / "configmaps.yaml"
    for end in [*starts[1:], whole.index("\nkind: List")]:
        path.write_text(whole[: end + 1])
        answer = inspect(Sources(configmaps=path))
        assert answer.alarms == [] and answer.exit_status == 2
        assert "no 'kind: List' stands" in whys(answer)
        assert answer.cluster.not_looked_at
    path.write_text(whole)
    assert "kind: List" not in whys(inspect(Sources(configmaps=path)))


@pytest.mark.parametrize(
    "text",
    [
        '{"kind": "List", "items": [{"kind": "Pod", "metadata": {"name": "jm"}}]}',
        "kind: List\nitems:\n- {kind: Pod, metadata: {name: jm}}\n",
        "- just a list\n- of texts\n",
        "!!python/object/apply:os.system ['exit 1']\n",
        'Error from server (Forbidden): configmaps is forbidden: User "me" cannot list\n',
    ],
)
def test_what_has_no_configmaps_by_its_kind_is_not_an_empty_cluster(
    text: str, tmp_path: Path
) -> None:
    path = tmp_path / "configmaps.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="there is no ConfigMap in it"):
        inspect(Sources(configmaps=path))
    assert "Forbidden" not in text or "Forbidden" in str(_error(path))


def test_a_dump_without_an_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("sources", "configmaps"):
        monkeypatch.setattr(f"hawork.inspect.{module}.MAX_BYTES", 1 << 20)
    for sources in (Sources(zookeeper_dump="/dev/zero"), Sources(configmaps="/dev/zero")):
        with pytest.raises(ConfigurationError, match="/dev/zero has more than 1 MiB"):
            inspect(sources)


def _error(path: Path) -> Exception:
    with pytest.raises(ConfigurationError) as caught:
        inspect(Sources(configmaps=path))
    return caught.value


@pytest.mark.parametrize("archive", ["flink.zip", "backup/HA.TAR.XZ"])
def test_an_archive_in_the_folder_that_was_given_is_named(archive: str, tmp_path: Path) -> None:
    """It is not unpacked by itself: which one of several is meant is not known."""
    found, storage = case(tmp_path), tmp_path / "given"
    (storage / archive).parent.mkdir(parents=True)
    shutil.copy(found.storage, storage / archive)
    nothing_is_told(look(found, storage), f"If it is packed in {archive}, name that itself.")
    with pytest.raises(ConfigurationError, match=f"packed in {archive}"):
        inspect(Sources(zookeeper_data=storage))


JOB = "62f6a8b83a1b44313a74d89f6e50b70c"


@pytest.mark.parametrize("name", [
    f"checkpoints/{JOB}/chk-7/a", f"checkpoints/{JOB}/shared/a", f"dstl/{JOB}/dstl/a",
    f"forst/{JOB}/op_1/db/a", "savepoints/savepoint-62f6a8-0123456789ab/a",
])  # fmt: skip
def test_a_folder_that_was_not_handed_over_has_no_missing_files(name: str) -> None:
    """With that of a changelog left out every job was said to restart for ever."""
    handle = StateHandle("file", f"file:/srv/flink/{name}", 3)
    folder = name.partition("/")[0]
    for beside, looked in (("ha/b", False), (f"{folder}/{JOB[::-1]}/b", True)):
        cluster = Cluster()
        listing = [StoredFile("ha/a", 1), StoredFile(beside, 1)]
        files = StoredFiles(listing, lambda _: b"", {"file:/srv/flink": "."})
        seen, missing = missing_state(cluster, files, [handle])
        assert (seen, [each.name for each in missing]) == (looked, [name] * looked)
        told = [each.what for each in cluster.not_looked_at]
        assert told == [f"file:/srv/flink/{folder}"] * (not looked)


def without_subfolders(made: Made, job: str) -> None:
    """As with ``state.checkpoints.create-subdir: false``: no folder has the job's id."""
    old, new = made.jobs[job], "checkpoints-of-visits-per-user--"
    assert len(new) == len(old)
    for name in [each for each in made.files if each.startswith(("ha/", f"checkpoints/{old}/"))]:
        content, modified = made.files.pop(name)
        changed = content.replace(f"/{old}/".encode(), f"/{new}/".encode())
        made.files[name.replace(f"/{old}/", f"/{new}/")] = (changed, modified)


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_checkpoints_without_a_folder_of_their_job_are_found(cluster: str) -> None:
    made = copy.deepcopy(CLUSTERS[cluster])
    without_subfolders(made, "exclusive")
    assert made.look().alarms == []
    newest = made.ids("exclusive")[-1]
    made.set_counter("exclusive", newest)
    (behind,) = made.look().alarms
    assert f"chk-{newest} is there already" in behind.evidence


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_of_such_checkpoints_none_is_missing_that_was_not_handed_over(cluster: str) -> None:
    """All of their state was said to be gone, and the job to restart for ever."""
    made = copy.deepcopy(CLUSTERS[cluster])
    without_subfolders(made, "exclusive")
    made.files = {name: each for name, each in made.files.items() if name.startswith("ha/")}
    found = made.look()
    assert found.alarms == []
    assert found.exit_status == 2
