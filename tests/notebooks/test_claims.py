"""Every statement of a lesson about Flink is in the table of claims, with its evidence."""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from hawork.lessons.recordings import RECORDED
from hawork.servers.java import flink_jars

from .claims import TABLE, Claim, claims, spoken
from .rules import FOLDER, NOTEBOOKS, read

ROOT = FOLDER.parent
CLAIMS = claims(TABLE.read_text(encoding="utf-8"))
_TICKED = re.compile(r"`([^`]+)`")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_lessons_and_table_say_the_same(path: Path) -> None:
    said = Counter(spoken(read(path)))
    listed = Counter(claim.statement for claim in CLAIMS if claim.lesson == path.stem)
    assert said - listed == Counter(), "said in the lesson, and not in docs/claims.md"
    assert listed - said == Counter(), "in docs/claims.md, and not said in the lesson"


def problem(claim: Claim) -> str:
    """What is wrong with a claim's evidence, if anything."""
    if not claim.source or not claim.evidence:
        return "it has no source or no evidence"
    if found := re.search(r"recordings? (.*)", claim.evidence):
        unknown = set(_TICKED.findall(found[1])) - set(RECORDED)
        return f"there is no recording {unknown}" if unknown else ""
    if found := re.match(r"`(tests/[^`]+)`", claim.evidence):
        return "" if (ROOT / found[1]).exists() else f"there is no {found[1]}"
    known = (
        r"lesson (\d\d), live|read in flink-dist 1\.20\.5|Flink's documentation"
        r"|read in flink-kubernetes-operator [0-9a-f]{8}$"
    )
    return "" if re.match(known, claim.evidence) else f"what is {claim.evidence!r}?"


def test_the_evidence_is_there() -> None:
    assert len(CLAIMS) > 100
    assert {claim.statement: said for claim in CLAIMS if (said := problem(claim))} == {}


def test_claims_without_evidence_are_noticed() -> None:
    assert "no source" in problem(Claim("00", "x", "", "lesson 09, live"))
    assert "no recording" in problem(Claim("00", "x", "y", "recording `crash-nowhere`"))
    assert "there is no tests/x.py" in problem(Claim("00", "x", "y", "`tests/x.py`"))
    assert "what is" in problem(Claim("00", "x", "y", "everyone knows"))


def test_the_classes_are_those_of_flink() -> None:
    """Every class that a claim or a box names is in flink-dist."""
    named = {each for claim in CLAIMS for each in _TICKED.findall(claim.source)}
    for path in NOTEBOOKS:
        for cell in read(path).cells:
            for line in re.findall(r"^\*Source:\*.*$", cell.source, re.MULTILINE):
                named |= set(_TICKED.findall(line))
    classes = {each.partition(".")[0] for each in named if re.match(r"[A-Z]\w+(\.\w+)?$", each)}
    jars = [jar for jar in flink_jars() if jar.name.startswith("flink-dist")]
    assert jars, "apache-flink-libraries is not installed"
    with zipfile.ZipFile(jars[0]) as archive:
        there = {Path(name).stem for name in archive.namelist() if name.endswith(".class")}
    assert len(classes) > 20
    assert classes - there == set()
