"""The TaskManager process: finds the leader, offers its slots, runs task attempts.

It is one event loop; every task attempt is a child process (user code that hangs, exits or
crashes takes only itself along). Messages of another leader session than the one it has
registered with are ignored, and when the leader changes or its connection closes, every
task is killed before the slots are offered to the next leader: what they had done since the
last checkpoint is done again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import tornado.httpclient
import tornado.websocket

import hawork
from hawork.client.proof import PROOF, Challenge
from hawork.client.tls import RestTrust
from hawork.client.token import read_token
from hawork.core import options
from hawork.core.addresses import rest_address
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.errors import HaworkError
from hawork.core.events import EventKind
from hawork.core.types import NO_LEADERSHIP, RESOURCE_MANAGER, JobID, LeaderInformation, StateHandle
from hawork.ha.layout import cluster_url
from hawork.job.artifact import sha256_of
from hawork.runtime.heartbeat import HeartbeatMonitor
from hawork.runtime.messages import DeployTask, TaskEvent, ToJobManager, ToTaskManager
from hawork.runtime.own_thread import in_own_thread, in_the_end
from hawork.runtime.process import ProcessContext, report_start, report_stop
from hawork.runtime.scratch_directory import ScratchDirectory
from hawork.runtime.startup import open_when_there
from hawork.runtime.task_child import TaskChild
from hawork.runtime.web_socket import send_json

_RECONNECT_PAUSE = 0.1  # seconds before the same leader is tried again
_REFUSED_PAUSE = 1.0  # seconds before a leader is asked again that has refused us
_UNREACHED = (
    OSError,
    RuntimeError,  # no thread is left
    HaworkError,  # the token cannot be read
    tornado.httpclient.HTTPError,
    tornado.websocket.WebSocketError,
)


class TaskManager:
    """One TaskManager; ``run`` lasts until it is told to stop."""

    def __init__(
        self,
        context: ProcessContext,
        io: ThreadPoolExecutor,
        ha: hawork.HighAvailabilityServices,
    ) -> None:
        self._context = context
        self._io = io
        self._instance = secrets.token_hex(8)
        self._refused = False
        self._told = ""
        self._slots = context.config.get_option(options.SLOTS)
        self._interval = context.config.get_option(options.HEARTBEAT_INTERVAL)
        self._timeout = context.config.get_option(options.HEARTBEAT_TIMEOUT)
        self._storage_url = cluster_url(context.config)
        self._ha = ha
        self._storage_timeout = context.config.get_option(options.STORAGE_TIMEOUT)
        self._loop = asyncio.get_running_loop()
        self._trust = RestTrust(context.config)
        self._leader: LeaderInformation | None = None
        self._leader_changed = asyncio.Event()
        self._connection: tornado.websocket.WebSocketClientConnection | None = None
        self._children: dict[tuple[str, int], TaskChild] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._scratch = ScratchDirectory(context)

    async def run(self) -> None:
        retrieval = self._ha.leader_retrieval(RESOURCE_MANAGER, self)
        try:
            while True:
                leader = await self._next_leader()
                try:
                    await self._serve(leader)
                except _UNREACHED as error:
                    # A dead leader's address may stay for a whole lease.
                    self._tell(f"the leader at {leader.address} cannot be reached: {error}")
                finally:
                    await self._kill_tasks()
                if self._leader == leader:
                    pause = _REFUSED_PAUSE if self._refused else _RECONNECT_PAUSE
                    await self._wait_for_change(pause)
        finally:
            await in_the_end(retrieval.close)
            await in_the_end(self._ha.close)
            self._scratch.remove()

    def _tell(self, problem: str) -> None:
        """Tell a problem once, until it is another one, or over."""
        if problem and problem != self._told:
            self._context.events.emit(EventKind.ERROR, message=problem)
        self._told = problem

    # --- LeaderRetrievalListener: called on the retrieval thread ---------------------------

    def notify_leader(self, information: LeaderInformation | None) -> None:
        self._loop.call_soon_threadsafe(self._set_leader, information)

    def handle_error(self, error: Exception) -> None:
        self._context.events.emit(EventKind.ERROR, message=str(error))

    # --- the leader --------------------------------------------------------------------------

    def _set_leader(self, information: LeaderInformation | None) -> None:
        self._leader = information
        self._leader_changed.set()

    async def _next_leader(self) -> LeaderInformation:
        while self._leader is None:
            await self._wait_for_change(None)
        return self._leader

    async def _wait_for_change(self, timeout: float | None) -> None:
        self._leader_changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._leader_changed.wait()

    async def _serve(self, leader: LeaderInformation) -> None:
        """Be registered with a leader until the connection closes or another one leads.

        A leader that is merely *unsure* (``None``) keeps us: it may come back, and if not,
        the connection or the next leader ends this.
        """
        connection = await self._connect(leader)
        if connection is None:
            return
        session_id = str(leader.session_id)
        self._connection = connection
        monitor = HeartbeatMonitor(self._timeout)
        monitor.watch("leader", SYSTEM_CLOCK.monotonic())
        helpers = [
            asyncio.ensure_future(self._receive(connection, session_id, monitor)),
            asyncio.ensure_future(self._heartbeat(session_id, monitor)),
            asyncio.ensure_future(self._another_leader(leader)),
        ]
        try:
            self._send(
                {
                    "type": "register",
                    "session_id": session_id,
                    "taskmanager_id": self._context.name,
                    "slots": self._slots,
                    "pid": os.getpid(),
                    "instance": self._instance,
                }
            )
            await asyncio.wait(helpers, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._connection = None
            connection.close()
            for helper in helpers:
                helper.cancel()
            await asyncio.wait(helpers)

    async def _connect(
        self, leader: LeaderInformation
    ) -> tornado.websocket.WebSocketClientConnection | None:
        """A connection; ``None`` when another one leads before the leader has answered.

        The kernel takes connections for a process that is stopped, so that may be long.
        """
        if not leader.address.startswith(("http://", "https://")):
            # Real Flink may stand in the same election; its TaskManagers speak another language.
            raise ConnectionError("it is not a JobManager of hawork")
        token = await self._loop.run_in_executor(self._io, read_token, self._context.config)
        challenge = Challenge(token, leader.address)
        request = tornado.httpclient.HTTPRequest(
            leader.address.replace("http", "ws", 1) + "/v1/taskmanagers/connection",
            headers=challenge.headers,
            connect_timeout=self._timeout,
            request_timeout=self._timeout,
            ssl_options=self._trust.context() if rest_address(leader.address).secure else None,
        )
        connecting = asyncio.ensure_future(
            tornado.websocket.websocket_connect(
                request,
                max_message_size=self._context.config.get_option(options.REST_MAX_CONTENT_LENGTH),
            )
        )
        another = asyncio.ensure_future(self._another_leader(leader))
        try:
            await asyncio.wait([connecting, another], return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done():
                return None
            connection = connecting.result()
            try:
                nonce = challenge.check(_answer_of(connection), _peer_of(connection))
            except BaseException:
                connection.close()
                raise
            connection.write_message(challenge.proof(nonce))
            return connection
        finally:
            connecting.cancel()
            another.cancel()

    async def _another_leader(self, leader: LeaderInformation) -> None:
        while self._leader is None or self._leader == leader:
            await self._wait_for_change(None)

    async def _heartbeat(self, session_id: str, monitor: HeartbeatMonitor) -> None:
        while not monitor.lost(SYSTEM_CLOCK.monotonic()):
            self._send({"type": "heartbeat", "session_id": session_id})
            await asyncio.sleep(min(self._interval, self._timeout / 4))
        self._context.events.emit(EventKind.ERROR, message="the leader's heartbeat timed out")

    async def _receive(
        self,
        connection: tornado.websocket.WebSocketClientConnection,
        session_id: str,
        monitor: HeartbeatMonitor,
    ) -> None:
        while (text := await connection.read_message()) is not None:
            message: ToTaskManager = json.loads(text)
            if message["session_id"] != session_id:
                continue
            monitor.heard("leader", SYSTEM_CLOCK.monotonic())
            refused = message["reason"] if message["type"] == "refused" else ""
            self._refused = message["type"] == "refused"
            self._tell(refused)
            if message["type"] == "deploy_task":
                self._deploy(message)
            elif message["type"] == "task_command":
                child = self._children.get((message["attempt"], message["index"]))
                if child is not None:
                    child.command(message["command"])

    def _send(self, message: ToJobManager) -> None:
        if self._connection is not None:
            send_json(self._connection, message)

    # --- tasks -------------------------------------------------------------------------------

    def _deploy(self, message: DeployTask) -> None:
        key = (message["attempt"], message["index"])

        def report(event: TaskEvent) -> None:
            if event["type"] == "gone":
                self._children.pop(key, None)
                self._scratch.remove(f"task-{message['attempt']}-{message['index']}")
            self._send(
                {
                    "type": "task_event",
                    "session_id": message["session_id"],
                    "job_id": message["job_id"],
                    "attempt": message["attempt"],
                    "index": message["index"],
                    "event": event,
                }
            )

        log = None
        if self._context.run_directory is not None:
            log = self._context.run_directory / "logs" / f"{self._context.name}-tasks.log"
        child = TaskChild({"PYTHONUNBUFFERED": "1"}, log, report)
        self._children[key] = child
        task = self._loop.create_task(self._run_task(child, message), name=f"task {key}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run_task(self, child: TaskChild, message: DeployTask) -> None:
        handle = StateHandle.from_json(message["artifact"])
        try:
            async with asyncio.timeout(self._storage_timeout):
                artifact = await in_own_thread(
                    lambda: self._fetch(JobID(message["job_id"]), handle)
                )
        except TimeoutError:
            child.fail(f"the artifact cannot be read: {self._storage_timeout:g} s without an end")
            return
        except (HaworkError, OSError, RuntimeError) as error:  # of the last: no thread is left
            child.fail(f"the artifact cannot be read: {error}")
            return
        config, run_directory = self._context.config, self._context.run_directory
        await child.run(
            {
                "type": "deploy",
                "job_id": message["job_id"],
                "attempt": message["attempt"],
                "index": message["index"],
                "parallelism": message["parallelism"],
                "entry_point": message["entry_point"],
                "config": message["config"],
                "restore": message["restore"],
                "session_id": message["session_id"],
                "artifact": str(artifact),
                "sha256": handle.sha256,
                "storage_url": self._storage_url,
                "memory_threshold": config.get_option(options.MEMORY_THRESHOLD),
                "artifact_max_size": config.get_option(options.ARTIFACT_MAX_SIZE),
                "run_directory": str(run_directory) if run_directory else None,
                "process": self._context.name,
            }
        )  # fmt: skip

    def _fetch(self, job_id: JobID, handle: StateHandle) -> Path:
        """The artifact as a local file, verified by the blob store; fetched once.

        A file that was cut or altered since is fetched again: it is a copy.
        """
        path = self._scratch.path() / f"{handle.sha256}.zip"
        if not _holds(path, handle):
            data = self._ha.stores(NO_LEADERSHIP).blobs.get(job_id, handle)
            descriptor, temporary = tempfile.mkstemp(dir=path.parent)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                Path(temporary).rename(path)
            except OSError:
                Path(temporary).unlink(missing_ok=True)
                raise
        return path

    async def _kill_tasks(self) -> None:
        for child in self._children.values():
            child.kill()
        if self._running:
            await asyncio.wait(self._running)


def _holds(path: Path, handle: StateHandle) -> bool:
    try:
        return sha256_of(path.read_bytes()) == handle.sha256
    except FileNotFoundError:
        return False


def _answer_of(connection: tornado.websocket.WebSocketClientConnection) -> str | None:
    return None if connection.headers is None else connection.headers.get(PROOF)


def _peer_of(connection: tornado.websocket.WebSocketClientConnection) -> tuple[Any, ...]:
    """The socket's other end; ``ConnectionError`` when it has hung up already."""
    stream = None if connection.protocol is None else connection.protocol.stream
    if stream is None or stream.socket is None:
        raise ConnectionError("it hung up")
    peer: tuple[Any, ...] = stream.socket.getpeername()
    return peer


async def run_task_manager(context: ProcessContext) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status."""
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[str] = loop.create_future()

    def stop(number: signal.Signals) -> None:
        if not stopped.done():
            stopped.set_result(number.name)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    report_start(context, "taskmanager")
    threads = context.config.get_option(options.IO_THREADS)
    io = ThreadPoolExecutor(threads, thread_name_prefix="io")

    async def run() -> None:
        ha = await open_when_there(
            context, lambda: hawork.open_ha_services(context.config, events=context.events)
        )
        await TaskManager(context, io, ha).run()

    try:
        running = asyncio.ensure_future(run())
        either: list[asyncio.Future[Any]] = [running, stopped]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        running.cancel()
        await asyncio.wait([running])
    finally:
        await in_the_end(lambda: io.shutdown(cancel_futures=True))
    report_stop(context, stopped.result() if stopped.done() else "it ended")
    return 0
