"""The commands against a running cluster, and the processes they start themselves."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hawork.cli.main import main
from hawork.client.cluster_client import ClusterClient
from hawork.client.waiting import Waiting
from hawork.core.events import EventKind, read_events
from hawork.lab import LabCluster

JOBS = f"{Path(__file__).parent / 'lab_jobs.py'}"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The arguments that name a small cluster's configuration."""
    with LabCluster(1, 1, directory=tmp_path_factory.mktemp("cli") / "run") as lab:
        yield ["--config", str(lab.directory / "config.yaml")]


def test_leader(config: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["leader", *config]) == 0
    assert re.match(r"http://127\.0\.0\.1:\d+  session id [0-9a-f-]{36}\n", capsys.readouterr().out)
    assert main(["leader", *config, "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"address", "session_id"}
    assert main(["leader", *config, "--verbose"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"file /.+: [\d,]+ of [\d,]+ bytes \(\d+\.\d %\)", shown[1])
    assert main(["leader", *config, "--verbose", "--json"]) == 0
    fullest = json.loads(capsys.readouterr().out)["fullest"]
    assert 0 < fullest["size"] < fullest["limit"]


def test_submit_list_and_cancel(
    config: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = ["submit", f"{JOBS}:count", *config, "--set", f"output={tmp_path / 'a'}"]
    assert main([*job, "--set", "end=30", "--wait", "--parallelism", "2"]) == 0
    shown = capsys.readouterr()
    finished = shown.out.strip()
    assert "FINISHED" in shown.err
    assert main(["submit", f"{JOBS}:count", *config, "--set", f"output={tmp_path / 'b'}",
                 "--set", "rate=100", "--name", "endless"]) == 0  # fmt: skip
    endless = capsys.readouterr().out.strip()
    assert main(["list", *config]) == 0
    table = capsys.readouterr().out
    assert re.search(rf"{finished}  count +FINISHED", table)
    assert re.search(rf"{endless}  endless", table)
    assert main(["cancel", endless, *config]) == 0
    assert capsys.readouterr().out == f"job {endless} is CANCELED\n"
    assert main(["list", "--json", *config]) == 0
    jobs = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {job["id"]: job["status"] for job in jobs} == {
        finished: "FINISHED", endless: "CANCELED",
    }  # fmt: skip


def test_a_cluster_that_runs_has_nothing_to_tell(
    config: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = ["submit", f"{JOBS}:count", *config, "--set", f"output={tmp_path / 'a'}"]
    assert main([*job, "--set", "rate=100"]) == 0
    job_id = capsys.readouterr().out.strip()

    try:
        assert main(["inspect", *config, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
    finally:
        assert main(["cancel", job_id, *config]) == 0
        capsys.readouterr()
    assert [each for each in found["findings"] if each["severity"] != "info"] == []
    assert found["recovery"]["jobmanager"] == "starts"
    assert found["recovery"]["jobs"][job_id]["outcome"] in ("from-scratch", "restored")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["cancel", "f" * 32], "f{32}"),
        (["cancel", "xyz"], "'xyz' is not a job id"),
        (["submit", "no.py:build"], r"no\.py does not exist"),
        (["submit", JOBS], "names no function"),
        (["submit", f"{JOBS}:count", "--checkpoint-interval", "often"], "often"),
    ],
)
def test_what_is_refused_is_one_sentence(
    arguments: list[str], sentence: str, config: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, *config]) == 1
    shown = capsys.readouterr()
    assert re.fullmatch(r"hawork: [^\n]+\n", shown.err)
    assert re.search(sentence, shown.err)
    assert shown.out == ""


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (["--parallelism", "0"], "--parallelism: '0' is not a whole number of 1 or more"),
        (["--set", "x"], "write --set key=value"),
        (["--job-id", "7"], "32 hexadecimal"),
    ],
)
def test_what_was_typed_wrong_is_refused(
    typed: list[str], sentence: str, config: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["submit", f"{JOBS}:count", *typed, *config]) == 2
    assert sentence in capsys.readouterr().err.splitlines()[-1]


def test_a_job_that_fails_has_status_1_and_says_why(
    config: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = ["submit", f"{JOBS}:nothing", *config, "--set", f"output={tmp_path}", "--wait"]
    assert main(job) == 1
    assert re.search(r"hawork: job \w{32} is FAILED: .*nothing", capsys.readouterr().err)


def test_processes_in_the_foreground_make_a_cluster(tmp_path: Path) -> None:
    run = tmp_path / "run"
    config = tmp_path / "config.yaml"
    config.write_text(
        f"high-availability:\n  type: embedded\n  storageDir: file://{tmp_path}/storage\n"
        f"hawork:\n  run-directory: {run}\n"
    )

    def start(role: str, name: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "hawork", role, "--config", str(config), "--name", name]
        return subprocess.Popen([*command, "-D", "heartbeat.interval=1 s"])

    def registered() -> bool | None:
        return True if client.taskmanagers() else None

    with start("jobmanager", "jm-a") as manager, start("taskmanager", "tm-a") as worker:
        Waiting("the token", lambda: (run / "token").exists() or None).wait()
        with ClusterClient({"high-availability.type": "embedded",
                            "high-availability.storageDir": f"file://{tmp_path}/storage",
                            "hawork.run-directory": str(run)}) as client:  # fmt: skip
            Waiting("the TaskManager", registered).wait()
        worker.send_signal(signal.SIGINT)
        manager.terminate()
        assert (manager.wait(), worker.wait()) == (0, 0)
    kinds = {(event.process, event.kind) for event in read_events(run / "events")}
    assert ("supervisor-jm-a", EventKind.PROCESS_EXITED) in kinds
    assert ("jm-a", EventKind.PROCESS_STOPPED) in kinds
