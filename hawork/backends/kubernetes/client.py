"""The requests to the Kubernetes API that hawork makes, each for a bounded time.

As whom and how they go is found by ``credentials``, that they end in time is the business of
``transport``. After a request one of three things is known: it was answered, it was surely not
carried out (``StoreUnavailableError``), or that is not known (``OutcomeUnknownError``); callers of
writes find out by reading back.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from json import dumps, loads
from typing import Any
from urllib.parse import urlencode

import urllib3

from hawork.backends.kubernetes.answers import (
    AbsentError,
    BusyError,
    Changes,
    ConfigMap,
    ConflictError,
    ExpiredError,
    ForbiddenError,
    OutcomeUnknownError,
    SilentError,
)
from hawork.backends.kubernetes.refusals import refusal
from hawork.backends.kubernetes.settings import KubernetesSettings
from hawork.backends.kubernetes.transport import Transport
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.errors import StoreUnavailableError

_FIELD_MANAGER = "hawork"
_PAGE = "200"
_LISTINGS = 3
_JSON = "application/json"
_MERGE_PATCH = "application/merge-patch+json"
METADATA = f"{_JSON};as=PartialObjectMetadata;g=meta.k8s.io;v=v1,{_JSON}"
"""What a patch accepts as answer: a full map would come back with each change of one key."""
_VERBS = {"GET": "get", "POST": "create", "PATCH": "patch", "DELETE": "delete"}
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_READY = "/readyz"
_MISSING_ROLES = "not found"
"""In what the server says of its own trouble with roles that a binding names."""
_EXPIRED = ("Expired", "Gone")
_BUSY = 429
_SHORTEST_PEACE, _LONGEST_PEACE = 0.1, 3600.0  # seconds
_REFUSED_UNDONE = (400, 405, 413, 415, 422, 429)
"""Statuses that say that nothing was changed."""


_BROKEN_WATCH = (
    urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError,
    KeyError, TypeError, RecursionError,  # of JSON that another program wrote
)  # fmt: skip


class KubernetesClient:
    """ConfigMaps of one namespace. Thread-safe."""

    def __init__(self, settings: KubernetesSettings) -> None:
        """``ConfigurationError`` or ``AccessDeniedError`` for credentials that cannot be had."""
        self._settings = settings
        self._transport = Transport(settings)
        self._closed = threading.Event()
        self._path = f"/api/v1/namespaces/{settings.namespace}/configmaps"

    @property
    def server(self) -> str:
        return self._transport.server

    def close(self) -> None:
        self._closed.set()
        self._transport.close()

    # --- objects --------------------------------------------------------------------------

    def get(
        self, name: str, timeout: float | None = None, *, metadata_only: bool = False
    ) -> ConfigMap | None:
        """``metadata_only``: what is asked of is an annotation; there may be no data in it."""
        accept = METADATA if metadata_only else _JSON
        path = f"{self._path}/{name}"
        try:
            return self._map_of("GET", self._call("GET", path, timeout=timeout, accept=accept))
        except AbsentError:
            return None

    def list(self, query: Mapping[str, str]) -> tuple[list[ConfigMap], str]:
        """What is there, and the resource version from which to watch."""
        for _ in range(_LISTINGS):
            items: list[ConfigMap] = []
            version = ""
            try:
                for page in self.pages(query):
                    items += [self._map_of("GET", item) for item in page["items"]]
                    version = page["metadata"]["resourceVersion"]
                return items, version
            except ExpiredError:
                continue  # the server has forgotten what the pages before were of: all anew
        raise StoreUnavailableError(
            f"{self.server} forgets the ConfigMaps of namespace {self._settings.namespace} faster "
            "than we can list them: see what changes them, or what slows it down"
        )

    def pages(self, query: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        """What is there as the server writes it, page by page: all at once take much memory."""
        token = ""
        while True:
            page = self._call("GET", self._path, query={**query, "limit": _PAGE, "continue": token})
            try:
                token = page["metadata"].get("continue", "")
                found = {**page, "items": list(page["items"] or ())}  # null for none, as Go may
                found["metadata"]["resourceVersion"]
            except (KeyError, TypeError, AttributeError):
                raise self._no_answer("GET", "a list of ConfigMaps") from None
            yield found
            if not token:
                return

    def written(self, name: str) -> Mapping[str, Any] | None:
        """A ConfigMap as the server writes it."""
        try:
            found: Mapping[str, Any] = self._call("GET", f"{self._path}/{name}")
        except AbsentError:
            return None
        return found

    def create(self, body: Mapping[str, Any], timeout: float | None = None) -> ConfigMap:
        """``ConflictError`` when the name is taken."""
        query = {"fieldManager": _FIELD_MANAGER}
        return self._map_of("POST", self._call("POST", self._path, body, query, timeout))

    def patch(
        self,
        before: ConfigMap,
        data: Changes,
        annotations: Changes | None = None,
        labels: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> ConfigMap:
        """Change exactly this version of it, by a JSON merge patch; ``ConflictError`` for another.

        The server is asked for the metadata only: the data are what they were, and the change.
        """
        metadata: dict[str, Any] = {"resourceVersion": before.resource_version}
        if annotations:
            metadata["annotations"] = dict(annotations)
        if labels:
            metadata["labels"] = dict(labels)
        body: dict[str, Any] = {"metadata": metadata}
        if data:
            body["data"] = dict(data)
        path, query = f"{self._path}/{before.name}", {"fieldManager": _FIELD_MANAGER}
        answer = self._call("PATCH", path, body, query, timeout, accept=METADATA)
        after = self._map_of("PATCH", answer)
        if answer.get("kind") == "ConfigMap":  # of a server that cannot leave them away
            return after
        merged = {**before.data, **data}
        return replace(after, data={k: v for k, v in merged.items() if v is not None})

    def delete(self, found: ConfigMap) -> None:
        """Exactly this version of it; ``ConflictError`` for another, ``AbsentError`` for none."""
        preconditions = {"uid": found.uid, "resourceVersion": found.resource_version}
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": preconditions}
        self._call("DELETE", f"{self._path}/{found.name}", body)

    def may(self, verb: str, name: str | None = None) -> bool:
        """Whether we may do this to ConfigMaps, or to the one of that name.

        Asks for a ``SelfSubjectAccessReview``. What lists or watches a single ConfigMap by a field
        selector is allowed by its name, too. Source: ``RequestInfoFactory`` of the API server.

        ``StoreUnavailableError`` when the server does not know: one that has just started
        lets no client ask, or misses roles that its bindings name, until it has read them all.
        """
        attributes = {
            "namespace": self._settings.namespace, "verb": verb, "resource": "configmaps",
            **({} if name is None else {"name": name}),
        }  # fmt: skip
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        try:
            answer = self._call("POST", _REVIEWS, body)
        except ForbiddenError:
            raise StoreUnavailableError(
                f"{self.server} does not let us ask what we may do: it has not read its roles "
                "yet, or lacks ClusterRole system:basic-user"
            ) from None
        status = answer["status"]
        doubt = f"{status.get('reason') or ''} {status.get('evaluationError') or ''}".strip()
        if not status["allowed"] and _MISSING_ROLES in doubt:
            raise StoreUnavailableError(
                f"{self.server} has not read its roles yet, or lacks some that we are bound to "
                f"({doubt})"
            )
        return bool(status["allowed"])

    def unready(self) -> str:
        """Why what the server says of rights may be too early; empty when it is not.

        It is ready once it has read all RoleBindings, among others (its check
        ``informer-sync``). A server without ``/readyz``, before 1.16, is taken for ready.
        """
        try:
            seconds = self._settings.call_timeout
            status = self._send("GET", _READY, None, None, seconds).status
        except (StoreUnavailableError, OutcomeUnknownError) as error:
            return f"it is not known whether {self.server} has read its roles ({error})"
        if status in (200, 404):
            return ""
        if status in (401, 403):
            return f"{self.server} does not tell us whether it has read its roles ({status})"
        return f"{self.server} may not have read its roles yet: it is not ready ({status})"

    def watch(self, name: str, resource_version: str, seconds: float, silence: float) -> Watch:
        """Changes of one ConfigMap from a version on, for so many seconds.

        A connection on which nothing comes for ``silence`` seconds counts as broken.
        """
        query = {
            "fieldSelector": f"metadata.name={name}",
            "resourceVersion": resource_version,
            "watch": "true",
            "timeoutSeconds": str(int(seconds)),
        }
        seconds = self._settings.call_timeout
        response = self._send("GET", self._path, None, query, seconds, silence=silence)
        if response.status != 200:
            try:
                answer = response.data
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise OutcomeUnknownError(
                    f"{self.server} broke off its answer: {type(error).__name__}"
                ) from None
            self._raise_for(response, answer, "watch", self._path)
        return Watch(response)

    # --- sending --------------------------------------------------------------------------

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        timeout: float | None = None,
        accept: str = _JSON,
    ) -> Any:
        seconds = self._settings.call_timeout if timeout is None else timeout
        until = SYSTEM_CLOCK.monotonic() + seconds
        response = self._send(method, path, body, query, seconds, accept)
        left = until - SYSTEM_CLOCK.monotonic()
        if response.status == 401 and left > 0:
            # Once more, with newer credentials than those, if there are any.
            response = self._send(method, path, body, query, left, accept)
        # As often as it is asked for within our time; a server that is busy took nothing on.
        while response.status == _BUSY and (pause := _peace(response)) is not None:
            left = until - SYSTEM_CLOCK.monotonic() - pause
            if left <= 0 or self._closed.wait(pause):
                break
            response = self._send(method, path, body, query, left, accept)
        if not 200 <= response.status < 300:
            lists = method == "GET" and path.endswith("/configmaps")
            verb = "list" if lists else _VERBS[method]
            self._raise_for(response, response.data, verb, path)
        try:
            return loads(response.data)
        except (ValueError, RecursionError):
            raise self._no_answer(method, "JSON") from None

    def _map_of(self, method: str, answer: Any) -> ConfigMap:
        try:
            return ConfigMap.of(answer)
        except (KeyError, TypeError, AttributeError):
            raise self._no_answer(method, "a ConfigMap") from None

    def _no_answer(self, method: str, wanted: str) -> StoreUnavailableError | OutcomeUnknownError:
        """A status of success, and half an answer, or another program's: a write may be made."""
        said = (
            f"{self.server} answered something that is not {wanted}: it is not a Kubernetes API "
            f"server; correct {self._settings.where}"
        )
        return StoreUnavailableError(said) if method == "GET" else OutcomeUnknownError(said)

    def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        query: Mapping[str, str] | None,
        seconds: float,
        accept: str = _JSON,
        silence: float | None = None,
    ) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": accept, "User-Agent": _FIELD_MANAGER}
        if body is not None:
            headers["Content-Type"] = _MERGE_PATCH if method == "PATCH" else _JSON
        return self._transport.send(
            method,
            path + (f"?{_encoded(tuple(query.items()))}" if query else ""),
            headers,
            None if body is None else dumps(body).encode(),
            seconds,
            silence,
        )

    def _raise_for(
        self, response: urllib3.BaseHTTPResponse, answer: bytes, verb: str, path: str
    ) -> None:
        status = response.status
        reason, message = _status_of(answer)
        what = path.rpartition("/v1/")[2]
        denied = refusal(
            status, message, server=self.server, verb=verb, path=path,
            namespace=self._settings.namespace, where=self._settings.where,
        )  # fmt: skip
        if denied is not None:
            raise denied
        if status == 404:
            raise AbsentError(message or what)
        if status == 409:
            raise ConflictError(message or what)
        if status == 410 or reason in _EXPIRED:
            raise ExpiredError(message)
        if status == _BUSY and (pause := _peace(response)) is not None:
            raise BusyError(
                f"{self.server} is busy, and wants to be asked again in {pause:g} s only: it did "
                f"not {verb} {what} ({message[:200]})",
                pause,
            )
        if status in _REFUSED_UNDONE or "too large" in message or verb in ("get", "list", "watch"):
            raise StoreUnavailableError(
                f"{self.server} refused to {verb} {what}: {status} {message[:200]}"
            )
        raise OutcomeUnknownError(f"{self.server} failed to {verb} {what}: {status} {message}")


@functools.lru_cache(maxsize=64)
def _encoded(query: tuple[tuple[str, str], ...]) -> str:
    """Remembered: all writes ask the same."""
    return urlencode(query)


class Watch:
    """An open watch. Iterate on one thread, ``close`` on any."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response
        connection = getattr(response, "connection", None) or getattr(response, "_connection", None)
        self._socket: socket.socket | None = getattr(connection, "sock", None)

    def __iter__(self) -> Iterator[tuple[str, ConfigMap]]:
        """``ADDED``, ``MODIFIED`` or ``DELETED``, and the object; ends with the watch.

        A ``BOOKMARK``, which nothing asked for, has nothing but a resource version.
        ``ExpiredError`` when changes were missed, ``OutcomeUnknownError`` when it broke.
        """
        pending = b""
        try:
            for chunk in self._response.stream(1 << 16, decode_content=True):
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    yield self._event(loads(line))
        except urllib3.exceptions.ReadTimeoutError:
            raise SilentError("nothing came from the watch") from None
        except _BROKEN_WATCH as error:
            # ValueError and AttributeError: what urllib3 raises when it is closed meanwhile.
            raise OutcomeUnknownError(f"the watch broke: {type(error).__name__}") from None

    @staticmethod
    def _event(event: Mapping[str, Any]) -> tuple[str, ConfigMap]:
        kind, found = event["type"], event["object"]
        if kind == "ERROR":
            if found.get("code") == 410 or found.get("reason") in _EXPIRED:
                raise ExpiredError(found.get("message", ""))
            raise OutcomeUnknownError(f"the watch ended: {found.get('message', '')}")
        if kind == "BOOKMARK":
            return kind, ConfigMap("", "", found["metadata"]["resourceVersion"])
        return kind, ConfigMap.of(found)

    def close(self) -> None:
        if self._socket is not None:
            # Wakes the thread that reads, which closing alone would not do.
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(Exception):
            self._response.release_conn()


def _peace(response: urllib3.BaseHTTPResponse) -> float | None:
    """For how many seconds a server wants to be left alone; ``None`` where it does not say."""
    written = response.headers.get("Retry-After")
    try:
        asked = None if written is None else urllib3.Retry().parse_retry_after(written)
    except urllib3.exceptions.InvalidHeader:
        return None
    return None if asked is None else min(max(_SHORTEST_PEACE, asked), _LONGEST_PEACE)


def _status_of(answer: bytes) -> tuple[str, str]:
    """The reason and the message of a ``Status`` object, as far as it is one."""
    try:
        status = loads(answer)
        return str(status.get("reason", "")), str(status.get("message", ""))
    except (ValueError, AttributeError, RecursionError):
        return "", answer[:200].decode(errors="replace").strip()
