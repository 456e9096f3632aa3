"""Faults on purpose: what can happen to a process, and between it and the HA store, as verbs.

Each fault is an event in ``events/lab.jsonl``, written just before it is done, so that the
timeline and every measurement know the moment. A fault that is refused is not an event.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from hawork.client.waiting import Waiting
from hawork.core.configuration import Configuration
from hawork.core.errors import LabError
from hawork.core.events import Event, EventKind, EventLog
from hawork.lab.damage import STORAGE
from hawork.lab.process_limits import end_refusals, prepared_refusal, task_processes
from hawork.lab.processes import JOB_MANAGER, TASK_MANAGER
from hawork.story.terms import Terms

if TYPE_CHECKING:
    from hawork.lab.damage import Damage
    from hawork.lab.leadership import Leadership
    from hawork.lab.processes import LabProcesses
    from hawork.lab.steps import ArmedSteps
    from hawork.lab.stores.store import LabStore
    from hawork.story.event_reader import EventReader

_STOPS_WITHIN = 3.0
"""Seconds until a process that was sent SIGSTOP is known to stand still, at most."""


class Faults:
    """The verbs, of a cluster on this machine. Each returns the event that tells of it.

    A target is the name of a process, such as ``jm-1``, or ``"leader"``; ``LabError`` for
    a process that the lab does not have or that is not in that state, and for a store that cannot
    have the fault.
    """

    def __init__(
        self,
        started: Callable[[], LabProcesses],
        store: LabStore,
        config: Configuration,
        leadership: Leadership,
        steps: ArmedSteps,
        events: EventLog,
        reader: EventReader,
        damage: Damage | None = None,
    ) -> None:
        self._started = started
        self._store = store
        self._config = config
        self._leadership = leadership
        self._steps = steps
        self._events = events
        self._reader = reader
        self._damage = damage

    # --- processes -----------------------------------------------------------------------
    def kill(self, target: str = "leader") -> Event:
        """SIGKILL a process: it is gone at once, nothing is released or saved.

        >>> fault = lab.kill("leader")                                     # doctest: +SKIP
        >>> fault.facts["target"]                                          # doctest: +SKIP
        'jm-1'
        """
        name, processes = self._alive(target)
        event = self._record("kill", name)
        self._kill(processes, name)
        return event

    def terminate(self, target: str = "leader") -> Event:
        """SIGTERM a process: it releases leadership, keeps all HA data, and ends.

        If it stands at an armed step, it goes on from there.

        >>> lab.terminate("jm-2")                                          # doctest: +SKIP
        """
        name, processes = self._alive(target)
        if processes.state(name).state == "paused":
            raise LabError(f"process {name} is paused and hears nothing: resume it, or kill it")
        event = self._record("terminate", name)
        processes.control.signal(name, "TERM")
        # It ends when its threads have, and one that stands at a step would not.
        self._steps.abandon(name)
        processes.control.wait_until(name, "exited")
        self._steps.abandon(name)
        return event

    def pause(self, target: str = "leader") -> Event:
        """SIGSTOP a process: it stands still, like a long garbage collection.

        >>> paused = lab.pause("leader")                                   # doctest: +SKIP
        >>> await lab.wait_for_leader(other_than=paused)                   # doctest: +SKIP
        """
        name, processes = self._alive(target)
        event = self._record("pause", name)
        processes.control.signal(name, "STOP")
        return event

    def block(self, target: str = "leader") -> Event:
        """Block the event loop of a JobManager for good, as an error in its code would.

        Its other threads go on, and with them its heartbeats: it leads, and does nothing. Only a
        watchdog (``hawork.supervisor.watchdog``) notices. A process that only begins is blocked as
        soon as it takes part.

        >>> lab.block("leader")                                            # doctest: +SKIP
        """
        name, processes = self._alive(target)
        if name not in processes.names(JOB_MANAGER):
            raise LabError(f"{name} has no event loop that can be blocked: choose a JobManager")
        pid = processes.state(name).pid
        # Before that the signal would end it.
        Waiting(f"{name} to have an event loop", lambda: self._has_started(pid), timeout=30).wait()
        event = self._record("block", name)
        processes.control.signal(name, "USR2")
        return event

    def resume(self, target: str) -> Event:
        """SIGCONT a paused process: it goes on where it was, also if a step had paused it.

        ``LabError`` for one that runs, as when a cell is run twice.

        >>> woken = lab.resume("jm-1")                                     # doctest: +SKIP
        >>> await lab.wait_for_event("leadership.revoked", "jm-1", after=woken)  # doctest: +SKIP
        """
        name, processes = self._alive(target)
        try:
            # Its signal may be on the way still.
            processes.control.wait_until(name, "paused", "exited", timeout=_STOPS_WITHIN)
        except LabError:
            raise LabError(f"process {name} is not paused, and cannot be resumed") from None
        return self._resume(name, processes)

    def _resume(self, name: str, processes: LabProcesses) -> Event:
        self._steps.leave(name)
        event = self._record("resume", name)
        processes.control.signal(name, "CONT")
        processes.control.wait_until(name, "running", "exited")
        return event

    def wake(self, target: str) -> None:
        """Resume a process that may have been killed since it was stopped."""
        processes = self._started()
        if processes.state(target).alive:
            self._resume(target, processes)

    def restart(self, target: str) -> Event:
        """Kill a process if it is alive, and start it again under its name.

        >>> lab.restart("jm-1")                                            # doctest: +SKIP
        """
        name, processes = self._known(target)
        event = self._record("restart", name)
        if processes.state(name).alive:
            self._kill(processes, name)
        self._steps.abandon(name)  # it may have died while it stood at one
        processes.start(name)
        return event

    def kill_task(self, target: str) -> Event:
        """SIGKILL the process of a TaskManager's first subtask, as a kernel short of memory does.

        >>> lab.kill_task("tm-1")                                          # doctest: +SKIP
        """
        name, processes = self._alive(target)
        tasks = task_processes(processes.state(name).pid)
        if not tasks:
            raise LabError(f"{name} runs no subtask now: submit a job, or choose another")
        event = self._record("kill_task", name)
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(tasks[0], signal.SIGKILL)
        return event

    def refuse(self, target: str = "leader", what: str = "writes") -> Event:
        """Let a process get I/O errors until ``allow``.

        ``what``: ``writes`` to any file fail with EFBIG, or ``opens`` of files, sockets and
        processes with EMFILE. Linux only.

        >>> lab.refuse("leader", "writes")                                 # doctest: +SKIP
        """
        name, processes = self._alive(target)
        refuse = prepared_refusal(processes.state(name).pid, what)
        event = self._record("refuse", name, what=what)
        refuse()
        return event

    def allow(self, target: str) -> Event:
        """End what ``refuse`` began.

        >>> lab.allow("jm-1")                                              # doctest: +SKIP
        """
        name, processes = self._known(target)
        event = self._record("allow", name)
        if processes.state(name).alive:
            end_refusals(processes.state(name).pid)
        return event

    def move_clock(self, target: str = "leader", wall: float = 0.0, slept: float = 0.0) -> Event:
        """Set a process's wall clock by ``wall`` seconds, and let its host sleep for ``slept``.

        A process that has the machine's own clocks is killed first, and started with clocks that
        can be moved. They stay moved.

        >>> lab.move_clock("leader", slept=60.0)                           # doctest: +SKIP
        """
        if slept < 0:
            raise LabError(f"no host sleeps for {slept:g} s: give seconds of 0 or more")
        name, processes = self._alive(target)
        event = self._record("move_clock", name, wall=f"{wall:g}", slept=f"{slept:g}")
        if not processes.has_own_clock(name):
            processes.move_clock(name, 0.0, 0.0)
            self._kill(processes, name)
            processes.start(name)
        processes.move_clock(name, wall, slept)
        return event

    # --- what is stored ------------------------------------------------------------------
    def delete_file(self, path: str) -> Event:
        """Take a file out of storageDir, until ``put_back``; ``path`` is relative to it.

        >>> lab.delete_file("lab/jobs/3f1c.../submittedJobGraph0123456789ab")  # doctest: +SKIP
        """
        return self._harm("delete_file", path, self._stored.prepared_deletion(path))

    def damage_file(self, path: str) -> Event:
        """Change a byte in the middle of a file of storageDir, until ``put_back``.

        >>> lab.damage_file("lab/jobs/3f1c.../submittedJobGraph0123456789ab")  # doctest: +SKIP
        """
        return self._harm("damage_file", path, self._stored.prepared_damage(path))

    def lock_file(self, path: str) -> Event:
        """Let no process open a file of storageDir, root neither, until ``put_back``.

        A link to itself stands in its place: opening it is ELOOP.

        >>> lab.lock_file("lab/jobs/3f1c.../submittedJobGraph0123456789ab")  # doctest: +SKIP
        """
        return self._harm("lock_file", path, self._stored.prepared_lock(path))

    def put_back(self, path: str) -> Event:
        """Put a file of storageDir back as it was before it was harmed.

        >>> lab.put_back("lab/jobs/3f1c.../submittedJobGraph0123456789ab")  # doctest: +SKIP
        """
        return self._harm("put_back", path, self._stored.prepared_return(path))

    def fill_disk(self, disk: str = STORAGE) -> Event:
        """Fill the file system of ``storageDir``, or of TaskManagers' ``scratch``.

        Until ``free_disk``. It must be a small one of its own: ``LabError`` when other programs
        may need it.

        >>> lab.fill_disk()                                                # doctest: +SKIP
        """
        return self._harm("fill_disk", disk, self._stored.prepared_filling(disk))

    def free_disk(self, disk: str = STORAGE) -> Event:
        """Give back what ``fill_disk`` took.

        >>> lab.free_disk()                                                # doctest: +SKIP
        """
        return self._harm("free_disk", disk, self._stored.prepared_freeing(disk))

    def clear_scratch(self, target: str) -> Event:
        """Remove what a TaskManager and its tasks have unpacked, as a cleaner of old files does.

        >>> lab.clear_scratch("tm-1")                                      # doctest: +SKIP
        """
        name, processes = self._known(target)
        if name not in processes.names(TASK_MANAGER):
            raise LabError(f"{name} unpacks nothing: choose a TaskManager")
        return self._harm("clear_scratch", name, self._stored.prepared_clearing(name))

    # --- a store that is a server --------------------------------------------------------
    def expire_session(self, target: str = "leader", connected: bool = False) -> Event:
        """Close a JobManager's session with the store, as a timeout there would.

        A timeout ends a session whose client is away, so that its connections are broken first.
        With ``connected`` they are not, as when an administrator closes a session by hand: real
        Flink 1.20.5 may never notice then.

        >>> lab.expire_session("leader")                                   # doctest: +SKIP
        """
        if self._store.no_sessions:
            raise LabError(self._store.no_sessions)
        name, _ = self._known(target)
        connections = Terms(self._reader.events()).connections
        sessions = [session for session, owner in connections.items() if owner == name]
        if not sessions:
            raise LabError(f"{name} has no session with the store: choose a JobManager")
        event = self._record("expire_session", name, **({"how": "connected"} if connected else {}))
        self._store.expire_session(name, self._config, sessions[-1], connected=connected)
        return event

    def partition(self, target: str = "leader", how: str = "cut") -> Event:
        """Cut a JobManager off from the store, and from nothing else, until ``heal``.

        ``how``: ``cut`` breaks its connections, ``blackhole`` swallows everything,
        ``to_store`` and ``from_store`` swallow one direction; ``delay`` passes everything on,
        but late.

        >>> lab.partition("leader", how="blackhole")                       # doctest: +SKIP
        """
        name, _ = self._known(target)
        cut_off = self._store.partition(name, how)
        event = self._record("partition", name, how=how)
        cut_off()
        return event

    def store_outage(self, server: str | None = None, how: str = "pause") -> Event:
        """Pause or ``kill`` the store's servers until ``heal``: all, or one by its name.

        ZooKeeper's servers are ``zk-1``, ``zk-2``, ... and ``"leader"``, whichever that is;
        Kubernetes' are ``api`` and ``etcd``.

        >>> lab.store_outage("leader", how="kill")                         # doctest: +SKIP
        """
        self._started()
        stop = self._store.outage(server, how)
        event = self._record("store_outage", "store", how=how, server=server or "all")
        stop()
        return event

    def heal(self) -> Event:
        """End all partitions and outages.

        >>> lab.heal()                                                     # doctest: +SKIP
        """
        self._started()
        heal = self._store.heal()
        event = self._record("heal", "store")
        heal()
        return event

    # --- an API server -------------------------------------------------------------------
    def revoke_right(self, target: str = "leader", verb: str = "patch") -> Event:
        """Take a verb on ConfigMaps from a process, until ``grant_right``.

        >>> lab.revoke_right("leader", "patch")                            # doctest: +SKIP
        """
        control_plane, (name, _) = self._store.control_plane, self._known(target)
        event = self._record("revoke_right", name, right=verb)
        control_plane.revoke_right(name, verb)
        return event

    def grant_right(self, target: str, verb: str = "patch") -> Event:
        """Give a verb on ConfigMaps back to a process.

        >>> lab.grant_right("jm-1", "patch")                               # doctest: +SKIP
        """
        control_plane, (name, _) = self._store.control_plane, self._known(target)
        event = self._record("grant_right", name, right=verb)
        control_plane.grant_right(name, verb)
        return event

    def outdate_watches(self) -> Event:
        """Restart the API server without its history: every watch has to list again.

        >>> lab.outdate_watches()                                          # doctest: +SKIP
        """
        control_plane = self._store.control_plane
        self._started()
        event = self._record("outdate_watches", "store")
        control_plane.outdate_watches()
        return event

    # --- within --------------------------------------------------------------------------
    @property
    def _stored(self) -> Damage:
        if self._damage is None:
            raise LabError("this cluster has no storageDir of its own: use a LabCluster")
        return self._damage

    def _harm(self, verb: str, target: str, act: Callable[[], object]) -> Event:
        self._started()
        event = self._record(verb, target)
        try:
            act()
        except OSError as error:  # it went just now, or the disk is full
            raise LabError(f"{verb} failed for {target}: {error.strerror}") from None
        return event

    def _has_started(self, pid: int) -> bool | None:
        """Whether the process with this id has said so."""
        for event in reversed(self._reader.events()):
            if event.kind is EventKind.PROCESS_STARTED and event.facts.get("pid") == pid:
                return True
        return None

    def _known(self, target: str) -> tuple[str, LabProcesses]:
        """The process that is meant; ``LabError`` when there is none, or no lab is running."""
        processes, name = self._started(), self._leadership.resolve(target)
        processes.state(name)
        return name, processes

    def _alive(self, target: str) -> tuple[str, LabProcesses]:
        name, processes = self._known(target)
        if not processes.state(name).alive:
            raise LabError(f"process {name} is not running: restart it first")
        return name, processes

    def _kill(self, processes: LabProcesses, name: str) -> None:
        processes.control.signal(name, "KILL")
        processes.control.wait_until(name, "exited")
        self._steps.abandon(name)

    def _record(self, verb: str, target: str, **facts: str) -> Event:
        self._events.emit(EventKind.FAULT, verb=verb, target=target, **facts)
        return self._events.recent()[-1]


VERBS = tuple(name for name in vars(Faults) if not name.startswith("_") and name != "wake")
"""What can be done to a cluster whose processes and store are ours."""
