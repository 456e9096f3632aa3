"""What a lab of real Flink is made of, without Flink: scripts, logs, jars, memory, answers."""

from __future__ import annotations

import contextlib
import re
import stat
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from hawork.client.flink_rest import ask, with_checkpoints, with_records
from hawork.client.job_details import JobDetails
from hawork.core.addresses import host_and_port
from hawork.core.errors import (
    ConfigurationError,
    JobSubmissionError,
    LabError,
    RestError,
    UnknownVerbError,
)
from hawork.core.events import EventKind
from hawork.core.jobs import JobStatus
from hawork.core.types import JobID
from hawork.inspect.files import kind_of_file
from hawork.lab import FlinkCluster
from hawork.lab.flights import DEPARTED, FLINK_JOB, RECORDS, Arrivals
from hawork.lab.flink import memory as flink_memory
from hawork.lab.flink.client import check_one_job
from hawork.lab.flink.distribution import FlinkDistribution, check_java
from hawork.lab.flink.events import FlinkEvents
from hawork.lab.flink.log import LogReader, why_it_ended
from hawork.lab.flink.processes import write_conf
from hawork.lab.flink.script import SqlScript, split
from hawork.lab.magic import write_artifact
from hawork.servers.machine import Memory
from hawork.story.event_reader import EventReader

# --- scripts ---------------------------------------------------------------------------


def test_statements_end_where_no_quote_is_open() -> None:
    text = """
    -- a comment; with a semicolon, and 'a quote
    SET 'a.b' = 'it''s; fine'; /* another; one */
    CREATE TABLE `semi;colon` (x INT);
    INSERT INTO t SELECT 'a--b' FROM `semi;colon`
    """
    assert split(text) == [
        "SET 'a.b' = 'it''s; fine'",
        "CREATE TABLE `semi;colon` (x INT)",
        "INSERT INTO t SELECT 'a--b' FROM `semi;colon`",
    ]
    assert SqlScript.of(text, {}).settings == {"a.b": "it's; fine"}


def test_a_statement_set_is_one_statement() -> None:
    text = "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1; INSERT INTO b SELECT 2; END; SELECT"
    assert len(split(text)) == 2
    check_one_job(SqlScript({}, (split(text)[0],)))


def test_the_end_of_a_case_is_not_that_of_a_statement_set() -> None:
    first = "INSERT INTO a SELECT CASE WHEN x = 1 THEN 2 END"
    text = f"EXECUTE STATEMENT SET BEGIN {first}; INSERT INTO b SELECT 2;\nEND;\nSELECT 1"
    block, after = split(text)
    assert (block.count("INSERT"), after) == (2, "SELECT 1")


def test_a_hint_stays() -> None:
    """It looks like a comment, and what it says changes the job."""
    hint = "/*+ OPTIONS('rows-per-second'='5;6') */"
    assert split(f"SELECT /* no hint */ * FROM s {hint}; SELECT 1") == [
        f"SELECT   * FROM s {hint}",
        "SELECT 1",
    ]


def test_values_are_filled_in_and_quoted() -> None:
    script = SqlScript.of("SET 'path' = '${where}'; SELECT 1", {"where": Path("/it's")})
    assert script.settings == {"path": "/it's"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SELECT '${nothing}'", "has no 'nothing'"),
        ("SELECT 'open\n", "SQL line 1: ' is never closed"),
        ("-- only this", "is empty"),
        ("missing.sql", "SQL file missing.sql cannot be read"),
    ],
)
def test_bad_scripts_are_explained(text: str, said: str) -> None:
    with pytest.raises(JobSubmissionError, match=said.replace("$", r"\$")):
        SqlScript.of(text, {})


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (("SELECT 1",), "starts no job"),
        (("INSERT INTO a SELECT 1", "INSERT INTO b SELECT 1"), "EXECUTE STATEMENT SET"),
    ],
)
def test_a_script_is_one_job(statements: tuple[str, ...], said: str) -> None:
    with pytest.raises(JobSubmissionError, match=said):
        check_one_job(SqlScript({}, statements))


def test_a_cell_may_be_a_script() -> None:
    assert "not executed" in write_artifact("cell.sql", "SELECT 1;")
    assert SqlScript.of("cell.sql", {}).statements == ("SELECT 1",)
    with pytest.raises(ValueError, match="is never closed"):
        write_artifact("cell.sql", "SELECT 'x")


def test_a_path_is_not_the_cell_of_that_name(tmp_path: Path) -> None:
    write_artifact("same.sql", "SELECT 'cell';")
    (tmp_path / "same.sql").write_text("SELECT 'file';")
    assert SqlScript.of(str(tmp_path / "same.sql"), {}).statements == ("SELECT 'file'",)
    assert SqlScript.of("same.sql", {}).statements == ("SELECT 'cell'",)


def test_the_demo_script_is_one_job(tmp_path: Path) -> None:
    script = SqlScript.of(str(FLINK_JOB), {"flights": tmp_path, "output": tmp_path})
    check_one_job(script)
    assert script.settings == {"pipeline.name": "departure-delays"}


# --- logs ------------------------------------------------------------------------------

SESSION = "2dee7d4b-f863-4d84-acdc-ea6e96f44aae"
JOB = "0123456789abcdef0123456789abcdef"
LOG = f"""\
2026-11-24T07:17:10.595Z INFO  ClientCnxn Session establishment complete on server \
localhost/127.0.0.1:1, session id = 0x01000015e5e50001, negotiated timeout = 4000
2026-11-24T07:17:11.305+01:00 INFO  DefaultDispatcherRunner DefaultDispatcherRunner was granted \
leadership with leader id {SESSION}. Creating new DispatcherLeaderProcess.
a line of somebody else
2026-11-24T07:17:11.387Z INFO  SessionDispatcherLeaderProcess Successfully recovered 2 persisted \
job graphs.
2026-11-24T07:17:21.192Z INFO  ConnectionStateManager State change: SUSPENDED
2026-11-24T07:17:21.195Z INFO  DefaultDispatcherRunner DefaultDispatcherRunner was revoked the \
leadership with leader id {SESSION}. Stopping the DispatcherLeaderProcess.
2026-11-24T07:17:21.199Z INFO  ExecutionGraph Job flights ({JOB}) switched from state RUNNING to \
SUSPENDED.
2026-11-24T07:17:21.200Z INFO  Defau"""


def test_a_log_is_read_as_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "jm-1.log"
    reader = LogReader(path)
    assert list(reader.read_on()) == []
    path.write_text(LOG[:300])
    entries = list(reader.read_on())
    path.write_text(LOG)
    entries += reader.read_on()
    assert [entry.kind for entry in entries] == [
        EventKind.STORE_CONNECTION, EventKind.LEADERSHIP_GRANTED, EventKind.STEP_REACHED,
        EventKind.STORE_CONNECTION, EventKind.LEADERSHIP_REVOKED, EventKind.JOB_STATUS,
    ]  # fmt: skip
    connected, granted, recovered, suspended, revoked, status = entries
    assert connected.facts == {"state": "connected", "session": "0x1000015e5e50001"}
    assert granted.session_id == revoked.session_id == SESSION
    assert granted.wall - connected.wall == pytest.approx(-3599.29)  # by its time zone
    assert (recovered.step, recovered.session_id) == ("takeover.graphs_recovered", SESSION)
    assert suspended.facts == {"state": "suspended"}
    assert (status.job_id, status.session_id) == (JOB, SESSION)
    assert status.facts == {"status": "SUSPENDED"}


def test_the_log_of_a_task_manager_says_of_which_leader_it_has_heard(tmp_path: Path) -> None:
    """A ``ResourceManagerId`` writes the lower half of the leader session id first."""
    path = tmp_path / "tm-1.log"
    line = (
        "2026-11-24T07:17:12.100Z INFO  TaskExecutor Connecting to ResourceManager "
        "pekko.tcp://flink@127.0.0.1:40123/user/rpc/resourcemanager_*"
        "(acdcea6e96f44aae2dee7d4bf8634d84).\n"
    )
    path.write_text(line * 2)  # it tries twice
    (heard,) = LogReader(path).read_on()
    assert (heard.kind, heard.session_id) == (EventKind.LEADER_RETRIEVED, SESSION)
    assert heard.facts == {
        "component": "resource_manager",
        "address": "pekko.tcp://flink@127.0.0.1:40123/user/rpc/resourcemanager_*",
    }


def test_flink_reads_bare_milliseconds_in_every_version(tmp_path: Path) -> None:
    shared = tmp_path / "config.yaml"
    shared.write_text('heartbeat.timeout: "3 s"\nother: "3 s"\n')
    write_conf(tmp_path / "conf", shared, {"other": "no", "more": "yes"})
    lines = (tmp_path / "conf" / "config.yaml").read_text().splitlines()
    assert lines == ["heartbeat.timeout: 3000", 'other: "3 s"', 'more: "yes"']


def test_the_reason_is_the_innermost_cause() -> None:
    text = """2026-11-24T07:17:10.595Z ERROR ClusterEntrypoint Could not start cluster entrypoint.
org.apache.flink.runtime.entrypoint.ClusterEntrypointException: Failed to initialize the cluster.
\tat org.apache.flink.runtime.entrypoint.ClusterEntrypoint.startCluster(ClusterEntrypoint.java:1)
Caused by: java.net.BindException: Could not start rest endpoint on any port in 8081
\tat org.apache.flink.runtime.rest.RestServerEndpoint.start(RestServerEndpoint.java:1)
"""
    reason = "BindException: Could not start rest endpoint on any port in 8081"
    assert why_it_ended(text) == reason
    assert why_it_ended("Error: Could not create the Java Virtual Machine.\n").startswith("Error:")
    assert why_it_ended("") == "it printed nothing"


BEGIN = "2026-11-30T17:50:07.497Z INFO  ClusterEntrypoint  Starting Standalone (Version: 1.20)\n"
EARLIER = """2026-11-30T17:50:08.000Z WARN  KubernetesUtils Could not create the ConfigMap.
org.example.KubernetesClientException: configmaps "lab-cluster-config-map" already exists
\tat org.example.Client.post(Client.java:1)
"""
FATAL = """\
2026-11-30T17:50:22.000Z ERROR ClusterEntrypoint Fatal error occurred in the cluster entrypoint.
org.apache.flink.util.FlinkException: Could not retrieve JobResults
\tat org.apache.flink.runtime.dispatcher.Process.start(Process.java:1)
Caused by: java.io.EOFException: No content to map due to end-of-input
\t... 4 more
"""
STRAY = """\
2026-11-30T17:50:22.514Z INFO  ClusterEntrypoint Shutting Standalone down with status UNKNOWN.
2026-11-30T17:50:23.000Z ERROR RobustActorSystem Uncaught error from thread [flink-pekko.remote]
java.lang.NoClassDefFoundError: scala/collection/mutable/Set
\tat org.apache.pekko.remote.RemoteWatcher.receive(RemoteWatcher.scala:1)
Caused by: java.lang.ClassNotFoundException: scala.collection.mutable.Set
\tat java.base/java.net.URLClassLoader.findClass(URLClassLoader.java:445)
"""
ASKED = "2026-11-30T17:51:53.845Z INFO  ClusterEntrypoint RECEIVED SIGNAL 15: SIGTERM. Ending.\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BEGIN + EARLIER + FATAL + STRAY, "EOFException: No content to map due to end-of-input"),
        (BEGIN + FATAL + STRAY + BEGIN + EARLIER + ASKED + STRAY, "it was asked to end (SIGTERM)"),
        (BEGIN + ASKED + BEGIN + FATAL, "EOFException: No content to map due to end-of-input"),
        (BEGIN + STRAY, "ClassNotFoundException: scala.collection.mutable.Set"),
    ],
    ids=["errors before and after", "an earlier run", "asked once", "no other reason is told"],
)
def test_what_the_end_itself_brings_about_is_not_the_reason(text: str, reason: str) -> None:
    """On closing, Flink takes away the classes that its threads still load (FLINK-32314)."""
    assert why_it_ended(text) == reason


def test_events_of_several_processes_are_in_one_order(tmp_path: Path) -> None:
    events = FlinkEvents(tmp_path)
    events.write(EventKind.JOB_STATUS, "jm-1", job_id=JOB, status="RUNNING")
    events.write(EventKind.LEADERSHIP_GRANTED, "jm-2", wall=1.0, session_id=SESSION)
    events.close()
    events.write(EventKind.ERROR, "jm-2")  # somebody who is late
    found = EventReader(tmp_path).events()
    assert [event.process for event in found] == ["jm-2", "jm-1"]
    assert found[1].monotonic - found[0].monotonic == pytest.approx(found[1].wall - 1.0, abs=0.01)


# --- what must be there ------------------------------------------------------------------


def jars(folder: Path, *names: str) -> Path:
    (folder / "lib").mkdir(parents=True)
    for name in names:
        (folder / "lib" / name).touch()
    return folder


def test_a_folder_is_a_distribution(tmp_path: Path) -> None:
    home = jars(tmp_path / "f", "flink-dist-2.1.0.jar", "flink-csv-2.1.0.jar", "log4j-api-2.24.jar")
    flink = FlinkDistribution.find(home)
    assert (flink.version, flink.home) == ("2.1.0", home)


def test_a_jvm_takes_its_options_and_says_nothing(tmp_path: Path) -> None:
    flink = FlinkDistribution.find(jars(tmp_path / "f", "flink-dist-1.20.5.jar"))
    command = flink.command("org.example.Main", memory=(), conf=tmp_path)
    options = [each for each in command if each.startswith("-XX:")]
    done = subprocess.run(
        [flink.java, *options, "-XX:+PrintFlagsFinal", "-version"],
        capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    assert re.search(r"bool BytecodeVerificationRemote += false", done.stdout)
    assert "VM warning" not in done.stdout + done.stderr


def test_mixed_and_missing_jars_are_noticed(tmp_path: Path) -> None:
    mixed = jars(tmp_path / "m", "flink-dist-1.20.5.jar", "flink-csv-1.19.0.jar")
    with pytest.raises(LabError, match=r"several Flink versions \(1\.19\.0, 1\.20\.5\)"):
        FlinkDistribution.find(mixed)
    with pytest.raises(LabError, match="there is no lib/flink-dist"):
        FlinkDistribution.find(tmp_path)


def java(path: Path, said: str) -> str:
    path.write_text(f"#!/bin/sh\necho '{said}' >&2\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_java_must_be_there_and_new_enough(
    tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LabError, match=r"1\.8\.0_402.*needs 11 or later"):
        check_java(java(programs / "java8", 'openjdk version "1.8.0_402"'))
    with pytest.raises(LabError, match=r"Java \(.*/no-java\) does not run: .*No such file"):
        check_java(str(tmp_path / "no-java"))
    check_java(java(programs / "java11", 'openjdk version "11.0.1"'))
    check_java(java(programs / "java21", 'openjdk version "21" 2023-09-19'))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(LabError, match="Java is not installed, and Apache Flink needs it"):
        FlinkDistribution.find(jars(tmp_path / "f", "flink-dist-1.20.5.jar"))


def test_too_little_memory_is_said_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flink_memory, "available", lambda: Memory(1 << 30, 500 << 20))
    lab = FlinkCluster(3, 1, directory=tmp_path)
    with pytest.raises(LabError, match="need 1,480 MB of memory and 500 MB are free"):
        lab.start()
    assert not (tmp_path / "logs" / "supervisor.log").exists()


def test_larger_processes_get_the_memory_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {
        "jobmanager.memory.heap.size": "1 gb",
        "taskmanager.memory.task.heap.size": "448m",
        "taskmanager.memory.task.off-heap.size": "64 mb",
    }
    assert flink_memory.jvm_flags("jobmanager", config) == (
        "-Xmx1024m",
        "-XX:MaxMetaspaceSize=192m",
    )
    assert flink_memory.jvm_flags("taskmanager", config) == (
        "-Xms64m", "-Xmx512m", "-XX:MaxDirectMemorySize=160m", "-XX:MaxMetaspaceSize=160m",
    )  # fmt: skip
    monkeypatch.setattr(flink_memory, "available", lambda: Memory(1 << 30, 500 << 20))
    # 1,480 MB as of old; 896 more for each JobManager, 320 + 64 for the TaskManager.
    with pytest.raises(LabError, match="need 4,552 MB of memory"):
        FlinkCluster(3, 1, directory=tmp_path / "large", options=config).start()
    for key, value, said in (
        ("jobmanager.memory.heap.size", "a lot", "it is not a size"),
        ("jobmanager.memory.process.size", "2g", "set jobmanager.memory.heap.size instead"),
        ("taskmanager.memory.flink.size", "2g", "set taskmanager.memory.task.heap.size instead"),
    ):
        with pytest.raises(ConfigurationError, match=f"option {key} is '{value}'.*{said}"):
            FlinkCluster(directory=tmp_path / said, options={key: value}).start()


def test_what_flink_cannot_do_is_said(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="use 'zookeeper'"):
        FlinkCluster(ha="embedded", directory=tmp_path)
    lab = FlinkCluster(1, 0, directory=tmp_path)
    with pytest.raises(LabError, match=r"FlinkCluster has no arm: .*cannot be armed in real Flink"):
        lab.arm("result.dirty")  # type: ignore[attr-defined]
    with pytest.raises(LabError, match=r"FlinkCluster has no kil: did you mean kill\?"):
        lab.kil()  # type: ignore[attr-defined]
    assert not hasattr(lab, "held")
    with pytest.raises(LabError, match="not started"):
        lab.submit("INSERT INTO a SELECT 1")
    lab.close()


def test_flinks_client_knows_where_the_cluster_is(tmp_path: Path) -> None:
    """All of it: under the default root it would wait for a leader of nobody's."""
    root = "high-availability.zookeeper.path.root"
    with contextlib.closing(FlinkCluster(1, 0, directory=tmp_path, options={root: "/r"})) as lab:
        assert f'{root}: "/r"' in lab._sql.config_file.read_text().splitlines()


def test_files_of_flink_have_names() -> None:
    for name, what in (
        ("submittedJobGraphdbd3aa1236e1", "job graph"),
        ("submittedExecutionPlanff401cd09699", "execution plan"),
        ("completedCheckpointee5c71f37703", "completed checkpoint"),
    ):
        assert kind_of_file(Path("lab") / name) == what


# --- answers -----------------------------------------------------------------------------


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        text = {
            "/v1/fine": (200, '{"a": 1}'),
            "/v1/trace": (
                500,
                '{"errors": ["Internal server error.", "<Exception on server side:\\n'
                'java.util.SomeException: the reason\\n\\tat a.b.C(D.java:1)\\n"]}',
            ),
        }.get(self.path, (200, "<html>"))
        self.send_response(text[0])
        self.end_headers()
        self.wfile.write(text[1].encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test's output is for failures."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_answers_are_json_or_one_sentence(endpoint: str) -> None:
    assert ask(endpoint, "/fine") == {"a": 1}
    with pytest.raises(RestError) as failed:
        ask(endpoint, "/trace")
    assert str(failed.value) == "Internal server error.; java.util.SomeException: the reason"
    assert failed.value.status == 500
    with pytest.raises(RestError, match="with no JSON: is it a JobManager"):
        ask(endpoint, "/page")
    with pytest.raises(RestError, match="gave no answer"):
        ask("http://127.0.0.1:9", "/fine", timeout=1.0)
    for address in ("somewhere", "http://localhost:80a81", "http://x:99999", "http://[::1"):
        with pytest.raises(RestError, match="write http://host:port"):
            ask(address, "/fine")
        assert host_and_port(address)


def test_a_job_has_the_records_of_its_sources() -> None:
    details = JobDetails(JobID(JOB), "job", JobStatus.RUNNING)
    job = {
        "plan": {"nodes": [{"id": "s"}, {"id": "t", "inputs": [{"id": "s"}]}]},
        "vertices": [
            {"id": "s", "metrics": {"write-records": 7}},
            {"id": "t", "metrics": {"write-records": 5}},
        ],
    }
    assert with_records(details, job).records == 7
    latest = {"completed": {"id": 4}, "restored": None}
    seen = with_checkpoints(details, {"counts": {"completed": 3}, "latest": latest})
    assert (seen.checkpoints, seen.latest_checkpoint_id) == (3, 4)
    assert seen.restored_checkpoint_id is None


# --- arrivals ----------------------------------------------------------------------------


def test_flights_arrive_in_their_order_and_complete(tmp_path: Path) -> None:
    arrivals = Arrivals(tmp_path)
    assert arrivals.bring(15_000) == 15_000
    assert len(list(tmp_path.iterdir())) == 2
    assert arrivals.bring_all() == arrivals.bring(5) == RECORDS
    lines = [
        line
        for file in sorted(tmp_path.glob("flights-*.csv"))
        for line in file.read_text().splitlines()
    ]
    assert len(lines) == RECORDS
    assert lines[0].startswith("2013,1,1,517,")
    assert sum(line.split(",")[5] != "NA" for line in lines) == DEPARTED


@pytest.mark.parametrize("verb", ["arm", "held", "proceed", "disarm", "block"])
def test_what_cannot_be_done_to_the_code_of_flink_says_so(verb: str) -> None:
    cluster = object.__new__(FlinkCluster)
    with pytest.raises(UnknownVerbError, match=r"real Flink|a JVM's"):
        getattr(cluster, verb)
