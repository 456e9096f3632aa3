"""The few calls that a lab makes itself: plain JSON over HTTPS, without a client library.

The official client takes a second and 40 MB to import; a lab that only starts a server and
gives out rights needs nothing of it.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hawork.core.errors import LabError

_LONGEST_SOCKET = 100
"""Bytes of the path of a Unix socket; macOS takes 103."""
_TIMEOUT = 10.0
"""Seconds; the server is on this machine."""


@dataclass(frozen=True, slots=True)
class KubernetesApi:
    """The API server at ``127.0.0.1:port``, as the user of ``token``."""

    port: int
    ca_file: Path
    token: str

    def call(
        self, method: str, path: str, body: Any = None, timeout: float = _TIMEOUT
    ) -> tuple[int, Any]:
        """HTTP status and decoded answer; text that is not JSON comes as text.

        ``OSError`` when the server cannot be reached or does not answer within ``timeout``
        seconds.
        """
        context = ssl.create_default_context(cafile=str(self.ca_file))
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=timeout, context=context
        )
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind}
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
        except http.client.HTTPException as error:
            raise OSError(f"the API server broke off: {error!r}") from error
        finally:
            connection.close()
        try:
            return response.status, json.loads(text)
        except ValueError:
            return response.status, text

    def must(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer. ``LabError`` with the server's words when it refuses."""
        status, answer = self._answered(method, path, body)
        if status >= 400:
            said = answer.get("message", answer) if isinstance(answer, dict) else answer
            raise LabError(f"the API server refused {method} {path} with status {status}: {said}")
        return answer

    def apply(self, collection: str, thing: dict[str, Any]) -> None:
        """Create an object, or replace the one of its name. ``LabError`` when it is refused."""
        status, _ = self._answered("GET", f"{collection}/{thing['metadata']['name']}")
        if status == 404:
            self.must("POST", collection, thing)
        else:
            self.must("PUT", f"{collection}/{thing['metadata']['name']}", thing)

    def _answered(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """``LabError`` when the server is away, or stands still."""
        try:
            return self.call(method, path, body)
        except OSError as error:
            raise LabError(f"the API server does not answer: {error}") from error


def etcd_call(etcd: Path, path: str, body: Any) -> Any:
    """One call of etcd's JSON gateway, at its socket. ``LabError`` when it fails."""
    connection = _SocketConnection(etcd)
    try:
        connection.request("POST", f"/v3/{path}", json.dumps(body))
        response = connection.getresponse()
        answer = json.load(response)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise LabError(f"etcd does not answer {path}: {error}") from error
    finally:
        connection.close()
    if response.status >= 400:
        raise LabError(f"etcd refused {path} with status {response.status}: {answer}")
    return answer


class _SocketConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket, whose path may be longer than the 107 bytes of an address."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        if len(os.fsencode(self._path)) <= _LONGEST_SOCKET:
            self.sock.connect(str(self._path))
            return
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.sock.connect(f"/proc/self/fd/{folder}/{self._path.name}")
        finally:
            os.close(folder)
