"""Random leaders, failures and crashes: what the stores promise holds at every moment."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from stores_setup import World, checkpoint, graph, state_file

from hawork.core.errors import (
    AlreadyExistsError,
    HighAvailabilityError,
    LeadershipLostError,
    PossibleInconsistentStateError,
    StoreUnavailableError,
)
from hawork.core.jobs import JobGraph
from hawork.core.types import JobID
from hawork.ha.leader_stores import LeaderStores
from hawork.ha.pointer_store import JOB_GRAPHS, checkpoints, counters
from hawork.ha.state_handle_store import StateHandleStore, StoredState

JOBS = [JobID(f"{number:032x}") for number in (1, 2)]

Failure = tuple[str, type[HighAvailabilityError], bool]
POINTER_FAILURES: list[Failure] = [
    (operation, error, after)
    for operation in ("create", "replace", "delete")
    for error, after in (
        (StoreUnavailableError, False),
        (PossibleInconsistentStateError, False),
        (PossibleInconsistentStateError, True),
    )
]
FILE_FAILURES: list[Failure] = [
    ("write", StoreUnavailableError, False),
    ("write", StoreUnavailableError, True),
    ("read", StoreUnavailableError, False),
]
failures = st.none() | st.sampled_from(POINTER_FAILURES + FILE_FAILURES)
steps = st.sampled_from(
    [
        None,
        "submit.graph_written",
        "submit.pointer_added",
        "checkpoint.written",
        "checkpoint.pointer_added",
        "checkpoint.subsumed",
    ]
)


class Crash(BaseException):
    """The death of a leader."""


def crash() -> None:
    raise Crash


class StoreMachine(RuleBasedStateMachine):
    """Two jobs, any number of leaders in a row; deposed ones go on writing."""

    @initialize()
    def start(self) -> None:
        self.world = World()
        self.leader = self.world.lead()
        self.deposed: list[LeaderStores] = []
        self.acknowledged: dict[JobID, JobGraph] = {}
        self.completed: dict[JobID, int] = {}
        self.next_id = 1

    @rule()
    def take_over(self) -> None:
        self.deposed.append(self.leader)
        self.leader = self.world.lead()
        recovered = self.leader.job_graphs.recover_all()
        assert recovered.set_aside == ()
        found = {recovered_graph.job_id: recovered_graph for recovered_graph in recovered.graphs}
        assert self.acknowledged.items() <= found.items()
        self.acknowledged = found  # what is recovered runs, acknowledged or not
        assert self.leader.job_graphs.sweep_unacknowledged().set_aside == ()
        directories = set(self.world.files.list("jobs"))
        assert directories <= set(found)  # what was never acknowledged is gone

    @rule(
        job_id=st.sampled_from(JOBS),
        old=st.integers(0, 3),
        failure=failures,
        step=steps,
    )
    def submit(self, job_id: JobID, old: int, failure: Failure | None, step: str | None) -> None:
        stores = self.choose(old)
        submitted = graph(job_id)

        def action() -> None:
            stores.job_graphs.announce(job_id)
            stores.blobs.put(job_id, b"artifact")
            stores.job_graphs.put(submitted)

        if self.attempt(stores, action, failure, step):
            self.acknowledged[job_id] = submitted

    @rule(
        job_id=st.sampled_from(JOBS),
        old=st.integers(0, 3),
        failure=failures,
        step=steps,
        retained=st.integers(1, 2),
    )
    def complete_checkpoint(
        self, job_id: JobID, old: int, failure: Failure | None, step: str | None, retained: int
    ) -> None:
        if job_id not in self.acknowledged:
            return
        stores = self.choose(old)
        number, self.next_id = self.next_id, self.next_id + 1
        handle = state_file(self.world, f"{number}", job_id)
        completed = checkpoint(number, job_id, handle)
        store = stores.completed_checkpoints(job_id, retained)
        if self.attempt(stores, lambda: store.add(completed), failure, step):
            self.completed[job_id] = number

    @rule(job_id=st.sampled_from(JOBS), old=st.integers(0, 3), failure=failures)
    def count(self, job_id: JobID, old: int, failure: Failure | None) -> None:
        stores = self.choose(old)
        taken: list[int] = []
        counter = stores.checkpoint_id_counter(job_id)
        if self.attempt(stores, lambda: taken.append(counter.get_and_increment()), failure, None):
            assert taken[0] > self.completed.get(job_id, 0)

    @invariant()
    def every_pointer_has_its_file(self) -> None:
        if not hasattr(self, "world"):
            return
        backend = self.world.cluster.backend()
        for namespace in (JOB_GRAPHS, *(checkpoints(job_id) for job_id in JOBS)):
            store = StateHandleStore(
                namespace,
                backend.pointers(namespace),
                self.world.files,
                self.leader.session_id,
                self.world.events,
            )
            assert all(isinstance(state, StoredState) for _, state in store.load_all())

    @invariant()
    def nothing_acknowledged_is_lost(self) -> None:
        if not hasattr(self, "world"):
            return
        for job_id, stored in self.acknowledged.items():
            assert self.leader.job_graphs.recover(job_id) == stored
        for job_id, number in self.completed.items():
            recovered = self.leader.completed_checkpoints(job_id, 1).recover()
            assert recovered.skipped == ()
            assert recovered.checkpoint is not None
            assert recovered.checkpoint.checkpoint_id >= number

    def choose(self, old: int) -> LeaderStores:
        return self.deposed[-old] if 0 < old <= len(self.deposed) else self.leader

    def attempt(
        self,
        stores: LeaderStores,
        action: Callable[[], object],
        failure: Failure | None,
        step: str | None,
    ) -> bool:
        """Run a leader's action; whether it was told to have succeeded."""
        if failure is not None:
            operation, error, after = failure
            self.world.failures.fail(operation, error("planned"), after=after)
        if step is not None:
            self.world.steps.hooks[step] = crash
        deposed, before = stores is not self.leader, self.entries()
        try:
            action()
        except Crash:
            self.world.failures.planned.clear()
            self.world.steps.hooks.clear()
            if not deposed:
                self.take_over()
            return False
        except LeadershipLostError:
            assert deposed
            return False
        except (AlreadyExistsError, StoreUnavailableError, PossibleInconsistentStateError):
            return False
        finally:
            self.world.failures.planned.clear()
            self.world.steps.hooks.clear()
            if deposed:
                assert self.entries() == before  # whatever it was told
        return not deposed  # putting the identical job graph again succeeds, and changes nothing

    def entries(self) -> list[object]:
        backend = self.world.cluster.backend()
        namespaces = [JOB_GRAPHS]
        namespaces += [kind(job_id) for job_id in JOBS for kind in (checkpoints, counters)]
        return [list(backend.pointers(namespace).entries()) for namespace in namespaces]

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.take_over()
            self.world.close()


StoreMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=25, deadline=None)
TestStores = StoreMachine.TestCase
