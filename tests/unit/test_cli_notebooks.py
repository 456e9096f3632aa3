"""``hawork lab`` of an installed hawork brings its notebooks along, and respects a learner's."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from hawork.cli import lab
from hawork.cli.notebooks import DELIVERED, FOLDER, TOUR, bring_along
from hawork.core.errors import LabError
from hawork.core.library_path import module_command


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """As installed: two notebooks."""
    source = tmp_path / "share"
    source.mkdir()
    for name in (TOUR, "01_more.ipynb"):
        (source / name).write_text(f"{name} of 0.1")
    return source


def read(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("*.ipynb")}


def test_a_learners_changes_outlive_an_upgrade(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "work" / FOLDER
    (said,) = bring_along(source, folder)
    assert str(folder) in said
    assert read(folder) == read(source)
    assert list(bring_along(source, folder)) == []

    (folder / TOUR).write_text("mine")
    (source / TOUR).write_text("tour of 0.2")
    (source / "01_more.ipynb").write_text("more of 0.2")
    (source / "02_new.ipynb").write_text("new in 0.2")
    told = list(bring_along(source, folder))
    beside = "00_tour (0.1.0).ipynb"  # the version that brought it
    assert told == [
        f"{TOUR} is yours and stays; the newer one is {beside}.",
        "Newer: 01_more.ipynb.",
        "New: 02_new.ipynb.",
    ]
    assert read(folder) == {**read(source), TOUR: "mine", beside: "tour of 0.2"}
    assert list(bring_along(source, folder)) == []


def test_recordings_come_along(source: Path, tmp_path: Path) -> None:
    (source / "recordings").mkdir()
    (source / "recordings" / "crash.zip").write_bytes(b"0.1")
    folder = tmp_path / FOLDER
    list(bring_along(source, folder))
    brought = folder / "recordings" / "crash.zip"
    assert brought.read_bytes() == b"0.1"
    (source / "recordings" / "crash.zip").write_bytes(b"0.2")
    assert list(bring_along(source, folder)) == ["Newer: crash.zip."]
    assert brought.read_bytes() == b"0.2"


def test_what_a_learner_removed_stays_away(source: Path, tmp_path: Path) -> None:
    list(bring_along(source, tmp_path / FOLDER))
    (tmp_path / FOLDER / "01_more.ipynb").unlink()
    (source / "01_more.ipynb").write_text("more of 0.2")
    assert list(bring_along(source, tmp_path / FOLDER)) == []
    assert list(read(tmp_path / FOLDER)) == [TOUR]


@pytest.mark.parametrize("damaged", ["", "[1]", "{"])
def test_without_its_memory_nothing_of_a_learner_is_replaced(
    source: Path, tmp_path: Path, damaged: str
) -> None:
    folder = tmp_path / FOLDER
    list(bring_along(source, folder))
    (folder / DELIVERED).write_text(damaged)
    (folder / TOUR).write_text("mine")
    told = list(bring_along(source, folder))
    assert read(folder)[TOUR] == "mine"
    # It had come beside the learner's own in silence.
    assert told[1:] == [f"{TOUR} is yours and stays; the newer one is 00_tour (0.1.0).ipynb."]


def test_one_version_may_bring_several(source: Path, tmp_path: Path) -> None:
    """Installed from its sources again: the first of them had passed for the newest."""
    folder = tmp_path / FOLDER
    list(bring_along(source, folder))
    (folder / TOUR).write_text("mine")
    for number in (1, 2, 2):
        (source / TOUR).write_text(f"tour of commit {number}")
        told = list(bring_along(source, folder))
        name = "00_tour (0.1.0" + (", 2" if number > 1 else "") + ").ipynb"
        assert (folder / name).read_text() == f"tour of commit {number}"
    assert told == []
    (folder / DELIVERED).unlink()
    assert list(bring_along(source, folder))[1:] == [
        f"{TOUR} is yours and stays; the newer one is 00_tour (0.1.0, 2).ipynb."
    ]
    assert len(read(folder)) == 4


def test_a_disk_that_is_full_leaves_no_half_notebook(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a file had passed for one that the learner has changed, and stayed for ever."""
    folder, room = tmp_path / FOLDER, [1]
    write = Path.write_bytes

    def fill(path: Path, content: bytes) -> int:
        if room[0] == 0:
            write(path, content[:3])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room[0] -= 1
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(LabError, match=r"\(No space left on device\): free some space"):
        list(bring_along(source, folder))
    assert sorted(each.name for each in folder.iterdir()) == [TOUR]
    room[0] = 9
    list(bring_along(source, folder))
    assert read(folder) == read(source)

    (source / TOUR).write_text("tour of 0.2")
    (source / "01_more.ipynb").write_text("more of 0.2")
    room[0] = 1
    (told, stays) = bring_along(source, folder)
    assert told == f"Newer: {TOUR}." and stays.endswith("those that are there stay.")
    room[0] = 9
    assert list(bring_along(source, folder)) == ["Newer: 01_more.ipynb."]
    assert read(folder) == read(source)


def test_a_folder_of_a_teacher_can_be_read_only(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / FOLDER
    list(bring_along(source, folder))

    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    assert list(bring_along(source, folder)) == [], "there is nothing to write"
    before = read(folder)
    (source / "02_new.ipynb").write_text("new in 0.2")
    (told,) = bring_along(source, folder)
    assert f"cannot be copied to {folder} (Permission denied)" in told
    assert read(folder) == before


def test_a_notebook_that_went_is_told_once_and_stays(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    list(bring_along(source, folder))
    (source / "01_more.ipynb").rename(source / "02_more.ipynb")
    (new, gone) = bring_along(source, folder)
    assert new == "New: 02_more.ipynb." and gone.startswith("Gone: 01_more.ipynb is not among")
    assert list(bring_along(source, folder)) == []
    assert "01_more.ipynb" in read(folder)


def test_a_notebook_that_is_a_link_stays_one(source: Path, tmp_path: Path) -> None:
    folder, kept = tmp_path / FOLDER, tmp_path / "kept.ipynb"
    list(bring_along(source, folder))
    (folder / TOUR).rename(kept)
    (folder / TOUR).symlink_to(kept)
    (source / TOUR).write_text("tour of 0.2")
    list(bring_along(source, folder))
    assert (folder / TOUR).is_symlink() and kept.read_text() == "tour of 0.2"


def test_a_folder_that_cannot_be_made_is_one_sentence(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LabError, match="--notebooks"):
        list(bring_along(source, tmp_path / "file" / FOLDER))


def test_the_working_directory_gets_the_folder(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    work = tmp_path / "empty"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setattr(lab, "installed_notebooks", lambda: source)
    monkeypatch.setattr(lab, "__file__", str(tmp_path / "a" / "b" / "c" / "lab.py"))
    assert lab.find_notebooks(None) == work / FOLDER
    assert str(work / FOLDER) in capsys.readouterr().err
    monkeypatch.chdir(work / FOLDER)
    assert lab.find_notebooks(None) == work / FOLDER
    assert not (work / FOLDER / FOLDER).exists()


def test_a_new_folder_that_is_named_gets_them(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the sentence about a folder that cannot be written says; it had been refused."""
    monkeypatch.setattr(lab, "installed_notebooks", lambda: source)
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "new" / "a b", tmp_path / "empty"):
        assert lab.find_notebooks(str(folder)) == folder
        assert read(folder) == read(source)
    (source / "02_new.ipynb").write_text("new in 0.2")
    lab.find_notebooks(str(tmp_path / "empty"))
    assert "02_new.ipynb" in read(tmp_path / "empty")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(LabError, match="name hawork's notebooks directory, or a new one"):
        lab.find_notebooks(str(tmp_path / "other"))
    monkeypatch.setattr(lab, "installed_notebooks", lambda: None)
    with pytest.raises(LabError, match=r"name hawork's notebooks directory$"):
        lab.find_notebooks(str(tmp_path / "nowhere"))


def test_who_has_removed_all_gets_all(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    list(bring_along(source, folder))
    for notebook in folder.glob("*.ipynb"):
        notebook.unlink()
    assert str(folder) in next(iter(list(bring_along(source, folder))))
    assert read(folder) == read(source)


def test_jupyterlab_starts_without_parsers_that_it_never_uses() -> None:
    python, *command = module_command("hawork.cli.jupyter", "--version")
    done = subprocess.run(
        [python, "-X", "importtime", *command], capture_output=True, text=True, timeout=100,
        check=True,
    )  # fmt: skip
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {"jsonschema", "jupyterlab.labapp"} <= imported
    assert not {each for each in imported if each.partition(".")[0] == "lark"}
    assert done.stdout[0].isdigit()
