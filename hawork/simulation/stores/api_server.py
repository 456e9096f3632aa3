"""A Kubernetes API server as far as ConfigMaps go: resource versions, merge patches, watches.

Source: the Kubernetes API reference and *API Concepts*. Each write gets the next resource version
of the whole server; a write that names another than the present one is refused with 409.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = tuple[int, Any]
"""HTTP status, and the object."""
Event = dict[str, Any]


class ApiServer:
    """The ConfigMaps of one namespace. Nothing here waits; all of it happens at one moment."""

    def __init__(self) -> None:
        self.maps: dict[str, dict[str, Any]] = {}
        self.watchers: list[tuple[str, Callable[[Event], None]]] = []
        self._version = itertools.count(1)
        self._uid = itertools.count(1)
        self._present = 0
        self._history: list[tuple[int, Event]] = []

    def handle(self, method: str, target: str, body: Any, accept: str) -> Answer:
        """One request that is not a watch."""
        parts = urlsplit(target)
        if parts.path.endswith("/selfsubjectaccessreviews"):
            return 201, {"status": {"allowed": True}}
        _, _, name = parts.path.partition("/configmaps")
        name = name.strip("/")
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if method == "GET" and not name:
            return 200, self._list(query)
        status, found = self._one(method, name, body)
        if status < 300 and "PartialObjectMetadata" in accept:
            found = {"kind": "PartialObjectMetadata", "metadata": found["metadata"]}
        return status, deepcopy(found)

    def watch(self, target: str, tell: Callable[[Event], None]) -> Callable[[], None]:
        """Tell every change from the version on that the target names, until the end is called."""
        query = {key: values[0] for key, values in parse_qs(urlsplit(target).query).items()}
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
        return deepcopy(
            {"metadata": {"resourceVersion": str(self._present), "continue": ""}, "items": found}
        )

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
            self._changed("DELETED", found)
            return 200, found
        return self._patch(found, body)

    def _create(self, body: Any) -> Answer:
        name = body["metadata"]["name"]
        if name in self.maps:
            return 409, _status(f'configmaps "{name}" already exists')
        made = deepcopy(body)
        made["metadata"].setdefault("labels", {})
        made["metadata"].setdefault("annotations", {})
        made.setdefault("data", {})
        made["metadata"]["uid"] = f"uid-{next(self._uid)}"
        self.maps[name] = made
        self._changed("ADDED", made)
        return 201, made

    def _patch(self, found: dict[str, Any], body: Any) -> Answer:
        metadata = body.get("metadata", {})
        version = metadata.get("resourceVersion")
        if version is not None and version != found["metadata"]["resourceVersion"]:
            return 409, _status("the object has been modified")
        before = deepcopy(found)
        for part, changes in (
            (found["metadata"]["annotations"], metadata.get("annotations", {})),
            (found["metadata"]["labels"], metadata.get("labels", {})),
            (found["data"], body.get("data", {})),
        ):
            for key, value in changes.items():
                if value is None:
                    part.pop(key, None)
                else:
                    part[key] = value
        if found != before:  # what changes nothing is not written
            self._changed("MODIFIED", found)
        return 200, found

    def _changed(self, kind: str, found: dict[str, Any]) -> None:
        self._present = next(self._version)
        found["metadata"]["resourceVersion"] = str(self._present)
        event = {"type": kind, "object": deepcopy(found)}
        self._history.append((self._present, event))
        for name, tell in list(self.watchers):
            if name == found["metadata"]["name"]:
                tell(event)


def _status(message: str) -> dict[str, Any]:
    return {"kind": "Status", "message": message}


def encoded(answer: Any) -> bytes:
    return json.dumps(answer).encode()
