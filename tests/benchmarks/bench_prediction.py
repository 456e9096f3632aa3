"""Real Flink on broken HA data against what ``hawork inspect`` predicts: the whole table.

Every kind of damage on both services with the installed Flink; a smaller set on other versions,
and across upgrades. Takes three hours on two cores.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hawork.lab.flink.distribution import FlinkDistribution
from tests.contract.kubernetes_server import shared_control_plane
from tests.contract.zookeeper_harness import shared_servers
from tests.interop import broken_neighbours
from tests.interop.broken_flink import (
    COUNTED,
    SQL,
    Base,
    Case,
    check_exact,
    check_repair,
    make_base,
)
from tests.interop.broken_kinds import BOTH, KINDS
from tests.interop.broken_savepoints import SAVEPOINT_KINDS
from tests.interop.flink_stores import KubernetesStore, ZooKeeperStore

INSTALLED = FlinkDistribution.find().version
VERSIONS = ("1.18.1", "1.19.3", "2.1.1")
OFTEN = (
    "nothing", "newest_ha_file_missing", "older_ha_file_missing", "state_file_missing",
    "checkpoint_pointer_is_not_java", "graph_pointer_cut_off", "graph_file_missing",
    "graph_marked_for_deletion", "checkpoint_pointers_gone", "dirty_result_with_pointers",
    "clean_result_with_graph", "pointer_to_another_job", "graph_pointer_gone", "graphs_gone",
    "job_gone", "lock_record_is_not_json", "lock_record_has_whole_seconds",
    "lock_record_is_of_client_go", "lock_record_has_seconds",
    *(name for name, kind in KINDS.items() if kind.break_.__module__ == broken_neighbours.__name__),
)  # fmt: skip
"""What is tried on versions besides the installed one."""
UPGRADES = (
    ("1.18.1", "1.19.3"), ("1.18.1", INSTALLED), ("1.18.1", "2.1.1"), ("1.19.3", INSTALLED),
    ("1.19.3", "2.1.1"), ("1.19.3", "1.18.1"), (INSTALLED, "2.1.1"), ("2.1.1", INSTALLED),
)  # fmt: skip

pytestmark = [pytest.mark.timeout(900)]


def flink(version: str) -> FlinkDistribution:
    if version == INSTALLED:
        return FlinkDistribution.find()
    script = Path(__file__).parents[2] / "scripts" / "flink-versions"
    done = subprocess.run([script, version], stdout=subprocess.PIPE, text=True, check=True)
    return FlinkDistribution.find(done.stdout.strip())


class Bases:
    """The base that was asked for last; making one takes a minute.

    A parametrized fixture is made again for each set of parameters that it occurs in.
    """

    def __init__(self, directories: pytest.TempPathFactory) -> None:
        self._directories = directories
        self._what: tuple[str, ...] | None = None
        self._base: Base | None = None

    def of(self, *what: str, restored: bool = False) -> Base:
        """Service and version, and the SQL of the jobs when it is another."""
        if self._base is None or what != self._what:
            self.close()
            service, version, *sql = what
            if service == "zookeeper":
                store: ZooKeeperStore | KubernetesStore = ZooKeeperStore(shared_servers())
            else:
                store = KubernetesStore(shared_control_plane())
            directory = self._directories.mktemp("flink")
            self._base = make_base(store, directory, flink(version), *sql, restored=restored)
            self._what = what
        return self._base

    def close(self) -> None:
        if self._base is not None:
            self._base.store.close()
            self._base = None


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bases]:
    with contextlib.closing(Bases(tmp_path_factory)) as made:
        yield made


def cases() -> Iterator[object]:
    for service in BOTH:
        for version in (INSTALLED, *VERSIONS):
            for name, kind in KINDS.items():
                if service in kind.stores and (version == INSTALLED or name in OFTEN):
                    yield pytest.param(
                        (service, version), name, version, id=f"{service}-{version}-{name}"
                    )
            for written, read in UPGRADES:
                if written == version:
                    yield pytest.param(
                        (service, version), "nothing", read, id=f"{service}-{version}-to-{read}"
                    )


@pytest.mark.parametrize(("what", "name", "target"), list(cases()))
def test_real_flink_does_what_was_predicted(
    bases: Bases, what: tuple[str, str], name: str, target: str
) -> None:
    case = bases.of(*what).restore()
    KINDS[name].break_(case)
    compare(case, name, target)


def compare(case: Case, name: str, target: str) -> None:
    """What is predicted, and then what a JobManager of ``target`` does."""
    base = case.base
    upgrade = [] if target == base.flink.version else ["--target-version", target]
    predicted, answer = case.predict(*upgrade)
    observed = case.observe(flink(target))
    codes = " ".join(sorted(each["code"] for each in answer["findings"])) or "-"
    print(f"\n{base.store.kind} {base.flink.version} {target} {name}: {observed}   [{codes}]")
    assert observed == predicted
    fatal = any(each["severity"] == "fatal" for each in answer["findings"])
    assert fatal == (observed.jobmanager != "starts")


@pytest.mark.parametrize(("service", "version"), [
    ("zookeeper", INSTALLED), ("kubernetes", INSTALLED), ("zookeeper", "2.1.1"),
    ("zookeeper", "1.18.1"),
])  # fmt: skip
@pytest.mark.parametrize("name", SAVEPOINT_KINDS)
def test_jobs_that_were_started_from_savepoints(
    bases: Bases, service: str, version: str, name: str
) -> None:
    case = bases.of(service, version, SQL, restored=True).restore()
    SAVEPOINT_KINDS[name](case)
    compare(case, name, version)


REPAIRABLE = (
    "newest_ha_file_missing", "older_ha_file_missing", "newest_ha_file_truncated",
    "newest_ha_file_header_altered", "state_file_missing", "shared_state_file_missing",
    "checkpoint_pointer_is_not_java", "checkpoint_pointer_is_not_base64",
    "graph_pointer_is_not_base64", "graph_pointer_cut_off", "graph_pointer_is_not_java",
    "graph_pointer_gone", "graph_marked_for_deletion", "newest_checkpoint_marked_for_deletion",
    "checkpoint_pointers_gone", "job_gone", "graphs_gone", "dirty_result_truncated",
    "counter_gone", "pointer_to_another_job", "two_jobs_broken", "latch_without_session",
    "lock_without_session", "lease_renewed_in_the_future", "leader_annotation_gone",
    "pointers_of_flink_1_18", "graphs_and_a_job_gone", "graph_pointer_and_job_gone",
    "older_pointer_to_newest_file", "newest_pointer_to_older_file", "lock_record_is_not_json",
    "lock_record_is_of_client_go",
)  # fmt: skip
"""Kinds after whose repair every job is restored. A lost file of a job graph is not among them."""


def repairs() -> Iterator[object]:
    for service in BOTH:
        for name in REPAIRABLE:
            if service in KINDS[name].stores:
                yield pytest.param(service, name, id=f"{service}-{name}")


@pytest.mark.parametrize(("service", "name"), list(repairs()))
def test_a_repaired_cluster_starts_and_goes_on(
    bases: Bases, service: str, name: str, tmp_path: Path
) -> None:
    """From the checkpoints that were named, and with exact results."""
    base = bases.of(service, INSTALLED, COUNTED)
    case = base.restore()
    KINDS[name].break_(case)
    repaired = check_repair(case, tmp_path)
    observed = case.observe(also=check_exact)
    print(f"\n{base.store.kind} {name}, repaired: {observed}")
    assert observed == repaired
    assert {outcome for outcome, _ in observed.jobs.values()} == {"restored"}
