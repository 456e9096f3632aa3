"""The faults of a plan, done to a cluster and undone: which verb, upon what, for how long."""

from __future__ import annotations

import heapq
import itertools
import random
import re
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hawork.core.errors import HaworkError
from hawork.ha.layout import JOBS, cluster_directory, job_result_url
from hawork.ha.storage import local_path
from hawork.inspect.files import files_below
from hawork.lab.damage import SCRATCH, STORAGE
from hawork.lab.nemesis.cluster import Breakable, OwnProcesses, Sight, has_begun
from hawork.lab.nemesis.ends import KILLED, TERMINATED, Ends
from hawork.lab.nemesis.plan import KINDS, Wish
from hawork.lab.nemesis.pointers import Pointers

_LEADER_SHARE = 0.6
_DOWN_SECONDS = 1.2
_AGAIN = 0.3
"""Seconds until a fault that could not be undone is tried again."""
_SLEPT = (1.0, 90.0)
"""Seconds: the least, and how many more at most."""
_JUMP = 3600.0
"""Seconds at most, in either direction."""
_PARTITIONS = {
    "cut": "cut",
    "silence both ways": "blackhole",
    "silence to the store": "to_store",
    "silence from the store": "from_store",
    "delay": "delay",
}
_OF_DATA = frozenset(kind.name for kind in KINDS.values() if kind.needs in ("files", "pointers"))
_JOB = re.compile(r"[0-9a-f]{32}")


@dataclass
class Deed:
    """A fault that was done. ``target`` is empty when there was nothing to do it to."""

    number: int
    kind: str
    target: str
    at: float
    """Seconds since the drill began."""
    undone: float | None = None
    leader: bool = False
    """Whether the target led."""
    why: str = "nothing to do it to"
    """Why it was not done."""

    def __str__(self) -> str:
        until = "" if self.undone is None else f" until {self.undone:.2f} s"
        leads = ", the leader" if self.leader else ""
        what = f"{self.target}{leads}" if self.target else self.why
        return f"fault {self.number} at {self.at:.2f} s{until}: {self.kind} ({what})"


@dataclass(order=True)
class _Due:
    at: float
    turn: int
    undo: Callable[[], object] = field(compare=False)
    deed: Deed = field(compare=False)


class Deeds:
    """Does and undoes faults; what is down is started again, however it ended."""

    def __init__(
        self, cluster: Breakable, sight: Sight, pointers: Pointers, lease: float,
        cannot: Collection[str], source: random.Random,
    ) -> None:  # fmt: skip
        self.done: list[Deed] = []
        self.victims: Callable[[], Collection[str]] = tuple
        """The jobs whose own data may be harmed."""
        self.harmed: set[str] = set()
        """The jobs whose own data was deleted or damaged."""
        self.put_back: set[str] = set()
        """Files that were put back: a job that ended meanwhile knows nothing of them."""
        self._blocked: dict[int, str] = {}
        """The process ids, and names, of those whose event loop hangs."""
        self._cluster = cluster
        self._sight = sight
        self._pointers = pointers
        self._lease = lease
        self._cannot = cannot
        self._random = source
        self._began = time.monotonic()
        self._due: list[_Due] = []
        self._turns = itertools.count()
        self._ends = Ends(cluster)
        self._refused: set[int] = set()
        """Those that were refused writes or descriptors."""
        self._down: dict[str, float] = {}
        self._leaving: dict[str, Future[Any]] = {}
        self._background = ThreadPoolExecutor(8, thread_name_prefix="nemesis")

    @property
    def ended_by_itself(self) -> list[str]:
        """The ends of processes that are not the nemesis's doing, in words."""
        self._ends.look()
        return self._ends.by_itself

    # --- time ----------------------------------------------------------------------------
    def live_on(self, seconds: float) -> None:
        """Let time pass, in which what is due is undone."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            self.undo_what_is_due(now)
            time.sleep(min(0.03, max(0.0, end - now)))  # processes tell nothing when they end

    def live_out(self, *, harmed: bool = True) -> None:
        """Let every fault last as long as it was meant to; without ``harmed`` those upon data not.

        What is undone at once does little.
        """
        while due := [
            each.at for each in self._due if harmed or each.deed.kind not in _OF_DATA
        ]:  # fmt: skip
            self.live_on(max(0.0, min(due) - time.monotonic()) + _AGAIN)

    def undo_what_is_due(self, now: float) -> None:
        while self._due and self._due[0].at <= now:
            due = heapq.heappop(self._due)
            try:
                self._undo(due)
            except HaworkError:  # another fault is in its way, such as a full disk
                due.at = now + _AGAIN
                heapq.heappush(self._due, due)
        self.start_what_is_down(now)

    def start_what_is_down(self, now: float) -> None:
        """Start again, after a while, what has ended by ``now``, on ``time.monotonic``."""
        self._ends.look()
        for name, state in self._cluster.processes.items():
            if state.state != "exited":
                self._down.pop(name, None)
                continue
            if name not in self._down:
                self._down[name] = now + self._random.uniform(0.0, _DOWN_SECONDS)
            if self._down[name] <= now and not self._is_leaving(name):
                self._cluster.restart(name)
                self._down.pop(name, None)

    def heal(self, *, harmed: bool = True) -> None:
        """Undo everything now, as often as one fault is in the way of another's end.

        Without ``harmed`` the data of jobs stays as it is. Raises the first error of those that
        cannot be undone; all others are.
        """
        kept = [] if harmed else [each for each in self._due if each.deed.kind in _OF_DATA]
        self._due = [each for each in self._due if each not in kept]
        failed = self._undo_all()
        while self._due and (again := self._undo_all()):
            if len(again) == len(failed):
                break
            failed = again
        lasting, self._due = self._due, sorted([*self._due, *kept])
        for name, state in self._cluster.processes.items():
            if state.state == "paused":
                self._cluster.resume(name)
        for future in self._leaving.values():
            future.exception(timeout=60)
        self.start_what_is_down(float("inf"))
        if lasting:
            raise failed[0]

    def hanging(self) -> list[str]:
        """The processes that were blocked, and that nothing has ended since."""
        states = self._cluster.processes
        return [n for pid, n in self._blocked.items() if states[n].pid == pid and states[n].alive]

    def end_what_hangs(self) -> None:
        for name in self.hanging():
            self._cluster.restart(name)

    def change_leader(self) -> str | None:
        """Restart the leader: what was put back into the store is read by the next one.

        None when no process leads just now: nothing was restarted.
        """
        leader = self._sight.leader()
        if leader is not None:
            self._expect(leader, KILLED)
            self._cluster.restart(leader)
        return leader

    def _undo_all(self) -> list[HaworkError]:
        """Try each once; those that failed stay due."""
        failed = list[HaworkError]()
        due, self._due = self._due, []
        for each in sorted(due):
            try:
                self._undo(each)
            except HaworkError as error:
                failed.append(error)
                heapq.heappush(self._due, each)
        return failed

    def close(self) -> None:
        self._background.shutdown()

    # --- faults --------------------------------------------------------------------------
    def do(self, wish: Wish) -> Deed:
        """Do one fault, if there is something to do it to."""
        deed = Deed(wish.number, wish.kind.name, "", time.monotonic() - self._began)
        self.done.append(deed)
        self._ends.look()
        if wish.kind.needs in self._cannot:
            deed.why = "left out"
            return deed
        name = "partition" if wish.kind.name in _PARTITIONS else wish.kind.name.replace(" ", "_")
        act = getattr(self, f"_{name}")
        try:
            act(wish, deed)
        except HaworkError as error:  # it ended, or went, just before; or the store is away
            deed.target, deed.why = "", str(error)
        return deed

    def _kill(self, wish: Wish, deed: Deed) -> None:
        if name := self._process(wish, deed):
            self._expect(name, KILLED)
            self._cluster.kill(name)

    def _terminate(self, wish: Wish, deed: Deed) -> None:
        if name := self._process(wish, deed):
            self._expect(name, TERMINATED)
            self._leaving[name] = self._background.submit(self._cluster.terminate, name)

    def _restart(self, wish: Wish, deed: Deed) -> None:
        if name := self._process(wish, deed):
            self._expect(name, KILLED)
            self._cluster.restart(name)

    def _short_pause(self, wish: Wish, deed: Deed) -> None:
        if name := self._process(wish, deed):
            self._ends.pause(self._cluster.processes[name].pid)
            self._cluster.pause(name)
            self._later(wish, deed, lambda: self._wake(name))

    _long_pause = _short_pause

    def _wake(self, name: str) -> None:
        if self._cluster.processes[name].state == "paused":
            self._cluster.resume(name)

    def _block(self, wish: Wish, deed: Deed) -> None:
        """Nothing of ours ends it: that is what the watchdog is for, and only that."""
        name = self._process(wish, deed, role="jm", fit=self._can_be_blocked)
        if name and isinstance(self._cluster, OwnProcesses):
            pid = self._expect(name, KILLED)
            self._cluster.block(name)
            self._blocked[pid] = name

    def _can_be_blocked(self, pid: int) -> bool:
        return has_begun(pid) and pid not in self._blocked and pid not in self._refused

    def _kill_task(self, wish: Wish, deed: Deed) -> None:
        name = self._process(wish, deed, role="tm")
        if name and isinstance(self._cluster, OwnProcesses):
            self._cluster.kill_task(name)

    def _writes_fail(self, wish: Wish, deed: Deed) -> None:
        self._refuse(wish, deed, "writes")

    def _opens_fail(self, wish: Wish, deed: Deed) -> None:
        self._refuse(wish, deed, "opens")

    def _refuse(self, wish: Wish, deed: Deed, what: str) -> None:
        if name := self._process(wish, deed):
            pid = self._cluster.processes[name].pid
            self._refused.add(pid)
            if what == "opens":
                self._ends.refuse_files(pid)
            self._cluster.refuse(name, what)
            self._later(wish, deed, lambda: self._allow(name, pid))

    def _allow(self, name: str, pid: int) -> None:
        self._cluster.allow(name)
        self._ends.allow_files(pid)

    def _deleted_file(self, wish: Wish, deed: Deed) -> None:
        self._harm_file(wish, deed, self._cluster.delete_file)

    def _damaged_file(self, wish: Wish, deed: Deed) -> None:
        self._harm_file(wish, deed, self._cluster.damage_file)

    def _unreadable_file(self, wish: Wish, deed: Deed) -> None:
        self._harm_file(wish, deed, self._cluster.lock_file)

    def _harm_file(self, wish: Wish, deed: Deed, harm: Callable[[str], object]) -> None:
        storage = self._cluster.storage_directory()
        jobs = storage / cluster_directory(self._cluster.config) / JOBS
        files = [
            str(file.relative_to(storage))
            for file in files_below(jobs)
            if not file.name.startswith((".", "_")) and self._is_victim(str(file))
        ]
        if not files:
            return
        path = files[int(wish.choice * len(files))]
        self.harmed.update(_JOB.findall(path))
        harm(path)
        deed.target = path
        self.put_back.add(path)
        self._later(wish, deed, lambda: self._cluster.put_back(path))

    def _deleted_pointer(self, wish: Wish, deed: Deed) -> None:
        self._harm_pointer(wish, deed, self._pointers.delete)

    def _damaged_pointer(self, wish: Wish, deed: Deed) -> None:
        self._harm_pointer(wish, deed, lambda name: self._pointers.damage(name, wish.often))

    def _harm_pointer(self, wish: Wish, deed: Deed, harm: Callable[[str], object]) -> None:
        names = [each for each in self._pointers.names() if self._is_victim(each)]
        if not names:
            return
        name = names[int(wish.choice * len(names))]
        self.harmed.update(_JOB.findall(name))
        harm(name)
        deed.target = name
        self._later(
            wish, deed, lambda: self._pointers.put_back(name, ended=self._has_ended(name))
        )  # fmt: skip

    def _suspended_clock(self, wish: Wish, deed: Deed) -> None:
        self._move_clock(wish, deed, slept=_SLEPT[0] + wish.choice * _SLEPT[1])

    def _jumping_clock(self, wish: Wish, deed: Deed) -> None:
        self._move_clock(wish, deed, wall=(2 * wish.choice - 1) * _JUMP)

    def _move_clock(self, wish: Wish, deed: Deed, wall: float = 0.0, slept: float = 0.0) -> None:
        name = self._process(wish, deed)
        if name and isinstance(self._cluster, OwnProcesses):
            pid = self._cluster.processes[name].pid
            try:
                self._cluster.move_clock(name, wall, slept)
            finally:  # one whose clock cannot be moved is killed, and started with one that can
                if self._cluster.processes[name].pid != pid:
                    self._ends.expect(pid, KILLED)

    def _full_disk(self, wish: Wish, deed: Deed) -> None:
        self._fill(wish, deed, STORAGE)

    def _full_scratch(self, wish: Wish, deed: Deed) -> None:
        self._fill(wish, deed, SCRATCH)

    def _fill(self, wish: Wish, deed: Deed, disk: str) -> None:
        self._cluster.fill_disk(disk)
        deed.target = disk
        self._later(wish, deed, lambda: self._cluster.free_disk(disk))

    def _cleared_scratch(self, wish: Wish, deed: Deed) -> None:
        name = self._process(wish, deed, role="tm")
        if name and isinstance(self._cluster, OwnProcesses):
            self._cluster.clear_scratch(name)

    def _partition(self, wish: Wish, deed: Deed) -> None:
        if name := self._process(wish, deed, role="jm"):
            self._cluster.partition(name, _PARTITIONS[wish.kind.name])
            self._later(wish, deed, self._cluster.heal)

    def _expired_session(self, wish: Wish, deed: Deed) -> None:
        if name := self._process(wish, deed, role="jm"):
            self._cluster.expire_session(name)

    def _server_restart(self, wish: Wish, deed: Deed) -> None:
        self._outage(wish, deed, None, "kill")

    def _server_pause(self, wish: Wish, deed: Deed) -> None:
        self._outage(wish, deed, None, "pause")

    def _lost_member(self, wish: Wish, deed: Deed) -> None:
        server = "leader" if wish.often < _LEADER_SHARE else f"zk-{1 + int(wish.choice * 3)}"
        self._outage(wish, deed, server, "kill")

    def _outage(self, wish: Wish, deed: Deed, server: str | None, how: str) -> None:
        self._cluster.store_outage(server, how)
        deed.target = server or "the store"
        self._later(wish, deed, self._cluster.heal)

    def _revoked_right(self, wish: Wish, deed: Deed) -> None:
        verb = ("patch", "get", "watch", "create")[int(wish.choice * 4)]
        if name := self._process(wish, deed, role="jm"):
            self._ends.revoke(name, verb)
            self._cluster.revoke_right(name, verb)
            self._later(wish, deed, lambda: self._grant(name, verb))

    def _grant(self, name: str, verb: str) -> None:
        self._cluster.grant_right(name, verb)
        self._ends.grant(name, verb)

    def _outdated_watches(self, wish: Wish, deed: Deed) -> None:
        self._cluster.outdate_watches()
        deed.target = "the store"

    # --- within --------------------------------------------------------------------------
    def _process(
        self, wish: Wish, deed: Deed, role: str = "", fit: Callable[[int], bool] = lambda _: True
    ) -> str | None:
        """A running process: often the leader, and a TaskManager now and then."""
        states = self._cluster.processes
        running = sorted(
            name for name, state in states.items()
            if state.state == "running" and not self._is_leaving(name) and name.startswith(role)
            and fit(state.pid)
        )  # fmt: skip
        leader = self._sight.leader()
        if not running:
            return None
        name = running[int(wish.choice * len(running))]
        if role != "tm" and wish.often < _LEADER_SHARE and leader in running:
            name = leader or name
        deed.target, deed.leader = name, name == leader
        return name

    def _has_ended(self, name: str) -> bool:
        """Whether the job of an entry has a result."""
        results = local_path(job_result_url(self._cluster.config))
        (job_id,) = _JOB.findall(name)[:1]
        return results is not None and any(Path(results).glob(f"{job_id}*.json"))

    def _is_victim(self, name: str) -> bool:
        return any(job_id in name for job_id in self.victims())

    def _later(self, wish: Wish, deed: Deed, undo: Callable[[], object]) -> None:
        at = time.monotonic() + wish.lasts * self._lease
        heapq.heappush(self._due, _Due(at, next(self._turns), undo, deed))

    def _undo(self, due: _Due) -> None:
        due.undo()
        due.deed.undone = time.monotonic() - self._began

    def _expect(self, name: str, statuses: frozenset[int]) -> int:
        """The process id of one that may end so from now on."""
        pid = self._cluster.processes[name].pid
        self._ends.expect(pid, statuses)
        return pid

    def _is_leaving(self, name: str) -> bool:
        return name in self._leaving and not self._leaving[name].done()
