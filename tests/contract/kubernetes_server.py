"""One Kubernetes API server, which all tests of a run share."""

from __future__ import annotations

import atexit
import functools
import tempfile
from pathlib import Path

from hawork.backends.kubernetes.rights import (
    FLINK_JOB_MANAGER_VERBS,
    JOB_MANAGER_VERBS,
    TASK_MANAGER_VERBS,
)
from hawork.servers.kubernetes.control_plane import ControlPlane

USERS = {
    "jm-1": JOB_MANAGER_VERBS,
    "jm-2": JOB_MANAGER_VERBS,
    "jm-3": JOB_MANAGER_VERBS,
    "tm-1": TASK_MANAGER_VERBS,
    "flink": FLINK_JOB_MANAGER_VERBS,
}


@functools.cache
def shared_control_plane() -> ControlPlane:
    """Started when the first test wants it, stopped at the end of the run.

    Tests on it leave the servers and the rights alone, and use names of their own.
    """
    directory = tempfile.TemporaryDirectory(prefix="hawork-test-kubernetes-")
    control_plane = ControlPlane(Path(directory.name), USERS, audit=True).start()
    atexit.register(directory.cleanup)
    atexit.register(control_plane.stop)
    return control_plane
