"""What an API server really accepted, as a watch of the administrator's tells it, in its order.

The last word on fencing: every version of every ConfigMap of one cluster comes by, so that who
held the lock, or the claim, when a pointer was written does not rest on a leader's own word.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any, cast

from kubernetes import client, config, watch

from hawork.backends.kubernetes.layout import CLAIMED_BY, LOCK, OURS, Names
from hawork.client.waiting import Waiting
from hawork.servers.kubernetes.control_plane import ControlPlane

_SECONDS = 1
"""How long one watch lasts: the next one begins where it ended, unless it is time to stop."""
_AGAIN = 0.1
"""Seconds until an API server that is away is asked again."""
_GONE = 410
_JOB_GRAPH_OF_FLINK = "jobGraph-"


class ConfigMapHistory:
    """Watches from its making until ``check``.

    A process of Flink (``flink``) has one identity for all of its terms, so that the lock may come
    back to it, and claims nothing on the ConfigMaps of single jobs: these are not judged.
    """

    def __init__(
        self, control_plane: ControlPlane, cluster_id: str, user: str = "tm-1", *,
        flink: bool = False,
    ) -> None:  # fmt: skip
        names = Names(cluster_id)
        self._cluster_map = names.cluster_map
        loader = cast(Any, config)
        api = loader.new_client_from_config(str(control_plane.kubeconfig(user)))
        self._maps: Any = cast(Any, client).CoreV1Api(api)
        self._which = {"namespace": control_plane.namespace, "label_selector": names.selector}
        self._judge = _Judge(self._cluster_map, flink=flink)
        self._version, listed = self._list()
        for found in listed:
            self._judge.begin(found)
        self._outdated = False
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def judge(self) -> tuple[int, list[str]]:
        """How many pointers were written, and the writes that were not fenced; ends the watch."""
        _, present = self._list()

        def caught_up() -> bool | None:
            seen = self._judge.versions()
            return all(int(seen.get(e["name"], 0)) >= int(e["version"]) for e in present) or None

        Waiting("the watch to catch up", caught_up, timeout=20).wait()
        self.close()
        return self._judge.writes, list(self._judge.broken)

    def close(self) -> None:
        """End the watch; repeatable."""
        self._done.set()
        self._thread.join()

    def check(self) -> int:
        """Every accepted write was fenced; returns how many pointers were written."""
        writes, broken = self.judge()
        assert not broken, "\n".join(broken)
        return writes

    def _follow(self) -> None:
        while not self._done.is_set():
            try:
                self._watch()
            except Exception as error:  # noqa: BLE001 - the server is away, in a way of urllib3's
                self._outdated = self._outdated or getattr(error, "status", None) == _GONE
                self._done.wait(_AGAIN)

    def _list(self) -> tuple[str, list[dict[str, Any]]]:
        listed = self._maps.list_namespaced_config_map(**self._which)
        return str(listed.metadata.resource_version), [_plain(found) for found in listed.items]

    def _watch(self) -> None:
        """Until the server ends it. What was seen is not looked at again, however it ends.

        An API server that has forgotten what came after that is asked what there is now.
        """
        if self._outdated:
            self._version, listed = self._list()
            self._judge.catch_up(listed)
            self._outdated = False
        stream = cast(Any, watch).Watch().stream(
            self._maps.list_namespaced_config_map, **self._which, resource_version=self._version,
            timeout_seconds=_SECONDS, _request_timeout=_SECONDS + _AGAIN,
        )  # fmt: skip
        for event in stream:
            found = _plain(event["object"])
            self._version = found["version"]
            self._judge.look(event["type"], found)


class _Judge:
    """Looks at one version after the other."""

    def __init__(self, cluster_map: str, *, flink: bool = False) -> None:
        self.broken: list[str] = []
        self._flink = flink
        self.writes = 0
        self._cluster_map = cluster_map
        self._known: dict[str, dict[str, Any]] = {}
        self._terms: list[str] = []
        self._whole = True
        self._active = -1
        """The last term that wrote anything but the lock."""

    def versions(self) -> dict[str, str]:
        return {name: found["version"] for name, found in list(self._known.items())}

    def begin(self, found: dict[str, Any]) -> None:
        self._known[found["name"]] = found
        if found["name"] == self._cluster_map:
            self._note_term(found)

    def catch_up(self, listed: list[dict[str, Any]]) -> None:
        """Some versions were not seen: who claimed what in them is not known.

        Unless nothing but the time of a renewal differs.
        """
        now = {found["name"]: found for found in listed}
        if {name: _written(found) for name, found in self._known.items()} != {
            name: _written(found) for name, found in now.items()
        }:
            self._whole = False
            for name in self._known.keys() - now.keys():
                del self._known[name]
        for found in listed:
            self.begin(found)

    def look(self, kind: str, found: dict[str, Any]) -> None:
        name = found["name"]
        before = self._known.pop(name, None)
        if kind == "DELETED":
            return  # of exactly the version that its writer had read
        self._known[name] = found
        prefix = _JOB_GRAPH_OF_FLINK if self._flink else OURS
        written = _changed(before["data"] if before else {}, found["data"], prefix)
        self.writes += len(written)
        if name == self._cluster_map:
            self._look_at_cluster(before, found, written)
        elif not self._flink:
            self._look_at_job(before, found, written)

    def _look_at_cluster(
        self, before: dict[str, Any] | None, found: dict[str, Any], written: set[str]
    ) -> None:
        held, holds = _holder(before), _holder(found)
        if written and (not holds or held != holds):
            self._complain(found, f"{sorted(written)} while the lock went {held!r} -> {holds!r}")
        self._note_term(found)
        if written:
            self._active = max(self._active, self._term(holds))

    def _look_at_job(
        self, before: dict[str, Any] | None, found: dict[str, Any], written: set[str]
    ) -> None:
        claimed, claims = _claim(before), _claim(found)
        if self._term(claims) < 0 and self._whole and (written - _removed(found, written)):
            self._complain(found, f"{sorted(written)} under no leader's claim, {claims!r}")
        if before is None:
            if self._is_before(claims, self._active):
                self._complain(found, f"created by {claims}, after a later leader had written")
        elif claims != claimed:
            if claimed and written - _removed(found, written):
                self._complain(found, f"{sorted(written)} while the claim went to {claims}")
            if self._is_before(claims, self._term(claimed)):
                self._complain(found, f"the claim went back from {claimed} to {claims}")
        self._active = max(self._active, self._term(claims) if claims != claimed else -1)

    def _note_term(self, found: dict[str, Any]) -> None:
        holder = _holder(found)
        if holder and (not self._terms or self._terms[-1] != holder):
            if holder in self._terms and self._whole and not self._flink:
                self._complain(found, f"the lock came back to {holder}")
            self._terms.append(holder)

    def _term(self, session_id: str) -> int:
        return self._terms.index(session_id) if session_id in self._terms else -1

    def _is_before(self, session_id: str, term: int) -> bool:
        if not session_id or (self._term(session_id) < 0 and not self._whole):
            return False
        return self._term(session_id) < term

    def _complain(self, found: dict[str, Any], what: str) -> None:
        self.broken.append(f"{found['name']} at version {found['version']}: {what}")


def _plain(found: Any) -> dict[str, Any]:
    return {
        "name": found.metadata.name,
        "version": found.metadata.resource_version,
        "annotations": found.metadata.annotations or {},
        "data": found.data or {},
    }


def _written(found: Mapping[str, Any]) -> tuple[str, str, Mapping[str, str]]:
    return _holder(found), _claim(found), found["data"]


def _changed(before: Mapping[str, str], after: Mapping[str, str], prefix: str) -> set[str]:
    keys = {key for key in {*before, *after} if key.startswith(prefix)}
    return {key for key in keys if before.get(key) != after.get(key)}


def _removed(found: Mapping[str, Any], keys: set[str]) -> set[str]:
    return {key for key in keys if key not in found["data"]}


def _holder(found: Mapping[str, Any] | None) -> str:
    text = None if found is None else found["annotations"].get(LOCK)
    return str(json.loads(text)["holderIdentity"]) if text else ""


def _claim(found: Mapping[str, Any] | None) -> str:
    return "" if found is None else str(found["annotations"].get(CLAIMED_BY, ""))
