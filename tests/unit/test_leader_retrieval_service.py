"""Leader retrieval: only changes, in order, the latest always."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable

import pytest

from hawork.core.errors import LeaderRetrievalError, StoreUnavailableError
from hawork.core.types import LeaderInformation
from hawork.ha.leader_retrieval import LeaderRetrievalListener
from hawork.ha.leader_retrieval_service import DefaultLeaderRetrievalService, LeaderRetriever
from hawork.testing import RecordingListener, TestingRetrievalDriver, eventually

A = LeaderInformation(uuid.UUID(int=1), "http://a")
B = LeaderInformation(uuid.UUID(int=2), "http://b")
TIMEOUT = 60


def watch(
    listener: LeaderRetrievalListener,
) -> tuple[DefaultLeaderRetrievalService, TestingRetrievalDriver]:
    drivers: list[TestingRetrievalDriver] = []

    def factory(observer: object) -> TestingRetrievalDriver:
        drivers.append(TestingRetrievalDriver(observer))  # type: ignore[arg-type]
        return drivers[0]

    return DefaultLeaderRetrievalService(factory, listener), drivers[0]


def test_changes_are_told_once_each() -> None:
    listener = RecordingListener()
    service, driver = watch(listener)
    with service:
        told: list[LeaderInformation | None] = []
        for information in (A, A, None, None, B, A):
            driver.observer.on_leader_information(information)
            if not told or told[-1] != information:
                told.append(information)
            eventually(lambda: listener.notifications == told)
    assert listener.notifications == [A, None, B, A]


def test_no_leader_at_the_start_is_not_told() -> None:
    listener = RecordingListener()
    service, driver = watch(listener)
    driver.observer.on_leader_information(None)
    driver.observer.on_leader_information(A)
    eventually(lambda: listener.latest == A)
    service.close()
    assert listener.notifications == [A]


def test_a_new_session_at_the_same_address_is_a_change() -> None:
    listener = RecordingListener()
    service, driver = watch(listener)
    with service:
        driver.observer.on_leader_information(A)
        eventually(lambda: listener.latest == A)
        again = LeaderInformation(B.session_id, A.address)
        driver.observer.on_leader_information(again)
        eventually(lambda: listener.latest == again)


def test_a_slow_listener_hears_the_latest_value() -> None:
    entered, go_on = threading.Event(), threading.Event()

    class Slow(RecordingListener):
        def notify_leader(self, information: LeaderInformation | None) -> None:
            super().notify_leader(information)
            entered.set()
            assert go_on.wait(TIMEOUT)

    listener = Slow()
    service, driver = watch(listener)
    with service:
        driver.observer.on_leader_information(A)
        assert entered.wait(TIMEOUT)
        for number in range(1000):  # the driver is never held up
            driver.observer.on_leader_information(LeaderInformation(uuid.UUID(int=number), "x"))
        driver.observer.on_leader_information(B)
        go_on.set()
        eventually(lambda: listener.latest == B)
    assert listener.notifications == [A, B]


def test_errors_are_told_wrapped_and_retrieval_goes_on() -> None:
    listener = RecordingListener()
    service, driver = watch(listener)
    with service:
        cause = ValueError("garbage")
        driver.observer.on_error(cause)
        driver.observer.on_leader_information(A)
        eventually(lambda: listener.latest == A and listener.errors)
    assert isinstance(listener.errors[0], LeaderRetrievalError)
    assert listener.errors[0].__cause__ is cause


def test_a_listener_that_raises_hears_of_it() -> None:
    class Bad(RecordingListener):
        def notify_leader(self, information: LeaderInformation | None) -> None:
            super().notify_leader(information)
            raise ValueError("user code")

    listener = Bad()
    service, driver = watch(listener)
    with service:
        driver.observer.on_leader_information(A)
        driver.observer.on_leader_information(B)
        eventually(lambda: listener.latest == B and listener.errors)


def test_after_close_nothing_is_told() -> None:
    listener = RecordingListener()
    service, driver = watch(listener)
    service.close()
    service.close()
    assert driver.closed
    driver.observer.on_leader_information(A)
    driver.observer.on_error(ValueError("late"))
    assert listener.notifications == [] and listener.errors == []


def test_a_listener_may_close_the_service() -> None:
    class Closing(RecordingListener):
        def notify_leader(self, information: LeaderInformation | None) -> None:
            super().notify_leader(information)
            service.close()

    listener = Closing()
    service, driver = watch(listener)
    driver.observer.on_leader_information(A)
    eventually(lambda: driver.closed)


def test_a_driver_that_cannot_be_made_leaves_no_thread() -> None:
    def fail(_: object) -> TestingRetrievalDriver:
        raise StoreUnavailableError("no store")

    with pytest.raises(StoreUnavailableError):
        DefaultLeaderRetrievalService(fail, RecordingListener())
    eventually(lambda: all(t.name != "leader-retrieval" for t in threading.enumerate()))


# --- LeaderRetriever ---------------------------------------------------------------------


def later(action: Callable[[], None]) -> threading.Timer:
    timer = threading.Timer(0.05, action)
    timer.start()
    return timer


def test_waiting_for_a_leader() -> None:
    retriever = LeaderRetriever()
    timer = later(lambda: retriever.notify_leader(A))
    assert retriever.wait_for_leader(TIMEOUT) == A == retriever.leader()
    timer.join()


def test_waiting_for_another_leader() -> None:
    retriever = LeaderRetriever()
    retriever.notify_leader(A)

    def change() -> None:
        retriever.notify_leader(None)
        retriever.notify_leader(A)
        retriever.notify_leader(B)

    timer = later(change)
    assert retriever.wait_for_leader(None, different_from=A.session_id) == B
    timer.join()


def test_waiting_in_vain_says_for_what() -> None:
    retriever = LeaderRetriever()
    with pytest.raises(LeaderRetrievalError, match="no leader was found within 0 s"):
        retriever.wait_for_leader(0)
    retriever.notify_leader(A)
    with pytest.raises(LeaderRetrievalError, match=f"other than {A.session_id}"):
        retriever.wait_for_leader(0, different_from=A.session_id)


def test_an_error_ends_the_waiting_until_the_next_leader() -> None:
    retriever = LeaderRetriever()
    retriever.handle_error(LeaderRetrievalError("garbage"))
    with pytest.raises(LeaderRetrievalError, match="garbage"):
        retriever.wait_for_leader(TIMEOUT)
    retriever.notify_leader(A)
    assert retriever.wait_for_leader(0) == A
