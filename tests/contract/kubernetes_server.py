"""One Kubernetes API server, which all tests of a run share, whatever worker they are in.

Another one costs seconds of processor time at its start, and some percent of a core for as long
as it is there.
"""

from __future__ import annotations

import atexit
import fcntl
import functools
import json
import os
import tempfile
from pathlib import Path
from typing import Any, NoReturn, cast

from hawork.backends.kubernetes.rights import (
    FLINK_JOB_MANAGER_VERBS,
    JOB_MANAGER_VERBS,
    TASK_MANAGER_VERBS,
)
from hawork.core.errors import LabError
from hawork.runtime.process_control import ProcessControl
from hawork.servers.kubernetes.control_plane import ControlPlane

RUN = "HAWORK_TEST_RUN"
"""The environment variable with a folder that all workers of a run share."""
USERS = {
    "jm-1": JOB_MANAGER_VERBS,
    "jm-2": JOB_MANAGER_VERBS,
    "jm-3": JOB_MANAGER_VERBS,
    "tm-1": TASK_MANAGER_VERBS,
    "flink": FLINK_JOB_MANAGER_VERBS,
}


@functools.cache
def shared_control_plane() -> ControlPlane:
    """Started when the first test of a run wants it, stopped at the end of the run.

    Tests on it leave the servers and the rights alone, and use names of their own.
    """
    own = tempfile.TemporaryDirectory(prefix="hawork-test-kubernetes-")
    atexit.register(own.cleanup)
    run = Path(os.environ.get(RUN, own.name))
    # A worker has a share of this lock for as long as it lives.
    users = os.open(run / "control-plane.users", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(users, fcntl.LOCK_SH)
    with (run / "control-plane.start").open("a") as start:
        fcntl.flock(start, fcntl.LOCK_EX)
        found = run / "control-plane.json"
        if not found.exists():
            owned = ControlPlane(Path(own.name), USERS, audit=True).start()
            for user in USERS:
                owned.kubeconfig(user)  # gives the user its Role

            def stop() -> None:
                fcntl.flock(users, fcntl.LOCK_EX)  # once all other workers have ended
                found.unlink(missing_ok=True)
                owned.stop()

            atexit.register(stop)
            tokens = {user: owned.token(user) for user in ("admin", *USERS)}
            told = {"directory": own.name, "port": owned.port, "tokens": tokens}
            found.write_text(json.dumps(told))
        return FoundControlPlane(Path(own.name), json.loads(found.read_text()))


class FoundControlPlane(ControlPlane):
    """A control plane that runs: asked by this worker, and left alone by it.

    Proxies and kubeconfigs are this worker's, which has ``own`` for them.
    """

    def __init__(self, own: Path, told: dict[str, Any]) -> None:
        self._own = own
        super().__init__(Path(told["directory"]), USERS, audit=True)
        self.port, self._tokens = told["port"], told["tokens"]
        self._bound = set(USERS)
        self._control = cast(ProcessControl, _NotOurs())

    def kubeconfig_file(self, user: str, *, proxied: bool = False) -> Path:
        return self._own / super().kubeconfig_file(user, proxied=proxied).name

    def _prepare(self) -> None:
        """What the servers read, they have read."""


class _NotOurs:
    def __getattr__(self, name: str) -> NoReturn:
        raise LabError("all tests share these servers: start some to break them")
