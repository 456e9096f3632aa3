"""Random ends of jobs: a result is stored once, never lost, and ends clean."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from stores_setup import World, checkpoint, graph, result

from hawork.core.errors import (
    AlreadyExistsError,
    HighAvailabilityError,
    LeadershipLostError,
    NotExistError,
    PossibleInconsistentStateError,
    StoreUnavailableError,
)
from hawork.core.jobs import ApplicationStatus
from hawork.core.types import JobID
from hawork.ha.leader_stores import LeaderStores

JOB = JobID("1" * 32)
STATUSES = ["SUCCEEDED", "FAILED", "CANCELED"]

failures = st.none() | st.sampled_from(
    [
        *[(operation, StoreUnavailableError, False) for operation in ("create", "write", "drop")],
        *[(operation, StoreUnavailableError, False) for operation in ("delete", "rename", "read")],
        ("write", StoreUnavailableError, True),
        ("rename", StoreUnavailableError, True),
        *[
            (operation, PossibleInconsistentStateError, after)
            for operation in ("create", "delete", "replace", "drop")
            for after in (False, True)
        ],
    ]
)
interruptions = st.none() | st.tuples(
    st.sampled_from(
        [
            "result.decided",
            "result.dirty",
            "cleanup.checkpoints_removed",
            "cleanup.pointer_removed",
            "cleanup.artifacts_removed",
            "result.clean",
        ]
    ),
    st.sampled_from(["crash", "pause", "pause and submit again"]),
)


class Crash(BaseException):
    """The death of a leader."""


class ResultMachine(RuleBasedStateMachine):
    """One job id, submitted again and again; leaders crash or sleep past their lease."""

    @initialize(keep=st.booleans())
    def start(self, keep: bool) -> None:
        self.world = World()
        self.options = {"job-result-store.delete-on-commit": not keep}
        self.leader = self.world.lead(**self.options)
        self.running = False  # acknowledged, and not known to have ended
        self.ended: set[ApplicationStatus] = set()  # how the last run may have ended
        self.certain = False  # somebody was told that it has ended

    @precondition(lambda self: not self.running)
    @rule()
    def submit(self) -> None:
        if self.leader.job_results.has_entry(JOB):
            return
        self.submit_on(self.leader)

    @rule()
    def take_over(self) -> None:
        self.leader = self.world.lead(**self.options)
        self.recover()

    @precondition(lambda self: self.running)
    @rule(status=st.sampled_from(STATUSES), failure=failures, interruption=interruptions)
    def end(
        self,
        status: str,
        failure: tuple[str, type[HighAvailabilityError], bool] | None,
        interruption: tuple[str, str] | None,
    ) -> None:
        stores, wanted = self.leader, result(JOB, status)
        self.ended.add(wanted.application_status)

        def store_result() -> None:
            stores.job_results.create_dirty(wanted)
            if stores is self.leader:
                self.running, self.certain = False, True
                self.ended = {wanted.application_status}

        if self.attempt(stores, store_result, failure, interruption):
            self.attempt(stores, lambda: stores.cleanup.run(wanted), None, interruption)

    @rule(failure=failures, interruption=interruptions)
    def clean_up(
        self,
        failure: tuple[str, type[HighAvailabilityError], bool] | None,
        interruption: tuple[str, str] | None,
    ) -> None:
        stores = self.leader

        def run() -> None:
            for found in stores.job_results.dirty_results().results:
                if found.job_id == JOB and stores is self.leader:
                    self.learn(found.application_status)
                stores.cleanup.run(found)

        self.attempt(stores, run, failure, interruption)

    @invariant()
    def a_running_job_is_recoverable(self) -> None:
        if getattr(self, "running", False) and not self.ended:
            assert self.leader.job_graphs.recover(JOB) == graph(JOB)
            assert self.leader.job_results.has_entry(JOB) is False or self.stale_file()

    @invariant()
    def a_result_is_one_that_was_given(self) -> None:
        if getattr(self, "certain", False):
            found = self.leader.job_results.result(JOB)
            assert found is None or found.application_status in self.ended

    def recover(self) -> None:
        """What a new leader does, and what it must find."""
        dirty = self.leader.job_results.dirty_results()
        self.leader.job_graphs.sweep_unacknowledged()
        graphs = self.leader.job_graphs.recover_all()
        assert graphs.set_aside == ()
        over = {found.job_id: found.application_status for found in dirty.results}
        runs = {found.job_id for found in graphs.graphs} - set(over)
        if JOB in over:
            self.learn(over[JOB])
        elif self.running:
            assert JOB in runs  # acknowledged, and nobody decided that it has ended
            self.ended = set()
        else:
            assert JOB not in runs  # it has ended, and does not run again

    def learn(self, status: ApplicationStatus) -> None:
        """A leader read how the job ended; it may have ended without anybody being told."""
        if self.ended or self.running:
            assert status in self.ended
            self.running, self.ended, self.certain = False, {status}, True

    def submit_on(self, stores: LeaderStores) -> None:
        stores.job_graphs.announce(JOB)
        stores.blobs.put(JOB, b"artifact")
        stores.job_graphs.put(graph(JOB))
        stores.completed_checkpoints(JOB, 1).add(checkpoint(1, JOB))
        stores.checkpoint_id_counter(JOB).get_and_increment()
        self.running, self.ended, self.certain = True, set(), False

    def finish_all(self) -> None:
        for found in self.leader.job_results.dirty_results().results:
            self.leader.cleanup.run(found)

    def stale_file(self) -> bool:
        """Whether a leader that slept has left a file that no decision stands for."""
        return f"{JOB}_DIRTY.json" in self.world.result_files.files

    def attempt(
        self,
        stores: LeaderStores,
        action: Callable[[], None],
        failure: tuple[str, type[HighAvailabilityError], bool] | None,
        interruption: tuple[str, str] | None,
    ) -> bool:
        """Run a leader's action; whether it was told to have succeeded and still leads."""
        if failure is not None:
            operation, error, after = failure
            self.world.failures.fail(operation, error("planned"), after=after)
        if interruption is not None:
            step, kind = interruption
            self.world.steps.hooks[step] = lambda: self.interrupt(kind)
        try:
            action()
        except Crash:
            self.forget_plans()
            self.take_over()
            return False
        except LeadershipLostError:
            assert stores is not self.leader
            return False
        except (
            AlreadyExistsError,
            NotExistError,
            StoreUnavailableError,
            PossibleInconsistentStateError,
        ):
            return False
        finally:
            self.forget_plans()
        return stores is self.leader

    def interrupt(self, kind: str) -> None:
        """The leader dies at a step, or sleeps there while others take over."""
        self.forget_plans()
        if kind == "crash":
            raise Crash
        self.take_over()
        self.finish_all()
        again = kind == "pause and submit again" and not self.running
        if again and not self.leader.job_results.has_entry(JOB):
            self.submit_on(self.leader)

    def forget_plans(self) -> None:
        self.world.failures.planned.clear()
        self.world.steps.hooks.clear()

    def teardown(self) -> None:
        """Whatever happened: the next leader without failures leaves nothing of ended jobs."""
        if not hasattr(self, "world"):
            return
        self.take_over()
        self.finish_all()
        files = [*self.world.result_files.files]
        assert not any(name.endswith("_DIRTY.json") for name in files)
        if not self.running:
            assert self.world.files.files == {}
        self.world.close()


ResultMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=20, deadline=None)
TestResults = ResultMachine.TestCase
