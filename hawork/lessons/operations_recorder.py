"""Recordings of what an operator does with a Flink cluster: watch a failover, upgrade a job.

``failover_signals`` asks every JobManager over REST while faults strike; ``upgrade_kubernetes``
and ``upgrade_refused`` do by hand what the Flink Kubernetes Operator does in a last-state upgrade.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hawork.core import options
from hawork.core.errors import JobSubmissionError, LabError
from hawork.core.types import JobID
from hawork.lab import flights
from hawork.lab.flink.cluster import FlinkCluster
from hawork.lab.flink.script import work_of
from hawork.lab.flink.submission import job_settings, submit_work
from hawork.lessons.recorded_clusters import (
    DEFAULTS,
    FLIGHTS,
    LONG,
    cluster_of,
    defaults_on_zookeeper,
    log_of,
    note,
    published,
    rest_answer,
    running_job,
)  # fmt: skip
from hawork.testing import eventually

__all__ = ["failover_signals", "upgrade_kubernetes", "upgrade_refused"]

_EVERY = 2.0
"""Seconds from one look to the next: a scrape interval, and a short one."""
_HEALTHY = 5
_METRICS = "numRestarts,numberOfCompletedCheckpoints,lastCheckpointDuration"
_FRESH = 3.0
"""Seconds of age of a checkpoint in a job that goes forward."""
_LINES, _CHARACTERS = 90, 170
"""How much of a log is kept."""
_LAST_STATE = "KUBERNETES_OPERATOR_LAST_STATE"
"""``LAST_STATE_DUMMY_SP_PATH`` of the Flink Kubernetes Operator: a savepoint that is nowhere."""


_UNCHAINED = {"pipeline.operator-chaining.enabled": "false"}
"""The ids of operators without a uid are hashes of the graph, which chains change."""


# --- what is seen of a failover -------------------------------------------------------------
def failover_signals(place: Path, target: Path) -> None:
    """The leader is killed; a TaskManager hangs; a job is lost while everything is green."""
    with defaults_on_zookeeper(place) as lab:
        job, _ = running_job(lab)
        looks = _Looks(lab, job.job_id)
        looks.some("healthy", _HEALTHY)
        old = lab.leader(LONG)
        (standby,) = {"jm-1", "jm-2"} - {old}
        begun = len(log_of(lab, standby))
        fault = lab.kill("leader")
        looks.until("the leader is killed", _goes_forward)
        for line in _lines(log_of(lab, standby)[begun:]):
            note(lab, "log", process=standby, line=line)
        lab.restart(str(fault.facts["target"]))
        looks.some("healthy again", _HEALTHY)
        lab.pause("tm-1")
        looks.until("a TaskManager hangs", lambda last: last["task_managers"] == 0)
        lab.resume("tm-1")
        looks.until("it goes on", _goes_forward)
        looks.some("healthy again", _HEALTHY)
        _forged_result(lab, job.job_id)
        lab.kill("leader")
        looks.until("a job is lost", lambda last: last["running_jobs"] == 0)
        looks.some("a job is lost", _HEALTHY)
        lab.export_bundle(target)


def _goes_forward(look: Mapping[str, Any]) -> bool:
    """A standby answers from what it kept for some seconds; the overview it does not keep."""
    age = look["checkpoint_age"]
    return look["running_jobs"] == 1 and age is not None and age < _FRESH


class _Looks:
    """One look after the other at everything that REST tells, each a note of the recording."""

    def __init__(self, lab: FlinkCluster, job_id: str) -> None:
        self._lab, self._job_id = lab, job_id
        self._began = time.monotonic()

    def some(self, phase: str, count: int) -> None:
        for _ in range(count):
            self._look(phase)
            time.sleep(_EVERY)  # what is recorded is what a scraper would see

    def until(self, phase: str, enough: Callable[[Mapping[str, Any]], bool]) -> None:
        deadline = time.monotonic() + LONG
        while not enough(self._look(phase)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{phase}: not seen within {LONG:.0f} s")
            time.sleep(_EVERY)

    def _look(self, phase: str) -> Mapping[str, Any]:
        lab, job = self._lab, f"/v1/jobs/{self._job_id}"
        names = sorted(name for name in lab.processes if name.startswith("jm"))
        statuses = {name: rest_answer(lab, name, "/v1/jobs/overview")[0] for name in names}
        overview = self._asked("/v1/overview")
        checkpoints = self._asked(f"{job}/checkpoints")
        latest = (checkpoints.get("latest") or {}).get("completed") or {}
        metrics = self._asked(f"{job}/metrics?get={_METRICS}")
        values = {each["id"]: each.get("value") for each in metrics} if metrics else {}
        acknowledged = latest.get("latest_ack_timestamp")
        look = {
            "seconds": round(time.monotonic() - self._began, 1),
            "rest": statuses,
            "running_jobs": overview.get("jobs-running"),
            "task_managers": overview.get("taskmanagers"),
            "status": self._asked(job).get("state"),
            "completed": (checkpoints.get("counts") or {}).get("completed"),
            "checkpoint": latest.get("id"),
            "checkpoint_age": round(time.time() - acknowledged / 1000, 1) if acknowledged else None,
            "metrics": values,
        }
        note(lab, "look", phase=phase, **look)
        return look

    def _asked(self, path: str) -> Any:
        """What the first JobManager that answers with 200 says; empty when none does."""
        for name in sorted(each for each in self._lab.processes if each.startswith("jm")):
            status, body = rest_answer(self._lab, name, path)
            if status == 200:
                return json.loads(body)
        return {}


def _lines(text: str) -> list[str]:
    """The lines of a log without what is below an exception; a line that comes again, once."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        moment, _, said = line.partition(" ")
        if re.match(r"\d{4}-\d\d-\d\dT", moment):
            found.setdefault(said[:_CHARACTERS], f"{moment} {said[:_CHARACTERS]}")
    return list(found.values())[:_LINES]


def _forged_result(lab: FlinkCluster, job_id: str) -> None:
    folder = lab.directory / "storage" / "job-result-store" / "lab"
    folder.mkdir(parents=True, exist_ok=True)
    result = {"id": job_id, "application-status": "SUCCEEDED", "accumulator-results": {},
              "net-runtime": 42}  # fmt: skip
    text = json.dumps({"result": result, "version": 1}, separators=(",", ":"))
    (folder / f"{job_id}_DIRTY.json").write_text(text)


# --- an upgrade -----------------------------------------------------------------------------
def upgrade_kubernetes(place: Path, target: Path) -> None:
    """One JobManager; each step notes what the job went on from, and what the ConfigMaps hold."""
    with cluster_of(place, "kubernetes", DEFAULTS, job_managers=1) as lab:
        upgrade = _Upgrade(lab)
        first = JobID.random()
        upgrade.submit(first)
        upgrade.goes_on("the job runs", first)

        upgrade.down("the JobManager is deleted")
        upgrade.remove("jobGraph", first)
        upgrade.up("the graph is removed, and a JobManager started")
        upgrade.submit(first, parallelism=2, start_from=_LAST_STATE)
        upgrade.goes_on("last state: the same id, twice the parallelism", first)

        savepoint = upgrade.stop(first)
        upgrade.maps("stopped with a savepoint")
        second = JobID.random()
        upgrade.submit(second, start_from=savepoint)
        upgrade.goes_on("started from the savepoint, with a new id", second)

        upgrade.down("the JobManager is killed, and the job's ConfigMap deleted")
        upgrade.remove("map", second)
        upgrade.up("a JobManager is started", with_jobs=1)
        upgrade.goes_on("the graph was there, the checkpoints were not", second)

        upgrade.is_refused("last state, with nothing left", JobID.random(), start_from=_LAST_STATE)
        lab.export_bundle(target)


def upgrade_refused(place: Path, target: Path) -> None:
    """A last-state upgrade whose new graph does not fit the checkpoint, and what is left then."""
    with cluster_of(place, "kubernetes", DEFAULTS, job_managers=1) as lab:
        upgrade, job = _Upgrade(lab), JobID.random()
        upgrade.submit(job, chained=True)
        upgrade.goes_on("the job runs", job)
        upgrade.down("the JobManager is deleted")
        upgrade.remove("jobGraph", job)
        upgrade.up("the graph is removed, and a JobManager started")
        upgrade.is_refused("last state, twice the parallelism, other chains", job, 2, chained=True)
        lab.export_bundle(target)


class _Upgrade:
    """What an operator does, on a cluster of one JobManager."""

    def __init__(self, lab: FlinkCluster) -> None:
        self._lab = lab
        self._arrivals = flights.Arrivals(lab.directory / "arrivals")
        self._cluster = lab.config.get_option(options.K8S_CLUSTER_ID)
        self._begun = 0
        """Where the part of the log begins that the present step wrote."""

    def submit(
        self, job_id: JobID, parallelism: int = 1, start_from: str | None = None, *,
        chained: bool = False,
    ) -> None:  # fmt: skip
        self._arrivals.bring(FLIGHTS)
        self._begun = len(log_of(self._lab, "jm-1"))
        config = {"flights": self._arrivals.directory, "output": self._lab.directory / "output"}
        settings = job_settings(parallelism, "1 s", None) | ({} if chained else _UNCHAINED)
        if start_from:
            settings["execution.state-recovery.path"] = start_from
        work = work_of(str(flights.FLINK_JOB), config, None, ())
        submit_work(self._lab._sql, work, settings, job_id)

    def goes_on(self, when: str, job_id: JobID) -> None:
        """The job has completed two checkpoints since it began here."""
        eventually(lambda: self._completed(job_id) >= 2, timeout=LONG)
        job, checkpoints = (self._get(f"/v1/jobs/{job_id}{part}") for part in ("", "/checkpoints"))
        note(
            self._lab, "job", when=when, job=job_id, status=job["state"],
            parallelism=max(vertex["parallelism"] for vertex in job["vertices"]),
            said=self._said(job_id), newest=checkpoints["latest"]["completed"]["id"],
        )  # fmt: skip
        self.maps(when)

    def is_refused(
        self, when: str, job_id: JobID, parallelism: int = 1, start_from: str | None = None, *,
        chained: bool = False,
    ) -> None:  # fmt: skip
        """The job does not start; Flink's client says why."""
        try:
            self.submit(job_id, parallelism, start_from, chained=chained)
        except JobSubmissionError as error:
            left = [path.name for path in self._lab.directory.rglob(f"{job_id}/chk-*")]
            note(self._lab, "job", when=when, job=job_id, status="refused", why=str(error),
                 checkpoints_left=sorted(left))  # fmt: skip
        else:
            raise LabError(f"{when}: job {job_id} was accepted")
        self.maps(when)

    def stop(self, job_id: JobID) -> str:
        """Stop it with a savepoint; where that is."""
        body = json.dumps({"targetDirectory": None, "drain": False}).encode()
        told = self._lab.client.request(
            "POST", f"/v1/jobs/{job_id}/stop", body, {"Content-Type": "application/json"}
        )
        path = f"/v1/jobs/{job_id}/savepoints/{told['request-id']}"
        eventually(lambda: self._get(path)["status"]["id"] == "COMPLETED", timeout=LONG)
        eventually(lambda: self._get(f"/v1/jobs/{job_id}")["state"] == "FINISHED", timeout=LONG)
        eventually(lambda: not any(job_id in name for name in self._listed()), timeout=LONG)
        return str(self._get(path)["operation"]["location"])

    def down(self, when: str) -> None:
        self._lab.kill("leader")
        self.maps(when)

    def up(self, when: str, with_jobs: int = 0) -> None:
        began = time.monotonic()
        known = self._lab.leader_information()
        self._begun = len(log_of(self._lab, "jm-1"))
        self._lab.restart("jm-1")
        eventually(lambda: self._lab.leader_information() != known, timeout=LONG)
        published(self._lab)
        eventually(
            lambda: self._get("/v1/overview").get("jobs-running", 0) >= with_jobs, timeout=LONG
        )
        seconds = round(time.monotonic() - began, 1)
        note(self._lab, "started", when=when, seconds=seconds)

    def remove(self, what: str, job_id: JobID) -> None:
        """The job's ConfigMap, or the key of the cluster's that points to its graph."""
        plane = self._lab.control_plane
        place = f"/api/v1/namespaces/{plane.namespace}/configmaps"
        if what == "map":
            plane.admin.must("DELETE", f"{place}/{self._cluster}-{job_id}-config-map")
            return
        name = f"{self._cluster}-cluster-config-map"
        whole = plane.admin.must("GET", f"{place}/{name}")
        del whole["data"][f"jobGraph-{job_id}"]
        plane.admin.must("PUT", f"{place}/{name}", whole)

    def maps(self, when: str) -> None:
        note(self._lab, "maps", when=when, maps=self._listed())

    def _listed(self) -> dict[str, list[str]]:
        """Each ConfigMap of the cluster, with its keys; the counter with its value."""
        plane = self._lab.control_plane
        listed = plane.admin.must("GET", f"/api/v1/namespaces/{plane.namespace}/configmaps")
        ours = [
            each for each in listed["items"] if each["metadata"]["name"].startswith(self._cluster)
        ]
        return {each["metadata"]["name"]: _keys(each.get("data") or {}) for each in ours}

    def _completed(self, job_id: JobID) -> int:
        counts = self._get(f"/v1/jobs/{job_id}/checkpoints").get("counts") or {}
        return int(counts.get("completed", 0))

    def _get(self, path: str) -> dict[str, Any]:
        with contextlib.suppress(ValueError):
            status, body = rest_answer(self._lab, "jm-1", path)
            if status == 200:
                found = json.loads(body)
                return dict(found)
        return {}

    def _said(self, job_id: JobID) -> list[str]:
        """From what the job was started or restored, in the words of the log since then."""
        log = log_of(self._lab, "jm-1")[self._begun :]
        whole = re.findall(
            rf"(?:Starting job {job_id} from savepoint|Restoring job {job_id} from) .*", log
        )
        return [_short(line, job_id) for line in whole]


def _short(line: str, job_id: JobID) -> str:
    """The line without what is the same in all of them, and paths by their last two parts."""
    line = re.sub(r" @ .* located at", " in", line.replace(f"job {job_id} ", ""))
    return re.sub(r"file:\S*?([^/\s]+/[^/\s]+?)(?=\.?$| \()", r"\1", line).rstrip(". ()")


def _keys(data: Mapping[str, str]) -> list[str]:
    """Without the addresses of leaders."""
    keys = (f"{key}={value}" if key == "counter" else key for key, value in data.items())
    return sorted(key for key in keys if not key.startswith("org.apache"))
