"""Real Flink in application mode on broken HA data against what ``hawork inspect`` predicts.

A cluster of one job, which ``main()`` submits again whenever a JobManager leads.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hawork.lab.flink.distribution import FlinkDistribution
from hawork.lab.flink.memory import jvm_flags
from hawork.lab.processes import JOB_MANAGER
from hawork.testing import eventually
from tests.contract.kubernetes_server import shared_control_plane
from tests.contract.zookeeper_harness import shared_servers
from tests.interop.broken_flink import (
    SECONDS,
    Base,
    Case,
    completed,
    flink_options,
    get,
    leading,
    watch,
)
from tests.interop.broken_kinds import (
    clean_result_with_graph,
    graph_pointer_gone,
    ha_file,
    nothing,
    result,
)
from tests.interop.flink import FlinkClient, FlinkProcesses
from tests.interop.flink_stores import FlinkStore, KubernetesStore, ZooKeeperStore

JOB = "exclusive"  # as the kinds of damage call it
MAIN = "org.apache.flink.container.entrypoint.StandaloneApplicationClusterEntryPoint"
SOURCE = """
package org.example;

import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;

public class Numbers {
    public static void main(String[] args) throws Exception {
        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment();
        env.setParallelism(1);
        env.enableCheckpointing(500);
        env.fromSequence(0, 4611686018427387904L).sinkTo(new DiscardingSink());
        env.execute("numbers");
    }
}
"""

pytestmark = [pytest.mark.timeout(900)]


class Application(FlinkProcesses):
    """JobManagers that run the program in a jar."""

    jar: Path

    def start_job_manager(self, name: str) -> None:
        conf = self.config_file.parent
        argv = self.flink.command(
            MAIN, "--configDir", str(conf), "--job-classname", "org.example.Numbers",
            memory=jvm_flags(JOB_MANAGER, {}), conf=conf,
        )  # fmt: skip
        argv[argv.index("-cp") + 1] += f"{os.pathsep}{self.jar}"
        # An archive of classes is made for one class path.
        argv = [each for each in argv if "SharedArchive" not in each]
        self._control.start(name, argv, log=self.directory / "logs" / f"{name}.log")


@contextlib.contextmanager
def running(store: FlinkStore, root: Path, jar: Path) -> Iterator[Application]:
    directory = root.parent / "flink"
    shutil.rmtree(directory, ignore_errors=True)
    options = {**flink_options(store, root), "execution.shutdown-on-application-finish": "false"}
    with Application(directory, options) as processes:
        processes.jar = jar
        processes.start_job_manager("jm")
        processes.start_task_manager("tm", slots=2)
        yield processes


@pytest.fixture(scope="module")
def jar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("jar")
    with FlinkClient(directory, {}) as client:
        return client.compile(SOURCE, directory / "numbers.jar")


@pytest.fixture(scope="module", params=["zookeeper", "kubernetes"])
def base(
    request: pytest.FixtureRequest, jar: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Base]:
    store: ZooKeeperStore | KubernetesStore
    if request.param == "zookeeper":
        store = ZooKeeperStore(shared_servers())
    else:
        store = KubernetesStore(shared_control_plane())
    directory = tmp_path_factory.mktemp("flink")
    root = directory / "srv"
    for part in ("ha", "checkpoints", "savepoints"):
        (root / part).mkdir(parents=True)

    def only_job(address: str) -> str | None:
        jobs = (get(address, "jobs/overview") or {"jobs": []})["jobs"]
        return str(jobs[0]["jid"]) if jobs else None

    with running(store, root, jar) as processes:
        address = eventually(lambda: leading(processes), timeout=SECONDS)
        job = eventually(lambda: only_job(address), timeout=SECONDS)
        eventually(lambda: len(completed(address, job)) >= 2, timeout=SECONDS)
        for name in ("jm", "tm"):
            processes.kill(name)
    store.wait_until_over()
    shutil.copytree(root, directory / "kept")
    flink = FlinkDistribution.find()
    yield Base(store, store.read(), directory / "kept", root, {JOB: job}, flink)
    store.close()


def graphs_gone(case: Case) -> None:
    case.store.remove_graphs()


def graph_and_checkpoint_pointers_gone(case: Case) -> None:
    graph_pointer_gone(case)
    for entry in case.store.checkpoints(case.jobs[JOB]):
        case.store.remove(entry)


def graph_pointer_gone_and_newest_file_missing(case: Case) -> None:
    graph_pointer_gone(case)
    ha_file(case, JOB).unlink()


def marked_for_deletion(case: Case) -> None:
    case.store.mark(case.store.graph(case.jobs[JOB]))


def dirty_result(case: Case) -> None:
    result(case, case.jobs[JOB], "_DIRTY.json", "CANCELED")


def dirty_result_and_graph_pointer_gone(case: Case) -> None:
    dirty_result(case)
    graph_pointer_gone(case)


@pytest.mark.parametrize(
    ("break_", "outcome"),
    [
        (nothing, "restored"),
        (graph_pointer_gone, "restored"),
        (graphs_gone, "restored"),
        (graph_and_checkpoint_pointers_gone, "from-scratch"),
        (graph_pointer_gone_and_newest_file_missing, "not-recovered"),
        (marked_for_deletion, {"zookeeper": "not-recovered", "kubernetes": "restored"}),
        (dirty_result, "cleaned-up"),
        (dirty_result_and_graph_pointer_gone, "cleaned-up"),
        (clean_result_with_graph, "removed-as-done"),
    ],
)
def test_real_flink_does_what_was_predicted(
    base: Base, jar: Path, break_: Callable[[Case], None], outcome: str | dict[str, str]
) -> None:
    case = base.restore()
    break_(case)
    predicted, answer = case.predict()
    with running(base.store, base.root, jar) as processes:
        observed = watch(processes, case.jobs)
    codes = " ".join(sorted(each["code"] for each in answer["findings"])) or "-"
    print(f"\n{base.store.kind} {break_.__name__}: {observed}   [{codes}]")
    assert observed == predicted
    right = outcome if isinstance(outcome, str) else outcome[base.store.kind]
    assert observed.jobs[JOB][0] == right
