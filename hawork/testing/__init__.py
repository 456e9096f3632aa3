"""Public fakes and helpers for testing code that uses hawork.

The fakes fulfil the contracts of ``hawork.ha``; ``InMemoryCluster`` passes the suite that
every backend passes.
"""

from hawork.testing.eventually import eventually
from hawork.testing.failing import FailingPointers, FailingStorage, Failures
from hawork.testing.in_memory import InMemoryBackend, InMemoryCluster, InMemoryStorage
from hawork.testing.recording import (
    ManualClock,
    RecordingContender,
    RecordingListener,
    RecordingSteps,
)
from hawork.testing.testing_driver import TestingLeaderElectionDriver, TestingRetrievalDriver

__all__ = [
    "FailingPointers",
    "FailingStorage",
    "Failures",
    "InMemoryBackend",
    "InMemoryCluster",
    "InMemoryStorage",
    "ManualClock",
    "RecordingContender",
    "RecordingListener",
    "RecordingSteps",
    "TestingLeaderElectionDriver",
    "TestingRetrievalDriver",
    "eventually",
]
