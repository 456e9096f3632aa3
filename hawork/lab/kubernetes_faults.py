"""Faults that only an API server can have, as verbs of the lab."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hawork.core.errors import LabError
from hawork.core.events import Event
from hawork.lab.store_faults import StoreFaults

if TYPE_CHECKING:
    from hawork.servers.kubernetes.control_plane import ControlPlane


class KubernetesFaults(StoreFaults):
    """What ``LabCluster`` can do to a control plane of its own."""

    @property
    def control_plane(self) -> ControlPlane:
        """The lab's etcd and API server. ``LabError`` when it has none.

        >>> lab.control_plane.url                                          # doctest: +SKIP
        """
        found: ControlPlane | None = getattr(self._store, "control_plane", None)
        if found is None:
            raise LabError(
                'this lab has no control plane: use ha="kubernetes", and name no kubeconfig'
            )
        return found

    def revoke_right(self, target: str = "leader", verb: str = "patch") -> Event:
        """Take a verb on ConfigMaps from a process, until ``grant_right``.

        >>> lab.revoke_right("leader", "patch")                            # doctest: +SKIP
        """
        control_plane, name = self.control_plane, self._process(target)
        event = self._fault("revoke_right", name, right=verb)
        control_plane.revoke_right(name, verb)
        return event

    def grant_right(self, target: str, verb: str = "patch") -> Event:
        """Give a verb on ConfigMaps back to a process.

        >>> lab.grant_right("jm-1", "patch")                               # doctest: +SKIP
        """
        control_plane, name = self.control_plane, self._process(target)
        event = self._fault("grant_right", name, right=verb)
        control_plane.grant_right(name, verb)
        return event

    def outdate_watches(self) -> Event:
        """Restart the API server without its history: every watch has to list again.

        >>> lab.outdate_watches()                                          # doctest: +SKIP
        """
        control_plane = self.control_plane
        self._started()
        event = self._fault("outdate_watches", "store")
        control_plane.outdate_watches()
        return event
