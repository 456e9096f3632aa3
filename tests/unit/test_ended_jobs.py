"""Jobs that ended are remembered for hours, and a submission that is repeated runs once."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from hawork.core.configuration import Configuration
from hawork.core.errors import (
    CorruptStateError,
    DuplicateJobSubmissionError,
    LeadershipLostError,
    StoreUnavailableError,
)
from hawork.core.jobs import JobGraph
from hawork.core.types import JobID, StateHandle
from hawork.ha.cleanup import JobCleanup
from hawork.ha.ended_jobs import EndedJobs
from hawork.ha.job_result_json import encode_job_result
from hawork.ha.local_storage import LocalStateStorage
from hawork.ha.state_storage import StateStorage
from hawork.ha.storage import open_storage
from hawork.job.artifact import pack_artifact
from hawork.runtime.dispatcher import Dispatcher
from hawork.runtime.submission import graph_of_request
from hawork.testing import InMemoryStorage, ManualClock
from tests.unit.stores_setup import JOB, OTHER_JOB, World, graph, result

HOUR = 3600.0
REMEMBER = {"hawork.job-result-store.expiration-time": "6 h"}
CLEANUP_STEPS = (
    "cleanup.checkpoints_removed",
    "cleanup.pointer_removed",
    "cleanup.artifacts_removed",
    "result.clean",
)
PAYLOAD = encode_job_result(result())


def submission(name: str = "flights", submitted_at: int = 1, sha256: str = "x") -> JobGraph:
    artifact = StateHandle("", 1, sha256)
    return replace(graph(name=name), artifact=artifact, submitted_at=submitted_at)


def stored() -> JobGraph:
    return replace(submission(), artifact=StateHandle(f"jobs/{JOB}/blob/x", 1, "x"))


def storage_of(kind: str, directory: Path) -> StateStorage:
    if kind == "memory":
        return InMemoryStorage()
    if kind == "local":
        return LocalStateStorage(directory)
    return open_storage(f"memory://{directory.name}")


@pytest.mark.parametrize("kind", ["memory", "local", "fsspec"])
def test_remembered_for_as_long_as_it_was_asked_for(tmp_path: Path, kind: str) -> None:
    storage = storage_of(kind, tmp_path)
    clock = ManualClock(wall=1000 * HOUR + 3599)
    ended = EndedJobs(storage, 2 * HOUR, clock)
    ended.add(JOB, PAYLOAD, "digest")
    ended.add(JOB, PAYLOAD, None)
    clock.advance(HOUR)
    again = EndedJobs(storage, 2 * HOUR, clock)
    again.add(OTHER_JOB, PAYLOAD, None)
    assert JOB in again and OTHER_JOB in again
    assert (again.submission(JOB), again.submission(OTHER_JOB)) == ("digest", None)
    assert again.result(JOB) == result()
    clock.advance(HOUR)
    again.sweep()
    assert JOB in again, "known for one hour only"
    ended.sweep()
    assert JOB not in ended
    assert JOB not in EndedJobs(storage, 2 * HOUR, clock)
    clock.advance(HOUR)
    again.sweep()
    assert JOB not in again and OTHER_JOB not in again
    assert not storage.list("ended")


@pytest.mark.parametrize("ahead", [8, -8])
def test_a_leader_whose_wall_clock_is_hours_off_remembers_what_the_last_one_did(ahead: int) -> None:
    """A host with another idea of its time zone, or whose clock jumps: the job ran twice."""
    storage, clock = InMemoryStorage(), ManualClock(wall=1000 * HOUR)
    EndedJobs(storage, 6 * HOUR, clock).add(JOB, PAYLOAD, "digest")
    elsewhere = ManualClock(wall=(1000 + ahead) * HOUR)
    after_it = EndedJobs(storage, 6 * HOUR, elsewhere)
    after_it.add(OTHER_JOB, PAYLOAD, None)
    assert JOB in after_it
    back = EndedJobs(storage, 6 * HOUR, clock)
    back.sweep()
    assert JOB in back and OTHER_JOB in back
    elsewhere.advance(6 * HOUR)
    after_it.sweep()
    assert not storage.files


def test_what_ended_weeks_ago_is_forgotten_by_a_leader_that_has_led_for_an_hour() -> None:
    storage = InMemoryStorage()
    storage.files[f"ended/7/{JOB}.json"] = PAYLOAD
    clock = ManualClock()
    ended = EndedJobs(storage, 6 * HOUR, clock)
    ended.sweep()
    assert JOB in ended
    clock.advance(HOUR)
    ended.sweep()
    assert JOB not in ended and not storage.files


def test_nothing_is_remembered_where_that_is_switched_off() -> None:
    storage = InMemoryStorage()
    EndedJobs(storage, 0.0, ManualClock()).add(JOB, PAYLOAD, "digest")
    assert storage.files == {}


@pytest.mark.parametrize(
    "path",
    [
        "ended/x/NAME",
        f"ended/{'9' * 5000}/NAME",
        "ended/07/NAME",
        "ended/-7/NAME",
        "ended/7/copy of NAME",
        "ended/\u0667/NAME",
    ],
)
def test_foreign_names_are_left_alone(path: str) -> None:
    storage = InMemoryStorage()
    storage.files[path.replace("NAME", f"{JOB}.json")] = b"{}"
    ended = EndedJobs(storage, HOUR, ManualClock(wall=1000 * HOUR))
    assert JOB not in ended
    ended.sweep()
    assert len(storage.files) == 1


@pytest.mark.parametrize(
    "content", [b"", b"[", b"7", b"{}", b"[" * 100_000, b'{"submission": 7}', b"\xff"]
)
def test_damaged_content_still_says_that_the_job_has_ended(content: bytes) -> None:
    storage = InMemoryStorage()
    storage.files[f"ended/7/{JOB}.json"] = content
    ended = EndedJobs(storage, HOUR, ManualClock())
    assert JOB in ended and ended.submission(JOB) is None
    with pytest.raises(CorruptStateError):
        ended.result(JOB)


def play(world: World, again: JobGraph, **values: str) -> tuple[str, int]:
    """Submit to the next leader; what it answered, and how many jobs run then."""

    async def story() -> tuple[str, int]:
        with ThreadPoolExecutor(2) as io:
            dispatcher = Dispatcher(world.term(io, **{**REMEMBER, **values}))
            try:
                await dispatcher.recover()
                try:
                    answer: str = await dispatcher.submit(again, b"zip")
                except DuplicateJobSubmissionError as error:
                    answer = str(error)
                assert (await dispatcher.details(JOB)).status.value == "FINISHED"
                return answer, sum(not job.status.globally_terminal for job in dispatcher.jobs())
            finally:
                await dispatcher.close()

    return asyncio.run(story())


def ended_job(delete_on_commit: str = "true", until: str | None = None) -> World:
    """A job that has ended, and whose leader died in its cleanup, or after it."""
    world = World()
    stores = world.lead(**REMEMBER, **{"job-result-store.delete-on-commit": delete_on_commit})
    stores.job_graphs.put(stored())
    stores.job_results.create_dirty(result())

    def die() -> None:
        raise KeyboardInterrupt

    if until is not None:
        world.steps.hooks[until] = die
        with pytest.raises(KeyboardInterrupt):
            stores.cleanup.run(result())
        del world.steps.hooks[until]
    else:
        stores.cleanup.run(result())
    return world


@pytest.mark.parametrize("delete_on_commit", ["true", "false"])
@pytest.mark.parametrize("until", [None, *CLEANUP_STEPS])
def test_a_submission_that_is_repeated_after_the_jobs_end_runs_once(
    until: str | None, delete_on_commit: str
) -> None:
    """The client got no answer, and its job was short: it ran twice."""
    values = {"job-result-store.delete-on-commit": delete_on_commit}
    world = ended_job(delete_on_commit, until)
    assert play(world, submission(submitted_at=2), **values) == (JOB, 0)
    refusal = f"job {JOB} has ended before: submit it under another job id"
    assert play(world, submission(name="another"), **values) == (refusal, 0)
    assert play(world, submission(sha256="y"), **values) == (refusal, 0)


@pytest.mark.parametrize("ended", [True, False])
def test_a_leader_with_other_defaults_knows_a_submission_again(ended: bool) -> None:
    """Its client was told that the id belongs to another job, and to take another one."""
    artifact = pack_artifact({"flights.py": "def delays(config): ..."})
    request = {"job_id": JOB, "entry_point": "flights:delays"}
    first, again, other = (
        graph_of_request(values, artifact, Configuration({"parallelism.default": number}), 1 << 20)
        for values, number in ((request, 1), (request, 2), ({**request, "name": "another"}, 1))
    )
    assert (first.parallelism, again.parallelism) == (1, 2)
    world = World()
    stores = world.lead(**REMEMBER)
    handle = stores.blobs.put(JOB, artifact)
    stores.job_graphs.put(replace(first, artifact=handle))
    if ended:
        stores.job_results.create_dirty(result())
        stores.cleanup.run(result())

    async def story() -> None:
        with ThreadPoolExecutor(2) as io:
            dispatcher = Dispatcher(world.term(io, **REMEMBER))
            await dispatcher.recover()
            dispatcher.restore_jobs()
            try:
                assert await dispatcher.submit(again, artifact) == JOB
                assert [job.parallelism for job in dispatcher.jobs()] == ([] if ended else [1])
                with pytest.raises(DuplicateJobSubmissionError):
                    await dispatcher.submit(other, artifact)
            finally:
                await dispatcher.close()

    asyncio.run(story())


@pytest.mark.parametrize("hours", [0, 2])
def test_a_deposed_leader_does_not_forget_the_submission_of_a_job_that_the_next_one_removed(
    hours: int,
) -> None:
    """It stood still in its cleanup. The client was told for ever that the job id is another's."""
    storage, clock = InMemoryStorage(), ManualClock()
    deposed, ended = (EndedJobs(storage, 6 * HOUR, clock) for _ in range(2))
    assert JOB not in deposed
    ended.add(JOB, PAYLOAD, "its digest")
    clock.advance(hours * HOUR)
    deposed.add(JOB, PAYLOAD, None)
    assert EndedJobs(storage, 6 * HOUR, clock).submission(JOB) == "its digest"


def test_a_deposed_leader_refuses_no_submission_for_good() -> None:
    """It knew that the job has ended, and not of which submission it came."""
    world = World()

    async def story() -> None:
        with ThreadPoolExecutor(2) as io:
            dispatcher = Dispatcher(world.term(io, **REMEMBER))
            assert not dispatcher.term.stores.job_results.has_entry(JOB)
            await dispatcher.recover()
            stores = world.lead(**REMEMBER, **{"job-result-store.delete-on-commit": "false"})
            stores.job_graphs.put(stored())
            stores.job_results.create_dirty(result())
            stores.cleanup.run(result())
            try:
                with pytest.raises(LeadershipLostError):
                    await dispatcher.submit(submission(submitted_at=2), b"zip")
            finally:
                await dispatcher.close()

    asyncio.run(story())


def test_a_job_whose_cleanup_has_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    stores = world.lead(**REMEMBER)
    stores.job_graphs.put(stored())
    stores.job_results.create_dirty(result())

    def away(*_: object) -> None:
        raise StoreUnavailableError("not now")

    monkeypatch.setattr(JobCleanup, "run", away)
    assert play(world, submission(submitted_at=2)) == (JOB, 0)


def test_what_is_remembered_is_a_job_result_of_flinks() -> None:
    world = ended_job()
    (path,) = (path for path in world.result_files.files if path.startswith("ended/"))
    data = json.loads(world.result_files.files[path])
    assert data["result"] == json.loads(PAYLOAD)["result"]
    assert data["submission"] == submission().digest()


def test_an_id_may_be_used_again_when_it_is_forgotten() -> None:
    world = ended_job()
    world.result_files.files.clear()
    stores = world.lead(**REMEMBER)
    assert not stores.job_results.has_entry(JobID(JOB))


def test_a_disk_that_is_full_until_the_job_is_removed_does_not_keep_it() -> None:
    world = World()
    stores = world.lead(**REMEMBER)
    stores.job_graphs.put(stored())
    stores.job_results.create_dirty(result())
    world.failures.fail("write", StoreUnavailableError("the disk is full"))
    stores.cleanup.run(result())
    assert not stores.job_results.has_dirty(JOB)
    assert play(world, submission(submitted_at=2)) == (JOB, 0)


def test_what_is_no_file_of_ours_is_kept_and_keeps_no_other_there(tmp_path: Path) -> None:
    clock = ManualClock()
    jobs = EndedJobs(LocalStateStorage(tmp_path), HOUR, clock)
    for job_id in (JOB, OTHER_JOB):
        jobs.add(job_id, PAYLOAD, None)
    (file,) = tmp_path.rglob(f"{JOB}.json")
    file.unlink()
    file.mkdir()
    (file / "precious").touch()
    with pytest.raises(CorruptStateError):
        jobs.result(JOB)
    clock.advance(3 * HOUR)
    jobs.sweep()
    assert JOB not in jobs and OTHER_JOB not in jobs
    assert [path.name for path in tmp_path.rglob("*.json")] == [file.name]
    assert (file / "precious").exists()
