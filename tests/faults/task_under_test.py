"""A task process as its TaskManager holds it, step by step."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from hawork.job import Artifact

JOB_ID = "b" * 32

SOURCE = """
import os, sys, threading, time
from hawork.job import CsvSource, FileSink, Pipeline, SequenceSource

def sums(config):
    return (
        Pipeline("sums")
        .source(CsvSource(config["input"], config.get("rate")))
        .key_by("key")
        .aggregate(count=1, total=lambda row: float(row["value"]))
        .sink(FileSink(config["output"]))
    )

def numbers(config, function=lambda number: number):
    return (
        Pipeline("numbers")
        .source(SequenceSource(records_per_second=1000))
        .map(function)
        .sink(FileSink(config["output"]))
    )

def chatty(config):
    def talk(number):
        print("printed", number)
        os.write(1, b"written\\n")
        return [number, sys.stdin.read()]
    return numbers(config, talk)

def raising(config):
    return numbers(config, lambda number: {}["dep_delay"])

def exiting(config):
    return numbers(config, lambda number: sys.exit(3))

def dying(config):
    return numbers(config, lambda number: os._exit(3))

def hanging(config):
    def hang(number):
        while True:
            time.sleep(0.001)
    return numbers(config, hang)

def leaving_a_thread(config):
    threading.Thread(target=threading.Event().wait).start()
    return numbers(config)

def leaving_a_fork(config):
    if os.fork() == 0:
        with open(config["output"] + ".pid", "w") as file:
            file.write(str(os.getpid()))
        threading.Event().wait()
    return numbers(config, lambda number: os._exit(3))

def unserialisable(config):
    def keep(number, state):
        state["numbers"] = {number}
    return (
        Pipeline("unserialisable")
        .source(SequenceSource(records_per_second=1000))
        .key_by(lambda number: number)
        .process(keep)
        .sink(FileSink(config["output"]))
    )
"""


def deployment(directory: Path, entry_point: str, **more: Any) -> dict[str, Any]:
    """The command that starts a function of ``SOURCE``, its artifact packed into a file."""
    artifact = Artifact.pack({"task_jobs.py": SOURCE})
    path = directory / f"{artifact.sha256}.zip"
    path.write_bytes(artifact.data)
    return {
        "type": "deploy",
        "job_id": JOB_ID,
        "attempt": "a1",
        "index": 0,
        "parallelism": 1,
        "entry_point": f"task_jobs:{entry_point}",
        "config": {"output": str(directory / "out"), "input": str(directory / "in.csv")},
        "artifact": str(path),
        "sha256": artifact.sha256,
        "restore": None,
        "session_id": "11111111-2222-3333-4444-555555555555",
        "storage_url": f"file:{directory}/storage",
        "memory_threshold": 20 << 10,
        "artifact_max_size": 1 << 20,
        "run_directory": str(directory / "run"),
        "process": "tm-1",
        **more,
    }


class TaskUnderTest:
    """A started task process; ``expect`` reads its events. Use it as a context manager."""

    def __init__(self, directory: Path, entry_point: str, **more: Any) -> None:
        self.directory = directory
        self.output = directory / "out"
        self._errors = (directory / "task.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hawork.runtime.task_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        self.command(**deployment(directory, entry_point, **more))

    def __enter__(self) -> TaskUnderTest:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        self._errors.close()

    def command(self, type: str, **facts: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"type": type, **facts}).encode() + b"\n")
        self.process.stdin.flush()

    def expect(self, *types: str) -> dict[str, Any]:
        """The next event of one of these types; progress is passed over unless it is asked for."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event: dict[str, Any] = json.loads(line)
            if event["type"] in types:
                return event
            assert event["type"] in ("started", "progress", "running", "end_of_input"), event
        raise AssertionError(f"the task ended without {types}: {self.log()}")

    def checkpoint(self, checkpoint_id: int) -> dict[str, Any]:
        """Take a snapshot; its state as JSON."""
        self.command("checkpoint", checkpoint_id=checkpoint_id)
        state: dict[str, Any] = self.expect("snapshot")["state"]
        return state

    def notify(self, checkpoint_id: int) -> None:
        self.command("notify_complete", checkpoint_id=checkpoint_id)
        assert self.expect("committed")["checkpoint_id"] == checkpoint_id

    def stop(self, **facts: Any) -> int:
        """Stop it in order; the exit status."""
        self.command("stop", **facts)
        self.expect("stopped")
        return self.process.wait()

    def log(self) -> str:
        return (self.directory / "task.log").read_text()
