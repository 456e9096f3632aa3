"""How much memory there is to use: the limits of control groups, from trees made up for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from hawork.servers.machine import Memory, available, processors, threads_left

V2, V1 = "sys/fs/cgroup", "sys/fs/cgroup/memory"
UNLIMITED = str(2**63 - 4096)
"""What version 1 says where nobody has set a limit."""


def group(folder: str, limit: str, used: int, stat: str = "") -> dict[str, str]:
    """The files of one control group, of the version that its folder tells."""
    if folder.startswith(V1):
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    else:
        names = ("memory.max", "memory.current")
    values = (f"{limit}\n", f"{used}\n")
    files = {f"{folder}/{name}": value for name, value in zip(names, values, strict=True)}
    return {**files, **({f"{folder}/memory.stat": stat} if stat else {})}


def machine(root: Path, cgroup: str, files: Mapping[str, str]) -> Memory:
    """What there is on a machine with these files in /proc and /sys."""
    write(root, cgroup, files)
    return available(root)


def write(root: Path, cgroup: str, files: Mapping[str, str]) -> None:
    for name, text in {"proc/self/cgroup": cgroup, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


CASES: dict[str, tuple[str, Mapping[str, str], tuple[int, int]]] = {
    "a container's own, with its caches": (
        "0::/\n", group(V2, "1000", 700, "anon 500\ninactive_file 100\n"), (1000, 400),
    ),
    "of a group around ours": (
        "0::/user.slice/session\n",
        {**group(f"{V2}/user.slice", "1000", 950), **group(f"{V2}/user.slice/session", "max", 9)},
        (1000, 50),
    ),
    "the one that leaves least": (
        "0::/pod/us\n", {**group(f"{V2}/pod", "3000", 100), **group(f"{V2}/pod/us", "2000", 100)},
        (2000, 1900),
    ),
    "a path that is the host's": (
        "0::/../../elsewhere\n", group(V2, "1000", 1), (1000, 999),
    ),
    "version 1": (
        "3:cpu,cpuacct:/us\n2:memory:/us\n1:name=systemd:/\n",
        group(f"{V1}/us", "1000", 700, "inactive_file 1\ntotal_inactive_file 100\n"), (1000, 400),
    ),
    "version 1, by a path that is the host's": (
        "2:memory,hugetlb:/docker/a7\n", group(V1, "1000", 700), (1000, 300),
    ),
    "version 1 around ours": (
        "2:memory:/pod/us\n0::/\n",
        {**group(f"{V1}/pod", "1000", 100), **group(f"{V1}/pod/us", UNLIMITED, 100)}, (1000, 900),
    ),
    "more used than allowed": ("0::/\n", group(V2, "1000", 1500), (1000, 0)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_limit_of_a_container_counts(tmp_path: Path, case: str) -> None:
    cgroup, files, (most, free) = CASES[case]
    assert machine(tmp_path, cgroup, files) == Memory(most, free, container=True)


@pytest.mark.parametrize(
    ("cgroup", "files"),
    [
        ("", {}),
        ("0::/us\n", group(f"{V2}/us", "max", 10)),
        ("2:memory:/us\n", group(f"{V1}/us", UNLIMITED, 10)),
        ("1:cpu:/us\n", group(f"{V1}/us", "1000", 10)),
        ("nonsense", group(V2, "much", 10)),
        ("0::/\n", group(V2, str(1 << 60), 10)),
    ],
)
def test_without_a_limit_the_machine_counts(
    tmp_path: Path, cgroup: str, files: Mapping[str, str]
) -> None:
    found = machine(tmp_path, cgroup, files)
    assert not found.container
    assert found.most == psutil.virtual_memory().total
    assert 0 < found.free <= found.most


def test_where_there_are_no_control_groups(tmp_path: Path) -> None:
    assert not available(tmp_path).container
    assert available().free > 0


@pytest.mark.parametrize(
    ("cgroup", "files", "share"),
    [
        ("0::/\n", {f"{V2}/cpu.max": "50000 100000\n"}, 0.5),
        ("0::/pod/us\n", {f"{V2}/pod/cpu.max": "10000 100000", f"{V2}/cpu.max": "max 1"}, 0.1),
        ("0::/\n", {f"{V2}/cpu.max": "max 100000\n"}, None),
        ("0::/\n", {f"{V2}/cpu.max": "\n"}, None),
        ("4:cpu,cpuacct:/docker/a7\n", {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "25000",
         "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 0.25),
        ("4:cpu,cpuacct:/\n", {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
         "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, None),
        ("", {}, None),
    ],
)  # fmt: skip
def test_a_containers_share_of_the_processors(
    tmp_path: Path, cgroup: str, files: Mapping[str, str], share: float | None
) -> None:
    write(tmp_path, cgroup, files)
    assert processors(tmp_path) == (share or processors(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("most", "now", "left"), [("100", "40", 60), ("100", "101", 0), ("max", "40", None)]
)
def test_a_limit_of_processes(tmp_path: Path, most: str, now: str, left: int | None) -> None:
    write(tmp_path, "0::/us\n", {f"{V2}/us/pids.max": most, f"{V2}/us/pids.current": now})
    assert threads_left(tmp_path) == left
    write(tmp_path, "5:pids:/us\n", {})
    assert threads_left(tmp_path) is None
