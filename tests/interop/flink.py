"""Real Flink processes that the tests start one by one, without a lab around them."""

from __future__ import annotations

import uuid
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import yaml

from hawork.lab.flink.client import FlinkClient as LabClient
from hawork.lab.flink.distribution import FlinkDistribution
from hawork.lab.flink.memory import TASK_MANAGER_OPTIONS, jvm_flags
from hawork.lab.flink.processes import JOB_MANAGER_MAIN, TASK_MANAGER_MAIN, write_conf
from hawork.lab.flink.script import SqlScript
from hawork.lab.processes import JOB_MANAGER, TASK_MANAGER
from hawork.runtime.process_control import ProcessControl


class FlinkClient(LabClient):
    """Flink's own commands, knowing ``options`` and nothing else."""

    def sql(self, *statements: str) -> str:
        """Run SQL statements with Flink's own client; the id of the job that they start."""
        job_id = uuid.uuid4().hex
        try:
            self.submit(SqlScript({}, statements), {}, job_id)
        finally:
            self.close()
        return job_id

    def run(self, script: SqlScript) -> str:
        """Submit the one job of a script; its id."""
        job_id = uuid.uuid4().hex
        self.submit(script, {}, job_id)
        return job_id

    def compile(self, source: str, jar: Path, main: str | None = None) -> Path:
        """A jar of Java source, compiled by the Janino in Flink: a JRE has no ``javac``.

        Janino knows neither lambdas nor the inference of type arguments.
        """
        compiler = self._connected().jvm.org.codehaus.janino.SimpleCompiler()
        compiler.cook(source)
        with zipfile.ZipFile(jar, "w") as archive:
            named = f"Main-Class: {main}\r\n" if main else ""
            archive.writestr("META-INF/MANIFEST.MF", f"Manifest-Version: 1.0\r\n{named}\r\n")
            for name, code in compiler.getBytecodes().items():
                archive.writestr(f"{name.replace('.', '/')}.class", bytes(code))
        return jar


class FlinkProcesses(FlinkClient):
    """JobManagers of one Flink cluster, ended with the context."""

    def __init__(
        self,
        directory: Path,
        options: Mapping[str, str],
        flink: FlinkDistribution | None = None,
    ) -> None:
        lines = {
            "high-availability.storageDir": f"file://{directory}/storage",
            "jobmanager.rpc.address": "127.0.0.1",
            "rest.address": "127.0.0.1",
            "rest.bind-address": "127.0.0.1",
            "rest.bind-port": "0",
            "blob.server.port": "0",
            "io.tmp.dirs": f"{directory}/tmp",
            **options,
        }
        super().__init__(directory, lines, flink)
        (directory / "tmp").mkdir()
        self._in_old_form(self.config_file)
        self._control = ProcessControl(directory, {}, release=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._control.stop(grace=0)

    def start_job_manager(self, name: str) -> None:
        conf = self.config_file.parent
        argv = self.flink.command(
            JOB_MANAGER_MAIN, "--configDir", str(conf), memory=jvm_flags(JOB_MANAGER, {}), conf=conf
        )  # fmt: skip
        self._control.start(name, argv, log=self.directory / "logs" / f"{name}.log")

    def start_task_manager(self, name: str, slots: int) -> None:
        conf = self.directory / "conf" / name
        own = {
            **TASK_MANAGER_OPTIONS,
            "taskmanager.host": "127.0.0.1",
            "taskmanager.bind-host": "127.0.0.1",
            "taskmanager.numberOfTaskSlots": str(slots),
        }
        write_conf(conf, self.config_file, own)
        self._in_old_form(conf / "config.yaml")
        memory = jvm_flags(TASK_MANAGER, {})
        argv = self.flink.command(
            TASK_MANAGER_MAIN, "--configDir", str(conf), memory=memory, conf=conf
        )
        self._control.start(name, argv, log=self.directory / "logs" / f"{name}.log")

    @property
    def _is_old(self) -> bool:
        return tuple(map(int, self.flink.version.split(".")[:2])) < (1, 19)

    def _execute(
        self, flink: Any, statements: Sequence[str], values: Mapping[str, str]
    ) -> list[str]:
        """Before 1.19 the Table API heeds ``execution.target`` only of a context."""
        if self._is_old:
            config = flink.configuration.GlobalConfiguration.loadConfiguration(str(self._conf))
            for key, value in values.items():
                config.setString(key, value)
            thread = self._connected().jvm.java.lang.Thread.currentThread()
            flink.client.program.StreamContextEnvironment.setAsContext(
                flink.core.execution.DefaultExecutorServiceLoader(), config,
                thread.getContextClassLoader(), False, False,
            )  # fmt: skip
        return super()._execute(flink, statements, values)

    def _in_old_form(self, config_file: Path) -> None:
        """Flink before 1.19 reads ``flink-conf.yaml``, in which quotes stand for themselves."""
        if self._is_old:
            values = yaml.safe_load(config_file.read_text())
            lines = "".join(f"{key}: {value}\n" for key, value in values.items())
            config_file.with_name("flink-conf.yaml").write_text(lines)

    def kill(self, name: str, signal: str = "KILL") -> None:
        self._control.signal(name, signal)
        self._control.wait_until(name, "exited", timeout=30)

    def signal(self, name: str, signal: str) -> None:
        self._control.signal(name, signal)

    def names(self) -> list[str]:
        return list(self._control.processes())

    def pid(self, name: str) -> int:
        return self._control.processes()[name].pid

    def is_alive(self, name: str) -> bool:
        return self._control.processes()[name].alive

    def log(self, name: str) -> str:
        return (self.directory / "logs" / f"{name}.log").read_text(errors="replace")
