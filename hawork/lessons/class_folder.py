"""A class at work: what is read from the folder into which learners hand in, and who is where.

Any learner may have written anything there. So a file has a name of one pattern or is left alone,
and is a small regular file; its content is checked field by field and shown as plain text; nothing
in it is executed, followed or used as a path. The file system tells whose a file is, and the table
shows it where the file gives another name.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hawork.core.errors import LabError
from hawork.core.user_files import absolute
from hawork.lessons.hand_in import FOLDER, LONGEST
from hawork.story.display import age

MODE = 0o1733
"""Others may write into the folder, not list it, and not remove what is not theirs."""

AT_ONCE, MOST_OF_ONE, MOST_FILES = 5_000, 20_000, 200_000
"""Files read in one look, of one user (who may be the whole class, on some shares), and at all: a
learner who floods the folder delays the table, and hides no other user."""
LARGEST = 4096
_LATEST = 1e300  # what Python can calculate with; a clock that is wrong is another matter
_FILE = re.compile(r"[0-9]{1,20}-[0-9a-f]{32}\.json")
_TEMPORARY = re.compile(r"\.[0-9]{1,20}-[0-9a-f]{32}\.json")
_FIELDS: dict[str, type] = {
    "name": str, "lesson": str, "check": str, "says": str,
    "solved": bool, "kept": int, "points": int,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Result:
    """One result of one check; ``owner`` is the user that the file belongs to."""

    name: str
    owner: str
    lesson: str
    check: str
    solved: bool
    kept: int
    points: int
    says: str
    time: float


@dataclass(frozen=True, slots=True)
class Learner:
    """Where a learner is: the last result of each lesson, and the newest of all."""

    name: str
    lessons: dict[str, tuple[int, int]]
    """Lessons by number, each with how many checks are solved, and how many were tried."""
    last: Result


class ClassFolder:
    """``look`` gives the learners now; a file is read once, since no file is changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trouble = ""
        """Why there is nothing new, or what was not read; empty when all is well."""
        self._known: dict[str, Result | str] = {}
        self._of_one: Counter[int] = Counter()

    def create(self) -> bool:
        """Make the folder so that learners can hand in, and nothing more; whether it was missing.

        ``LabError`` when it cannot be made, or something else is there.
        """
        try:
            self.path.mkdir(mode=MODE)
            self.path.chmod(MODE)  # whatever the umask says
        except FileExistsError:
            if not self.path.is_dir():
                raise LabError(f"{self.path} is not a directory: name another one") from None
            return False
        except OSError as error:
            raise LabError(
                f"the class folder {self.path} cannot be made ({error.strerror}): make it, or name "
                "another one"
            ) from None
        return True

    def closed(self) -> str:
        """Why learners who are other users of this machine cannot hand in; empty when they can."""
        try:
            mode = stat.S_IMODE(self.path.stat().st_mode)
        except OSError:
            return ""  # look() tells
        if mode & 0o003 == 0o003 or os.name != "posix":
            return ""
        return (
            f"other users cannot write into {self.path} (mode {mode:04o}): run "
            f"'chmod {MODE:04o} {self.path}' if the learners are other users"
        )

    def look(self) -> list[Learner]:
        """Learners who have handed in something, by name; ``trouble`` says what was left out."""
        try:
            names = self._names()
        except OSError as error:
            self.trouble = (
                f"the class folder {self.path} cannot be read ({error.strerror}): this is what was "
                "seen last"
            )
            return learners(self._results())
        fresh = [name for name in names if name not in self._known]
        for name in fresh[: min(AT_ONCE, MOST_FILES - len(self._known))]:
            with contextlib.suppress(FileNotFoundError):
                self._known[name] = _read(self.path / name, self._of_one)
        foreign = Counter(each for each in self._known.values() if isinstance(each, str))
        told = [f"{number} {reason}" for reason, number in foreign.most_common(3)]
        if (waiting := len(fresh) - AT_ONCE) > 0:
            told.append(f"{waiting:,} not yet")
        self.trouble = f"files that were not read: {'; '.join(told)}" if told else ""
        return learners(self._results())

    def _names(self) -> list[str]:
        """Of the files to be read, the oldest first; all others are counted as foreign."""
        found = []
        with os.scandir(self.path) as entries:
            for entry in entries:
                if _FILE.fullmatch(entry.name):
                    found.append(entry.name)
                elif not _TEMPORARY.fullmatch(entry.name) and len(self._known) < MOST_FILES:
                    self._known.setdefault(entry.name, "of another name")
        return sorted(found)

    def _results(self) -> list[Result]:
        return [each for each in self._known.values() if isinstance(each, Result)]


def learners(results: Iterable[Result]) -> list[Learner]:
    """The results of each learner, folded; the newest of a check counts."""
    latest: dict[str, dict[tuple[str, str], Result]] = {}
    for result in sorted(results, key=lambda each: each.time):
        of_one = latest.setdefault(result.name, {})
        of_one.pop((result.lesson, result.check), None)  # the newest is the last
        of_one[result.lesson, result.check] = result
    found = []
    for name, checks in sorted(latest.items()):
        lessons: dict[str, tuple[int, int]] = {}
        for result in checks.values():
            solved, tried = lessons.get(result.lesson, (0, 0))
            lessons[result.lesson] = (solved + result.solved, tried + 1)
        found.append(Learner(name, lessons, list(checks.values())[-1]))
    return found


def table(found: Sequence[Learner], now: float) -> tuple[list[str], list[list[str]]]:
    """Who is where, as plain text: a column for each lesson in which something was handed in."""
    numbers = sorted({lesson for each in found for lesson in each.lessons})
    head = ["learner", *numbers, "last check", "when", "what is missing"]
    rows = []
    for each in found:
        cells = [_share(each.lessons.get(number)) for number in numbers]
        last = each.last
        done = "solved" if last.solved else f"{last.kept} of {last.points}"
        rows.append([each.name, *cells, f"{last.check}: {done}", age(last.time, now), last.says])
    return head, rows


def _share(counted: tuple[int, int] | None) -> str:
    if counted is None:
        return ""
    solved, tried = counted
    return "✓" if solved == tried else f"{solved} of {tried}"


def _read(path: Path, of_one: Counter[int]) -> Result | str:
    """A result, or why this file is not one; ``of_one`` counts the files of each user."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError:
        return "that cannot be opened"
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return "of another kind"
        of_one[status.st_uid] += 1
        if of_one[status.st_uid] > MOST_OF_ONE:
            return f"beyond the first {MOST_OF_ONE:,} of one user"
        if status.st_size > LARGEST:
            return "too large"
        data = os.read(descriptor, LARGEST + 1)
    except OSError:
        return "that cannot be read"
    finally:
        os.close(descriptor)
    return _result(data, _owner(status.st_uid), status.st_mtime)


def _result(data: bytes, owner: str, written: float) -> Result | str:
    try:
        found = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        return "that are not results"
    if not isinstance(found, dict) or found.get("format") != 1:
        return "that are not results"
    fields: dict[str, Any] = {key: found.get(key) for key in _FIELDS}
    for key, kind in _FIELDS.items():
        if type(fields[key]) is not kind:
            return "that are not results"
    if not 0 <= fields["kept"] <= fields["points"] <= 100:
        return "that are not results"
    said = found.get("time")
    if isinstance(said, bool) or not isinstance(said, int | float) or not abs(said) <= _LATEST:
        return "that are not results"
    name = plain(fields["name"]) or owner
    number = re.match(r"[0-9]{2}(?=_)", fields["lesson"])
    return Result(
        name=name if name == owner else f"{name} ({owner})",
        owner=owner,
        lesson=number[0] if number else "other",
        check=plain(fields["check"]).removeprefix("check_"),
        solved=fields["solved"] and fields["kept"] == fields["points"],
        kept=fields["kept"],
        points=fields["points"],
        says=plain(fields["says"]),
        # A learner's clock may be wrong, and the order of results counts.
        time=min(float(said), written) if abs(said - written) < 86400 else written,
    )


def plain(text: str) -> str:
    """A learner's text on one line, without anything that a terminal or a reader would obey."""
    shown = "".join(character if character.isprintable() else " " for character in text[:LONGEST])
    return " ".join(shown.split())


def _owner(user_id: int) -> str:
    try:
        import pwd

        return pwd.getpwuid(user_id).pw_name
    except (ImportError, KeyError):
        return f"user {user_id}"


def how_to_join(path: Path) -> str:
    """What learners set before they start JupyterLab."""
    return f"export {FOLDER}={absolute(path)}"
