"""JobManagers and TaskManagers of real Apache Flink: their configuration, start and end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from hawork.core import options
from hawork.core.events import EventKind
from hawork.core.flink import LOGGING
from hawork.core.private_files import write_private
from hawork.core.units import parse_duration
from hawork.ha.configuration_file import configuration_text
from hawork.lab.flink.distribution import FlinkDistribution
from hawork.lab.flink.events import FlinkEvents
from hawork.lab.flink.log import why_it_ended
from hawork.lab.flink.login import write_login
from hawork.lab.flink.memory import (
    JOB_MANAGER_OPTIONS,
    TASK_MANAGER_OPTIONS,
    jvm_flags,
)
from hawork.lab.processes import JOB_MANAGER, LabProcesses
from hawork.lab.run_directory import RunDirectory

JOB_MANAGER_MAIN = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
TASK_MANAGER_MAIN = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
_LOOPBACK = {
    "jobmanager.rpc.address": "127.0.0.1",
    "jobmanager.bind-host": "127.0.0.1",
    # Under Kubernetes HA, Flink 1.20 does not look at high-availability.jobmanager.port.
    "jobmanager.rpc.port": "0",
    "rest.address": "127.0.0.1",
    "rest.bind-address": "127.0.0.1",
    "rest.bind-port": "0",
    "blob.server.port": "0",
    "taskmanager.host": "127.0.0.1",
    "taskmanager.bind-host": "127.0.0.1",
    "taskmanager.rpc.port": "0",
    # Every user of this machine may ask; none needs a page to upload jars with.
    "web.submit.enable": "false",
    "metrics.fetcher.update-interval": "300",  # ms; how fresh a job's records are
}

# The second name is the one before 1.20.
_CHECKPOINTS = ("execution.checkpointing.dir", "state.checkpoints.dir")
_SAVEPOINTS = ("execution.checkpointing.savepoint-dir", "state.savepoints.dir")
# Before 1.20 these are bare milliseconds, which later versions read, too.
_MILLISECONDS = {
    options.HEARTBEAT_INTERVAL.key, options.HEARTBEAT_TIMEOUT.key,
    options.ZK_SESSION_TIMEOUT.key, options.ZK_CONNECTION_TIMEOUT.key, options.ZK_RETRY_WAIT.key,
}  # fmt: skip


class FlinkProcesses(LabProcesses):
    """``jm-1``, ``jm-2``, ... and ``tm-1``, ...: one JVM each, with a ``conf`` of its own."""

    def __init__(
        self,
        run: RunDirectory,
        config: Mapping[str, str],
        flink: FlinkDistribution,
        events: FlinkEvents,
        config_file: Callable[[str], Path] | None = None,
    ) -> None:
        super().__init__(run, config, release=False, config_file=config_file)
        self._config = config
        self._flink = flink
        self._events = events

    def start(self, name: str) -> None:
        """Start a process of the lab that is not running, under its own name."""
        role = self._roles[name]
        conf = self._run.path / "conf" / name
        own = {"taskmanager.resource-id": name, "jobmanager.resource-id": name}
        write_conf(conf, self._config_file(name), flink_options(self._run, own))
        write_login(conf, self._config)
        manages = role == JOB_MANAGER
        main = JOB_MANAGER_MAIN if manages else TASK_MANAGER_MAIN
        memory = jvm_flags(role, self._config)
        argv = self._flink.command(
            main, "--configDir", str(conf), memory=memory, conf=conf
        )  # fmt: skip
        pid = self.control.start(name, argv, log=self.log(name))
        self._events.write(EventKind.PROCESS_STARTED, name, pid=pid, role=role)

    def last_words(self, name: str) -> str:
        """Why a process ended, from its log, in one sentence."""
        try:
            text = self.log(name).read_text(errors="replace")
        except FileNotFoundError:
            text = ""
        return why_it_ended(text)


def flink_options(run: RunDirectory, own: Mapping[str, str]) -> dict[str, str]:
    """What Flink must be told besides the options that it shares with hawork."""
    temporary = run.path / "tmp"
    temporary.mkdir(exist_ok=True)
    return {
        **_LOOPBACK,
        **JOB_MANAGER_OPTIONS,
        **TASK_MANAGER_OPTIONS,
        "io.tmp.dirs": str(temporary),
        **dict.fromkeys(_CHECKPOINTS, f"file://{run.storage}/checkpoints"),
        **dict.fromkeys(_SAVEPOINTS, f"file://{run.storage}/savepoints"),
        **own,
    }


def write_conf(conf: Path, shared: Path, more: Mapping[str, str]) -> None:
    """A folder for ``--configDir``: the lines of ``shared``, and those of ``more`` it lacks."""
    conf.mkdir(parents=True, exist_ok=True)
    lines = [_understood(line) for line in shared.read_text(encoding="utf-8").splitlines()]
    given = {line.partition(":")[0] for line in lines}
    text = "".join(f"{line}\n" for line in lines)
    text += configuration_text({key: more[key] for key in more if key not in given})
    write_private(conf / "config.yaml", text)
    (conf / "log4j2.properties").write_text(LOGGING)


def _understood(line: str) -> str:
    """A line of ``config.yaml`` as every Flink reads it: see ``_MILLISECONDS``."""
    key, _, value = line.partition(": ")
    if key not in _MILLISECONDS:
        return line
    return f"{key}: {parse_duration(str(json.loads(value))) * 1000:.0f}"
