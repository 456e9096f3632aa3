"""Which ends of processes a drill has brought about: each excuse, and what it excuses not."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any

import pytest

from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.core.types import ProcessEnd
from hawork.lab.nemesis import ends as nemesis_ends
from hawork.lab.nemesis.ends import KILLED, Ends

LACKING = "hawork jobmanager: we may not patch configmaps in namespace hawork (...)"


class Story:
    """A cluster in which processes end; time is what the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.begun: set[int] = set()
        self.words = "Too many open files"
        config = Configuration({options.SUPERVISOR_WATCHDOG.key: "2 s"})
        self.cluster = SimpleNamespace(
            ends=[ProcessEnd("jm-1", 1, 1, 50.0)], config=config, last_words=lambda _: self.words
        )
        monkeypatch.setattr(nemesis_ends.time, "monotonic", lambda: self.now)
        cluster: Any = self.cluster
        self.ends = Ends(cluster, lambda pid: pid in self.begun)

    def end(self, pid: int = 7, status: int = 1, name: str = "jm-1") -> int:
        """How many ends are blamed once this process has ended."""
        self.cluster.ends.append(ProcessEnd(name, pid, status, self.now))
        self.ends.look()
        return len(self.ends.by_itself)


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> Story:
    return Story(monkeypatch)


def test_what_ended_before_the_drill_is_not_its_business(story: Story) -> None:
    story.ends.look()
    assert story.ends.by_itself == []


def test_each_end_is_told_once_with_its_status(story: Story) -> None:
    assert story.end(status=3) == 1
    story.ends.look()
    assert story.ends.by_itself == ["jm-1 (process 7) ended with status 3: Too many open files"]


def test_an_expected_end_has_an_expected_status(story: Story) -> None:
    story.ends.expect(7, KILLED)
    assert story.end(7, -signal.SIGKILL) == 0
    assert story.end(7, 1) == 1
    assert story.end(8, -signal.SIGKILL) == 2


def test_a_watchdog_ends_what_was_paused_and_nothing_else_does(story: Story) -> None:
    story.ends.pause(7)
    assert story.end(7, -signal.SIGKILL) == 0
    assert story.end(7, 1) == 1
    assert story.end(8, -signal.SIGKILL) == 2


# --- files ------------------------------------------------------------------------------


def test_a_process_that_begins_without_files_may_end_with_status_1(story: Story) -> None:
    story.ends.refuse_files(7)
    story.now += 3
    assert story.end(7) == 0


@pytest.mark.parametrize("status", [0, 2, 70, -signal.SIGSEGV, -signal.SIGKILL])
def test_without_files_a_process_ends_in_no_other_way(story: Story, status: int) -> None:
    story.ends.refuse_files(7)
    assert story.end(7, status) == 1


def test_a_process_that_had_begun_needs_no_files_to_go_on(story: Story) -> None:
    story.begun.add(7)
    story.ends.refuse_files(7)
    assert story.end(7) == 1


def test_a_process_that_has_begun_since_needs_no_files_to_go_on(story: Story) -> None:
    story.ends.refuse_files(7)
    story.begun.add(7)
    story.ends.look()
    assert story.end(7) == 1


def test_a_process_that_has_its_files_again_may_not_end_later(story: Story) -> None:
    story.ends.refuse_files(7)
    story.ends.allow_files(7)
    story.now += 0.5
    assert story.end(7) == 0
    story.ends.refuse_files(8)
    story.ends.allow_files(8)
    story.now += 1.5
    assert story.end(8) == 1


def test_another_process_has_its_files(story: Story) -> None:
    story.ends.refuse_files(7)
    assert story.end(8) == 1


# --- rights -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "blamed"),
    [
        (LACKING, 0),
        ("the credentials of x may not get, patch configmaps in namespace hawork: add", 0),
        ("we may not get configmaps in namespace hawork", 1),
        ("Traceback: patch", 1),
    ],
)
def test_a_process_may_end_for_the_right_that_it_lacks(
    story: Story, words: str, blamed: int
) -> None:
    story.words = words
    story.ends.revoke("jm-1", "patch")
    story.now += 60
    assert story.end() == blamed


@pytest.mark.parametrize("status", [0, 2, 70, -signal.SIGSEGV, -signal.SIGKILL])
def test_without_a_right_a_process_ends_in_no_other_way(story: Story, status: int) -> None:
    story.words = LACKING
    story.ends.revoke("jm-1", "patch")
    assert story.end(status=status) == 1


def test_a_process_that_has_its_right_again_may_not_end_later(story: Story) -> None:
    story.words = LACKING
    story.ends.revoke("jm-1", "patch")
    story.ends.grant("jm-1", "patch")
    story.now += 0.5
    assert story.end() == 0
    story.now += 1.0
    assert story.end() == 1


def test_before_its_right_was_taken_a_process_had_it(story: Story) -> None:
    story.words = LACKING
    story.cluster.ends.append(ProcessEnd("jm-1", 7, 1, story.now))
    story.now += 0.1
    story.ends.revoke("jm-1", "patch")
    story.ends.look()
    assert len(story.ends.by_itself) == 1


def test_another_process_has_its_right(story: Story) -> None:
    story.words = LACKING
    story.ends.revoke("jm-1", "patch")
    assert story.end(name="jm-2") == 1


def test_one_of_two_rights_is_given_back(story: Story) -> None:
    story.words = LACKING
    story.ends.revoke("jm-1", "patch")
    story.ends.revoke("jm-1", "get")
    story.ends.grant("jm-1", "get")
    story.now += 5
    assert story.end() == 0
