"""Which of the deliberate defects of the HA core the nemesis finds, from outside.

Each defect of ``tests/simulation/defects.py`` is written into a copy of hawork, and a drill breaks
the JobManagers and TaskManagers of that; the same drill of the code as it is must keep every
promise. ``HAWORK_DEFECTS`` says which (such as ``14,28-33``; all), ``HAWORK_NEMESIS_FAULTS`` how
many faults (60), ``HAWORK_SEED`` of which seed. A defect takes about a minute.
"""

from __future__ import annotations

import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hawork.simulation.defects import Defect
from tests.simulation.defects import DEFECTS

ROOT = Path(__file__).resolve().parents[2]
FAULTS = os.environ.get("HAWORK_NEMESIS_FAULTS", "60")
SEED = os.environ.get("HAWORK_SEED", "7001")
ENDS = [
    tuple(map(int, part.split("-")))
    for part in os.environ.get("HAWORK_DEFECTS", f"1-{len(DEFECTS)}").split(",")
]
WANTED = [number for ends in ENDS for number in range(ends[0], ends[-1] + 1)]


def broken_copy(defect: Defect | None, folder: Path) -> None:
    """The package as it is, with one defect in its source."""
    shutil.copytree(ROOT / "hawork", folder / "hawork")
    if defect is None:
        return
    with defect.applied():  # the source reads as the defect expects
        function = defect._function()
        lines, first = inspect.getsourcelines(function)
        path = Path(inspect.getfile(function))
    whole = path.read_text().splitlines(keepends=True)
    source = "".join(lines)
    assert source.count(defect.old) == 1, defect.name
    whole[first - 1 : first - 1 + len(lines)] = [source.replace(defect.old, defect.new)]
    (folder / path.relative_to(ROOT)).write_text("".join(whole))


def drill(folder: Path, ha: str) -> dict[str, Any]:
    done = subprocess.run(
        [
            sys.executable, "-P", str(ROOT / "scripts" / "drill-older"), str(folder), "--json",
            "--ha", ha, "--seed", SEED, "--faults", FAULTS,
        ],
        capture_output=True, text=True, check=False, timeout=600, cwd=ROOT,
    )  # fmt: skip
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


@pytest.mark.soak
@pytest.mark.timeout(600 * (len(WANTED) + 3))
def test_which_defects_the_nemesis_finds(tmp_path: Path) -> None:
    found, stores = 0, set[str]()
    print("\n| defect | store | the nemesis says |\n|---|---|---|")
    for number in WANTED:
        defect = DEFECTS[number - 1]
        ha = defect.backends[0]
        stores.add(ha)
        broken_copy(defect, tmp_path / str(number))
        report = drill(tmp_path / str(number), ha)
        promises = sorted({each["promise"] for each in report["breaches"]})
        found += bool(promises)
        print(
            f"| {number}. {defect.name} | {ha} | {'; '.join(promises) or 'nothing'} |", flush=True
        )
        shutil.rmtree(tmp_path / str(number))
    print(f"seed {report['seed']}, {FAULTS} faults: {found} of {len(WANTED)} found")
    broken_copy(None, tmp_path / "as-it-is")
    for ha in sorted(stores):
        assert drill(tmp_path / "as-it-is", ha)["valid"], f"{ha} breaks a promise without a defect"
