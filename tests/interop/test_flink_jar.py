"""A job in a jar, on real Flink: submitted by the real client, which has to find the leader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hawork.core.errors import JobSubmissionError
from hawork.core.jobs import JobStatus
from hawork.lab import FlinkCluster
from hawork.testing import eventually
from tests.interop.flink import FlinkClient

SECONDS = 90
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


@pytest.fixture(scope="module")
def lab() -> Iterator[FlinkCluster]:
    with FlinkCluster(job_managers=2, task_managers=1) as lab:
        yield lab


def test_a_jar_runs_and_survives_its_leader(lab: FlinkCluster, jar: Path) -> None:
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
