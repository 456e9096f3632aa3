"""A drill: faults upon a cluster under load, then healing, then judgement."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hawork.core import options
from hawork.core.errors import HaworkError
from hawork.lab.nemesis.cluster import Breakable, LoadJob, Sight, Store
from hawork.lab.nemesis.deeds import Deed, Deeds
from hawork.lab.nemesis.history import history_of
from hawork.lab.nemesis.judge import (
    DIED,
    HANGS,
    STALE,
    Breach,
    LeaderWatch,
    StoreWatch,
    judge_jobs,
    judge_leftovers,
    judge_others,
    wait_for_leader,
)
from hawork.lab.nemesis.load import Load, LoadKinds, LoadSpec
from hawork.lab.nemesis.means import watchdog_seconds, what_cannot_be_done
from hawork.lab.nemesis.plan import KINDS, Seed, check_length, seed_of, wishes
from hawork.lab.nemesis.pointers import Pointers

ROUND = 12
"""Faults between two looks whether a leader comes back once everything is healed."""
_TOP_UP = 0.2


@dataclass(frozen=True, repr=False)
class DrillReport:
    """What was done to a cluster, and which promises were broken."""

    seed: str
    ha: str
    faults: tuple[Deed, ...]
    breaches: tuple[Breach, ...]
    left_out: Mapping[str, str]
    """Kinds of faults that this machine or cluster cannot do, and why."""
    jobs: int
    leaders: int
    writes: int
    seconds: float
    addresses: frozenset[tuple[str, int]] = frozenset()
    """Where the leaders listened."""

    @property
    def valid(self) -> bool:
        """Whether every promise was kept."""
        return not self.breaches

    @property
    def done(self) -> tuple[Deed, ...]:
        """The faults that met something."""
        return tuple(each for each in self.faults if each.target)

    def counts(self) -> dict[str, int]:
        """How often each kind of fault was done."""
        return dict(Counter(each.kind for each in self.done))

    def to_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed, "ha": self.ha, "valid": self.valid, "faults": self.counts(),
            "done": [each.number for each in self.done],
            "breaches": [{"promise": each.promise, "what": each.what} for each in self.breaches],
            "left_out": dict(self.left_out), "jobs": self.jobs, "leaders": self.leaders,
            "writes": self.writes, "seconds": round(self.seconds, 1),
        }  # fmt: skip

    def __repr__(self) -> str:
        kinds = ", ".join(f"{count} x {kind}" for kind, count in sorted(self.counts().items()))
        lines = [
            f"{'Every promise was kept' if self.valid else 'PROMISES WERE BROKEN'}: seed "
            f"{self.seed}, {self.ha}, {len(self.done)} faults in {self.seconds:.0f} s, "
            f"{self.jobs} jobs, {self.leaders} leaders, {self.writes} pointer writes.",
            f"  {kinds or 'no fault'}",
            *(f"  left out: {kind}, {why}" for kind, why in self.left_out.items()),
            *(f"  {breach}" for breach in self.breaches),
        ]
        if not self.valid:
            lines += [f"    {deed}" for deed in self.done]
        return "\n".join(lines)


class Drill:
    """One drill upon one running cluster; heals what it broke, however it ends."""

    def __init__(
        self,
        cluster: Breakable,
        store: Store,
        submit: Callable[[LoadSpec], LoadJob],
        kinds: LoadKinds = LoadKinds(),  # noqa: B008 - frozen
        *,
        seed: int | str | Seed | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._seed = seed_of(seed)
        self._cluster = cluster
        self._ha = str(cluster.config.get_option(options.HA_TYPE))
        self._tell = tell
        self.left_out = what_cannot_be_done(cluster, store)
        self._lease = _lease(cluster)
        self._watchdog = watchdog_seconds(cluster)
        self.sight = Sight(cluster)
        self._deeds = Deeds(
            cluster, self.sight, Pointers(cluster.config), self._lease,
            {KINDS[kind].needs for kind in self.left_out},
            random.Random(self._seed.number),
        )  # fmt: skip
        self._watch, self._store_watch = LeaderWatch(cluster), StoreWatch(cluster, store)
        self._history = history_of(cluster, store)
        self._others = {
            each.job_id for each in cluster.client.jobs() if not each.status.globally_terminal
        }
        self._submit = submit
        self._kinds = kinds
        self._breaches: list[Breach] = []

    def run(
        self,
        *,
        minutes: float | None = None,
        faults: int | None = None,
        only: Collection[int] | None = None,
    ) -> DrillReport:
        """Faults for so long, or so many; of these, ``only`` those with such a number.

        ``LabError`` for a length or a number that is none.
        """
        check_length(minutes, faults)
        began = time.monotonic()
        end = None if minutes is None else began + minutes * 60
        with tempfile.TemporaryDirectory(
            prefix="hawork-drill-", ignore_cleanup_errors=True
        ) as output:
            load = Load(
                self._submit, Path(output), random.Random(f"load {self._seed.number}"), self._kinds
            )
            self._deeds.victims = load.victims
            self._watch.start()
            self._store_watch.start()
            try:
                with _ToppedUp(load):
                    try:
                        self._rage(end, faults, only)
                        self._calm_down(last=True)
                        self._expect_end_of_what_hangs()
                        if self._deeds.harmed:
                            self._change_leader()
                            self._calm_down()
                    except BaseException:
                        self._mend()  # before the load is waited for, which waits for a leader
                        raise
                self._breaches += judge_jobs(
                    self._cluster, load.jobs, self._deeds.harmed, self._kinds.ends_within
                )
                self._breaches += judge_others(self._cluster, self._others)
                self._breaches += judge_leftovers(
                    self._cluster, load.jobs, self._deeds.put_back, alone=not self._others
                )
                self._breaches += self._store_watch.stop()
                writes, stale = self._history.judge(self._deeds.harmed)
                self._breaches += [Breach(STALE, each) for each in stale]
                self._breaches += self._watch.stop()
                died = self._deeds.ended_by_itself
                self._breaches += [Breach(DIED, each) for each in died]
            finally:
                self._mend()
        return DrillReport(
            str(self._seed), self._ha,
            tuple(self._deeds.done), tuple(self._breaches), self.left_out,
            len(load.jobs), len(self._watch.sessions), writes, time.monotonic() - began,
            frozenset(self.sight.addresses),
        )  # fmt: skip

    def _rage(self, end: float | None, faults: int | None, only: Collection[int] | None) -> None:
        for wish in wishes(self._seed, self._ha, self._kinds.pause):
            if faults is not None and wish.number > faults:
                return
            if end is not None and time.monotonic() >= end:
                return
            if only is not None and wish.number > max(only, default=0):
                return
            if only is not None and wish.number not in only:
                continue
            self._deeds.live_on(wish.pause)
            self._tell(str(self._deeds.do(wish)))
            if wish.number % ROUND == 0:
                self._calm_down()

    def _calm_down(self, *, last: bool = False) -> None:
        """A leader must be there while the data of jobs is still harmed, and afterwards."""
        if last:
            self._deeds.live_out(harmed=False)
        self._deeds.heal(harmed=False)
        self._expect_leader()
        if last:
            self._deeds.live_out()
        self._deeds.heal()
        self._expect_leader()

    def _expect_end_of_what_hangs(self) -> None:
        """The watchdog has to end it, and whatever watches takes part by now."""
        end = time.monotonic() + self._watchdog + self._kinds.leads_within
        while self._deeds.hanging() and time.monotonic() < end:
            self._deeds.live_on(0.1)
        self._breaches += [Breach(HANGS, name) for name in self._deeds.hanging()]

    def _expect_leader(self) -> None:
        within = 3 * self._lease + self._kinds.leads_within
        if self._deeds.hanging():
            within += self._watchdog

        # A client waits for a leader as long as its patience lasts; what a watchdog ends meanwhile
        # is started again all the same, else none would ever lead.
        with ThreadPoolExecutor(1, "nemesis-asks") as asking:
            asked = asking.submit(self.sight.answers)

            def answers() -> str | None:
                nonlocal asked
                self._deeds.start_what_is_down(time.monotonic())
                if not asked.done():
                    return None
                found = asked.result()
                if found is None:
                    asked = asking.submit(self.sight.answers)
                return found

            breach = wait_for_leader(answers, within)
        if breach is not None:
            self._breaches.append(breach)

    def _change_leader(self) -> None:
        """Else what was put back while the last leader took over would seem lost."""
        breach = wait_for_leader(
            self._deeds.change_leader, 3 * self._lease + self._kinds.leads_within
        )
        if breach is not None:
            self._breaches.append(breach)

    def _mend(self) -> None:
        """Also when it was interrupted: nothing stays broken, and nothing of ours in the store."""
        deeds = self._deeds
        for act in (
            deeds.heal, deeds.end_what_hangs, deeds.close, self._history.close, self._watch.end,
            self._store_watch.end,
        ):  # fmt: skip
            try:
                act()
            except HaworkError as error:
                self._tell(f"not healed: {error}")


class _ToppedUp:
    """A thread that keeps the load up; asking a leader for its jobs may wait for one."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nemesis-load", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.is_set():
            self._load.top_up()
            self._done.wait(_TOP_UP)


def _lease(cluster: Breakable) -> float:
    """How long a leadership outlives the last word of its process, in seconds."""
    kind = cluster.config.get_option(options.HA_TYPE)
    option = {
        "zookeeper": options.ZK_SESSION_TIMEOUT, "kubernetes": options.K8S_LEASE_DURATION,
    }.get(str(kind), options.EMBEDDED_LEASE_DURATION)  # fmt: skip
    return float(cluster.config.get_option(option))
