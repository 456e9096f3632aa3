"""Flink's own client: SQL is planned and submitted by Flink, through the gateway of PyFlink.

PyPI's jars have no working SQL client, but the Java half of PyFlink: py4j's server, through which
Flink's Table API is called. It wants a password, finds the leader as every Flink client does, and
ends with the pipe to this process.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from hawork.core.errors import JobSubmissionError, LabError
from hawork.core.flink import LOGGING
from hawork.core.private_files import write_private
from hawork.core.user_files import where_programs_run
from hawork.ha.configuration_file import configuration_text
from hawork.lab.flink.distribution import FlinkDistribution
from hawork.lab.flink.jar import JOB_ID, JobJar, check_submitted
from hawork.lab.flink.log import why_it_ended
from hawork.lab.flink.login import write_login
from hawork.lab.flink.memory import CLIENT_JVM
from hawork.lab.flink.script import SqlScript

_GATEWAY = "org.apache.flink.api.python.shaded.py4j.GatewayServer"
_CLIENT = "org.apache.flink.client.cli.CliFrontend"
_SECONDS = 120.0
_INSERT = re.compile(r"\s*(INSERT\s|EXECUTE\s+STATEMENT\s+SET|EXECUTE\s+INSERT)", re.IGNORECASE)
_SINK = re.compile(r"INSERT\s+(?:INTO|OVERWRITE)\s+((?:`[^`]+`|[\w.])+)", re.IGNORECASE)


class FlinkClient:
    """Flink's client below ``directory``, knowing ``options`` and nothing else.

    The gateway starts with the first ``submit`` and stays until ``close``, and another one when
    it died; one call at a time.
    """

    def __init__(
        self, directory: Path, options: Mapping[str, str], flink: FlinkDistribution | None = None
    ) -> None:
        self.directory = directory
        self.flink = flink or FlinkDistribution.find()
        self._conf = directory / "conf"
        self._conf.mkdir(parents=True, exist_ok=True)
        write_private(self.config_file, configuration_text(options))
        write_login(self._conf, options)
        # Standard output is for the gateway's port and password.
        logging = f"{LOGGING}appender.console.target=SYSTEM_ERR\n"
        (self._conf / "log4j2.properties").write_text(logging)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._gateway: Any = None
        self._unpacked: tempfile.TemporaryDirectory[str] | None = None

    @property
    def config_file(self) -> Path:
        return self._conf / "config.yaml"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, script: SqlScript, settings: Mapping[str, str], job_id: str) -> list[str]:
        """Submit the one job of a script under ``job_id``; the columns of what it writes.

        What the script sets wins over ``settings``. ``JobSubmissionError`` with Flink's message
        when it does not understand the script or the cluster refuses the job.
        """
        check_one_job(script)
        with self._lock:
            from py4j.protocol import Py4JError, Py4JJavaError

            gateway = self._connected()
            try:
                flink = gateway.jvm.org.apache.flink
                values = {"execution.target": "remote", **settings, **script.settings,
                          JOB_ID: job_id}  # fmt: skip
                return self._execute(flink, script.statements, values)
            except Py4JJavaError as error:
                raise JobSubmissionError(_flinks_words(error.java_exception)) from None
            except Py4JError as error:
                self.close()  # the next submission starts another
                reason = why_it_ended(self._log.read_text(errors="replace"))
                raise JobSubmissionError(
                    f"Flink's client is gone ({error}): {reason}; submit again to start another"
                ) from None

    def submit_jar(self, jar: JobJar, settings: Mapping[str, str], job_id: str) -> None:
        """Run the ``main`` of a jar in a JVM of its own, which submits one job as ``job_id``.

        ``JobSubmissionError`` with Flink's message when it does not. What the program sets
        wins over ``settings``.
        """
        try:
            done = self.command_line(*jar.command(settings, job_id), memory=CLIENT_JVM)
        except subprocess.TimeoutExpired:
            raise JobSubmissionError(
                f"{jar.path.name} has submitted no job in {_SECONDS:.0f} s: is a leader there, "
                "and does its main end after execute()?"
            ) from None
        check_submitted(jar, done, job_id)

    def command_line(
        self, *arguments: str, memory: Sequence[str] = ("-Xmx96m",), **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Flink's own ``flink`` command, to its end."""
        with self._temporary_files() as folder:
            memory = (*memory, f"-Djava.io.tmpdir={folder}")
            argv = self.flink.command(_CLIENT, *arguments, memory=memory, conf=self._conf)
            return subprocess.run(
                argv,
                env={**os.environ, "FLINK_CONF_DIR": str(self._conf), **environment},
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )

    def close(self) -> None:
        """End the gateway; repeatable. A submission that is under way fails."""
        gateway, self._gateway = self._gateway, None
        if gateway is not None:
            with contextlib.suppress(Exception):  # it may be dead already
                gateway.close()
        process = self._process
        if process is not None:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
            self._process = None  # only now: an interrupt must not lose it
        if self._unpacked is not None:
            self._unpacked.cleanup()

    def _temporary_files(self) -> tempfile.TemporaryDirectory[str]:
        """A folder for what a client unpacks, such as the planner, a jar of 40 MB.

        It removes that itself only when its JVM ends by itself.
        """
        return tempfile.TemporaryDirectory(
            prefix="client-", dir=self.directory, ignore_cleanup_errors=True
        )

    @property
    def _log(self) -> Path:
        return self.directory / "client.log"

    def _connected(self) -> Any:
        if self._process is not None and self._process.poll() is not None:
            self.close()  # it died, as when the system had no memory left for it
        if self._gateway is None:
            try:
                from py4j.java_gateway import GatewayParameters, JavaGateway
            except ImportError:
                raise LabError(
                    "package py4j is not installed, and Flink's client is spoken to with it: run "
                    "'pip install hawork[flink]'"
                ) from None
            port, password = self._start()
            parameters = GatewayParameters(
                port=port,
                auto_convert=True,
                auth_token=password,
                # Else objects that die after the gateway tell it so, and the failure is logged.
                enable_memory_management=False,
            )
            self._gateway = JavaGateway(gateway_parameters=parameters)
        return self._gateway

    def _start(self) -> tuple[int, str]:
        """Start the gateway; its port and its password."""
        self._unpacked = self._temporary_files()
        argv = self.flink.command(
            _GATEWAY, "--die-on-broken-pipe", "--enable-auth", "0",
            memory=(*CLIENT_JVM, f"-Djava.io.tmpdir={self._unpacked.name}"),
            conf=self._conf, python=True,
        )  # fmt: skip
        with self._log.open("ab") as log:
            process = self._process = subprocess.Popen(
                argv, env={**os.environ, "FLINK_CONF_DIR": str(self._conf)},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                start_new_session=True,  # a Ctrl-C is not for it
                cwd=where_programs_run(),
            )  # fmt: skip
        assert process.stdout is not None
        with process.stdout as said:
            select.select([said], [], [], _SECONDS)
            port, password = said.readline().strip(), said.readline().strip()
        if not port.isdigit():
            reason = why_it_ended(self._log.read_text(errors="replace"))
            raise LabError(f"Flink's client does not start: {reason}")
        return int(port), password.decode()

    def _execute(
        self, flink: Any, statements: Sequence[str], values: Mapping[str, str]
    ) -> list[str]:
        config = flink.configuration.GlobalConfiguration.loadConfiguration(str(self._conf))
        for key, value in values.items():
            config.setString(key, value)
        settings = flink.table.api.EnvironmentSettings.newInstance().withConfiguration(config)
        tables = flink.table.api.TableEnvironment.create(settings.build())
        columns: list[str] = []
        for statement in statements:
            sink = _SINK.search(statement) if _INSERT.match(statement) else None
            tables.executeSql(statement)
            if sink is not None:
                table = getattr(tables, "from")(sink[1])
                columns = [str(name) for name in table.getResolvedSchema().getColumnNames()]
        return columns


def check_one_job(script: SqlScript) -> None:
    """``JobSubmissionError`` unless exactly one statement of the script starts a job."""
    jobs = sum(_INSERT.match(statement) is not None for statement in script.statements)
    if jobs == 0:
        raise JobSubmissionError("the SQL script starts no job: end it with INSERT INTO ...")
    if jobs > 1:
        raise JobSubmissionError(
            f"the SQL script has {jobs} INSERTs, which are {jobs} jobs: write one, or EXECUTE "
            "STATEMENT SET BEGIN ... END around them"
        )


def _flinks_words(error: Any) -> str:
    """The message of a Java exception and that of its innermost cause, each in one line."""
    first = _message(error)
    while error.getCause() is not None:
        error = error.getCause()
    last = _message(error)
    return first if last in first else f"{first}: {last}"


def _message(error: Any) -> str:
    text = str(error.getMessage() or error.getClass().getSimpleName())
    return " ".join(line.strip() for line in text.splitlines()[:3]).strip()
