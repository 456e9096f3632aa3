"""What a JobManager does when it is granted leadership, and when it loses it.

One contender stands for the whole process, as one latch or lease does: the grant makes a
``Dispatcher`` and a ``ResourceManager`` bound to the new session id, the revocation ends
them. The next grant is served only after the previous term has ended completely (Flink's
``DefaultDispatcherRunner``).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from hawork.core import options
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.errors import HaworkError, LeadershipLostError, StoreUnavailableError
from hawork.core.events import EventKind
from hawork.core.types import DISPATCHER, RESOURCE_MANAGER, REST_SERVER, LeaderSessionID
from hawork.ha.damage import in_words
from hawork.runtime.dispatcher import Dispatcher
from hawork.runtime.fitness import Fitness
from hawork.runtime.own_thread import in_own_thread, in_the_end
from hawork.runtime.process import ProcessContext
from hawork.runtime.resource_manager import ResourceManager
from hawork.runtime.retry_pause import RetryPause
from hawork.runtime.startup import when_possible
from hawork.runtime.term import Term

if TYPE_CHECKING:
    from hawork.ha.leader_election import LeaderElection
    from hawork.ha.services import HighAvailabilityServices

COMPONENTS = (DISPATCHER, RESOURCE_MANAGER, REST_SERVER)
_PATIENCE = 30.0  # seconds of trying to take over before another one may
_LONG_TERM = 300.0
"""Seconds as leader after which being unable to lead is another story than the last time."""


class _Companion:
    """A contender that follows: resource manager and REST lead when the dispatcher does."""

    def grant_leadership(self, session_id: LeaderSessionID) -> None: ...

    def revoke_leadership(self) -> None: ...

    def handle_error(self, error: Exception) -> None: ...


class LeaderProcess:
    """The JobManager's contender. Its callbacks only pass on to the event loop."""

    def __init__(
        self,
        ha: HighAvailabilityServices,
        context: ProcessContext,
        io: Executor,
        address: str,
        on_fatal: Callable[[str], None],
    ) -> None:
        self._ha = ha
        self._context = context
        self._io = io
        self._address = address
        self._on_fatal = on_fatal
        self._loop = asyncio.get_running_loop()
        self._elections: dict[str, LeaderElection] = {}
        self._wanted: LeaderSessionID | None = None
        self._changed = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self._setbacks = RetryPause(1.0, 10.0)
        self._closed = False
        self._leading_since: float | None = None
        self.dispatcher: Dispatcher | None = None
        """The dispatcher of the present term once its address is published, else ``None``."""

    def start(self) -> None:
        """Take part in the election, for all components of the process at once.

        A store that is away just now is waited for, as when the services were opened.
        """
        begun = False
        with contextlib.suppress(StoreUnavailableError):
            self._take_part()
            begun = True
        self._serving = self._loop.create_task(self._serve(begun), name="leader-process")

    def _take_part(self) -> None:
        self._elections = {each: self._ha.leader_election(each) for each in COMPONENTS}
        # First, because it alone acts on errors: the driver may have one at once.
        self._elections[DISPATCHER].start(self)
        for component in (RESOURCE_MANAGER, REST_SERVER):
            self._elections[component].start(_Companion())

    async def close(self) -> None:
        """Give up leadership gracefully: suspend the jobs, unpublish, release. Data stays."""
        self._wanted = None
        self._changed.set()
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.wait([self._serving])
        self._closed = True
        await in_the_end(self._leave)

    def _leave(self) -> None:
        for component in reversed(COMPONENTS):
            if component in self._elections:
                self._elections[component].close()

    # --- LeaderContender: called on the leadership thread --------------------------------

    def grant_leadership(self, session_id: LeaderSessionID) -> None:
        self._loop.call_soon_threadsafe(self._want, session_id)

    def revoke_leadership(self) -> None:
        self._loop.call_soon_threadsafe(self._want, None)

    def handle_error(self, error: Exception) -> None:
        self._loop.call_soon_threadsafe(self._on_fatal, str(error))

    @functools.cached_property
    def _storage_timeout(self) -> float:
        seconds: float = self._context.config.get_option(options.STORAGE_TIMEOUT)
        return seconds

    @functools.cached_property
    def _fitness(self) -> Fitness:
        return Fitness(self._ha.storage_watch, self._storage_timeout, SYSTEM_CLOCK)

    # --- on the event loop -----------------------------------------------------------------

    def _want(self, session_id: LeaderSessionID | None) -> None:
        self._wanted = session_id
        self._changed.set()

    async def _serve(self, begun: bool) -> None:
        """Serve one term after the other, each one only after the last has ended."""
        if not (begun or await self._begin()):
            return
        while True:
            await self._changed.wait()
            self._changed.clear()
            session_id = self._wanted
            if session_id is None:
                continue
            term = asyncio.ensure_future(self._lead(session_id))
            try:
                while self._wanted == session_id and not term.done():
                    changed = asyncio.ensure_future(self._changed.wait())
                    await asyncio.wait([term, changed], return_when=asyncio.FIRST_COMPLETED)
                    changed.cancel()
                    self._changed.clear()
                self._changed.set()
            finally:
                term.cancel()
                await asyncio.wait([term])
            if not term.cancelled() and (error := term.exception()) is not None:
                await self._stand_back(error)

    async def _begin(self) -> bool:
        """Take part as soon as the store is there; whether that was in time.

        Within ``hawork.startup.timeout``; then, or when something is wrong, the process ends.
        """

        async def attempt(_: float) -> None:
            await self._leave_at_once()
            await in_own_thread(self._take_part_when_fit)

        try:
            await when_possible(self._context, attempt)
        except HaworkError as error:
            self._on_fatal(str(error))
            return False
        except Exception as error:  # noqa: BLE001 - what we have run out of shows anywhere
            await self._stand_back(error)
        return True

    async def _stand_back(self, error: BaseException) -> None:
        """Give leadership up in order, and take part again later.

        What keeps this process from leading may not keep another one from it: its descriptors,
        threads, memory, its disk, or its way to the store. It is waited for as long as it takes.
        """
        self._wanted = None
        since, self._leading_since = self._leading_since, None
        if since is not None and SYSTEM_CLOCK.monotonic() - since > _LONG_TERM:
            self._setbacks.over()
        while True:
            pause = self._setbacks.next()
            self._tell(
                f"this JobManager cannot lead, and lets others for {pause:g} s: "
                f"{'' if isinstance(error, HaworkError) else f'{type(error).__name__}: '}"
                f"{in_words(error)}"
            )
            try:
                await self._leave_at_once()
                await asyncio.sleep(pause)
                self._fitness.check_at_once()
                await in_own_thread(self._take_part_when_fit)
                return
            except Exception as again:  # noqa: BLE001 - what we have run out of shows anywhere
                error = again
                await asyncio.sleep(pause)

    async def _leave_at_once(self) -> None:
        """Not on an I/O thread: all of them may wait for a disk that does not answer."""
        try:
            await in_own_thread(self._leave)
        except RuntimeError:  # no thread is left
            self._leave()

    def _take_part_when_fit(self) -> None:
        self._ha.probe_storage()
        if not self._closed:
            self._take_part()

    def _tell(self, message: str) -> None:
        self._context.events.emit(EventKind.ERROR, message=message)

    async def _lead(self, session_id: LeaderSessionID) -> None:
        term = self._new_term(session_id)
        dispatcher = Dispatcher(term)
        work: list[asyncio.Future[None]] = [
            asyncio.ensure_future(self._take_over(term, dispatcher)),
            asyncio.ensure_future(self._watch(term.resource_manager)),
        ]
        try:
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for each in work:
                if each.done():
                    each.result()
        finally:
            # First stop serving: nothing may be accepted while the jobs are suspended.
            self.dispatcher = None
            for each in work:
                each.cancel()
            await asyncio.wait(work)
            await dispatcher.close()
            term.resource_manager.close()
            if self._wanted != session_id:
                await asyncio.shield(self._revoked(session_id))

    async def _revoked(self, session_id: LeaderSessionID) -> None:
        """Reach the step; the I/O threads may hang on a disk that does not answer."""
        steps = self._context.steps
        with contextlib.suppress(RuntimeError):  # no thread is left
            await in_own_thread(lambda: steps.reached("leadership.revoked", session_id=session_id))

    async def _take_over(self, term: Term, dispatcher: Dispatcher) -> None:
        """Lead, until that is canceled."""
        session_id = term.session_id
        try:
            await term.step("takeover.granted")
            await self._repeat_while_away(dispatcher.recover)
            await term.step("takeover.confirmed")
            await self._repeat_while_away(lambda: self._publish(session_id))
            self.dispatcher = dispatcher
            await term.step("takeover.published", address=self._address)
            dispatcher.restore_jobs()
            self._leading_since = SYSTEM_CLOCK.monotonic()
            await asyncio.Event().wait()  # until the revocation cancels us
        except LeadershipLostError:
            await asyncio.Event().wait()  # the revocation is on its way

    def _new_term(self, session_id: LeaderSessionID) -> Term:
        timeout = self._context.config.get_option(options.HEARTBEAT_TIMEOUT)
        return Term(
            session_id=session_id,
            stores=self._ha.stores(session_id),
            resource_manager=ResourceManager(
                session_id, timeout, SYSTEM_CLOCK, self._context.events
            ),
            config=self._context.config,
            clock=SYSTEM_CLOCK,
            events=self._context.events,
            steps=self._context.steps,
            io=self._io,
        )

    async def _publish(self, session_id: LeaderSessionID) -> None:
        """REST last: once a client finds it, everything behind it is there."""
        for component in COMPONENTS:
            confirmed = self._elections[component].confirm_leadership(session_id, self._address)
            await asyncio.wrap_future(confirmed)

    async def _repeat_while_away(self, action: Callable[[], Awaitable[None]]) -> None:
        """Repeat an action while the store cannot be reached, for as long as we lead.

        After ``_PATIENCE`` seconds the error is raised: another JobManager may reach the store.
        """
        until, pause = SYSTEM_CLOCK.monotonic() + _PATIENCE, RetryPause(longest=1.0)
        while True:
            try:
                await action()
                return
            except LeadershipLostError:
                raise
            except HaworkError as error:
                if SYSTEM_CLOCK.monotonic() >= until:
                    raise
                self._tell(str(error))
                await asyncio.sleep(pause.next())

    async def _watch(self, resource_manager: ResourceManager) -> None:
        """Look after the TaskManagers, and after ourselves: ``CannotLeadError``."""
        config = self._context.config
        pause = min(
            config.get_option(options.HEARTBEAT_INTERVAL),
            config.get_option(options.HEARTBEAT_TIMEOUT) / 4,
        )
        last = SYSTEM_CLOCK.monotonic()
        while True:
            await asyncio.sleep(pause)
            now = SYSTEM_CLOCK.monotonic()
            if now - last > pause + 1.0:
                self._context.events.emit(EventKind.HOST_STALLED, seconds=round(now - last, 3))
            last = now
            resource_manager.check_heartbeats()
            self._fitness.check()
