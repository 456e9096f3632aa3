"""A Kubernetes API server as far as ConfigMaps go: resource versions, merge patches, watches.

Source: the Kubernetes API reference and *API Concepts*. Each write gets the next resource version
of the whole server; a write that names another than the present one is refused with 409.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs

Answer = tuple[int, Any]
"""HTTP status, and the object."""
Event = dict[str, Any]


class ApiServer:
    """The ConfigMaps of one namespace. Nothing here waits; all of it happens at one moment.

    No object is changed, here or by a client: a write puts another one in its place. So each answer
    may be kept.
    """

    def __init__(self) -> None:
        self.maps: dict[str, Mapping[str, Any]] = {}
        self.watchers: list[tuple[str, Callable[[Event], None]]] = []
        self._version = itertools.count(1)
        self._uid = itertools.count(1)
        self._present = 0
        self._history: list[tuple[int, Event]] = []

    def handle(self, method: str, target: str, body: Any, accept: str) -> Answer:
        """One request that is not a watch."""
        path, _, query = target.partition("?")
        if path.endswith("/selfsubjectaccessreviews"):
            return 201, {"status": {"allowed": True}}
        name = path.partition("/configmaps")[2].strip("/")
        if method == "GET" and not name:
            return 200, self._list(_values(query))
        status, found = self._one(method, name, body)
        if status < 300 and "PartialObjectMetadata" in accept:
            found = {"kind": "PartialObjectMetadata", "metadata": found["metadata"]}
        return status, found

    def watch(self, target: str, tell: Callable[[Event], None]) -> Callable[[], None]:
        """Tell every change from the version on that the target names, until the end is called."""
        query = _values(target.partition("?")[2])
        name = query["fieldSelector"].partition("=")[2]
        since = int(query["resourceVersion"])
        watcher = name, tell
        for version, event in self._history:
            if version > since and event["object"]["metadata"]["name"] == name:
                tell(event)
        self.watchers.append(watcher)

        def end() -> None:
            if watcher in self.watchers:
                self.watchers.remove(watcher)

        return end

    def _list(self, query: Mapping[str, str]) -> dict[str, Any]:
        found = [self.maps[name] for name in sorted(self.maps)]
        field = query.get("fieldSelector")
        if field:
            wanted = field.partition("=")[2]
            found = [each for each in found if each["metadata"]["name"] == wanted]
        for label in filter(None, query.get("labelSelector", "").split(",")):
            key, _, value = label.partition("=")
            found = [each for each in found if each["metadata"]["labels"].get(key) == value]
        return {"metadata": {"resourceVersion": str(self._present), "continue": ""}, "items": found}

    def _one(self, method: str, name: str, body: Any) -> Answer:
        if method == "POST":
            return self._create(body)
        found = self.maps.get(name)
        if found is None:
            return 404, _status(f'configmaps "{name}" not found')
        if method == "GET":
            return 200, found
        if method == "DELETE":
            wanted = body["preconditions"]
            if any(found["metadata"][key] != value for key, value in wanted.items()):
                return 409, _status("the preconditions are not met")
            del self.maps[name]
            return 200, self._changed("DELETED", found)
        return self._patch(found, body)

    def _create(self, body: Any) -> Answer:
        metadata = body["metadata"]
        if metadata["name"] in self.maps:
            return 409, _status(f'configmaps "{metadata["name"]}" already exists')
        made = {
            **body,
            "metadata": {
                "labels": {},
                "annotations": {},
                **metadata,
                "uid": f"uid-{next(self._uid)}",
            },
            "data": body.get("data", {}),
        }
        return 201, self._changed("ADDED", made)

    def _patch(self, found: Mapping[str, Any], body: Any) -> Answer:
        before, wanted = found["metadata"], body.get("metadata", {})
        version = wanted.get("resourceVersion")
        if version is not None and version != before["resourceVersion"]:
            return 409, _status("the object has been modified")
        changed = {
            **found,
            "metadata": {
                **before,
                "annotations": _merged(before["annotations"], wanted.get("annotations", {})),
                "labels": _merged(before["labels"], wanted.get("labels", {})),
            },
            "data": _merged(found["data"], body.get("data", {})),
        }
        if changed == found:  # what changes nothing is not written
            return 200, found
        return 200, self._changed("MODIFIED", changed)

    def _changed(self, kind: str, to: Mapping[str, Any]) -> Mapping[str, Any]:
        self._present = next(self._version)
        metadata = to["metadata"]
        found = {
            **to,
            "metadata": {
                **metadata,
                "resourceVersion": str(self._present),
                "annotations": MappingProxyType(metadata["annotations"]),
                "labels": MappingProxyType(metadata["labels"]),
            },
            "data": MappingProxyType(to["data"]),
        }
        name = found["metadata"]["name"]
        if kind != "DELETED":
            self.maps[name] = found
        event = {"type": kind, "object": found}
        self._history.append((self._present, event))
        for watched, tell in list(self.watchers):
            if watched == name:
                tell(event)
        return found


def _values(query: str) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(query).items()}


def _merged(present: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON merge patch of one level: ``None`` takes a key away."""
    return {key: value for key, value in {**present, **changes}.items() if value is not None}


def _status(message: str) -> dict[str, Any]:
    return {"kind": "Status", "message": message}
