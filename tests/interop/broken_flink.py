"""HA data of real Flink, broken on purpose: what hawork predicts, and what Flink then does.

A ``Base`` is made by a run of real Flink with three jobs, killed by SIGKILL. A ``Case`` puts the
base back, breaks one thing, asks ``hawork inspect`` for its prediction, and starts real Flink on
exactly that data. The faults are in ``broken_kinds``.
"""

from __future__ import annotations

import contextlib
import hashlib
import http
import http.client
import io
import json
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hawork.cli.main import main
from hawork.lab.flink.distribution import FlinkDistribution
from hawork.lab.flink.script import SqlScript
from hawork.testing import eventually
from tests.interop.flink import FlinkProcesses
from tests.interop.flink_stores import Entries, FlinkStore

SECONDS = 120  # for anything that a JVM does on a busy machine
SETTLED = 4.0
"""Seconds in which a job has to stay RUNNING to be taken for restored."""
REFRESHED = 0.5
"""Seconds after which REST surely says what a RUNNING job was restored from."""
FATAL = "Fatal error occurred in the cluster entrypoint"
"""What ``ClusterEntrypoint.onFatalError`` logs before it ends the process."""
LOOK = 40.0
"""Seconds from a JobManager's REST endpoint on, after which one without the lock never leads."""
LISTENING = "Rest endpoint listening at"
"""What it logs right before it stands for the election; a busy machine may take a minute."""

JOBS = {
    # All state lies within the checkpoint's own bytes; in a file a subtask; in shared files.
    "inlined": ("hashmap", 1, 20, "1 mb"),
    "exclusive": ("hashmap", 2, 4000, "1 kb"),
    "incremental": ("rocksdb", 1, 4000, "1 kb"),
}
SQL = """
SET 'pipeline.name' = '{name}';
SET 'parallelism.default' = '{parallelism}';
SET 'state.backend.type' = '{backend}';
SET 'state.backend' = '{backend}';
SET 'state.storage.fs.memory-threshold' = '{threshold}';
SET 'execution.checkpointing.interval' = '500 ms';
CREATE TABLE numbers (k INT, v BIGINT) WITH (
  'connector' = 'datagen', 'rows-per-second' = '2000', 'fields.k.min' = '1',
  'fields.k.max' = '{keys}');
CREATE TABLE sums (k INT, s BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO sums SELECT k, SUM(v) FROM numbers GROUP BY k;
"""
COUNTED = """
SET 'pipeline.name' = '{name}';
SET 'parallelism.default' = '{parallelism}';
SET 'state.backend.type' = '{backend}';
SET 'state.backend' = '{backend}';
SET 'state.storage.fs.memory-threshold' = '{threshold}';
SET 'execution.checkpointing.interval' = '500 ms';
CREATE TABLE numbers (v BIGINT, k AS v % {keys}) WITH (
  'connector' = 'datagen', 'rows-per-second' = '400', 'fields.v.kind' = 'sequence',
  'fields.v.start' = '1', 'fields.v.end' = '100000');
CREATE TABLE sums (k BIGINT, n BIGINT, newest BIGINT, s BIGINT) WITH (
  'connector' = 'print', 'print-identifier' = '{name}');
INSERT INTO sums SELECT k, COUNT(*), MAX(v), SUM(v) FROM numbers GROUP BY k;
"""
"""The same with numbers that are counted up: at any moment each key tells whether a number was
lost or came twice. Longer than any of these tests takes."""
_COUNTED_ROW = re.compile(r"(\w+)(?::\d+)?> \+[IU]\[(\d+), (\d+), (\d+), (\d+)\]")


@dataclass(frozen=True)
class Base:
    """What a killed cluster left: HA entries, storage, and its jobs' ids by kind of job."""

    store: FlinkStore
    entries: Entries
    storage: Path  # a copy; what the data name is ``root``
    root: Path
    jobs: Mapping[str, str]
    flink: FlinkDistribution

    def restore(self) -> Case:
        """Everything as it was right after the crash."""
        self.store.write(self.entries)
        shutil.rmtree(self.root)
        shutil.copytree(self.storage, self.root)
        return Case(self, self.root, dict(self.jobs))


@dataclass
class Outcome:
    """What became of a JobManager and its jobs, in the words of ``hawork inspect``."""

    jobmanager: str
    jobs: dict[str, tuple[str, int | None]] = field(default_factory=dict)

    def __str__(self) -> str:
        jobs = ", ".join(f"{job}: {' '.join(map(str, said))}" for job, said in self.jobs.items())
        return f"{self.jobmanager} ({jobs})"


@dataclass
class Case:
    """One copy of a base, to break."""

    base: Base
    root: Path
    jobs: dict[str, str]

    @property
    def store(self) -> FlinkStore:
        return self.base.store

    def predict(self, *more: str) -> tuple[Outcome, dict[str, Any]]:
        """What ``hawork inspect`` says that a JobManager would do, and its whole answer."""
        dump = self.root.parent / "dump"
        option = self.store.dump(dump)
        config = self.root.parent / "flink" / "conf" / "config.yaml"
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            status = main(
                ["inspect", "--config", str(config), option, str(dump), "--storage",
                 str(self.root), "--map", f"file:{self.root}=.", "--json", *more]
            )  # fmt: skip
        answer = json.loads(said.getvalue())
        assert status in (0, 1), answer.get("could_not_look") or answer["not_looked_at"]
        recovery = answer["recovery"]
        jobs = {
            name: (found["outcome"], found.get("checkpoint"))
            for name, job_id in self.jobs.items()
            if (found := recovery["jobs"].get(job_id)) is not None
        }
        return Outcome(recovery["jobmanager"], jobs), answer

    def inspect_command(self, command: str, *arguments: str) -> int:
        """``hawork repair`` or ``hawork restore`` on the store itself."""
        config = self.root.parent / "flink" / "conf" / "config.yaml"
        return main([command, "--config", str(config), *arguments])

    def observe(
        self,
        flink: FlinkDistribution | None = None,
        also: Callable[[FlinkProcesses], None] = lambda _: None,
    ) -> Outcome:
        """What real Flink does when it is started on this data; ``also``: look while it runs."""
        with running(self.base, flink) as processes:
            outcome = watch(processes, self.jobs)
            also(processes)
        for name, (said, _) in outcome.jobs.items():
            kept = {path.name for path in self.root.glob("ha/job-result-store/*/*.json")}
            if outcome.jobmanager != "starts":
                continue
            if said == "not-recovered" and f"{self.jobs[name]}.json" in kept:
                outcome.jobs[name] = ("cleaned-up", None)  # a restarted Flink forgets such a job
            elif said == "cleaned-up" and f"{self.jobs[name]}_DIRTY.json" in kept:
                outcome.jobs[name] = ("fails", None)  # REST tells its end all the same
        return outcome


@contextlib.contextmanager
def running(base: Base, flink: FlinkDistribution | None = None) -> Iterator[FlinkProcesses]:
    """One JobManager and one TaskManager, killed at the end."""
    directory = base.root.parent / "flink"
    shutil.rmtree(directory, ignore_errors=True)
    options = flink_options(base.store, base.root)
    with FlinkProcesses(directory, options, flink or base.flink) as processes:
        processes.start_job_manager("jm")
        processes.start_task_manager("tm", slots=8)
        yield processes


def flink_options(store: FlinkStore, root: Path) -> dict[str, str]:
    return {
        **store.options,
        "high-availability.storageDir": f"file://{root}/ha",
        "execution.checkpointing.dir": f"file://{root}/checkpoints",
        "state.checkpoints.dir": f"file://{root}/checkpoints",
        "execution.checkpointing.num-retained": "2",
        "state.checkpoints.num-retained": "2",
        "execution.checkpointing.incremental": "true",
        "state.backend.incremental": "true",
        "job-result-store.delete-on-commit": "false",
        # What REST says is else up to three seconds old, and a restart is shorter.
        "web.refresh-interval": "100",
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": "1000000",
        "restart-strategy.fixed-delay.delay": "500 ms",
    }


def make_base(
    store: FlinkStore,
    directory: Path,
    flink: FlinkDistribution,
    sql: str = SQL,
    *,
    restored: bool = False,
) -> Base:
    """Run real Flink with the three jobs until each has three checkpoints, then kill it.

    ``restored``: each job is stopped with a savepoint first, and submitted again from there.
    """
    root = directory / "srv"
    for part in ("ha", "checkpoints", "savepoints"):
        (root / part).mkdir(parents=True)
    base = Base(store, [], directory / "kept", root, {}, flink)
    jobs = {}
    with running(base) as processes:
        address = eventually(lambda: leading(processes), timeout=SECONDS)
        for name, (backend, parallelism, keys, threshold) in JOBS.items():
            text = sql.format(
                name=name, backend=backend, parallelism=parallelism, keys=keys,
                threshold=threshold,
            )  # fmt: skip
            jobs[name] = processes.run(SqlScript.of(text, {}))
            if restored:
                eventually(lambda: completed(address, jobs[name]), timeout=SECONDS)  # noqa: B023
                savepoint = stop(address, jobs[name], f"file://{root}/savepoints")
                began = f"SET 'execution.savepoint.path' = '{savepoint}';\n"
                began += f"SET 'execution.state-recovery.path' = '{savepoint}';\n"
                jobs[name] = processes.run(SqlScript.of(began + text, {}))

        def each_has_some() -> bool:
            kept = [completed(address, job) for job in jobs.values()]
            return all(len(ids) >= 2 and ids[-1] >= 4 for ids in kept)

        eventually(each_has_some, timeout=SECONDS)
        for name in ("jm", "tm"):
            processes.kill(name)
    store.wait_until_over()
    shutil.copytree(root, base.storage)
    return Base(store, store.read(), base.storage, root, jobs, flink)


def check_repair(case: Case, directory: Path) -> Outcome:
    """Repair a case, take it back, repair it again; what is predicted of the repaired one."""
    broken, files = values(case.store.read()), listing(case.root)
    for number in ("first", "second"):
        backup = directory / f"{number}.zip"
        assert case.inspect_command("repair", "--apply", "--backup", str(backup)) in (0, 1)
        repaired, answer = case.predict()
        severe = {"fatal", "data-loss", "stuck"}
        assert not severe & {each["severity"] for each in answer["findings"]}, answer["findings"]
        if number == "first":
            with contextlib.chdir(directory):  # where the backup of the repaired one goes
                assert case.inspect_command("restore", str(backup)) == 0
            assert values(case.store.read()) == broken
            assert listing(case.root) == files
    return repaired


def check_exact(processes: FlinkProcesses) -> None:
    """Of jobs ``COUNTED``: each goes on from state, and no number was lost or came twice."""
    going_on: set[str] = set()

    def all_go_on() -> bool:
        for name, *row in _COUNTED_ROW.findall(processes.log("tm")):
            key, count, newest, total = map(int, row)
            step = JOBS[name][2]
            first = key or step
            assert newest == first + step * (count - 1), (name, row)
            assert total == count * first + step * count * (count - 1) // 2, (name, row)
            if count > 1:
                going_on.add(name)
        return going_on == set(JOBS)

    eventually(all_go_on, timeout=SECONDS, interval=1)


def values(entries: Entries) -> dict[str, object]:
    """What the entries say, without versions and times."""
    return {each.get("path") or each["metadata"]["name"]: each.get("data") for each in entries}


def listing(root: Path) -> dict[str, bytes]:
    """The files, each by a hash of its bytes."""
    return {str(path): hashlib.sha256(path.read_bytes()).digest()
            for path in root.rglob("*") if path.is_file()}  # fmt: skip


# --- looking at a running Flink -------------------------------------------------------------


def answer(address: str, path: str) -> Any:
    """An answer of the REST endpoint, ``None`` for what is not there; ``OSError`` for no answer."""
    try:
        with urllib.request.urlopen(f"{address}/{path}", timeout=5) as found:
            return json.load(found)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.NOT_FOUND:
            return None
        raise
    except (http.client.HTTPException, ValueError) as error:
        raise OSError(f"{address} broke off its answer") from error


def get(address: str, path: str) -> Any:
    """The same; ``None`` also while there is no answer."""
    try:
        return answer(address, path)
    except OSError:
        return None


def leading(processes: FlinkProcesses) -> str | None:
    """The REST address of a JobManager whose dispatcher leads."""
    listening = re.search(rf"{LISTENING} (\S+)", processes.log("jm"))
    if listening is None:
        return None
    address = f"http://{listening[1]}"
    return address if get(address, "jobs/overview") is not None else None


def stop(address: str, job: str, target: str) -> str:
    """Stop a job with a savepoint; the savepoint's path."""
    body = json.dumps({"targetDirectory": target, "drain": False}).encode()
    request = urllib.request.Request(
        f"{address}/jobs/{job}/stop", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=5) as found:
        trigger = json.load(found)["request-id"]

    def path() -> str | None:
        said = get(address, f"jobs/{job}/savepoints/{trigger}") or {}
        location = (said.get("operation") or {}).get("location")
        assert "failure-cause" not in (said.get("operation") or {}), said
        return location

    return str(eventually(path, timeout=SECONDS))


def completed(address: str, job: str) -> list[int]:
    """The ids of the completed checkpoints that the leader remembers, oldest first."""
    found = get(address, f"jobs/{job}/checkpoints") or {"history": []}
    return sorted(each["id"] for each in found["history"] if each["status"] == "COMPLETED")


def watch(processes: FlinkProcesses, jobs: Mapping[str, str]) -> Outcome:
    """Look until it is clear what becomes of the JobManager and of every job."""
    watched = {name: _Job(job_id) for name, job_id in jobs.items()}
    stands = None
    address = None

    def look() -> Outcome | None:
        nonlocal address, stands
        if not processes.is_alive("jm"):
            return Outcome("crash-loops", dict.fromkeys(jobs, ("not-recovered", None)))
        if FATAL in processes.log("jm"):
            return None  # it is on its way out, and may answer for a while
        address = address or leading(processes)
        if stands is None and LISTENING in processes.log("jm"):
            stands = time.monotonic()
        if address is None:
            if stands is None:
                return None
            waited = time.monotonic() - stands
            granted = "was granted leadership" in processes.log("jm")
            if waited < (SECONDS if granted else LOOK):
                return None
            assert not granted, processes.log("jm")[-2000:]
            return Outcome("never-leads", dict.fromkeys(jobs, ("not-recovered", None)))
        for job in watched.values():
            job.look(address)
        if not all(job.is_clear for job in watched.values()):
            return None
        return Outcome("starts", {name: job.outcome for name, job in watched.items()})

    return eventually(look, timeout=3 * SECONDS, interval=0.2)


class _Job:
    """What is seen of one job from the moment a JobManager leads."""

    def __init__(self, job_id: str) -> None:
        self._id = job_id
        self._first: float | None = None
        self._state = ""
        self._since = 0.0
        self._restarts = 0
        self._restored: int | None = None
        self._began = False

    def look(self, address: str) -> None:
        now = time.monotonic()
        self._first = self._first or now
        try:
            found = self._details(address)
        except OSError:
            self._state = ""  # a JobManager that ends, or hangs, does not say that a job is absent
            return
        state = found["state"] if found else "ABSENT"
        if state == "RUNNING" and any(v["status"] != "RUNNING" for v in found["vertices"]):
            state = "DEPLOYING"
        if state != self._state:
            self._restarts += state in ("RESTARTING", "FAILING")
            self._state, self._since = state, now
        checkpoints = get(address, f"jobs/{self._id}/checkpoints") or {}
        restored = (checkpoints.get("latest") or {}).get("restored")
        if restored and self._restored is None and not self._began:
            self._restored = restored["id"]
        # What it restores later is its own: it may run from nothing, fail and begin again.
        self._began |= state == "RUNNING" and now - self._since >= REFRESHED

    def _details(self, address: str) -> Any:
        try:
            return answer(address, f"jobs/{self._id}")
        except urllib.error.HTTPError:
            # Of a job of which only a dirty result is left Flink knows the end and no plan: it
            # ends this answer by a NullPointerException (JobDetailsInfo), not the overview.
            jobs = answer(address, "jobs/overview")["jobs"]
            ended = [each for each in jobs if each["jid"] == self._id and each["end-time"] >= 0]
            if not ended:
                raise
            return {"state": ended[0]["state"], "vertices": []}

    @property
    def is_clear(self) -> bool:
        steady = time.monotonic() - self._since >= SETTLED
        if self._state in ("RUNNING", "ABSENT", "FAILED", "CANCELED", "FINISHED", "SUSPENDED"):
            return steady or self._restarts >= 3
        return self._restarts >= 3

    @property
    def outcome(self) -> tuple[str, int | None]:
        if self._restarts >= 3:
            return "restart-loop", self._restored
        if self._state == "RUNNING":
            return ("restored", self._restored) if self._restored else ("from-scratch", None)
        words = {
            "ABSENT": "not-recovered", "SUSPENDED": "not-recovered", "FAILED": "removed-as-done",
        }  # fmt: skip
        return words.get(self._state, "cleaned-up"), None
