"""The views' scripts: one module, valid, with their arithmetic tested by node."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

from hawork.panels import script as bundle

HERE = Path(__file__).parent
FOLDER = Path(bundle.__file__).parent / "js"


def node(*arguments: str, script: Path | None = None) -> subprocess.CompletedProcess[str]:
    found = shutil.which("node")
    assert found, "node is missing: run scripts/debian-packages"
    environment = {**os.environ, "HAWORK_SCRIPT": str(script)}
    return subprocess.run(
        [found, *arguments], env=environment, capture_output=True, text=True, timeout=60
    )


def test_every_script_is_in_the_bundle_after_those_it_imports() -> None:
    assert {path.name for path in FOLDER.glob("*.js")} == set(bundle.MODULES)
    for at, name in enumerate(bundle.MODULES):
        imported = re.findall(r'from "\./([\w.]+)";', (FOLDER / name).read_text())
        assert set(imported) <= set(bundle.MODULES[:at]), name


def test_names_of_different_scripts_differ() -> None:
    names = Counter(
        re.findall(r"^(?:async )?(?:function|const|let) (\w+)", bundle.script(), re.MULTILINE)
    )
    assert len(names) > 50
    assert not [name for name, times in names.items() if times > 1]


def test_the_bundle_is_one_module_that_loads_nothing(tmp_path: Path) -> None:
    file = tmp_path / "bundle.mjs"
    file.write_text(bundle.script())
    assert not re.search(
        r"^import |import\(|https?://(?!www\.w3\.org)", bundle.script(), re.MULTILINE
    )
    assert bundle.script().count("export ") == 1
    result = node("--check", str(file))
    assert result.returncode == 0, result.stderr
    assert "url(" not in bundle.style()


def test_layout_and_state(tmp_path: Path) -> None:
    file = tmp_path / "bundle.mjs"
    file.write_text(bundle.script())
    result = node("--test", str(HERE / "scripts" / "layout.test.mjs"), script=file)
    assert result.returncode == 0, result.stdout[-3000:]
    assert int(re.search(r"^# pass (\d+)$", result.stdout, re.MULTILINE)[1]) >= 12  # type: ignore[index]
