"""The recordings of real Flink show what the lessons say, and a damaged one says that it is."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from lab_story import killed_leader

from hawork.core.errors import LabError
from hawork.core.events import EventKind
from hawork.lessons import recorder
from hawork.lessons.recorder import MOST_BYTES, SCENARIOS
from hawork.lessons.recordings import RECORDED, recording
from hawork.story.failovers import failovers
from hawork.story.run_bundle import FORMAT
from hawork.story.side_by_side import SideBySide
from hawork.story.timeline import Timeline
from hawork.testing import eventually
from tests.recorded_facts import FOLDER, SHOWN, opened

TOGETHER = 1_500_000


@pytest.mark.parametrize("name", RECORDED)
def test_a_recording_shows_what_the_lessons_say(name: str) -> None:
    SHOWN[name](opened(name))


def test_recordings_are_real_small_and_all_there() -> None:
    files = sorted(FOLDER.glob("*"))
    assert {file.stem for file in files} == set(RECORDED) == set(SCENARIOS) == set(SHOWN)
    assert all(file.stat().st_size <= MOST_BYTES for file in files)
    assert sum(file.stat().st_size for file in files) < TOGETHER
    for name in RECORDED:
        assert opened(name).cluster == "FlinkCluster"


# --- recordings that cannot be used ---------------------------------------------------------
def one_sentence(folder: Path) -> str:
    with pytest.raises(LabError) as refused:
        recording("standby-rest", folder)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_damaged_recording_says_so(tmp_path: Path) -> None:
    target = tmp_path / "standby-rest.zip"
    assert f"there is no bundle {target}" in one_sentence(tmp_path)
    data = (FOLDER / target.name).read_bytes()
    target.write_bytes(data[: len(data) // 2])
    assert "is damaged, or is not a bundle of a run" in one_sentence(tmp_path)
    target.write_bytes(b"")
    assert "is damaged" in one_sentence(tmp_path)


def test_a_recording_of_another_version_says_so(tmp_path: Path) -> None:
    target = tmp_path / "standby-rest.zip"
    with zipfile.ZipFile(FOLDER / target.name) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.namelist():
            content = old.read(member)
            if member == "manifest.json":
                content = json.dumps({**json.loads(content), "format": FORMAT + 1}).encode()
            new.writestr(member, content)
    assert f"has format {FORMAT + 1}" in one_sentence(tmp_path)


def test_an_altered_recording_says_so(tmp_path: Path) -> None:
    target = tmp_path / "standby-rest.zip"
    shutil.copyfile(FOLDER / target.name, target)
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr("extra.txt", "x")
    assert "it holds extra.txt" in one_sentence(tmp_path)


# --- the same, done now ---------------------------------------------------------------------
def test_flink_does_it_now_by_one_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    places: list[Path] = []

    def does(place: Path, target: Path) -> None:
        places.append(place)
        shutil.copyfile(FOLDER / "standby-rest.zip", target)

    monkeypatch.setattr(recorder, "SCENARIOS", {"standby-rest": does})
    run = recording("standby-rest", Path("not looked at"), engine="flink")
    assert run.event_list() == opened("standby-rest").event_list()
    assert RECORDED["standby-rest"] in capsys.readouterr().out
    assert not places[0].exists(), "nothing is left of it"


def test_what_does_not_come_about_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def does_not(place: Path, target: Path) -> None:
        eventually(lambda: False, timeout=0.0)

    monkeypatch.setattr(recorder, "SCENARIOS", {"standby-rest": does_not})
    with pytest.raises(LabError, match=r"did not do what standby-rest shows .*: close other labs"):
        recording("standby-rest", engine="flink")
    with pytest.raises(LabError, match=r"engine='hawork': write 'recorded', or 'flink'"):
        recording("standby-rest", FOLDER, engine="hawork")


def test_an_unknown_recording_is_named() -> None:
    with pytest.raises(LabError, match="there is no recording 'crash': choose one of crash-zoo"):
        recording("crash", FOLDER)


# --- what is made of them -------------------------------------------------------------------
def test_a_failover_is_told_phase_by_phase() -> None:
    story = killed_leader()
    story.add(
        4.9, "jm-2", EventKind.CHECKPOINT_COMPLETED, job_id="j", checkpoint_id=5,
        session_id="2" * 8,
    )  # fmt: skip
    (told,) = failovers(story.events)
    assert (told.cause, told.leader) == ("kill", "jm-2")
    assert told.found == pytest.approx(0.1)
    assert told.granted == pytest.approx(0.05)
    assert told.progress == pytest.approx(0.9)
    assert told.restored is None  # the story's event names no session


def test_two_runs_stand_one_above_the_other() -> None:
    first, second = Timeline.of(killed_leader().events), opened("crash-kubernetes").timeline()
    both = SideBySide({"hawork": first, "Flink": second})
    assert str(both).startswith("hawork\n") and "\n\nFlink\n" in str(both)
    page = both._repr_html_()
    assert page.index("<h4>hawork</h4>") < page.index("<h4>Flink</h4>")
    assert page.count("data:image/png;base64,") == 2
