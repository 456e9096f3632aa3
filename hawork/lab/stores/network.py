"""What stores that are servers have in common: proxies to break, and a configuration each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from hawork.core.errors import LabError
from hawork.core.private_files import write_private
from hawork.ha.configuration_file import configuration_text
from hawork.lab.run_directory import RunDirectory
from hawork.servers.tcp_proxy import TcpProxy

PARTITIONS = ("cut", "blackhole", "to_store", "from_store", "delay")
"""Broken at once; silent both ways; silent towards the store; silent from it; only late."""
DELAY = 0.2
"""Seconds by which ``delay`` is late, each way."""
OUTAGES = ("pause", "kill")

NO_CONTROL_PLANE = 'this lab has no control plane: use ha="kubernetes", and name no kubeconfig'

PreparedFault = Callable[[], object]
"""A fault that is possible, and is done when it is called."""


def check_partition(how: str) -> None:
    """``LabError`` for what is none of ``PARTITIONS``."""
    if how not in PARTITIONS:
        raise LabError(f"there is no partition {how!r}: choose one of {', '.join(PARTITIONS)}")


def break_network(proxy: TcpProxy, how: str) -> None:
    """One of ``PARTITIONS``, until the proxy is healed."""
    if how == "to_store":
        proxy.one_way(blocked="upstream")
    elif how == "from_store":
        proxy.one_way(blocked="downstream")
    elif how == "delay":
        proxy.delay(DELAY)
    else:
        getattr(proxy, how)()


def check_outage(how: str) -> None:
    """``LabError`` for what is none of ``OUTAGES``."""
    if how not in OUTAGES:
        raise LabError(f"there is no outage {how!r}: choose one of {', '.join(OUTAGES)}")


def own_configuration(run: RunDirectory, process: str, values: Mapping[str, str]) -> Path:
    """The lab's configuration with ``values`` in it, as a file of one process."""
    given = run.config_file.read_text(encoding="utf-8").splitlines(keepends=True)
    others = [line for line in given if line.partition(":")[0] not in values]
    file = run.path / f"config-{process}.yaml"
    write_private(file, "".join(others) + configuration_text(values))
    return file
