"""The JobManager process: HA services, REST, and what runs while it leads."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import http.client
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import hawork
from hawork.client.proof import check_connection
from hawork.client.tls import RestTrust
from hawork.client.token import ensure_token
from hawork.core import options
from hawork.core.errors import ConfigurationError, HaworkError
from hawork.core.events import EventKind
from hawork.core.types import REST_SERVER, LeaderInformation
from hawork.runtime.leader_process import LeaderProcess
from hawork.runtime.own_thread import in_the_end
from hawork.runtime.process import (
    ParentWatch,
    ProcessContext,
    ToSupervisor,
    report_start,
    report_stop,
    supervisor_of_environment,
)
from hawork.runtime.rest_access import RestAccess
from hawork.runtime.rest_endpoint import RestEndpoint
from hawork.runtime.rest_handlers import routes
from hawork.runtime.startup import open_when_there, when_possible
from hawork.runtime.watchdog import EVENT_LOOP, LEADERSHIP_THREAD

_STOP_STEPS = 8
"""Extra I/O threads, so that steps held by a learner do not take all of them."""
_PROOF_SECONDS = 3.0


class _LeaderAddress:
    """Remembers where the leader is, for standbys that are asked. Called by retrieval."""

    def __init__(self, context: ProcessContext, token: str, io: ThreadPoolExecutor) -> None:
        self._events = context.events
        self._token = token
        self._io = io
        self._trust = RestTrust(context.config)
        self.address: str | None = None

    async def proved(self) -> str | None:
        """The leader's address, if there is one and it belongs to the cluster by its own proof."""
        address, loop = self.address, asyncio.get_running_loop()
        if address is None:
            return None
        proved = await loop.run_in_executor(self._io, self._is_proved, address)
        return address if proved else None

    def _is_proved(self, address: str) -> bool:
        try:
            with contextlib.closing(self._trust.connection(address, _PROOF_SECONDS)) as connection:
                connection.connect()
                check_connection(connection, address, self._token)
        except (OSError, http.client.HTTPException, HaworkError):
            return False
        return True

    def notify_leader(self, information: LeaderInformation | None) -> None:
        self.address = information.address if information else None

    def handle_error(self, error: Exception) -> None:
        self.address = None
        self._events.emit(EventKind.ERROR, message=str(error))


def _collect_seldom() -> None:
    """Look for cycles of garbage less often than Python does by default.

    A new leader makes some hundred objects for each job, and they live: to go through all of
    them again and again took longer than everything else, from some thousand jobs on.
    """
    gc.collect()
    gc.freeze()  # what was imported stays
    gc.set_threshold(50_000, 10, 10)


async def run_job_manager(context: ProcessContext, parent: ParentWatch) -> int:
    """Run until SIGTERM or SIGINT (status 0), or until it cannot go on (status 1)."""
    _collect_seldom()
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[str] = loop.create_future()

    def stop(reason: str) -> None:
        if not stopped.done():
            stopped.set_result(reason)

    def fatal(message: str) -> None:
        context.events.emit(EventKind.ERROR, message=message)
        stop(f"fatal: {message}")

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, signal.Signals(number).name)
    blocked = asyncio.Event()
    if context.run_directory is not None:
        loop.add_signal_handler(signal.SIGUSR2, blocked.set)
    report_start(context, "jobmanager")
    threads = context.config.get_option(options.IO_THREADS) + _STOP_STEPS
    io = ThreadPoolExecutor(threads, thread_name_prefix="io")
    try:
        reason = await _serve(context, parent, io, stopped, blocked, fatal)
    finally:
        await in_the_end(lambda: io.shutdown(cancel_futures=True))
    report_stop(context, reason)
    if reason.startswith("fatal: "):
        raise ConfigurationError(reason.removeprefix("fatal: "))
    return 0


async def _serve(
    context: ProcessContext,
    parent: ParentWatch,
    io: ThreadPoolExecutor,
    stopped: asyncio.Future[str],
    blocked: asyncio.Event,
    fatal: Callable[[str], None],
) -> str:
    loop = asyncio.get_running_loop()
    rest = RestEndpoint(context.config)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(rest.close)
        supervisor = supervisor_of_environment()
        opening = asyncio.ensure_future(
            open_when_there(context, lambda: _open_ha(context, supervisor))
        )
        either: list[asyncio.Future[Any]] = [opening, stopped]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not opening.done():
            opening.cancel()
            return await stopped
        ha = opening.result()
        stack.push_async_callback(lambda: in_the_end(ha.close))
        token = await when_possible(
            context, lambda _: loop.run_in_executor(io, ensure_token, context.config)
        )
        known = _LeaderAddress(context, token, io)
        retrieval = ha.leader_retrieval(REST_SERVER, known)
        stack.push_async_callback(lambda: in_the_end(retrieval.close))
        leader = LeaderProcess(ha, context, io, rest.address, fatal)
        stack.push_async_callback(leader.close)
        access = RestAccess.of(context.config, token, rest.address)
        rest.serve(access, lambda: leader.dispatcher, known.proved, routes())
        if supervisor is not None:
            stack.callback(_prove_life(ha, parent, supervisor))
        leader.start()
        stack.callback(asyncio.ensure_future(_stand_still(blocked)).cancel)
        return await stopped


async def _stand_still(asked: asyncio.Event) -> None:
    """``lab.block``: of a process that takes part, and is watched; of one that begins, then."""
    await asked.wait()
    threading.Event().wait()


def _prove_life(
    ha: hawork.HighAvailabilityServices, parent: ParentWatch, supervisor: ToSupervisor
) -> Callable[[], None]:
    """Answer the watchdog, each part from its own thread, until the returned one is called.

    From there on this process ends, which is bounded by itself (``in_the_end``).
    """
    loop = asyncio.get_running_loop()

    def asked(question: int) -> None:
        ha.on_leadership_thread(lambda: supervisor.alive(LEADERSHIP_THREAD, question))
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(supervisor.alive, EVENT_LOOP, question)

    parent.asked = asked
    supervisor.watch(True)
    return lambda: supervisor.watch(False)


def _open_ha(
    context: ProcessContext, supervisor: ToSupervisor | None
) -> hawork.HighAvailabilityServices:
    ha = hawork.open_ha_services(
        context.config,
        events=context.events,
        steps=context.steps,
        ticket_sink=None if supervisor is None else supervisor.ticket,
    )
    try:
        ha.check_storage()
    except BaseException:
        ha.close()
        raise
    return ha
