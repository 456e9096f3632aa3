"""``hawork inspect`` as scripts call it: words, JSON, exit status."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import ha_cases
import pytest
import yaml
from ha_cases.made import clusters

from hawork.cli.main import main
from hawork.inspect.finding import CODES
from hawork.inspect.questions import table

ESCAPE = chr(27)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("gone.zip", "gone.zip cannot be read: No such file or directory"),
        (".", " is a folder, not a zip: name a folder of files with --storage"),
        ("text.zip", "text.zip is not a whole zip: File is not a zip file"),
    ],
)
def test_a_case_that_cannot_be_opened(
    name: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.zip").write_text("a mail, not a zip")
    assert main(["inspect", str(tmp_path / name)]) == 2
    error = capsys.readouterr().err
    assert sentence in error and "Errno" not in error


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any]]:
    status = main(["inspect", *map(str, arguments), "--json"])
    return status, json.loads(capsys.readouterr().out)


def whole(case: ha_cases.Case) -> list[object]:
    ((option, path),) = case.store.items()
    return ["--config", case.config, f"--{option.replace('_', '-')}", path,
            "--storage", case.storage, "--map", "file:/srv/flink=."]  # fmt: skip


def test_a_healthy_cluster_has_status_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = ha_cases.unpack("zk120-healthy", tmp_path)
    status, found = run(capsys, *whole(case))
    assert (status, found["findings"], found["not_looked_at"]) == (0, [], [])
    assert found["recovery"]["jobmanager"] == "starts"


def test_findings_have_status_1_and_these_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = ha_cases.unpack("k8s120-older-ha-file-missing", tmp_path)
    status, found = run(capsys, *whole(case))
    alarm = next(each for each in found["findings"] if each["severity"] != "info")
    assert (status, alarm["code"], alarm["questions"]) == (1, "HA101", [1, 11])
    assert {"kind", "name", "key"} == set(alarm["objects"][0])
    job = found["recovery"]["jobs"]["f9f72f93148ada67d92ccb88ebd007ec"]
    assert job["outcome"] == "not-recovered"
    assert found["recovery"]["newest_readable"]["f9f72f93148ada67d92ccb88ebd007ec"] == 11


def test_nothing_given_of_the_store_or_the_files_is_never_clean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = ha_cases.unpack("zk120-healthy", tmp_path)
    option, path = next(iter(case.store.items()))
    store = [f"--{option.replace('_', '-')}", path]
    status, found = run(capsys, "--config", case.config, *store)
    assert status == 2
    assert {each["state"] for each in found["questions"] if 1 in (each["number"],)} == {
        "not looked"
    }
    # What can be said without the files is said.
    assert found["recovery"]["jobmanager"] == "starts"
    assert {job["outcome"] for job in found["recovery"]["jobs"].values()} == {"restored"}
    status, found = run(
        capsys, "--config", case.config, "--storage", case.storage, "--map", "file:/srv/flink=."
    )
    assert (status, found["recovery"]["jobmanager"]) == (2, "unknown")
    assert found["not_looked_at"][0]["what"] == "HA store"


def test_without_a_configuration_and_a_map_the_answer_is_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = ha_cases.unpack("k8s120-newest-ha-file-header-flipped", tmp_path)
    status, found = run(capsys, "--configmaps", case.store["configmaps"], "--storage", case.storage)
    assert status == 1
    alarms = [each["name"] for each in found["findings"] if each["severity"] != "info"]
    assert alarms == ["checkpoint-file-corrupt"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--colour"],
        ["--map", "nothing"],
        ["--target-version", "two"],
        ["--at", "yesterday"],
        ["--configmaps", "a", "--zookeeper-dump", "b"],
        ["case.zip", "--config", "c"],
        ["--watch", "0"],
    ],
)
def test_a_wrong_command_line_has_status_64(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", *arguments]) == 64
    assert capsys.readouterr().err


@pytest.mark.parametrize("option", ["--config", "--configmaps", "--zookeeper-dump", "--storage"])
def test_a_file_that_is_not_there_could_not_be_looked_at(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["inspect", option, str(tmp_path / "gone"), "--json"])
    written = capsys.readouterr()
    assert status == 2
    assert "gone" in written.err
    assert json.loads(written.out)["recovery"]["jobmanager"] == "unknown"


@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"{", b"[1,2", b"- a\n b: [", b"\xff\xfe\x00", b"kind: List\nitems: 7\n",
     b"a: &a [*a]\n", b"\x80\x81", b"{}" * 3],
)  # fmt: skip
def test_bytes_of_any_kind_are_one_sentence(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = tmp_path / "dump"
    dump.write_bytes(content)
    for option in ("--configmaps", "--zookeeper-dump"):
        status = main(["inspect", option, str(dump)])
        written = capsys.readouterr()
        assert status == 2
        assert "Traceback" not in written.err + written.out


@pytest.mark.parametrize(
    "printed",
    [
        b"", b"NAME   DATA   AGE\nflights-prod-cluster-config-map   9   3d\n",
        b"Error from server (Forbidden): configmaps is forbidden\n",
        b"Name:  x\nData\n====\ncounter:\n----\n12\n", b'[{"path": "/flink", "data": ""}]',
    ],
)  # fmt: skip
def test_what_kubectl_prints_otherwise_is_not_an_empty_cluster(
    printed: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table, an error or a description: it was not looked at, and nothing was deleted."""
    case = ha_cases.unpack("k8s120-older-ha-file-missing", tmp_path)
    (tmp_path / "printed").write_bytes(printed)
    arguments = [*whole(case)]
    arguments[arguments.index("--configmaps") + 1] = tmp_path / "printed"
    status, found = run(capsys, *arguments)
    assert status == 2
    assert "kubectl get configmap -o yaml" in found["could_not_look"] or (
        found["recovery"]["jobmanager"] == "unknown"
    )


@pytest.mark.parametrize("kept", [0, 1, "cut"])
def test_one_configmap_or_a_list_that_was_cut_off_is_not_the_whole_store(
    kept: int | str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = ha_cases.unpack("k8s120-older-ha-file-missing", tmp_path)
    dump = case.store["configmaps"]
    text = dump.read_text()
    if isinstance(kept, int):
        dump.write_text(yaml.safe_dump(yaml.safe_load(text)["items"][kept]))
    else:
        dump.write_text(text[: len(text) * 2 // 3])
    status, found = run(capsys, *whole(case))
    assert found["recovery"]["jobmanager"] == "unknown"
    assert [each["code"] for each in found["findings"] if each["severity"] == "data-loss"] == []
    assert status in (1, 2)
    assert "give the whole List" in json.dumps(found["not_looked_at"])


def test_a_url_that_is_mapped_to_nothing_was_not_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = ha_cases.unpack("zk120-healthy", tmp_path)
    status, found = run(capsys, *whole(case)[:-1], "file:/srv/flink=nosuch")
    assert (status, found["findings"]) == (2, [])
    assert "there is no folder nosuch in it" in json.dumps(found["not_looked_at"])
    assert main(["inspect", *map(str, whole(case)[:-1]), "file:/srv/flink=../.."]) == 64


def test_names_of_any_letters_do_not_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"x{ESCAPE}[31m\u202e\ud800"
    data = {f"jobGraph-{'a' * 32}": "*", "org.apache.flink.k8s.leader.x": ESCAPE}
    metadata = {"name": f"{name}-cluster-config-map"}
    items = [{"kind": "ConfigMap", "metadata": metadata, "data": data}]
    dump = tmp_path / "cm.json"
    dump.write_text(json.dumps({"kind": "List", "items": items}))
    assert main(["inspect", "--configmaps", str(dump), "--html", str(tmp_path / "x.html")]) == 1
    written = capsys.readouterr().out
    assert ESCAPE not in written
    assert "\u202e" not in written
    assert ESCAPE not in (tmp_path / "x.html").read_text()


def test_the_page_needs_no_network_and_escapes_what_is_stored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = ha_cases.unpack("zk120-newest-ha-file-missing", tmp_path)
    page = tmp_path / "page.html"
    assert main(["inspect", *map(str, whole(case)), "--html", str(page)]) == 1
    text = page.read_text()
    assert "http" not in text.replace("http-equiv", "")
    assert "HA101" in text
    assert "WILL NOT STAY UP" in capsys.readouterr().out


def test_a_case_is_saved_and_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = ha_cases.unpack("zk120-persistent-latch", tmp_path)
    saved = tmp_path / "case.zip"
    status, found = run(capsys, *whole(case), "--save", saved)
    assert (status, found["recovery"]["jobmanager"]) == (1, "never-leads")
    status, again = run(capsys, saved)
    assert (status, again["findings"]) == (1, found["findings"])


def test_an_upgrade_is_looked_at_before_it_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = ha_cases.unpack("zk120-healthy", tmp_path)
    for version, jobmanager, outcomes in (
        ("1.20.5", "starts", {"restored"}),
        ("2.1.1", "starts", {"not-recovered"}),
        ("1.19.3", "crash-loops", {"not-recovered"}),
    ):
        _, found = run(capsys, *whole(case), "--target-version", version)
        assert found["recovery"]["jobmanager"] == jobmanager
        assert {job["outcome"] for job in found["recovery"]["jobs"].values()} == outcomes


def test_every_code_is_explained_and_given() -> None:
    page = Path(__file__).parents[2] / "docs" / "inspect.md"
    text = page.read_text(encoding="utf-8")
    rooms = Path(table.__file__).parent.glob("*.py")
    source = "".join(room.read_text(encoding="utf-8") for room in rooms)
    for code, name in CODES.items():
        assert f"### {code}\n" in text, f"docs/inspect.md does not explain {code}"
        assert f'"{name}"' in source, f"{name} is never found"


def test_every_question_is_numbered_and_says_what_it_needs() -> None:
    numbers = [question.number for question in table.QUESTIONS]
    assert numbers == list(range(1, len(numbers) + 1))
    assert all(question.needs for question in table.QUESTIONS)


def test_of_very_many_findings_the_text_counts_what_it_does_not_show() -> None:
    """All checkpoint files of a thousand jobs are gone: ten thousand findings, one kind."""
    made = copy.deepcopy(clusters()["zk120"])
    del made.files[made.file(made.checkpoint("inlined", made.ids("inlined")[-1]))]
    found = made.look()
    (example,) = found.alarms
    lines = str(replace(found, findings=[example] * 1234)).splitlines()
    assert "and 1,184 HA101 checkpoint-file-missing: see --json" in lines
    assert len(lines) < 1000


def test_without_anything_it_says_what_it_takes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HAWORK_CONFIG", raising=False)
    monkeypatch.delenv("FLINK_CONF_DIR", raising=False)
    assert main(["inspect"]) == 64
    assert "--configmaps, --zookeeper-dump or --zookeeper-data" in capsys.readouterr().err


def test_a_dump_without_its_option_is_asked_for_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "cm.yaml"]) == 64
    assert "name it with --config, --configmaps or" in capsys.readouterr().err


def test_a_store_that_does_not_answer_was_given_and_not_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kubeconfig, config = tmp_path / "kubeconfig", tmp_path / "config.yaml"
    kubeconfig.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\n"
        "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\n"
        "contexts: [{name: x, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {}}]\n"
    )
    config.write_text(
        "high-availability.type: kubernetes\nkubernetes.cluster-id: prod\n"
        f"high-availability.storageDir: {tmp_path}\nkubernetes.config.file: {kubeconfig}\n"
    )
    assert main(["inspect", "--config", str(config)]) == 2
    said = " ".join(capsys.readouterr().out.split())
    assert "cannot be reached" in said and "see why above" in said
    assert "no HA store was given" not in said


def test_on_a_terminal_nothing_of_the_progress_stands_before_the_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = ha_cases.unpack("zk120-healthy", tmp_path)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert main(["inspect", *map(str, whole(case))]) == 0
    assert capsys.readouterr().err.endswith("\r\x1b[K")


def test_a_mistake_of_its_own_is_not_told_as_findings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 1 would say that it looked."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("somewhere")

    case = ha_cases.unpack("zk120-healthy", tmp_path)
    monkeypatch.delenv("HAWORK_DEBUG", raising=False)
    monkeypatch.setattr("hawork.cli.inspect.inspect", fail)
    status, answer = run(capsys, *whole(case))
    assert status == 2 and answer["findings"] == []
    assert answer["could_not_look"].startswith("ZeroDivisionError: somewhere (this is a mistake")
    monkeypatch.setattr("hawork.cli.repair.plan_repair", fail)
    assert main(["repair", "--configmaps", str(case.config)]) == 2


@pytest.mark.parametrize("option", [
    "--config", "--configmaps", "--zookeeper-dump", "--zookeeper-data", "--storage",
])  # fmt: skip
def test_an_option_that_is_given_twice_is_refused(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second archive of a storage had silently taken the place of the first."""
    for command in ("inspect", "repair"):
        assert main([command, option, "a", option, "b"]) == 64
        said = capsys.readouterr().err
        assert f"argument {option}: given twice: put what you have into one folder" in said
