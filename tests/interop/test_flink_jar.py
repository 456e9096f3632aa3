"""A job in a jar, on real Flink: submitted by the real client, which has to find the leader."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hawork.core.errors import JobSubmissionError, LabError
from hawork.core.jobs import JobStatus
from hawork.lab import FlinkCluster
from hawork.lab.flink.script import work_of
from hawork.testing import eventually
from tests.interop.flink import FlinkClient
from tests.interop.flink_lab import FOREVER, SECONDS, ready

SOURCE = """
package org.example;

import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;

public class Numbers {
    public static void main(String[] args) throws Exception {
        if (args.length != 2) {
            throw new IllegalArgumentException("give a name and the last number");
        }
        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment();
        env.fromSequence(0, Long.parseLong(args[1])).sinkTo(new DiscardingSink());
        env.execute(args[0]);
    }
}
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def jar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("jar")
    with FlinkClient(directory, {}) as client:
        return client.compile(SOURCE, directory / "numbers.jar")


def test_a_jar_runs_and_survives_its_leader(lab: FlinkCluster, jar: Path) -> None:
    ready(lab)
    job = lab.submit(
        str(jar), entry_class="org.example.Numbers", args=["numbers", 2**62], parallelism=2
    )
    eventually(lambda: job.details.checkpoints > 1, timeout=SECONDS)
    assert (job.details.name, job.details.parallelism) == ("numbers", 2)
    killed = lab.kill("leader")
    lab.wait_for_event("job.restored", after=killed, timeout=SECONDS).wait()
    job.cancel()
    assert job.wait(SECONDS, progress=False).status is JobStatus.CANCELED


@pytest.mark.parametrize(
    ("entry_class", "args", "said"),
    [
        ("org.example.Numbers", ["one"], "give a name and the last number"),
        ("org.example.Letters", [], "org.example.Letters"),
        (None, [], "Main-Class"),
    ],
)
def test_what_flink_says_of_a_jar_is_one_sentence(
    lab: FlinkCluster, jar: Path, entry_class: str | None, args: list[str], said: str
) -> None:
    with pytest.raises(JobSubmissionError, match=said) as refused:
        lab.submit(str(jar), entry_class=entry_class, args=args)
    assert "\n" not in str(refused.value)
    assert "\tat " not in str(refused.value)


@pytest.mark.parametrize("by", ["config.yaml", "address"])
def test_somebody_elses_cluster_takes_jobs_when_told_so(
    lab: FlinkCluster, jar: Path, by: str
) -> None:
    """By its configuration the leader is found; by an address that one JobManager is asked."""
    address = lab.client.leader(SECONDS).address
    where = lab.directory / "config.yaml" if by == "config.yaml" else address
    job = {"entry_class": "org.example.Numbers", "args": ["theirs", 2**62]}
    with FlinkCluster.attach(where) as view:
        with pytest.raises(LabError, match="attach with read_only=False to submit a job"):
            view.submit(str(jar), **job)
        with pytest.raises(LabError, match="attach with read_only=False to cancel a job"):
            view.cancel("ab" * 16)
    with FlinkCluster.attach(where, read_only=False) as view:
        jobs = [view.submit(str(jar), **job)] if by == "config.yaml" else [view.submit(FOREVER)]
        eventually(lambda: view.job(jobs[0]).status is JobStatus.RUNNING, timeout=SECONDS)
        with pytest.raises(LabError, match="has no kill: its processes and its store were"):
            view.kill()
        view.cancel(jobs[0])
        assert view.ended(jobs[0], SECONDS).wait().status is JobStatus.CANCELED
    with pytest.raises(LabError, match="this view is closed: attach again"):
        view.submit(FOREVER)


@pytest.mark.parametrize(
    ("job", "more", "said"),
    [
        ("nothing.jar", {}, "jar nothing.jar is not there"),
        ("INSERT INTO a SELECT 1", {"entry_class": "a.B"}, "entry_class and args are for a jar"),
    ],
)
def test_what_is_no_jar(job: str, more: dict[str, str], said: str) -> None:
    with pytest.raises(JobSubmissionError, match=said):
        work_of(job, {}, more.get("entry_class"), ())


def test_a_second_job_of_a_jar_is_not_silent(lab: FlinkCluster, jar: Path) -> None:
    """Flink refuses it, for it has the id of the first one, which runs."""
    directory = jar.parent
    twice = SOURCE.replace("Numbers", "Twice").replace(
        "env.execute(args[0]);", "env.execute(args[0]); main(args);"
    )
    with FlinkClient(directory / "twice", {}) as client:
        client.compile(twice, directory / "twice.jar")
    said = r"its first job (\w+) runs, but then: .*already been submitted"
    with pytest.raises(JobSubmissionError, match=said) as refused:
        lab.submit(
            str(directory / "twice.jar"), entry_class="org.example.Twice", args=["twice", 2**62]
        )
    found = re.search(said, str(refused.value))
    assert found is not None
    assert lab.client.job(found[1]).status is not JobStatus.FAILED
    lab.client.cancel(found[1])


def test_a_text_file_is_no_jar(tmp_path: Path, jar: Path) -> None:
    text = tmp_path / "text.jar"
    text.write_text("no zip")
    with pytest.raises(JobSubmissionError, match=r"text\.jar is not a jar"):
        work_of(str(text), {}, None, ())
    with pytest.raises(JobSubmissionError, match="args is the text 'a b': give a list"):
        work_of(str(jar), {}, None, "a b")
