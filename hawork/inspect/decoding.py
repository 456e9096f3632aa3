"""Checkpoints decoded by several processes, where there are thousands and cores for them.

Decoding is most of what a large look costs, and Python does it on one core. The processes of this
module are given bytes, send JSON, know no store and open no file. Whatever does not come from one,
for whatever reason, is decoded here: they make a look shorter, never another one. So no checkpoint
goes without a look on their account, and one that gives no answer is waited for ``PATIENCE``.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, BinaryIO, Final

from hawork.core.errors import HaworkError
from hawork.core.library_path import module_command
from hawork.inspect.checkpoint_json import checkpoint_from_json, checkpoint_to_json
from hawork.inspect.checkpoints import CompletedCheckpoint, decode_completed_checkpoint
from hawork.inspect.storage import StoredFile

__all__ = ["Decoding", "decoding", "serve"]

FEWEST: Final = 2000
"""Checkpoints from which on another process is worth its start, a fifth of a second."""
MOST_PROCESSES: Final = 3
LARGEST: Final = 256 << 10
"""Bytes of a file that is sent; larger ones are few, and wait for nothing."""
PATIENCE: Final = 30.0
"""Seconds without any answer after which a process is given up. A chunk takes it a few at most; the
limits of the decoder hold there as they do here."""
_END: Final = 5.0
"""Seconds to wait for the end of a process that was killed."""
_LONGEST: Final = 64 << 20
"""Bytes of an answer. What is longer is not one: something else writes to that process's output."""
_CHUNK: Final = 64
_AHEAD: Final = 3
"""Chunks that wait at a process, so that it does not."""
_LENGTH: Final = struct.Struct(">I")

Read = Callable[[StoredFile], bytes]


class Decoding:
    """Checkpoints by their files, decoded here when they are asked for."""

    def __init__(self, read: Read) -> None:
        self.read = read

    def checkpoint(self, file: StoredFile) -> CompletedCheckpoint:
        """``UndecodableError`` as ``decode_completed_checkpoint``, or what ``read`` raises."""
        return decode_completed_checkpoint(self.read(file))


@contextlib.contextmanager
def decoding(read: Read, files: Sequence[StoredFile]) -> Iterator[Decoding]:
    """What decodes these files, which are asked for in about this order.

    Starts processes where they pay, and has ended them at the end.
    """
    small = [file for file in files if file.size <= LARGEST]
    count = min(_processors() - 1, MOST_PROCESSES)
    if len(small) < FEWEST or count < 1 or not sys.executable:
        yield Decoding(read)
        return
    with contextlib.ExitStack() as stack:
        helpers = []
        with contextlib.suppress(OSError):  # no Python to start, or no room for another process
            for _ in range(count):
                helpers.append(stack.enter_context(_Helper()))
        yield _Shared(read, small, helpers)


def _processors() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Chunk:
    """Some files: not begun, with a helper, or done."""

    def __init__(self, files: Sequence[StoredFile]) -> None:
        self.files = files
        self.helper: _Helper | None = None
        self.done = threading.Event()
        self.answer: bytes = b""

    def results(self) -> dict[str, Any]:
        """By name, once it is done; without those that the helper could not decode."""
        try:
            found = json.loads(self.answer) if self.answer else []
        except (ValueError, RecursionError):
            return {}
        if not isinstance(found, list) or len(found) != len(self.files):
            return {}
        pairs = zip(self.files, found, strict=True)
        return {file.name: sent for file, sent in pairs if sent is not None}


class _Shared(Decoding):
    """The helpers take from the end what is asked for last; the rest is decoded here meanwhile."""

    def __init__(self, read: Read, files: Sequence[StoredFile], helpers: list[_Helper]) -> None:
        super().__init__(read)
        chunks = [_Chunk(files[at : at + _CHUNK]) for at in range(0, len(files), _CHUNK)]
        self._chunk_of = {file.name: chunk for chunk in chunks for file in chunk.files}
        self._waiting = deque(chunks)
        self._helpers = helpers
        self._results: dict[str, Any] = {}
        self._opened: _Chunk | None = None

    def checkpoint(self, file: StoredFile) -> CompletedCheckpoint:
        chunk = self._chunk_of.get(file.name)
        if chunk is not None and chunk is not self._opened:
            self._open(chunk)
        sent = self._results.get(file.name)
        return super().checkpoint(file) if sent is None else checkpoint_from_json(sent)

    def _open(self, chunk: _Chunk) -> None:
        self._opened, self._results = chunk, {}
        if chunk.helper is None:
            with contextlib.suppress(ValueError):  # asked for before, in another order
                self._waiting.remove(chunk)
        self._hand_out()
        if chunk.helper is not None:
            chunk.helper.wait(chunk)
            self._results = chunk.results()
            chunk.answer = b""

    def _hand_out(self) -> None:
        """Keep the helpers busy. Only this thread reads files: a tar is read by one at a time."""
        for helper in self._helpers:
            while self._waiting and helper.has_room:
                chunk = self._waiting.pop()
                try:
                    contents = [self.read(file) for file in chunk.files]
                except (OSError, HaworkError):
                    continue  # told of when this file is asked for
                chunk.helper = helper
                helper.give(chunk, contents)


class _Helper:
    """Another process, and the thread that talks to it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            module_command("hawork.inspect.decoding_process"), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._given: queue.Queue[tuple[_Chunk, list[bytes]] | None] = queue.Queue()
        self._answers = True
        self._answered = 0
        self._thread = threading.Thread(target=self._talk, name="decoding", daemon=True)

    def __enter__(self) -> _Helper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._given.put(None)
        self._process.kill()
        self._thread.join(_END)
        with contextlib.suppress(subprocess.TimeoutExpired):  # the system ends it when it can
            self._process.wait(_END)

    @property
    def has_room(self) -> bool:
        return self._answers and self._given.qsize() < _AHEAD

    def give(self, chunk: _Chunk, contents: list[bytes]) -> None:
        self._given.put((chunk, contents))

    def wait(self, chunk: _Chunk) -> None:
        """Until the chunk is done, or this process has given no answer for ``PATIENCE``: then it is
        ended, and whatever it was given counts as done, without an answer.
        """
        answered = self._answered
        while self._answers and not chunk.done.wait(PATIENCE):
            if self._answered == answered:
                self._answers = False
                self._process.kill()
                return
            answered = self._answered

    def _talk(self) -> None:
        """Everything that was given is done in the end, whatever becomes of the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._process.stdout as said, self._process.stdin as asked:
            while (given := self._given.get()) is not None:
                chunk, contents = given
                if self._answers:
                    try:
                        for each in (_LENGTH.pack(len(contents)), *contents):
                            asked.write(_LENGTH.pack(len(each)) + each)
                        asked.flush()
                        chunk.answer = _message(said, _LONGEST)
                        self._answered += 1
                    except (OSError, EOFError):
                        self._answers = False
                chunk.done.set()
            with contextlib.suppress(OSError):
                asked.close()


def _message(stream: IO[bytes], longest: int = 1 << 32) -> bytes:
    """One message; ``EOFError`` when there is none, half of one, or one that is too long."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    if length > longest:
        raise EOFError
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data


def serve(asked: BinaryIO, answers: BinaryIO) -> None:
    """Decode what comes until nothing does. What cannot be decoded is ``null``."""
    while True:
        try:
            (count,) = _LENGTH.unpack(_message(asked))
            found = [_decoded(_message(asked)) for _ in range(count)]
        except EOFError:
            return
        data = json.dumps(found).encode()
        answers.write(_LENGTH.pack(len(data)) + data)
        answers.flush()


def _decoded(data: bytes) -> list[Any] | None:
    try:
        return checkpoint_to_json(decode_completed_checkpoint(data))
    except HaworkError:
        return None  # the asking process finds out why
