"""The shape of the house, checked: layers, sizes, words, and what is never done.

What ruff and mypy check is not repeated here.
"""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import grimp
import pytest

import hawork
from hawork.core.steps import STEPS

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "hawork"
LONGEST_FILE = 500
LONGER_FILES: dict[str, str] = {}
"""A file beyond that, and the reason: a class lives in one file, a file is one idea."""

IMPORT_BY_NAME = {
    "hawork/core/whole_imports.py": "packages whose names stand in our code",
    "hawork/__init__.py": "its public names, when they are first used",
    "hawork/backends/registry.py": "the backend of a high-availability.type, from its own table",
    "hawork/cli/main.py": "the module of a command, from its own table",
    "hawork/ha/fsspec_storage.py": "fsspec, which is optional",
    "hawork/job/__init__.py": "its public names, when they are first used",
    "hawork/job/entry_point.py": "the user's code, from an artifact whose sha256 is verified",
    "hawork/lab/__init__.py": "its public names, when they are first used",
    "hawork/moved.py": "the modules of its own table",
    "hawork/panels/__init__.py": "its public names, when they are first used",
    "hawork/cli/doctor.py": "whether a package is there",
    "hawork/simulation/defects.py": "a function of hawork's own, named in a list of defects",
}
CALLED_BY_OTHERS = {"load_ipython_extension"}

SOURCES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted(path for path in (ROOT / "scripts").iterdir() if path.is_file())
READ_BY_PEOPLE = [
    path
    for folder in ("hawork", "tests", "scripts", "docs", "notebooks", "binder", ".ci")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.is_file() and path.suffix not in (".png", ".pyc")
] + [
    ROOT / name
    for name in (
        "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "README.md", "environment.yml",
        "pyproject.toml",
    )
]  # fmt: skip


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


@cache
def nodes() -> list[tuple[Path, ast.AST]]:
    """Every syntax node of the package, with its file."""
    return [
        (place, node)
        for path in SOURCES
        for place in [path.relative_to(ROOT)]
        for node in ast.walk(tree(path))
    ]


def where(path: Path, node: ast.AST) -> str:
    return f"{path}:{getattr(node, 'lineno', 1)}"


def test_there_is_something_to_check() -> None:
    assert len(SOURCES) > 40


# --- layers ----------------------------------------------------------------------------


def test_imports_go_downwards() -> None:
    command = "from importlinter.cli import lint_imports_command as run; run(['--no-cache'])"
    result = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_imports_form_no_circle() -> None:
    """Also not through the ``__init__`` of a package, which import-linter leaves out."""
    graph = grimp.build_graph("hawork", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    graphlib.TopologicalSorter(imports).prepare()  # raises CycleError, which names the circle


def test_importing_hawork_pulls_in_nothing_heavy() -> None:
    heavy = ("kazoo", "kubernetes", "pandas", "numpy", "IPython", "ipywidgets", "tornado", "yaml")
    command = "import hawork, sys; print(*sorted(m.partition('.')[0] for m in sys.modules))"
    result = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    assert not result.stderr
    assert not set(heavy) & set(result.stdout.split())


def test_the_core_imports_only_the_standard_library() -> None:
    allowed = sys.stdlib_module_names | {"hawork"}
    foreign = [
        f"{where(path, node)} imports {name}"
        for path, node in nodes()
        if isinstance(node, (ast.Import, ast.ImportFrom)) and path.is_relative_to("hawork/core")
        for name in imported(node)
        if name.partition(".")[0] not in allowed
    ]
    assert not foreign


def test_contracts_are_small() -> None:
    large = [
        f"{where(path, node)} {node.name} has {len(methods)} public methods"
        for path, node in nodes()
        if isinstance(node, ast.ClassDef)
        and path.is_relative_to("hawork/ha")
        and any("Protocol" in ast.unparse(base) for base in node.bases)
        and len(methods := public_methods(node)) > 5
    ]
    assert not large


def public_methods(node: ast.ClassDef) -> list[str]:
    return [
        member.name
        for member in node.body
        if isinstance(member, ast.FunctionDef) and not member.name.startswith("_")
    ]


def imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""]


# --- files and names -------------------------------------------------------------------


def test_files_hold_one_idea_each() -> None:
    program = [*SOURCES, *(ROOT / "tests").rglob("*.py"), *PACKAGE.rglob("*.js"), *SCRIPTS]
    long = [
        f"{path.relative_to(ROOT)} has {count} lines"
        for path in program
        if (count := len(path.read_text().splitlines())) > LONGEST_FILE
        and not LONGER_FILES.get(str(path.relative_to(ROOT)))
    ]
    assert not long, f"split it, or give its reason in LONGER_FILES: {long}"


def test_docstrings_are_what_python_3_13_can_compile() -> None:
    """It takes their indentation away as UTF-8: a module with half a surrogate pair in one is none.

    ``hawork.inspect`` could not be imported there, and with it neither ``demo`` nor ``drill``.
    """
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for path in (*SOURCES, *(ROOT / "tests").rglob("*.py")):
        for node in ast.walk(tree(path)):
            if isinstance(node, documented):
                text = ast.get_docstring(node, clean=False) or ""
                assert not re.search("[\ud800-\udfff]", text), f"{path}: {text}"


def test_public_names_are_listed_in_order() -> None:
    """Every name that an ``__init__.py`` offers is in its ``__all__``, and nothing else."""
    for path in SOURCES:
        names = listed(tree(path))
        if names is None:
            continue
        place = path.relative_to(ROOT)
        assert names == sorted(set(names), key=rank), f"{place}: sort __all__"
        if path.name == "__init__.py":
            missing = offered(tree(path)) - set(names)
            assert not missing, f"{place}: __all__ lacks {missing}"


def test_public_names_exist() -> None:
    assert hawork.__all__
    for name in hawork.__all__:
        assert getattr(hawork, name) is not None


def listed(module: ast.Module) -> list[str] | None:
    for node in module.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return None


def offered(module: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in module.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hawork"):
            names.update(alias.asname or alias.name for alias in node.names)
    return {name for name in names if not name.startswith("_") and name not in CALLED_BY_OTHERS}


def rank(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions: the order that ruff asks for."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def test_forbidden_words_name_nothing() -> None:
    """See docs/glossary.md; ``JobMaster`` is Flink's own word."""
    forbidden = {"master", "slave", "primary", "promote", "promoted", "demote", "epoch"}
    found = [
        f"{where(path, node)} {name}"
        for path, node in nodes()
        for name in identifiers(node)
        if forbidden & set(words(name))
    ]
    assert not found


def identifiers(node: ast.AST) -> Iterator[str]:
    for field in ("id", "attr", "arg", "name", "asname"):
        name = getattr(node, field, None)
        if isinstance(name, str):
            yield name


def words(identifier: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", identifier).lower()
    return re.findall(r"[a-z]+", re.sub(r"job_?master", "", spaced))


def test_words_are_told_apart() -> None:
    assert words("JobMasterGateway") == ["gateway"]
    assert words("promoteLeader") == ["promote", "leader"]


# --- what is never done ----------------------------------------------------------------


def test_only_the_command_line_prints() -> None:
    found = [
        where(path, node)
        for path, node in nodes()
        if calls(node, "print") and not path.is_relative_to("hawork/cli")
    ]
    assert not found


def test_commands_print_through_one_module() -> None:
    """It escapes what a terminal would obey: a command that prints around it passes that on."""
    found = [
        where(path, node)
        for path, node in nodes()
        if path.is_relative_to("hawork/cli") and path.name != "output.py" and prints(node)
    ]
    assert not found
    assert all(map(prints, map(expression, ("print(1)", "sys.stdout", "sys.stderr.write"))))
    assert prints(ast.parse("from sys import stdout").body[0])
    assert not prints(expression("process.stdout"))


def expression(text: str) -> ast.AST:
    return ast.parse(text, mode="eval").body


def prints(node: ast.AST) -> bool:
    """Whether it prints, or has what one prints to."""
    if isinstance(node, ast.ImportFrom):
        return node.module == "sys" and any(name.name.startswith("std") for name in node.names)
    named = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
    return calls(node, "print") or named.startswith(("sys.stdout", "sys.stderr"))


def test_stored_data_is_never_executed() -> None:
    """No pickle and no eval: an artifact, verified, is the only thing that is imported."""
    modules = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "runpy", "code"}
    functions = {"eval", "exec", "__import__"}
    found = [
        f"{where(path, node)} imports {name}"
        for path, node in nodes()
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in imported(node)
        if name.partition(".")[0] in modules
    ] + [
        f"{where(path, node)} calls {ast.unparse(node.func)}"
        for path, node in nodes()
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in functions
    ]
    assert not found


def test_modules_are_imported_by_name_in_known_places_only() -> None:
    found = {
        str(path)
        for path, node in nodes()
        if isinstance(node, ast.Attribute)
        and node.attr in ("import_module", "exec_module", "spec_from_file_location")
    }
    assert found <= IMPORT_BY_NAME.keys(), found - IMPORT_BY_NAME.keys()


def test_yaml_is_read_as_text_only() -> None:
    found = [
        where(path, node)
        for path, node in nodes()
        if isinstance(node, ast.Attribute)
        and ast.unparse(node) in ("yaml.Loader", "yaml.UnsafeLoader", "yaml.FullLoader",
                                  "yaml.unsafe_load", "yaml.full_load", "yaml.load_all")
    ]  # fmt: skip
    assert not found


def test_nothing_sleeps_in_the_lower_layers() -> None:
    """Time is an argument there; a held step, a teaching device, is the one exception."""
    found = [
        where(path, node)
        for path, node in nodes()
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "time.sleep"
        and path.parts[1] in ("core", "ha") and path.name != "steps.py"
    ]  # fmt: skip
    assert not found


def test_the_name_of_a_test_holds_neither_time_nor_chance() -> None:
    """Workers collect for themselves: where their names differ, the whole run ends."""
    found = [
        f"{path.relative_to(ROOT)}:{each.lineno}: {ast.unparse(each)}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
        if ast.unparse(decorator).startswith("pytest.mark.parametrize(")
        for each in ast.walk(decorator)
        if isinstance(each, ast.Attribute)
        and ast.unparse(each).startswith(
            ("time.", "uuid.uuid", "random.", "secrets.", "datetime.now")
        )
    ]
    assert not found


def calls(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def test_no_machine_is_named() -> None:
    """Paths of somebody's machine and hosts of package registries work for nobody else."""
    # Written as character classes, so that this file does not match itself.
    places = r"/[w]ork/|/[h]ome/[a-z]|/[r]oot/|/[U]sers/|/[o]pt/pypi"
    hosts = r"[p]ypi\.org|[p]ythonhosted|[n]pmjs\.|[d]ebian\.org"
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in READ_BY_PEOPLE
        if (match := re.search(f"{places}|{hosts}", path.read_text(errors="replace")))
    ]
    assert not found


# --- registries and pages that must agree ----------------------------------------------


def test_every_step_is_reached_and_every_reached_step_is_known() -> None:
    """By ``steps.reached("...")``, or by a method of that name, or ``step``, that passes it on."""
    reached = {
        node.args[0].value
        for path, node in nodes()
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr.lstrip("_") in ("reached", "step")
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    assert reached == set(STEPS)


def test_options_are_documented() -> None:
    script = ROOT / "scripts" / "options-table"
    result = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_sentences_name_things_by_their_nouns() -> None:
    script = ROOT / "scripts" / "check-words"
    result = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_decisions_are_numbered_and_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    pages = sorted(path.name for path in folder.glob("[0-9]*.md"))
    numbers = [int(name[:4]) for name in pages]
    assert numbers == list(range(1, len(pages) + 1))
    index = (folder / "README.md").read_text()
    assert re.findall(r"\]\((\d{4}-[^)]+)\)", index) == pages


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")) + sorted(ROOT.glob("*.md")),
                         ids=lambda page: str(page.relative_to(ROOT)))  # fmt: skip
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not target.startswith(("http://", "https://", "#")):
            path = (page.parent / target.partition("#")[0]).resolve()
            assert path.exists(), f"{page.relative_to(ROOT)} links to {target}"
