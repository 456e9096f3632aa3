"""Jobs under the faults: submitted over REST, known by their acknowledgement and output alone."""

from __future__ import annotations

import contextlib
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hawork.core.errors import HaworkError, JobNotFoundError
from hawork.core.jobs import JobStatus
from hawork.lab.nemesis.cluster import LoadJob
from hawork.lab.nemesis.jobs import KEYS

JOBS = Path(__file__).with_name("jobs.py")


@dataclass(frozen=True, slots=True)
class LoadKinds:
    """Of what a load is made, and what is expected of its cluster on a busy machine."""

    functions: tuple[str, ...] = ("numbers", "sums")
    ends: tuple[int, ...] = (0, 1, 300, 2000, 4000)
    at_once: int = 3
    pause: float = 0.4
    """Seconds between two faults, on average."""
    leads_within: float = 15.0
    """Seconds, besides three lease durations, until a leader answers: processes have to start."""
    ends_within: float = 60.0
    """Seconds for all open jobs to end once everything is healed: the longest takes four."""


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """What a job of the load is to do: ``function`` is one of ``jobs.py``."""

    function: str
    end: int
    rate: int
    parallelism: int
    interval: str
    output: Path


@dataclass
class LoadedJob:
    """A job, what was asked of it, and what is known of it."""

    job: LoadJob
    spec: LoadSpec
    status: JobStatus | None = None
    failure: str | None = None

    @property
    def end(self) -> int:
        return self.spec.end

    @property
    def output(self) -> Path:
        return self.spec.output

    @property
    def job_id(self) -> str:
        return str(self.job.job_id)

    def __str__(self) -> str:
        return f"job {self.job_id[:8]} ({self.spec.function} to {self.end})"

    def look(self) -> JobStatus | None:
        """Its status as the leader says it; ``None`` when the leader does not know it."""
        if self.status is not None and self.status.globally_terminal:
            return self.status
        try:
            details = self.job.details
        except JobNotFoundError:
            self.status, self.failure = None, "the leader does not know it"
            return None
        self.status, self.failure = details.status, details.failure
        return self.status

    def records(self) -> list[Any]:
        """What the job has committed: lines of JSON in files whose names are no longer hidden."""
        return [
            json.loads(line)
            for part in sorted(self.output.glob("part-*"))
            for line in part.read_text(encoding="utf-8").splitlines()
        ]

    def exact(self) -> str | None:
        """``None`` when the output is that of one undisturbed run; else how it differs."""
        if self.spec.function == "numbers":
            return self._numbers(whole=True)
        found = sorted((int(r["key"]), int(r["count"]), int(r["total"])) for r in self.records())
        expected = [
            (key, len(range(key, self.end, KEYS)), sum(range(key, self.end, KEYS)))
            for key in range(min(KEYS, self.end))
        ]
        return None if found == expected else f"found {found}, expected {expected}"

    def never_twice(self) -> str | None:
        """``None`` when nothing came out twice; else what did."""
        if self.spec.function == "numbers":
            return self._numbers(whole=False)
        keys = Counter(int(record["key"]) for record in self.records())
        twice = [key for key, times in keys.items() if times > 1]
        return f"keys {twice} came out more than once" if twice else None

    def _numbers(self, *, whole: bool) -> str | None:
        found = Counter(int(record["number"]) for record in self.records())
        twice = sorted(number for number, times in found.items() if times > 1)
        missing = sorted(set(range(self.end)) - found.keys()) if whole else []
        foreign = sorted(found.keys() - set(range(self.end)))
        wrong = (("twice", twice), ("missing", missing), ("foreign", foreign))
        told = [f"{len(each)} {word}, from {each[0]} to {each[-1]}" for word, each in wrong if each]
        return "; ".join(told) or None


class Load:
    """Keeps some jobs of random kinds, sizes and speeds in a cluster."""

    def __init__(
        self, submit: Callable[[LoadSpec], LoadJob], directory: Path, source: random.Random,
        kinds: LoadKinds,
    ) -> None:  # fmt: skip
        self.jobs: list[LoadedJob] = []
        self._submit = submit
        self._directory = directory
        self._random = source
        self._kinds = kinds

    def top_up(self) -> None:
        """Submit jobs until enough of them are open."""
        for _ in range(self._kinds.at_once - sum(1 for _ in self.open())):
            self._submit_one()

    def victims(self) -> set[str]:
        """The jobs whose own data may be harmed: every third, so that the others tell of it."""
        return {each.job_id for each in self.jobs[::3]}

    def open(self) -> Iterator[LoadedJob]:
        """The jobs that are not known to have ended; asks the leader, and waits for none."""
        for each in self.jobs:
            if each.job.accepted is False:
                continue
            if each.job.accepted:
                with contextlib.suppress(HaworkError):
                    each.look()
            if each.status is None or not each.status.globally_terminal:
                yield each

    def _submit_one(self) -> None:
        spec = LoadSpec(
            function=self._random.choice(self._kinds.functions),
            end=self._random.choice(self._kinds.ends),
            rate=self._random.choice((1000, 2000, 6000)),
            parallelism=self._random.choice((1, 2)),
            interval=f"{self._random.choice((50, 100, 300))} ms",
            output=self._directory / f"output-{len(self.jobs) + 1}",
        )
        self.jobs.append(LoadedJob(self._submit(spec), spec))
