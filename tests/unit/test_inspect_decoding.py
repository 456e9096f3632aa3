"""Checkpoints that another process decodes: the same values, the same errors."""

from __future__ import annotations

import io
import json
import struct
import sys

import ha_cases
import pytest

from hawork.inspect import decoding
from hawork.inspect.checkpoint_json import checkpoint_from_json, checkpoint_to_json
from hawork.inspect.checkpoints import CompletedCheckpoint, decode_completed_checkpoint
from hawork.inspect.errors import UndecodableError
from hawork.inspect.storage import StoredFile
from tests.flink_vectors import vector

VECTORS = ("1.18.1", "1.19.3", "1.20.5", "2.1.1")
FILES = {
    **{f"{each}.completedCheckpoint": vector(f"{each}.completedCheckpoint") for each in VECTORS},
    **{name: content for name, (content, _) in ha_cases.base_files("zk120").items()
       if "/completedCheckpoint" in name},
    "broken": b"\xac\xed\x00\x05\x70",
    "cut off": vector("1.20.5.completedCheckpoint")[:-1],
    "empty": b"",
}  # fmt: skip
LISTING = [StoredFile(name, len(content)) for name, content in FILES.items()]


def decoded(name: str) -> tuple[CompletedCheckpoint, list[frozenset[str]]] | str:
    """With what the comparison of operators leaves out; or the error."""
    try:
        checkpoint = decode_completed_checkpoint(FILES[name])
    except UndecodableError as error:
        return str(error)
    return checkpoint, [each.keyed for each in checkpoint.operators]


@pytest.mark.parametrize("name", [name for name in FILES if not isinstance(decoded(name), str)])
def test_a_checkpoint_comes_back_from_json_as_it_was(name: str) -> None:
    checkpoint = decode_completed_checkpoint(FILES[name])
    back = checkpoint_from_json(json.loads(json.dumps(checkpoint_to_json(checkpoint))))
    assert (back, [each.keyed for each in back.operators]) == decoded(name)


def framed(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def test_a_process_answers_one_list_for_each_that_it_is_given() -> None:
    """``null`` for what cannot be decoded; half a request is the end."""
    whole = vector("2.1.1.completedCheckpoint")
    asked = [framed(struct.pack(">I", len(each))) + b"".join(map(framed, each))
             for each in ([whole, b"not Java"], [], [whole])]  # fmt: skip
    answers = io.BytesIO()
    decoding.serve(io.BytesIO(b"".join(asked)[:-1]), answers)
    right = checkpoint_to_json(decode_completed_checkpoint(whole))
    wanted = framed(json.dumps([right, None]).encode()) + framed(b"[]")
    assert answers.getvalue() == wanted


class Helper:
    """As ``decoding._Helper``, at once; gives no answer any more after ``answers`` chunks."""

    def __init__(self, answers: int) -> None:
        self.left = answers
        self.decoded: list[str] = []

    has_room = True

    def wait(self, chunk: decoding._Chunk) -> None:
        assert chunk.done.is_set()

    def give(self, chunk: decoding._Chunk, contents: list[bytes]) -> None:
        if self.left > 0:
            self.left -= 1
            self.decoded += [each.name for each in chunk.files]
            said = io.BytesIO()
            request = framed(struct.pack(">I", len(contents))) + b"".join(map(framed, contents))
            decoding.serve(io.BytesIO(request), said)
            chunk.answer = said.getvalue()[4:]
        chunk.done.set()


@pytest.mark.parametrize("answers", [0, 1, 100])
@pytest.mark.parametrize("backwards", [False, True])
def test_with_helpers_everything_is_as_without(
    answers: int, backwards: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "_CHUNK", 2)
    gone = StoredFile("gone", 1)

    def read(file: StoredFile) -> bytes:
        if file.name == "gone":
            raise FileNotFoundError("gone")
        return FILES[file.name]

    helper = Helper(answers)
    files = [*LISTING, gone, *LISTING[:3]]  # three pointers lead to files that others lead to
    shared = decoding._Shared(read, files, [helper])
    for file in reversed(files) if backwards else files:
        if file is gone:
            with pytest.raises(FileNotFoundError):
                shared.checkpoint(file)
            continue
        try:
            checkpoint = shared.checkpoint(file)
        except UndecodableError as error:
            assert str(error) == decoded(file.name)
        else:
            keyed = [each.keyed for each in checkpoint.operators]
            assert (checkpoint, keyed) == decoded(file.name)
    assert bool(helper.decoded) == (answers > 0)


def test_a_helper_is_asked_for_what_is_wanted_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_CHUNK", 1)
    helper = Helper(1)
    shared = decoding._Shared(lambda file: FILES[file.name], LISTING[:4], [helper])
    shared.checkpoint(LISTING[0])
    assert helper.decoded == [LISTING[3].name]


@pytest.mark.parametrize(
    "does",
    [
        "time.sleep(600)",  # as one that is stopped, or waits for a disk that is gone
        "print('hello from sitecustomize', flush=True); time.sleep(600)",  # no length of ours
        "print('hello from sitecustomize', flush=True)",
        "sys.stdout.buffer.write(bytes([0, 0, 0, 3]) + b'[1]')",  # not an answer to two files
        "sys.stdout.buffer.write(bytes([0, 0, 0, 2]) + b'[}')",
        "sys.exit(1)",
    ],
)
def test_a_process_that_gives_no_answer_is_given_up(
    does: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what it was given is decoded here: nothing goes without a look."""
    command = [sys.executable, "-c", f"import sys, time; {does}"]
    monkeypatch.setattr(decoding, "module_command", lambda _: command)
    monkeypatch.setattr(decoding, "PATIENCE", 0.3)
    monkeypatch.setattr(decoding, "_CHUNK", 2)
    with decoding._Helper() as helper:
        shared = decoding._Shared(lambda file: FILES[file.name], LISTING, [helper])
        for file in reversed(LISTING):  # the helper has the last ones
            try:
                found = shared.checkpoint(file)
            except UndecodableError as error:
                assert str(error) == decoded(file.name)
            else:
                assert (found, [each.keyed for each in found.operators]) == decoded(file.name)
        process = helper._process
    assert process.returncode is not None


def test_few_checkpoints_start_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def started() -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(decoding, "_Helper", started)
    with decoding.decoding(lambda file: FILES[file.name], LISTING) as decoder:
        name = "2.1.1.completedCheckpoint"
        found = decoder.checkpoint(StoredFile(name, len(FILES[name])))
    assert found == decode_completed_checkpoint(FILES[name])
