"""Scripts that were written for the former layout go on working."""

from __future__ import annotations

import importlib
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from hawork.moved import PLACES

FORMER = {
    module: names.split()
    for module, _, names in (
        line.partition(":")
        for line in Path(__file__).with_name("moved_names.txt").read_text().splitlines()
    )
}
"""The public names of each module that moved, as they were before."""


def test_the_table_is_whole() -> None:
    assert set(FORMER) == set(PLACES)
    assert all(FORMER.values())
    assert all(importlib.import_module(place) for places in PLACES.values() for place in places)


@pytest.mark.parametrize("module", sorted(FORMER))
def test_the_former_path_leads_to_the_new_place(module: str) -> None:
    former = importlib.import_module(module)
    for name in FORMER[module]:
        with pytest.warns(DeprecationWarning, match=f"{module}.{name} is now hawork") as told:
            found = getattr(former, name)
        assert told[0].filename == __file__, "it names the line that has to change"
        place = str(told[0].message).split(" is now ")[1].partition(":")[0].rpartition(".")[0]
        assert place in PLACES[module]
        assert found is getattr(importlib.import_module(place), name)


@pytest.mark.parametrize("module", ["hawork.runtime.client", "hawork.job.sinks"])
@pytest.mark.parametrize("name", ["nothing", "_SERVER", "__path__"])
def test_a_name_that_is_nowhere_is_an_error_as_ever(module: str, name: str) -> None:
    former = importlib.import_module(module)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(AttributeError, match=f"{module}.*{name}"):
            getattr(former, name)


def test_a_module_that_is_nowhere_is_an_error_as_ever() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"hawork\.lab\.nothing"):
        importlib.import_module("hawork.lab.nothing")
    with pytest.raises(ImportError, match="JobSubmision"):
        exec("from hawork.runtime.submission import JobSubmision", {})


def test_imports_as_scripts_write_them() -> None:
    script = (
        "import hawork, sys\n"
        "assert 'hawork.moved' not in sys.modules\n"
        "from hawork.runtime.submission import JobSubmission\n"
        "from hawork.job.sinks import SinkWriter, read_output\n"
        "from hawork.lab.panels.panel import Panel\n"
        "from hawork.lab import zookeeper_server\n"
        "import hawork.runtime.client\n"
        "print(JobSubmission.__module__, read_output.__module__, Panel.__module__)\n"
        "print(zookeeper_server.ZooKeeperServers.__module__)\n"
        "print(hawork.runtime.client.ClusterClient.__module__)\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", script]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.stdout.split() == [
        "hawork.client.submission",
        "hawork.job.file_sink",
        "hawork.panels.panel",
        "hawork.servers.zookeeper.ensemble",
        "hawork.client.cluster_client",
    ], ran.stderr


def test_the_table_is_asked_last() -> None:
    names = [getattr(each, "__name__", type(each).__name__) for each in sys.meta_path]
    assert names.index("PathFinder") < names.index("_MovedModules")
