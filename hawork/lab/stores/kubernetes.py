"""The HA store of a lab on Kubernetes: a control plane of its own, or a given cluster."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from hawork.backends.kubernetes.rights import JOB_MANAGER_VERBS, TASK_MANAGER_VERBS
from hawork.core import options
from hawork.core.configuration import Configuration
from hawork.core.errors import HaworkError, LabError
from hawork.lab.run_directory import RunDirectory
from hawork.lab.stores.given import GivenStore
from hawork.lab.stores.network import (
    PreparedFault,
    break_network,
    check_outage,
    check_partition,
    own_configuration,
)
from hawork.servers.kubernetes.control_plane import ADMIN, NAMESPACE, ControlPlane

MOST = 64
"""JobManagers, and TaskManagers: their tokens must be there before the API server starts."""
LAB = "lab"
"""The user of the lab itself and of its supervisor, whom no partition concerns."""

SHORT_LEASE: Mapping[str, str] = {
    options.K8S_LEASE_DURATION.key: "4 s",
    options.K8S_RENEW_DEADLINE.key: "3 s",
    options.K8S_RETRY_PERIOD.key: "500 ms",
}
"""Short enough to watch, long enough for a busy machine."""

_NO_SESSIONS = (
    "expire_session needs sessions, and on Kubernetes there are none: a leadership lasts as long "
    "as its lease is renewed; use pause, partition or revoke_right"
)


class KubernetesStore:
    """A control plane for one lab, a user for each process, a proxy for each JobManager."""

    no_sessions = _NO_SESSIONS
    own = True

    def __init__(
        self, run: RunDirectory, job_manager_verbs: Sequence[str] = JOB_MANAGER_VERBS
    ) -> None:
        self._run = run
        users: dict[str, Sequence[str]] = {LAB: job_manager_verbs}
        users |= {f"jm-{number + 1}": job_manager_verbs for number in range(MOST)}
        users |= {f"tm-{number + 1}": TASK_MANAGER_VERBS for number in range(MOST)}
        self.control_plane = ControlPlane(run.path / "kubernetes", users, audit=True)
        self.secrets: Sequence[str] = tuple(map(self.control_plane.token, (ADMIN, *users)))
        self._cut_off: set[str] = set()
        self.options: Mapping[str, str] = {
            **SHORT_LEASE,
            options.K8S_CLUSTER_ID.key: LAB,
            options.K8S_NAMESPACE.key: NAMESPACE,
            options.K8S_CONFIG_FILE.key: str(self.control_plane.kubeconfig_file(LAB)),
        }

    def start(self) -> None:
        self.control_plane.start().kubeconfig(LAB)

    def stop(self) -> None:
        self.control_plane.stop()

    def config_file(self, process: str) -> Path:
        role, _, number = process.partition("-")
        if int(number) > MOST:
            raise LabError(f"a lab on Kubernetes has at most {MOST} JobManagers and TaskManagers")
        kubeconfig = self.control_plane.kubeconfig(process, proxied=role == "jm")
        return own_configuration(self._run, process, {options.K8S_CONFIG_FILE.key: str(kubeconfig)})

    def partition(self, process: str, how: str) -> PreparedFault:
        check_partition(how)
        if not process.startswith("jm-"):
            raise LabError(f"{process} cannot be cut off from the store: choose a JobManager")

        def cut_off() -> None:
            self._cut_off.add(process)  # first: an interrupted cut must be healed, too
            break_network(self.control_plane.proxy(process), how)

        return cut_off

    def outage(self, server: str | None, how: str) -> PreparedFault:
        check_outage(how)
        self.control_plane.named(server)
        stop = self.control_plane.pause if how == "pause" else self.control_plane.kill
        return lambda: stop(server)

    def heal(self) -> PreparedFault:
        return self._heal

    def _heal(self) -> None:
        for process in self._cut_off:
            self.control_plane.proxy(process).heal()
        self._cut_off.clear()
        self.control_plane.resume()
        self.control_plane.restart()

    def expire_session(
        self, process: str, config: Configuration, session: str, *, connected: bool = False
    ) -> None:
        raise LabError(self.no_sessions)

    def server_data(self) -> Sequence[Path]:
        return ()


class GivenKubernetesStore(GivenStore):
    """The API server of a kubeconfig that the options name. The lab removes what it leaves."""

    def __init__(self, run: RunDirectory, given: Mapping[str, object]) -> None:
        super().__init__(
            run,
            f"is not for a cluster that was given: leave out options {options.K8S_CONFIG_FILE.key} "
            f"and {options.K8S_CONTEXT.key}, and the lab starts a control plane of its own",
            _NO_SESSIONS,
        )
        # A name of its own: others may have a lab on the same cluster.
        own = {**SHORT_LEASE, options.K8S_CLUSTER_ID.key: f"{LAB}-{secrets.token_hex(4)}"}
        self.options = own
        self._config = Configuration({**own, **{key: str(given[key]) for key in given}})
        self._ours = options.K8S_CLUSTER_ID.key not in given
        self._used = False

    def start(self) -> None:
        self._used = True

    def stop(self) -> None:
        if not self._ours or not self._used:
            return
        from hawork.backends.kubernetes.services import open_backend
        from hawork.core.clock import SYSTEM_CLOCK
        from hawork.core.events import NullEventSink

        try:
            backend = open_backend(self._config, SYSTEM_CLOCK, NullEventSink())
            try:
                backend.drop(None, None)
            finally:
                backend.close()
        except HaworkError:
            return  # the cluster is gone; a lab that is closed has no reader for an error
