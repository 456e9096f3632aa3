"""How cost grows with jobs, standbys, retained checkpoints, and events.

Each table has the order of growth from its two largest numbers. With ``HAWORK_BENCH_WRITE=1`` the
tables go into ``docs/benchmarks.md``, from where ``tests.benchmarks.pictures`` draws them.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from hawork.backends.kubernetes.rights import JOB_MANAGER_VERBS
from hawork.core import options
from hawork.core.events import Event
from hawork.core.jobs import CompletedCheckpoint, JobStatus, SubtaskState
from hawork.core.options import checked
from hawork.core.types import JobID
from hawork.ha.leader_stores import LeaderStores
from hawork.lab import LabCluster
from hawork.panels.live_timeline import LiveTimeline
from hawork.servers.kubernetes.control_plane import ControlPlane
from hawork.simulation import Seed, record
from hawork.simulation.schedule import STORES
from hawork.story.picture import as_png
from hawork.story.timeline import Timeline
from hawork.story.verdict import judge
from hawork.testing import eventually
from tests.backends.zookeeper import zookeeper_setup
from tests.benchmarks import bench_kubernetes, bench_zookeeper, taking_over
from tests.benchmarks.leading import leadership
from tests.benchmarks.scale import Growth
from tests.contract.embedded_harness import LONG, EmbeddedHarness
from tests.contract.harness import Contender
from tests.contract.zookeeper_harness import shared_servers

SIZES = tuple(map(int, os.environ.get("HAWORK_BENCH_JOBS", "10,100,1000,10000").split(",")))
MAP_SIZES = tuple(each for each in (10, 100, 1000, 2000) if each <= max(SIZES))
"""Of jobs on Kubernetes, where all job graphs of a cluster share one ConfigMap."""
TAKEOVERS = int(os.environ.get("HAWORK_BENCH_TAKEOVERS", "3"))
WRITERS = 8
STANDBYS = (1, 10, 50, 200)
HANDOVERS = 5
RETAINED = (1, 10, 100)
CHECKPOINTS = 30
HOURS = (1, 3, 10)


Options = Callable[[], Mapping[str, str]]


@pytest.mark.timeout(3000)
def test_jobs(tmp_path: Path) -> None:
    """A takeover without TaskManagers: each job has a graph, an artifact and a checkpoint."""
    growth = Growth("jobs")
    for ha in os.environ.get("HAWORK_BENCH_HA", "embedded,zookeeper,kubernetes").split(","):
        with server(ha, tmp_path) as (given, received):
            for jobs in SIZES if ha != "kubernetes" else MAP_SIZES:
                take_over(growth, ha, jobs, tmp_path / f"{ha}-{jobs}", given(), received)
    growth.finish()


@contextmanager
def server(ha: str, directory: Path) -> Iterator[tuple[Options, Callable[[], int]]]:
    """The options of another cluster upon a server each time, and the requests that it had."""
    if ha == "zookeeper":
        yield lambda: bench_zookeeper.options(30.0), partial(received_packets, ha)
    elif ha == "kubernetes":
        users = {"jm-1": JOB_MANAGER_VERBS}
        with ControlPlane(directory / "kubernetes", users, audit=True) as control_plane:
            yield (
                lambda: {
                    **bench_kubernetes.options(30.0, 5.0),
                    **bench_kubernetes.cluster_of(control_plane),
                },
                lambda: len(control_plane.requests()),
            )
    else:
        yield dict, lambda: 0


def take_over(
    growth: Growth,
    ha: str,
    jobs: int,
    directory: Path,
    given: Mapping[str, str],
    received: Callable[[], int],
) -> None:
    published, restored, processor, memory, packets = [], [], [], [], []
    lab = LabCluster(2, 0, ha=ha, directory=directory, options=given)
    try:
        with leadership(lab.config) as (_, stores):
            store_many(stores, jobs)
        stored = megabytes(Path(urlsplit(str(lab.config.get_option(options.STORAGE_DIR))).path))
        lab.start()
        taking_over.wait_until_restored(lab, jobs, lab.leader())
        for _ in range(TAKEOVERS):
            before = received()
            spent = {name: processor_time(lab, name) for name in lab.processes}
            takeover = taking_over.take_over(lab, jobs)
            packets.append(received() - before)
            published.append(takeover.published)
            restored.append(takeover.restored)
            new = takeover.leader
            processor.append(processor_time(lab, new) - spent[new])
            memory.append(psutil.Process(lab.processes[new].pid).memory_info().rss / 1e6)
            taking_over.start_again(lab, takeover)
    finally:
        lab.close()
    growth.add("until the address is published [s]", ha, jobs, published)
    growth.add("until the last job is restored [s]", ha, jobs, restored)
    growth.add("processor time until then [s]", ha, jobs, processor)
    growth.add("memory of the leader (RSS) [MB]", ha, jobs, memory)
    growth.add("files in storageDir [MB]", ha, jobs, [stored])
    if any(packets):
        growth.add("requests of a takeover", ha, jobs, packets)


def megabytes(folder: Path) -> float:
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file()) / 1e6


def processor_time(lab: LabCluster, name: str) -> float:
    times = psutil.Process(lab.processes[name].pid).cpu_times()
    return times.user + times.system


def store_many(stores: LeaderStores, jobs: int) -> None:
    """Several at once: the disk flushes for all of them together."""
    share, more = divmod(jobs, WRITERS)
    with ThreadPoolExecutor(WRITERS) as pool:
        shares = [share + (number < more) for number in range(WRITERS)]
        for done in [pool.submit(taking_over.store_jobs, stores, each) for each in shares]:
            done.result()


def received_packets(ha: str) -> int:
    """Packets of all sessions, as the ZooKeeper server counts them."""
    if ha != "zookeeper":
        return 0
    servers = shared_servers()
    counted = dict(
        line.split("\t", 1)
        for line in servers.four_letters(servers.names[0], "mntr").splitlines()
        if "\t" in line
    )
    return int(counted["zk_packets_received"])


# --- standbys ------------------------------------------------------------------------------


@pytest.mark.timeout(900)
def test_standbys(tmp_path: Path) -> None:
    """From closing the leader's driver to the next grant. All contenders are in one process.

    A test counts the requests as well: of many standbys one is woken.
    """
    growth = Growth("standbys")
    for standbys in STANDBYS:
        hand_over_on_zookeeper(growth, standbys)
        hand_over_embedded(growth, standbys, tmp_path / f"{standbys}")
    growth.finish()


def hand_over_on_zookeeper(growth: Growth, standbys: int) -> None:
    cluster = zookeeper_setup.ClusterUnderTest(shared_servers())
    try:
        sessions = {"ZK_SESSION_TIMEOUT": "60 s"}
        contenders = [cluster.contend(cluster.open(**sessions), wait=False)]
        contenders += [cluster.contender(**sessions) for _ in range(standbys)]
        milliseconds, packets = [], []
        for _ in range(HANDOVERS):
            before = received_packets("zookeeper")
            milliseconds.append(bench_zookeeper.handover(cluster, contenders))
            packets.append(received_packets("zookeeper") - before)
    finally:
        cluster.close()
    growth.add("from the end of the leader to the grant [ms]", "zookeeper", standbys, milliseconds)
    growth.add("requests of all of them", "zookeeper", standbys, packets)


def hand_over_embedded(growth: Growth, standbys: int, directory: Path) -> None:
    harness = EmbeddedHarness(directory, LONG)
    try:
        contenders = [Contender.of(harness) for _ in range(standbys + 1)]
        milliseconds = []
        for _ in range(HANDOVERS):
            leader = eventually(lambda: next((each for each in contenders if each.leads()), None))
            contenders.remove(leader)
            begin = time.monotonic()
            # It returns when all of the leader's own is closed, long after the next one leads.
            leader.driver.close()
            new = eventually(lambda: next((each for each in contenders if each.leads()), None))
            milliseconds.append((new.listener.granted_at - begin) * 1000)
            contenders.append(Contender.of(harness))
    finally:
        harness.close()
    growth.add("from the end of the leader to the grant [ms]", "embedded", standbys, milliseconds)


# --- checkpoints ---------------------------------------------------------------------------


@pytest.mark.timeout(900)
def test_checkpoints(tmp_path: Path) -> None:
    """A job that retains many checkpoints: what one more costs, and a takeover."""
    growth = Growth("checkpoints retained")
    for ha in ("embedded", "zookeeper"):
        given = {
            "high-availability.type": ha,
            "high-availability.cluster-id": "/bench",
            "high-availability.storageDir": f"file://{tmp_path}/{ha}",
            **(bench_zookeeper.options(30.0) if ha == "zookeeper" else {}),
        }
        with leadership(checked(given)) as (_, stores):
            for retained in RETAINED:
                retain(growth, ha, stores, retained, tmp_path / ha)
    growth.finish()


def retain(growth: Growth, ha: str, stores: LeaderStores, retained: int, storage: Path) -> None:
    job_id = JobID.random()
    store = stores.completed_checkpoints(job_id, retained)
    subtasks = (SubtaskState(0, "a" * 16, 1000, {"record": 1000}, {}),)

    def add(number: int) -> None:
        store.add(CompletedCheckpoint(job_id, number, 0, 0, subtasks))

    for number in range(1, retained + 2):
        add(number)
    before = received_packets(ha)
    added = [timed(partial(add, retained + 2 + number)) for number in range(CHECKPOINTS)]
    asked = (received_packets(ha) - before) / CHECKPOINTS
    growth.add("one more checkpoint [ms]", ha, retained, added)
    if asked:
        growth.add("requests of one more", ha, retained, [asked])
    recovered = [timed(stores.completed_checkpoints(job_id, retained).recover) for _ in range(9)]
    growth.add("recovery of the newest [ms]", ha, retained, recovered)
    size = sum(each.stat().st_size for each in storage.rglob("completedCheckpoint*")) / 1000
    store.shutdown(JobStatus.FINISHED)
    growth.add("files [kB]", ha, retained, [size])


def timed(action: Callable[[], object]) -> float:
    """Milliseconds."""
    begin = time.perf_counter()
    action()
    return (time.perf_counter() - begin) * 1000


# --- events --------------------------------------------------------------------------------


@pytest.mark.timeout(900)
def test_hours_of_events() -> None:
    """A simulated run with a fault or two every minute: the processor time that its faces take."""
    growth = Growth("hours")
    runs = [
        record(Seed(backend, number)).event_list() for backend in STORES for number in range(10)
    ]
    for hours in HOURS:
        events = list(one_after_the_other(runs, hours))
        growth.add("events", "", hours, [len(events)])
        timeline = Timeline.of(events)
        faces: dict[str, Callable[[], object]] = {
            "timeline": partial(Timeline.of, events),
            "verdict": partial(judge, events),
            "picture": partial(as_png, timeline),
        }
        for name, face in faces.items():
            growth.add("processor time [ms]", name, hours, [busy(face) for _ in range(3)])
        panel(growth, events, hours)
    growth.finish()


def one_after_the_other(runs: Sequence[Sequence[Event]], hours: int) -> Iterator[Event]:
    """Runs that begin a minute apart, each with jobs and leaderships of its own."""
    for minute in range(hours * 60):
        events = runs[minute % len(runs)]
        text = json.dumps([event.to_json() for event in events], default=str)
        for own in {each for event in events for each in (event.job_id, event.session_id) if each}:
            text = text.replace(own, f"{minute:04x}{own[4:]}")
        later = minute * 60.0 - events[0].monotonic
        for told in json.loads(text):
            event = Event.from_json(told)
            yield replace(event, monotonic=event.monotonic + later, wall=event.wall + later)


def panel(growth: Growth, events: Sequence[Event], hours: int) -> None:
    """A panel that is opened at the end, and what one event more costs it."""
    shown = len(events) - 100
    timeline = LiveTimeline(lambda known: list(events[known:shown]))
    end = events[-1].monotonic + 1.0
    growth.add(
        "processor time [ms]", "panel, opened", hours, [busy(partial(timeline.advance, end))]
    )
    updates = []
    for shown in range(len(events) - 99, len(events) + 1):  # noqa: B007 - what has arrived
        updates.append(busy(partial(timeline.advance, end)))
    growth.add("processor time [ms]", "panel, an update", hours, updates)
    growth.add("rows of the panel", "", hours, [len(timeline.lists()["segments"])])


def busy(action: Callable[[], object]) -> float:
    """Milliseconds of processor time."""
    begin = time.process_time()
    action()
    return (time.process_time() - begin) * 1000
