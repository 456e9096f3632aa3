"""The command line itself: help with examples, one sentence for every error, statuses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from hawork.cli import completion, doctor
from hawork.cli import main as command_line
from hawork.cli.common import find_config
from hawork.cli.lab import TOUR, find_notebooks
from hawork.cli.main import COMMANDS, main, sentence_of
from hawork.cli.output import say_table
from hawork.core.errors import ConfigurationError, LabError
from hawork.servers.machine import Memory


def hawork(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hawork", *arguments],
        capture_output=True, text=True, check=False, env={**os.environ, **more},
    )  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"example:\n  {COMMANDS[command][1]}" in text
    assert text.startswith(f"usage: hawork {command} ")
    assert COMMANDS[command][0][1:30] in text


def test_help_lists_every_command_and_fits_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for name, (meaning, _) in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(meaning)}$", text, re.M)
    lines = text.splitlines()
    assert len(lines) <= 23 and max(map(len, lines)) <= 80, "of a terminal of 24 lines"


def test_both_shells_complete_commands_and_options() -> None:
    script = completion.script()
    ask = (
        "COMP_WORDS=(hawork {}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _hawork; "
        'echo "${{COMPREPLY[*]}}"'
    )
    for typed, expected in (
        ("ma", "manifests"), ("submit --con", "--config"), ("list -D", "-D"),
        ("demo --ha z", "zookeeper"), ("drill --ha = kub", "kubernetes"),
        ("manifests --engine f", "flink"), ("inspect --config 'my c'", ""), ("report x", ""),
    ):  # fmt: skip
        done = subprocess.run(
            ["bash", "-c", f"{script}\n{ask.format(typed)}"], capture_output=True, text=True
        )
        assert (done.stdout.strip(), done.stderr) == (expected, "")


def test_files_with_blanks_are_completed_whole(tmp_path: Path) -> None:
    """tqdm/shtab 74, clap 5313: a list made of ``compgen -f`` falls apart at each blank."""
    for name in ("my conf.yaml", "my case.zip"):
        (tmp_path / name).touch()
    keys = "hawork inspect --config my\\ co\t"
    typed = f"{completion.script()}\nPS1=\nhawork() {{ printf '<%s>' \"$@\"; }}\n{keys}\nexit\n"
    done = subprocess.run(
        ["bash", "--norc", "--noprofile", "-i"], input=typed, capture_output=True, text=True,
        cwd=tmp_path, env={"PATH": os.environ["PATH"], "TERM": "dumb", "INPUTRC": os.devnull},
        timeout=30,
    )  # fmt: skip
    assert "<inspect><--config><my conf.yaml>" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        "submit job.py:build --config c --parallelism 0", "class d --every nan",
        "leader --wait forever", "leader --wait -1", "manifests --job-managers 0", "list x",
        "manifests --image= --cluster-id a --storage-dir s3://b",
    ],
)  # fmt: skip
def test_values_that_cannot_be_are_wrong_command_lines(
    arguments: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = arguments.split()[0]
    assert main(arguments.split()) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith(f"usage: hawork {command} ")
    assert said[-1].startswith(f"hawork {command}: error: ")


@pytest.mark.parametrize("arguments", ["list -D x", "list -D =x"])
def test_an_option_that_is_none_is_a_wrong_command_line(
    arguments: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").touch()
    assert main([*arguments.split(), "--config", str(tmp_path)]) == 2
    assert "is not an option: write -D key=value" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["frob"], ["demo", "--frob"], ["cancel"]])
def test_a_wrong_command_line_has_status_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert "usage: hawork" in capsys.readouterr().err


def test_an_error_of_a_command_line_begins_with_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["cancel"])
    assert capsys.readouterr().err.splitlines()[-1].startswith("hawork cancel: error: ")


def test_help_is_quick_and_needs_nothing_optional() -> None:
    heavy = ("pandas", "IPython", "matplotlib", "tornado", "kazoo", "kubernetes", "rich")
    code = (
        "import sys; from hawork.cli.main import main; status = main(['--help']);"
        f"sys.exit(status or bool(set(sys.modules) & set({heavy!r})))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


BAD_CONFIG = {
    "missing": (None, r"nowhere\.yaml"),
    "unknown key": ("high-availability.typ: embedded\n", r"high-availability\.typ\b.*did you mean"),
    "bad value": ("heartbeat.timeout: soon\n", r"heartbeat\.timeout is 'soon'"),
    "no yaml": ("a: [\n", "config.yaml"),
}


@pytest.mark.parametrize("case", BAD_CONFIG)
def test_a_bad_configuration_is_one_sentence(case: str, tmp_path: Path) -> None:
    text, pattern = BAD_CONFIG[case]
    path = tmp_path / ("nowhere.yaml" if text is None else "config.yaml")
    if text is not None:
        path.write_text(text)
    done = hawork("leader", "--config", str(path))
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(r"hawork: [^\n]+\n", done.stderr)
    assert re.search(pattern, done.stderr)


def test_no_configuration_at_all_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HAWORK_CONFIG", raising=False)
    monkeypatch.delenv("FLINK_CONF_DIR", raising=False)
    done = hawork("list")
    assert (done.returncode, done.stdout) == (1, "")
    assert "name a config.yaml with --config" in done.stderr


def test_options_of_the_command_line_are_checked_too(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("high-availability.type: embedded\n")
    config = str(tmp_path / "config.yaml")
    assert "write -D key=value" in hawork("leader", "--config", config, "-D", "x").stderr
    done = hawork("leader", "--config", config, "-D", "heartbeat.timeout=1 fortnight")
    assert "heartbeat.timeout is '1 fortnight'" in done.stderr


def test_tracebacks_only_when_asked_for(tmp_path: Path) -> None:
    missing = str(tmp_path / "no.yaml")
    assert "Traceback" not in hawork("leader", "--config", missing).stderr
    assert "Traceback" in hawork("leader", "--config", missing, HAWORK_DEBUG="1").stderr


def test_sentences() -> None:
    assert sentence_of(ConfigurationError("two\n  lines")) == "two lines"
    assert "pip install" in sentence_of(ModuleNotFoundError("x", name="rich"))
    assert sentence_of(FileNotFoundError(2, "No such file", "x")) == "x: No such file"
    assert "HAWORK_DEBUG=1" in sentence_of(KeyError("x"))


def test_an_interrupt_has_its_own_status(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("hawork.cli.doctor.run", interrupted)
    assert command_line.main(["doctor"]) == 130


def test_a_table_has_columns(capsys: pytest.CaptureFixture[str]) -> None:
    say_table(("job", "n"), [("a" * 5, 1), ("b", 22)])
    assert capsys.readouterr().out == "job    n\naaaaa  1\nb      22\n"


def test_doctor_says_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = [
        doctor.Diagnosis("Python", True, "3.12", needed=True),
        doctor.Diagnosis("Java", False, "not found", "install it"),
    ]
    monkeypatch.setattr("hawork.cli.doctor.examine", lambda: findings)
    assert main(["doctor"]) == 0
    assert "absent   Java" in capsys.readouterr().out
    findings.append(doctor.Diagnosis("disk", False, "full", "free some", needed=True))
    assert main(["doctor", "--json"]) == 1
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last == {
        "what": "disk",
        "found": "full",
        "ok": False,
        "needed": True,
        "fix": "free some",
    }


def test_doctor_finds_this_machine_good_enough() -> None:
    findings = doctor.examine()
    assert all(each.fix for each in findings if not each.ok)
    assert [each.what for each in findings if each.needed and not each.ok] == []


def test_doctor_names_what_is_too_old_too_small_or_too_far_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "LEAST", {"psutil": (99, 1), "jupyterlab": (4, 4)})
    monkeypatch.setattr(doctor, "MEMORY", 1 << 60)
    monkeypatch.setattr(doctor, "file_system_of", lambda path: "nfs4")
    found = {each.what: each for each in doctor.examine()}
    assert not found["psutil"].ok
    assert found["psutil"].found.endswith(", and 99.1 is the least")
    assert found["psutil"].fix == "pip install --upgrade hawork"
    assert found["jupyterlab"].ok
    assert not found["memory"].ok and "MB free" in found["memory"].found
    assert not found["temporary files"].ok
    assert "set TMPDIR to a directory on a local disk" in found["temporary files"].fix
    assert found["loopback"].ok


def test_doctor_asks_for_what_pyproject_asks_for() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    asked = project["project"]["optional-dependencies"]["lab"]
    for name, least in doctor.LEAST.items():
        assert f"{name}>={'.'.join(map(str, least))}" in asked


def test_doctor_does_not_fail_for_memory_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image is built where it does not run, and what is free changes by the minute."""
    monkeypatch.setattr(doctor, "MEMORY", 1 << 60)
    assert not doctor.memory().ok and not doctor.memory().needed


def test_doctor_tells_a_containers_memory_from_the_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "available", lambda: Memory(2 << 30, 300 << 20, container=True))
    assert doctor.memory().found == "300 MB free of the 2,048 MB of this container"
    assert not doctor.memory().ok
    monkeypatch.setattr(doctor, "available", lambda: Memory(8 << 30, 3 << 30))
    assert doctor.memory() == doctor.Diagnosis("memory", True, "3,072 MB free", doctor.memory().fix)


def test_notebooks_are_found_or_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notebooks" / "deep").mkdir(parents=True)
    (tmp_path / "notebooks" / TOUR).touch()
    monkeypatch.chdir(tmp_path / "notebooks" / "deep")
    assert find_notebooks(None) == tmp_path / "notebooks"
    assert find_notebooks(str(tmp_path / "notebooks")) == tmp_path / "notebooks"
    with pytest.raises(LabError, match=f"holds no {TOUR}"):
        find_notebooks(str(tmp_path))


def test_the_file_of_flinks_directory_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HAWORK_CONFIG", raising=False)
    monkeypatch.setenv("FLINK_CONF_DIR", str(tmp_path / "conf"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").touch()
    assert find_config(None) == Path("config.yaml"), "where Flink's directory holds nothing"
    (tmp_path / "conf").mkdir()
    for name in ("config.yaml", "flink-conf.yaml"):  # the older one wins, as in Flink 1.20
        (tmp_path / "conf" / name).touch()
        assert find_config(None) == find_config("conf").absolute() == tmp_path / "conf" / name


def test_a_folder_that_is_no_watch_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path)]) == 1
    assert "is a folder that 'hawork watch' has not recorded into" in capsys.readouterr().err


def test_a_bundle_that_cannot_be_written_is_told_before_the_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """After it, the demonstration had ended without its verdict."""
    assert main(["demo", "--bundle", "/proc/nowhere/run.zip"]) == 1
    said = capsys.readouterr()
    assert "bundle /proc/nowhere/run.zip cannot be written there" in said.err and not said.out
